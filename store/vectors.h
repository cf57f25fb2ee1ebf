/*  vectors.h: embeddings as they are stored, and their exact comparison.
 *
 *  A stored row is 16-bit integers with one float32 scale, split in two planes: the high bytes are what a scan reads
 *  (one byte a dimension), both together are precise to 1/65,000 of the row's largest value, which is what the
 *  best candidates are compared with again. Half the bytes of float32, a quarter for the scan.
 *
 *  Stored form: u8 format, u32 rows, u32 dims, u32 size of the model's name, the name, rows × float32 scale,
 *  rows × dims high bytes, rows × dims low bytes; little-endian, no padding.
 */
#ifndef STORE_VECTORS_H
#define STORE_VECTORS_H

#include "base/err.h"
#include "base/str.h"
#include "store/top.h"
#include "wire/columns.h"

typedef struct {
    uint32_t rows;
    uint32_t dims;
    span_t model;
    const char *scales; /* rows × float32, of any alignment */
    const int8_t *high; /* rows × dims */
    const int8_t *low;  /* rows × dims */
} stored_vectors_t;     /* borrows the record that it was read from */

/*  Appends the stored form of a column's rows. */
void stored_vectors_write (const vectors_t *column, str_t *record);
/*  0, or -1 with ERR_NEWER_FORMAT or ERR_CORRUPT. */
int stored_vectors_read (span_t record, stored_vectors_t *vectors, err_t *err);
float stored_vectors_scale (const stored_vectors_t *self, uint32_t row);
/*  Precise inner product of `row` with a query of the same dims. */
float stored_vectors_exact (const stored_vectors_t *self, uint32_t row, const float *query);

/*  A query, quantised for scans. */
typedef struct {
    uint32_t dims;
    float scale;
    int8_t *high;
} scan_query_t;

void scan_query_init (scan_query_t *self, const float *query, uint32_t dims);
void scan_query_free (scan_query_t *self);

/*  Inner product of bytes, none of which is -128. vectors_dot: by the best instructions that this processor has;
 *  vectors_dot_of: the ways it can do it, from 0 on, NULL after the last (for tests). */
typedef int32_t vectors_dot_fn (const int8_t *a, const int8_t *b, uint32_t dims);
vectors_dot_fn *vectors_dot (void);
vectors_dot_fn *vectors_dot_of (int which);

/*  Pushes rows[i] with its approximate inner product, for i < count. A scale that is no number is never pushed. */
void vectors_scan (const scan_query_t *query, const int8_t *high, const float *scales, const uint64_t *rows,
                   uint32_t count, top_t *top);

#endif
