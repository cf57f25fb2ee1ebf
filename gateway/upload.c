/*  What has come is collected into blocks; one block is at the saver while the next one fills. */
#include "gateway/upload.h"
#include "gateway/dispatch.h"

#include <stdlib.h>

#define BLOCK_BYTES BLOB_INLINE_MAX

struct upload {
    request_t *request;
    uint64_t size, held; /* held: most that it has in memory at once, so far */
    str_t memory;        /* what is not at the saver yet */
    save_t *save;        /* NULL: all is in memory */
    bool finishing, committed;
    err_t err; /* of the saver; code ERR_NONE: none */
};

upload_t *upload_new (request_t *request)
{
    upload_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->request = request;
    return self;
}

void upload_destroy (upload_t **self_p)
{
    upload_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    self->request->gateway->upload_bytes -= self->held;
    str_free (&self->memory);
    save_destroy (&self->save);
    free (self);
}

static int too_large (const gateway_t *gateway, err_t *err)
{
    return err_set (err, ERR_BODY_TOO_LARGE, "documents may have up to %llu bytes",
                    (unsigned long long)gateway->config.upload_max);
}

static void run_with (request_t *request, buf_t *bytes)
{
    request->bytes = bytes;
    request->hash = hash_of (buf_span (bytes));
    dispatch_run (request);
}

static buf_t *take_memory (upload_t *self)
{
    buf_t *bytes = buf_take (self->memory.data, self->memory.size);
    self->memory = (str_t)STR_INIT;
    return bytes;
}

static void write_block (upload_t *self)
{
    buf_t *bytes = take_memory (self);
    save_add (self->save, bytes);
    buf_unref (&bytes);
}

/*  The next step towards the end, one at a time. */
static void go_on (upload_t *self)
{
    request_t *request = self->request;
    if (self->err.code != ERR_NONE)
        request_problem_err (request, &self->err);
    else if (self->memory.size)
        write_block (self);
    else if (!self->committed) {
        self->committed = true;
        save_commit (self->save, request->gateway->user);
    } else {
        request->in_file = true;
        request->hash = save_hash (self->save);
        dispatch_run (request);
    }
}

static void stepped (void *owner, const err_t *err)
{
    upload_t *self = owner;
    if (err)
        self->err = *err;
    if (self->finishing)
        go_on (self);
    else
        self->request->more (self->request);
}

/*  What is held until the answer: a whole small document, or one block that is written and one that fills. */
static int hold (upload_t *self, err_t *err)
{
    gateway_t *gateway = self->request->gateway;
    uint64_t held = self->size < 2 * BLOCK_BYTES ? self->size : 2 * BLOCK_BYTES;
    gateway->upload_bytes += held - self->held;
    self->held = held;
    return gateway->upload_bytes <= UPLOADS_BYTES
               ? 0
               : err_set (err, ERR_NO_MEMORY, "uploads of %u MiB are under way: send it again in a moment",
                          UPLOADS_BYTES >> 20);
}

int upload_add (upload_t *self, span_t bytes, err_t *err)
{
    if (self->err.code != ERR_NONE) {
        *err = self->err;
        return -1;
    }
    self->size += bytes.size;
    if (self->size > self->request->gateway->config.upload_max)
        return too_large (self->request->gateway, err);
    if (hold (self, err) == -1)
        return -1;
    str_add (&self->memory, bytes);
    if (!self->save && self->size > BLOB_INLINE_MAX)
        self->save = save_new (self->request->gateway->saver, stepped, self);
    if (self->save && !save_is_busy (self->save) && self->memory.size >= BLOCK_BYTES)
        write_block (self);
    return 0;
}

bool upload_is_full (const upload_t *self)
{
    return self->save && save_is_busy (self->save) && self->memory.size >= BLOCK_BYTES;
}

uint64_t upload_size (const upload_t *self)
{
    return self->size;
}

void upload_finish (upload_t *self)
{
    self->request->byte_count = self->size;
    self->finishing = true;
    if (!self->save)
        run_with (self->request, take_memory (self));
    else if (!save_is_busy (self->save))
        go_on (self);
}

void upload_whole (request_t *request, buf_t *bytes)
{
    err_t err;
    request->byte_count = buf_size (bytes);
    if (request->byte_count > request->gateway->config.upload_max) {
        too_large (request->gateway, &err);
        request_problem_err (request, &err);
        return;
    }
    if (request->byte_count <= BLOB_INLINE_MAX) {
        run_with (request, buf_ref (bytes));
        return;
    }
    upload_t *self = request->upload = upload_new (request);
    self->finishing = true;
    self->save = save_new (request->gateway->saver, stepped, self);
    save_add (self->save, bytes);
}
