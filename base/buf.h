/*  buf.h: reference-counted, immutable byte buffers: the payloads that travel through a process uncopied.
 *
 *  A buf_t is filled once by its maker and not changed after it was shared. References are counted atomically
 *  because libzmq's I/O thread drops the last one of a buffer that was sent.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/span.h"

typedef struct buf buf_t;
typedef void buf_free_fn (void *hint);

/*  A new buffer of `size` bytes, contents undefined, one reference; buf_bytes gives it to its maker to fill.
 *  Aborts when memory is out (a worker's job comes back; the broker sheds load before). */
buf_t *buf_new (size_t size);

/*  A new buffer with a copy of `bytes`. */
buf_t *buf_copy (span_t bytes);

/*  A new buffer around memory owned by someone else: `free_fn (hint)` is called with the last reference. */
buf_t *buf_wrap (span_t bytes, buf_free_fn *free_fn, void *hint);

/*  Takes `data` (malloc'd): the buffer frees it. */
buf_t *buf_take (void *data, size_t size);

buf_t *buf_ref (buf_t *self);    /* one more reference; NULL gives NULL; returns self */
void buf_unref (buf_t **self_p); /* one less, sets *self_p to NULL; NULL inside is allowed */

char *buf_bytes (buf_t *self);       /* writable; only for the maker, before sharing */
size_t buf_size (const buf_t *self); /* 0 for NULL */
span_t buf_span (const buf_t *self); /* borrowed while a reference is held; empty for NULL */

#endif
