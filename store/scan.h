/*  scan.h: exact comparison of stored embeddings with a query's: a fast pass over high bytes, then a precise look at
 * the best.
 */
#ifndef STORE_SCAN_H
#define STORE_SCAN_H

#include "store/top.h"
#include "wire/vectors.h"

/*  Precise inner product of `row` with a query of the same dims. */
float scan_exact (const vectors_t *vectors, uint32_t row, const float *query);

/*  A query, quantised for scans. */
typedef struct {
    uint32_t dims;
    float scale;
    int8_t *high;
} scan_query_t;

void scan_query_init (scan_query_t *self, const float *query, uint32_t dims);
void scan_query_free (scan_query_t *self);

/*  Inner product of bytes, none of which is -128. scan_dot: by the best instructions that this processor has;
 *  scan_dot_of: the ways it can do it, from 0 on, NULL after the last (for tests). */
typedef int32_t scan_dot_fn (const int8_t *a, const int8_t *b, uint32_t dims);
scan_dot_fn *scan_dot (void);
scan_dot_fn *scan_dot_of (int which);

/*  Pushes rows[i] with its approximate inner product, for i < count. A scale that is no number is never pushed. */
void scan_rows (const scan_query_t *query, const int8_t *high, const float *scales, const uint64_t *rows,
                uint32_t count, top_t *top);

#endif
