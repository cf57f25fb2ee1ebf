/*  saver.h: one helper thread that makes blob files durable, so that the loop never waits for the disk. */
#ifndef GATEWAY_SAVER_H
#define GATEWAY_SAVER_H

#include "base/buf.h"
#include "store/blob.h"

typedef struct saver saver_t;

/*  *err is NULL when the blob lies durably under its name. Called by saver_turn, on the loop's thread. */
typedef void saver_done_fn (void *owner, hash_t hash, const err_t *err);

saver_t *saver_new (err_t *err);
/*  Waits for the job in hand; jobs not begun are dropped without a call. */
void saver_destroy (saver_t **self_p);

/*  Takes `writer`: adds `bytes` (NULL: none; referenced) and commits it for `user` (borrowed until done). */
void saver_save (saver_t *self, blob_writer_t *writer, buf_t *bytes, span_t user, saver_done_fn *done, void *owner);

int saver_fd (const saver_t *self); /* readable when saver_turn has something to report */
void saver_turn (saver_t *self);
size_t saver_pending (const saver_t *self);

#endif
