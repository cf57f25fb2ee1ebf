/*  index_check.h: compares a text index that nobody has open with the content it was made from, without writing.
 *
 *  The caller hands over every segment that the content holds, user by user. What the index should hold of it is summed
 *  up as a hash of each pair of token and row; in the end the index is read once from front to back and summed up
 *  the same way. So a difference is found whatever it is, in memory that does not grow; but not where it is.
 */
#ifndef STORE_INDEX_CHECK_H
#define STORE_INDEX_CHECK_H

#include "base/err.h"
#include "base/span.h"
#include "base/str.h"

#include <stdint.h>

typedef struct index_check index_check_t;

/*  The index at `path` of the content `identity`, whose rows are below `end_row`. NULL with ERR_NOT_FOUND (there is
 *  none), ERR_CORRUPT (damaged, of another version or another content), ERR_IO. */
index_check_t *index_check_new (const char *path, const char *identity, uint64_t end_row, err_t *err);
void index_check_destroy (index_check_t **self_p);

/*  After the last segment: true when the next start has something to add: the process ended between two commits. What
 * is to be added is not looked for. */
bool index_check_is_behind (const index_check_t *self);

/*  As index_add was given it. All segments of a user come one after the other. */
void index_check_segment (index_check_t *self, span_t user, uint64_t first_row, span_t text, span_t spans);

/*  After the last segment. 0: the index holds just that; -1: `err` says what is wrong (ERR_CORRUPT), or that it cannot
 * be read (ERR_IO). */
int index_check_end (index_check_t *self, err_t *err);

#endif
