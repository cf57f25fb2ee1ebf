#include "store/vectors.h"

#include <math.h>
#include <stdlib.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define FORMAT  1
#define HEAD    13u
#define HIGHEST 32512.0f /* 127 × 256: the high byte of the largest value is 127 */

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

/*  Largest magnitude; a value that is no number makes the whole row zero: it can be like nothing. */
static float largest (const float *row, uint32_t dims)
{
    float most = 0;
    for (uint32_t i = 0; i < dims; i++) {
        if (!isfinite (row[i]))
            return 0;
        most = fmaxf (most, fabsf (row[i]));
    }
    return most;
}

static void quantise (const float *row, uint32_t dims, float *scale, int8_t *high, int8_t *low)
{
    float most = largest (row, dims), factor = most > 0 ? HIGHEST / most : 0;
    *scale = most > 0 ? most / HIGHEST : 0;
    for (uint32_t i = 0; i < dims; i++) {
        int value = most > 0 ? (int)lrintf (row[i] * factor) : 0;
        int upper = (value + 128) >> 8;
        high[i] = (int8_t)upper;
        low[i] = (int8_t)(value - upper * 256);
    }
}

void stored_vectors_write (const vectors_t *column, str_t *record)
{
    size_t values = (size_t)column->rows * column->dims;
    char *at = str_grow (record, HEAD + column->model.size + 4 * (size_t)column->rows + 2 * values);
    at[0] = FORMAT;
    put_u32 (at + 1, column->rows);
    put_u32 (at + 5, column->dims);
    put_u32 (at + 9, (uint32_t)column->model.size);
    at += HEAD;
    if (column->model.size)
        memcpy (at, column->model.data, column->model.size);
    char *scales = at + column->model.size;
    int8_t *high = (int8_t *)scales + 4 * (size_t)column->rows, *low = high + values;
    float *row = malloc ((column->dims + 1) * sizeof *row);
    if (!row)
        abort ();
    for (uint32_t i = 0; i < column->rows; i++) {
        float scale;
        vectors_row (column, i, row);
        quantise (row, column->dims, &scale, high + (size_t)i * column->dims, low + (size_t)i * column->dims);
        memcpy (scales + 4 * (size_t)i, &scale, 4);
    }
    free (row);
}

int stored_vectors_read (span_t record, stored_vectors_t *vectors, err_t *err)
{
    if (record.size && (unsigned char)record.data[0] > FORMAT)
        return err_set (err, ERR_NEWER_FORMAT, "a vector record was written by a newer version");
    if (record.size < HEAD)
        return err_set (err, ERR_CORRUPT, "a vector record of %zu bytes has no header", record.size);
    uint32_t rows = get_u32 (record.data + 1), dims = get_u32 (record.data + 5), name = get_u32 (record.data + 9);
    size_t left = record.size - HEAD;
    if (dims > 65536 || name > left || (uint64_t)rows * (4 + 2 * (uint64_t)dims) != left - name)
        return err_set (err, ERR_CORRUPT, "a vector record of %zu bytes does not hold %u rows of %u", record.size, rows,
                        dims);
    const char *at = record.data + HEAD;
    *vectors = (stored_vectors_t){ rows, dims, span (at, name), at + name, NULL, NULL };
    vectors->high = (const int8_t *)at + name + 4 * (size_t)rows;
    vectors->low = vectors->high + (size_t)rows * dims;
    return 0;
}

float stored_vectors_scale (const stored_vectors_t *self, uint32_t row)
{
    float scale;
    memcpy (&scale, self->scales + 4 * (size_t)row, 4);
    return scale;
}

float stored_vectors_exact (const stored_vectors_t *self, uint32_t row, const float *query)
{
    const int8_t *high = self->high + (size_t)row * self->dims, *low = self->low + (size_t)row * self->dims;
    float sum = 0;
    for (uint32_t i = 0; i < self->dims; i++)
        sum += (float)(high[i] * 256 + low[i]) * query[i];
    return sum * stored_vectors_scale (self, row);
}

