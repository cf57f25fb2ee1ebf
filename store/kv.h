/*  kv.h: an ordered key-value store with families and atomic commits: what the broker's core sees of a database.
 *
 *  Writes collect in one pending batch; kv_commit applies them all or none. kv_get sees the pending batch; iterators
 *  see only what is committed. The core is written against this interface, so that tests can run it on a store
 *  that crashes when they say so. kv_rocks.h opens the real one.
 */
#ifndef STORE_KV_H
#define STORE_KV_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

typedef struct kv kv_t;
typedef struct kv_iter kv_iter_t;

/*  The pending batch, in order of writing. Keys and values are offsets into `bytes`. */
typedef struct {
    uint8_t family;
    bool is_delete;
    size_t key, key_size, value, value_size;
} kv_write_t;

typedef struct {
    str_t bytes;
    kv_write_t *writes;
    size_t count, room;
    uint32_t *slots; /* open addressing: index + 1 of the newest write of a key */
    size_t slot_count;
} kv_batch_t;

/*  What a backend implements. */
typedef struct {
    int (*get) (kv_t *self, unsigned family, span_t key, str_t *value, err_t *err);
    int (*commit) (kv_t *self, const kv_batch_t *batch, bool sync, err_t *err);
    kv_iter_t *(*iterate) (kv_t *self, unsigned family);
    void (*destroy) (kv_t *self);
} kv_ops_t;

typedef struct {
    void (*seek) (kv_iter_t *self, span_t key);          /* to the first key ≥ `key` */
    void (*seek_for_prev) (kv_iter_t *self, span_t key); /* to the last key ≤ `key` */
    void (*step) (kv_iter_t *self, bool forward);
    bool (*valid) (const kv_iter_t *self);
    span_t (*key) (const kv_iter_t *self);            /* borrowed until the iterator moves */
    span_t (*value) (const kv_iter_t *self);          /* borrowed until the iterator moves */
    int (*check) (const kv_iter_t *self, err_t *err); /* -1 when iteration ended on an error */
    void (*destroy) (kv_iter_t *self);
} kv_iter_ops_t;

/*  Backends embed these as their first member. */
struct kv {
    const kv_ops_t *ops;
    kv_batch_t batch;
};
struct kv_iter {
    const kv_iter_ops_t *ops;
};

void kv_put (kv_t *self, unsigned family, span_t key, span_t value); /* copies both */
void kv_delete (kv_t *self, unsigned family, span_t key);
/*  Deletes every key that starts with `prefix`, committed or pending, one by one: for what is few. */
void kv_delete_prefix (kv_t *self, unsigned family, span_t prefix);

/*  1 and the value in *value (replacing what was there), 0 when there is none, -1 on an error. */
int kv_get (kv_t *self, unsigned family, span_t key, str_t *value, err_t *err);

/*  Applies the pending batch and empties it; an empty one costs nothing. `sync`: on disk when this returns.
 *  -1: nothing was applied as far as the store knows, the batch is kept; the process should end. */
int kv_commit (kv_t *self, bool sync, err_t *err);

void kv_drop_pending (kv_t *self);    /* forgets the batch */
size_t kv_pending (const kv_t *self); /* writes in the batch */

kv_iter_t *kv_iterate (kv_t *self, unsigned family); /* caller destroys */
void kv_iter_destroy (kv_iter_t **self_p);

void kv_destroy (kv_t **self_p); /* what is not committed is dropped */

#endif
