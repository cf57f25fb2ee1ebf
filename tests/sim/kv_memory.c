#include "tests/sim/kv_memory.h"

#include <stdlib.h>

typedef struct {
    str_t key, value;
} pair_t;

typedef struct {
    pair_t *pairs; /* sorted by key */
    size_t count, room;
} family_t;

/*  One write that is committed but not synced, with what undoes it. */
typedef struct {
    unsigned family;
    str_t key, before;
    bool was_there;
} undo_t;

typedef struct {
    kv_t kv;
    family_t *families;
    unsigned family_count;
    undo_t *undo;
    size_t undo_count, undo_room;
    bool fail_next;
    uint64_t syncs;
} memory_t;

typedef struct {
    kv_iter_t iter;
    const family_t *family;
    size_t at; /* == count: not valid */
} memory_iter_t;

static int compare (span_t a, span_t b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size ? memcmp (a.data, b.data, size) : 0;
    return order ? order : a.size < b.size ? -1 : a.size > b.size;
}

/*  The first pair whose key is ≥ `key`. */
static size_t lower (const family_t *family, span_t key)
{
    size_t low = 0, high = family->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare (str_span (&family->pairs[middle].key), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static pair_t *find (family_t *family, span_t key)
{
    size_t at = lower (family, key);
    return at < family->count && span_eq (str_span (&family->pairs[at].key), key) ? &family->pairs[at] : NULL;
}

static void set (family_t *family, span_t key, span_t value)
{
    pair_t *pair = find (family, key);
    if (!pair) {
        if (family->count == family->room) {
            family->room = family->room ? family->room * 2 : 16;
            family->pairs = realloc (family->pairs, family->room * sizeof *family->pairs);
            if (!family->pairs)
                abort ();
        }
        size_t at = lower (family, key);
        memmove (family->pairs + at + 1, family->pairs + at, (family->count - at) * sizeof *family->pairs);
        family->count++;
        pair = &family->pairs[at];
        *pair = (pair_t){ STR_INIT, STR_INIT };
        str_add (&pair->key, key);
    }
    str_clear (&pair->value);
    str_add (&pair->value, value);
}

static void unset (family_t *family, span_t key)
{
    pair_t *pair = find (family, key);
    if (!pair)
        return;
    str_free (&pair->key);
    str_free (&pair->value);
    size_t at = (size_t)(pair - family->pairs);
    memmove (pair, pair + 1, (--family->count - at) * sizeof *pair);
}

static void forget_undo (memory_t *self)
{
    for (size_t i = 0; i < self->undo_count; i++) {
        str_free (&self->undo[i].key);
        str_free (&self->undo[i].before);
    }
    self->undo_count = 0;
}

static void remember (memory_t *self, unsigned family, span_t key)
{
    if (self->undo_count == self->undo_room) {
        self->undo_room = self->undo_room ? self->undo_room * 2 : 64;
        self->undo = realloc (self->undo, self->undo_room * sizeof *self->undo);
        if (!self->undo)
            abort ();
    }
    undo_t *undo = &self->undo[self->undo_count++];
    *undo = (undo_t){ family, STR_INIT, STR_INIT, false };
    str_add (&undo->key, key);
    const pair_t *pair = find (&self->families[family], key);
    if (pair) {
        undo->was_there = true;
        str_add (&undo->before, str_span (&pair->value));
    }
}

static int memory_get (kv_t *kv, unsigned family, span_t key, str_t *value, err_t *err)
{
    const pair_t *pair = find (&((memory_t *)kv)->families[family], key);
    (void)err;
    if (!pair)
        return 0;
    str_add (value, str_span (&pair->value));
    return 1;
}

static int memory_commit (kv_t *kv, const kv_batch_t *batch, bool sync, err_t *err)
{
    memory_t *self = (memory_t *)kv;
    if (self->fail_next) {
        self->fail_next = false;
        return err_set (err, ERR_DISK_FULL, "the test says that the disk is full");
    }
    for (size_t i = 0; i < batch->count; i++) {
        const kv_write_t *w = &batch->writes[i];
        span_t key = span (batch->bytes.data + w->key, w->key_size);
        remember (self, w->family, key);
        if (w->is_delete)
            unset (&self->families[w->family], key);
        else
            set (&self->families[w->family], key, span (batch->bytes.data + w->value, w->value_size));
    }
    if (sync) {
        self->syncs++;
        forget_undo (self);
    }
    return 0;
}

static void iter_seek (kv_iter_t *iter, span_t key)
{
    memory_iter_t *self = (memory_iter_t *)iter;
    self->at = lower (self->family, key);
}

static void iter_seek_for_prev (kv_iter_t *iter, span_t key)
{
    memory_iter_t *self = (memory_iter_t *)iter;
    size_t at = lower (self->family, key);
    if (at < self->family->count && span_eq (str_span (&self->family->pairs[at].key), key))
        self->at = at;
    else
        self->at = at ? at - 1 : self->family->count;
}

static void iter_step (kv_iter_t *iter, bool forward)
{
    memory_iter_t *self = (memory_iter_t *)iter;
    if (forward)
        self->at++;
    else
        self->at = self->at ? self->at - 1 : self->family->count;
}

static bool iter_valid (const kv_iter_t *iter)
{
    const memory_iter_t *self = (const memory_iter_t *)iter;
    return self->at < self->family->count;
}

static span_t iter_key (const kv_iter_t *iter)
{
    const memory_iter_t *self = (const memory_iter_t *)iter;
    return str_span (&self->family->pairs[self->at].key);
}

static span_t iter_value (const kv_iter_t *iter)
{
    const memory_iter_t *self = (const memory_iter_t *)iter;
    return str_span (&self->family->pairs[self->at].value);
}

static int iter_check (const kv_iter_t *iter, err_t *err)
{
    (void)iter;
    (void)err;
    return 0;
}

static void iter_destroy (kv_iter_t *iter)
{
    free (iter);
}

static const kv_iter_ops_t iter_ops = { iter_seek, iter_seek_for_prev, iter_step,  iter_valid,
                                        iter_key,  iter_value,         iter_check, iter_destroy };

/*  The store must not be written while an iterator lives (the core writes to its pending batch meanwhile). */
static kv_iter_t *memory_iterate (kv_t *kv, unsigned family)
{
    memory_iter_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->iter.ops = &iter_ops;
    self->family = &((memory_t *)kv)->families[family];
    return &self->iter;
}

static void memory_destroy (kv_t *kv)
{
    memory_t *self = (memory_t *)kv;
    forget_undo (self);
    free (self->undo);
    for (unsigned f = 0; f < self->family_count; f++) {
        for (size_t i = 0; i < self->families[f].count; i++) {
            str_free (&self->families[f].pairs[i].key);
            str_free (&self->families[f].pairs[i].value);
        }
        free (self->families[f].pairs);
    }
    free (self->families);
    free (self);
}

static const kv_ops_t memory_ops = { memory_get, memory_commit, memory_iterate, memory_destroy };

kv_t *kv_memory_new (unsigned family_count)
{
    memory_t *self = calloc (1, sizeof *self);
    family_t *families = calloc (family_count, sizeof *families);
    if (!self || !families)
        abort ();
    self->kv.ops = &memory_ops;
    self->families = families;
    self->family_count = family_count;
    return &self->kv;
}

void kv_memory_crash (kv_t *kv, bool power_lost)
{
    memory_t *self = (memory_t *)kv;
    kv_drop_pending (kv);
    self->fail_next = false;
    if (!power_lost)
        return;
    for (size_t i = self->undo_count; i-- > 0;) {
        undo_t *undo = &self->undo[i];
        if (undo->was_there)
            set (&self->families[undo->family], str_span (&undo->key), str_span (&undo->before));
        else
            unset (&self->families[undo->family], str_span (&undo->key));
    }
    forget_undo (self);
}

void kv_memory_fail_next_commit (kv_t *kv)
{
    ((memory_t *)kv)->fail_next = true;
}

uint64_t kv_memory_syncs (const kv_t *kv)
{
    return ((const memory_t *)kv)->syncs;
}

size_t kv_memory_count (const kv_t *kv, unsigned family)
{
    return ((const memory_t *)kv)->families[family].count;
}
