#include "base/buf.h"

#include <stdatomic.h>
#include <stdlib.h>

struct buf {
    atomic_uint references;
    span_t bytes;
    buf_free_fn *free_fn; /* NULL: the bytes follow the struct */
    void *hint;
};

static buf_t *make (size_t extra)
{
    buf_t *self = malloc (sizeof *self + extra);
    if (!self)
        abort ();
    atomic_init (&self->references, 1);
    self->free_fn = NULL;
    self->hint = NULL;
    return self;
}

buf_t *buf_new (size_t size)
{
    buf_t *self = make (size);
    self->bytes = span (self + 1, size);
    return self;
}

buf_t *buf_copy (span_t bytes)
{
    buf_t *self = buf_new (bytes.size);
    if (bytes.size)
        memcpy (buf_bytes (self), bytes.data, bytes.size);
    return self;
}

buf_t *buf_wrap (span_t bytes, buf_free_fn *free_fn, void *hint)
{
    buf_t *self = make (0);
    self->bytes = bytes;
    self->free_fn = free_fn;
    self->hint = hint;
    return self;
}

buf_t *buf_take (void *data, size_t size)
{
    return buf_wrap (span (data, size), free, data);
}

buf_t *buf_ref (buf_t *self)
{
    if (self)
        atomic_fetch_add_explicit (&self->references, 1, memory_order_relaxed);
    return self;
}

void buf_unref (buf_t **self_p)
{
    buf_t *self = *self_p;
    *self_p = NULL;
    if (self && atomic_fetch_sub_explicit (&self->references, 1, memory_order_acq_rel) == 1) {
        if (self->free_fn)
            self->free_fn (self->hint);
        free (self);
    }
}

char *buf_bytes (buf_t *self)
{
    return (char *)self->bytes.data;
}

size_t buf_size (const buf_t *self)
{
    return self ? self->bytes.size : 0;
}

span_t buf_span (const buf_t *self)
{
    return self ? self->bytes : SPAN_EMPTY;
}