void scan_query_init (scan_query_t *self, const float *query, uint32_t dims)
{
    int8_t *low = malloc (dims + 1);
    self->dims = dims;
    self->high = calloc (1, dims + 1);
    if (!low || !self->high)
        abort ();
    quantise (query, dims, &self->scale, self->high, low);
    free (low);
}

void scan_query_free (scan_query_t *self)
{
    free (self->high);
    self->high = NULL;
}

static int32_t dot_plain (const int8_t *a, const int8_t *b, uint32_t dims)
{
    int32_t sum = 0;
    for (uint32_t i = 0; i < dims; i++)
        sum += a[i] * b[i];
    return sum;
}

#if defined(__x86_64__)
/*  Both use |a| × (b with a's sign), because the instructions want one unsigned side; no byte is -128, so that the
 *  pairwise 16-bit sums of AVX2 cannot saturate. */
__attribute__ ((target ("avx2"))) static int32_t add_up (__m256i sum)
{
    __m128i half = _mm_add_epi32 (_mm256_castsi256_si128 (sum), _mm256_extracti128_si256 (sum, 1));
    half = _mm_add_epi32 (half, _mm_shuffle_epi32 (half, 0x4E));
    half = _mm_add_epi32 (half, _mm_shuffle_epi32 (half, 0xB1));
    return _mm_cvtsi128_si32 (half);
}

__attribute__ ((target ("avx2"))) static int32_t dot_avx2 (const int8_t *a, const int8_t *b, uint32_t dims)
{
    __m256i sum = _mm256_setzero_si256 (), ones = _mm256_set1_epi16 (1);
    uint32_t i = 0;
    for (; i + 32 <= dims; i += 32) {
        __m256i x = _mm256_loadu_si256 ((const __m256i *)(const void *)(a + i));
        __m256i y = _mm256_loadu_si256 ((const __m256i *)(const void *)(b + i));
        __m256i pairs = _mm256_maddubs_epi16 (_mm256_abs_epi8 (x), _mm256_sign_epi8 (y, x));
        sum = _mm256_add_epi32 (sum, _mm256_madd_epi16 (pairs, ones));
    }
    return add_up (sum) + dot_plain (a + i, b + i, dims - i);
}

__attribute__ ((target ("avx2,avx512vnni,avx512vl"))) static int32_t dot_vnni (const int8_t *a, const int8_t *b,
                                                                               uint32_t dims)
{
    __m256i sum = _mm256_setzero_si256 ();
    uint32_t i = 0;
    for (; i + 32 <= dims; i += 32) {
        __m256i x = _mm256_loadu_si256 ((const __m256i *)(const void *)(a + i));
        __m256i y = _mm256_loadu_si256 ((const __m256i *)(const void *)(b + i));
        sum = _mm256_dpbusd_epi32 (sum, _mm256_abs_epi8 (x), _mm256_sign_epi8 (y, x));
    }
    return add_up (sum) + dot_plain (a + i, b + i, dims - i);
}
#endif

vectors_dot_fn *vectors_dot_of (int which)
{
    vectors_dot_fn *ways[4] = { dot_plain };
    int count = 1;
#if defined(__x86_64__)
    if (__builtin_cpu_supports ("avx2"))
        ways[count++] = dot_avx2;
    if (__builtin_cpu_supports ("avx512vnni") && __builtin_cpu_supports ("avx512vl"))
        ways[count++] = dot_vnni;
#endif
    return which < count ? ways[which] : NULL;
}

vectors_dot_fn *vectors_dot (void)
{
    vectors_dot_fn *best = dot_plain;
    for (int i = 1; vectors_dot_of (i); i++)
        best = vectors_dot_of (i);
    return best;
}

void vectors_scan (const scan_query_t *query, const int8_t *high, const float *scales, const uint64_t *rows,
                   uint32_t count, top_t *top)
{
    vectors_dot_fn *dot = vectors_dot ();
    float scale = query->scale * 65536.0f; /* both sides' bytes count 256 */
    for (uint32_t i = 0; i < count; i++) {
        float score = (float)dot (query->high, high + (size_t)i * query->dims, query->dims) * scales[i] * scale;
        if (score >= top_floor (top))
            top_push (top, rows[i], score);
    }
}
