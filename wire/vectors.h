/*  vectors.h: the column of a segment's embeddings: what embed makes, storage keeps as it is, and search scans.
 *
 *  A row is 16-bit integers with one float32 scale, split in two planes: the high bytes are what a scan reads (one byte
 *  a dimension), both together are precise to 1/65,000 of the row's largest value, which is what the best
 *  candidates are compared with again. Half the bytes of float32 on the way and on disk, a quarter for the scan.
 *
 *  Form: u8 format, u32 rows, u32 dims, u32 size of the model's name, the name, rows × float32 scale,
 *  rows × dims high bytes, rows × dims low bytes; little-endian, no padding.
 */
#ifndef WIRE_VECTORS_H
#define WIRE_VECTORS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

#include <stdint.h>

typedef struct {
    uint32_t rows;
    uint32_t dims;
    span_t model;
    const char *scales; /* rows × float32, of any alignment: a received frame has none */
    const int8_t *high; /* rows × dims; no byte is -128 */
    const int8_t *low;  /* rows × dims */
} vectors_t;            /* borrows the column that it was read from */

/*  A column of rows that are all zero. One reference. */
buf_t *vectors_new (span_t model, uint32_t rows, uint32_t dims);
/*  Fills rows `first` to `first + count - 1` of a column made by vectors_new from count × dims floats. */
void vectors_set (buf_t *column, uint32_t first, uint32_t count, const float *values);
/*  0, or -1 with ERR_NEWER_FORMAT or ERR_PROTOCOL. */
int vectors_read (span_t column, vectors_t *vectors, err_t *err);
float vectors_scale (const vectors_t *self, uint32_t row);

/*  One row: row[i] ≈ (256 × high[i] + low[i]) × scale. A value that is no number makes the whole row zero: it can be
 *  like nothing. */
void vectors_quantise (const float *row, uint32_t dims, float *scale, int8_t *high, int8_t *low);

#endif
