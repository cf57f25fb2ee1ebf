/*  saver.h: one helper thread that writes documents into their blob files, so that the loop never waits for the disk.
 *
 *  A save_t is one document on its way. It goes step by step, in the order in which all of them asked; between two
 *  steps it is the loop's alone.
 */
#ifndef GATEWAY_SAVER_H
#define GATEWAY_SAVER_H

#include "base/buf.h"
#include "store/blob.h"

typedef struct saver saver_t;
typedef struct save save_t;

/*  A step is over; *err is NULL, or says why it failed, and then there can be no other. Called by saver_turn, on the
 *  loop's thread. */
typedef void save_done_fn (void *owner, const err_t *err);

/*  Files go to the data directory `data_dir` (borrowed for good) and leave `reserve_bytes` of its disk free. NULL with
 *  ERR_IO. */
saver_t *saver_new (const char *data_dir, uint64_t reserve_bytes, err_t *err);
/*  Waits for the step in hand; others are dropped without a call. */
void saver_destroy (saver_t **self_p);

save_t *save_new (saver_t *saver, save_done_fn *done, void *owner);
/*  Also in the middle of a step, which then ends without a call. What was not committed is removed. */
void save_destroy (save_t **self_p);

/*  The two steps; not while one is under way. Errors are those of blob_writer_add and blob_writer_commit. */
void save_add (save_t *self, buf_t *bytes);   /* referenced */
void save_commit (save_t *self, span_t user); /* borrowed until done; at least one save_add was before */
bool save_is_busy (const save_t *self);       /* a step is under way */
hash_t save_hash (const save_t *self);        /* once it is committed */

int saver_fd (const saver_t *self); /* readable when saver_turn has something to report */
void saver_turn (saver_t *self);

#endif
