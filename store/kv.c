#include "store/kv.h"

#include <assert.h>
#include <stdlib.h>

static uint64_t hash_key (unsigned family, span_t key)
{
    uint64_t h = 0xcbf29ce484222325u ^ family;
    size_t at = 0;
    for (; at + 8 <= key.size; at += 8) {
        uint64_t word;
        memcpy (&word, key.data + at, 8);
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    for (; at < key.size; at++)
        h = (h ^ (unsigned char)key.data[at]) * 0x100000001b3u;
    return h ^ (h >> 29);
}

static span_t write_key (const kv_batch_t *batch, const kv_write_t *write)
{
    return span (batch->bytes.data + write->key, write->key_size);
}

/*  The slot of a key: of its newest write, or the empty one where it belongs. */
static uint32_t *slot_of (const kv_batch_t *batch, unsigned family, span_t key)
{
    size_t at = hash_key (family, key) & (batch->slot_count - 1);
    while (batch->slots[at]) {
        const kv_write_t *write = &batch->writes[batch->slots[at] - 1];
        if (write->family == family && span_eq (write_key (batch, write), key))
            break;
        at = (at + 1) & (batch->slot_count - 1);
    }
    return &batch->slots[at];
}

static void grow_slots (kv_batch_t *batch)
{
    free (batch->slots);
    batch->slot_count = batch->slot_count ? batch->slot_count * 2 : 256;
    batch->slots = calloc (batch->slot_count, sizeof *batch->slots);
    if (!batch->slots)
        abort ();
    for (size_t i = 0; i < batch->count; i++)
        *slot_of (batch, batch->writes[i].family, write_key (batch, &batch->writes[i])) = (uint32_t)i + 1;
}

static void add (kv_batch_t *batch, unsigned family, span_t key, span_t value, bool is_delete)
{
    if (batch->count == batch->room) {
        batch->room = batch->room ? batch->room * 2 : 64;
        batch->writes = realloc (batch->writes, batch->room * sizeof *batch->writes);
        if (!batch->writes)
            abort ();
    }
    if ((batch->count + 1) * 2 > batch->slot_count)
        grow_slots (batch);
    kv_write_t *write = &batch->writes[batch->count];
    *write = (kv_write_t){ (uint8_t)family, is_delete, batch->bytes.size, key.size, 0, value.size };
    str_add (&batch->bytes, key);
    write->value = batch->bytes.size;
    str_add (&batch->bytes, value);
    uint32_t *slot = slot_of (batch, family, key);
    *slot = (uint32_t)++batch->count;
}

static void clear (kv_batch_t *batch)
{
    if (batch->slot_count > 4096) { /* one huge batch shall not make every later one pay for clearing */
        free (batch->slots);
        batch->slots = NULL;
        batch->slot_count = 0;
    } else if (batch->count)
        memset (batch->slots, 0, batch->slot_count * sizeof *batch->slots);
    batch->count = 0;
    if (batch->bytes.room > 1u << 22)
        str_free (&batch->bytes);
    else
        str_clear (&batch->bytes);
}

void kv_put (kv_t *self, unsigned family, span_t key, span_t value)
{
    add (&self->batch, family, key, value, false);
}

void kv_delete (kv_t *self, unsigned family, span_t key)
{
    add (&self->batch, family, key, SPAN_EMPTY, true);
}

void kv_delete_prefix (kv_t *self, unsigned family, span_t prefix)
{
    kv_iter_t *iter = kv_iterate (self, family);
    for (iter->ops->seek (iter, prefix); iter->ops->valid (iter) && span_starts (iter->ops->key (iter), prefix);
         iter->ops->step (iter, true))
        kv_delete (self, family, iter->ops->key (iter));
    kv_iter_destroy (&iter);
    str_t key = STR_INIT; /* the batch's own bytes move as it grows */
    for (size_t i = 0, count = self->batch.count; i < count; i++) {
        const kv_write_t *write = &self->batch.writes[i];
        if (write->family != family || write->is_delete || !span_starts (write_key (&self->batch, write), prefix))
            continue;
        str_clear (&key);
        str_add (&key, write_key (&self->batch, write));
        kv_delete (self, family, str_span (&key));
    }
    str_free (&key);
}

int kv_get (kv_t *self, unsigned family, span_t key, str_t *value, err_t *err)
{
    const kv_batch_t *batch = &self->batch;
    str_clear (value);
    uint32_t index = batch->slot_count ? *slot_of (batch, family, key) : 0;
    if (!index)
        return self->ops->get (self, family, key, value, err);
    const kv_write_t *write = &batch->writes[index - 1];
    if (write->is_delete)
        return 0;
    str_add (value, span (batch->bytes.data + write->value, write->value_size));
    return 1;
}

int kv_commit (kv_t *self, bool sync, err_t *err)
{
    if (self->batch.count == 0)
        return 0;
    if (self->ops->commit (self, &self->batch, sync, err) == -1)
        return -1;
    clear (&self->batch);
    return 0;
}

void kv_drop_pending (kv_t *self)
{
    clear (&self->batch);
}

size_t kv_pending (const kv_t *self)
{
    return self->batch.count;
}

kv_iter_t *kv_iterate (kv_t *self, unsigned family)
{
    return self->ops->iterate (self, family);
}

void kv_iter_destroy (kv_iter_t **self_p)
{
    if (*self_p)
        (*self_p)->ops->destroy (*self_p);
    *self_p = NULL;
}

void kv_destroy (kv_t **self_p)
{
    kv_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    str_free (&self->batch.bytes);
    free (self->batch.writes);
    free (self->batch.slots);
    self->ops->destroy (self);
}
