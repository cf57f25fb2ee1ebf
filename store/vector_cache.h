/*  vector_cache.h: the visible vectors of the users who ask, in memory for scanning. A bounded cache: what does not
 *  fit is scanned from the database instead.
 *
 *  A matrix (one user, one model) is filled by the first query, and from then on kept in step by the writer. One
 *  thread reads, one writes: the writer appends rows behind the published count and blanks rows out, so that a scan
 *  never waits and is never waited for.
 */
#ifndef STORE_VECTOR_CACHE_H
#define STORE_VECTOR_CACHE_H

#include "base/str.h"
#include "store/scan.h"

typedef struct vector_cache vector_cache_t;
typedef struct vector_matrix vector_matrix_t;

vector_cache_t *vector_cache_new (size_t bytes);
void vector_cache_destroy (vector_cache_t **self_p);

/*  --- the writer --- */

/*  True when changes of `user` must be told to the cache. */
bool vector_cache_wants (vector_cache_t *self, span_t user);
/*  Rows first_row … are in the database. */
void vector_cache_add (vector_cache_t *self, span_t user, uint64_t first_row, const vectors_t *vectors);
/*  Rows first_row … first_row + count - 1 are gone from it. */
void vector_cache_remove (vector_cache_t *self, span_t user, uint64_t first_row, uint64_t count);
/*  While `open`, rows that were told of become visible in the database, and no fill begins: its snapshot could still
 *  show what was visible before, and nobody would tell it of the new rows. */
void vector_cache_switch (vector_cache_t *self, bool open);

/*  --- the reader --- */

/*  Pushes the best rows of user and model into `top`. 1: done. 0: they are not in memory for now: scan the database.
 * -1: nor is it known whether they would fit: fill, and ask again. */
int vector_cache_scan (vector_cache_t *self, span_t user, span_t model, const scan_query_t *query, top_t *top);
/*  Begins to fill: read the user's visible rows from a snapshot taken after this call, give them to vector_fill_add,
 *  and end with vector_fill_end. NULL: not now. */
vector_matrix_t *vector_fill_begin (vector_cache_t *self, span_t user, span_t model, uint32_t dims);
/*  False: it is given up, stop reading (and call vector_fill_end all the same). */
bool vector_fill_add (vector_cache_t *self, vector_matrix_t *matrix, uint64_t first_row, const vectors_t *vectors);
/*  `complete` false: what was read is given up (an error); a later query tries again. The matrix may be gone after. */
void vector_fill_end (vector_cache_t *self, vector_matrix_t *matrix, bool complete);

size_t vector_cache_bytes (vector_cache_t *self); /* of rows, and of changes that wait for the end of a fill */

#endif
