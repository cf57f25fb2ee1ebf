#include "wire/vectors.h"

#include <math.h>
#include <string.h>

#define FORMAT   1
#define HEAD     13u
#define DIMS_MAX 65536u
#define HIGHEST  32512.0f /* 127 × 256: the high byte of the largest value is 127 */

static void put_u32 (char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (char)(value >> (8 * i));
}

static uint32_t get_u32 (const char *at)
{
    const unsigned char *p = (const unsigned char *)at;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/*  Largest magnitude; 0 when a value is no number. Without their signs, floats order as the integers of their bits do,
 *  and infinities and what is no number come last. */
static float largest (const float *row, uint32_t dims)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < dims; i++) {
        uint32_t bits;
        memcpy (&bits, row + i, sizeof bits);
        bits &= 0x7fffffffu;
        most = bits > most ? bits : most;
    }
    float value;
    memcpy (&value, &most, sizeof value);
    return most < 0x7f800000u ? value : 0;
}

void vectors_quantise (const float *row, uint32_t dims, float *scale, int8_t *high, int8_t *low)
{
    float most = largest (row, dims), factor = most > 0 ? HIGHEST / most : 0;
    *scale = most > 0 ? most / HIGHEST : 0;
    if (!isfinite (factor)) /* so small that nothing is left of it */
        *scale = factor = 0;
    if (factor == 0) {
        memset (high, 0, dims);
        memset (low, 0, dims);
        return;
    }
    for (uint32_t i = 0; i < dims; i++) {
        float exact = row[i] * factor;
        int value = (int)(exact + (exact < 0 ? -0.5f : 0.5f));
        int upper = (value + 128) >> 8;
        high[i] = (int8_t)upper;
        low[i] = (int8_t)(value - upper * 256);
    }
}

buf_t *vectors_new (span_t model, uint32_t rows, uint32_t dims)
{
    size_t size = HEAD + model.size + 4 * (size_t)rows + 2 * (size_t)rows * dims;
    buf_t *column = buf_new (size);
    char *at = buf_bytes (column);
    memset (at, 0, size);
    at[0] = FORMAT;
    put_u32 (at + 1, rows);
    put_u32 (at + 5, dims);
    put_u32 (at + 9, (uint32_t)model.size);
    if (model.size)
        memcpy (at + HEAD, model.data, model.size);
    return column;
}

void vectors_set (buf_t *column, uint32_t first, uint32_t count, const float *values)
{
    char *at = buf_bytes (column);
    uint32_t rows = get_u32 (at + 1), dims = get_u32 (at + 5);
    char *scales = at + HEAD + get_u32 (at + 9);
    int8_t *high = (int8_t *)scales + 4 * (size_t)rows, *low = high + (size_t)rows * dims;
    for (uint32_t i = first; i < first + count; i++, values += dims) {
        float scale;
        vectors_quantise (values, dims, &scale, high + (size_t)i * dims, low + (size_t)i * dims);
        memcpy (scales + 4 * (size_t)i, &scale, 4);
    }
}

int vectors_read (span_t column, vectors_t *vectors, err_t *err)
{
    if (column.size && (unsigned char)column.data[0] > FORMAT)
        return err_set (err, ERR_NEWER_FORMAT, "vectors were written by a newer version");
    if (column.size < HEAD)
        return err_set (err, ERR_PROTOCOL, "vectors of %zu bytes have no header", column.size);
    uint32_t rows = get_u32 (column.data + 1), dims = get_u32 (column.data + 5), name = get_u32 (column.data + 9);
    size_t left = column.size - HEAD;
    if (dims > DIMS_MAX || name > left || (uint64_t)rows * (4 + 2 * (uint64_t)dims) != left - name)
        return err_set (err, ERR_PROTOCOL, "vectors of %zu bytes do not hold %u rows of %u", column.size, rows, dims);
    const char *at = column.data + HEAD;
    *vectors = (vectors_t){ rows, dims, span (at, name), at + name, NULL, NULL };
    vectors->high = (const int8_t *)at + name + 4 * (size_t)rows;
    vectors->low = vectors->high + (size_t)rows * dims;
    return 0;
}

float vectors_scale (const vectors_t *self, uint32_t row)
{
    float scale;
    memcpy (&scale, self->scales + 4 * (size_t)row, 4);
    return scale;
}
