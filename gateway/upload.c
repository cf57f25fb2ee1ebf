#include "gateway/upload.h"
#include "gateway/dispatch.h"

#include <stdlib.h>

struct upload {
    gateway_t *gateway;
    uint64_t size;
    str_t memory;          /* until there is a file */
    blob_writer_t *writer; /* NULL: all is in memory */
};

upload_t *upload_new (gateway_t *gateway)
{
    upload_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->gateway = gateway;
    return self;
}

void upload_destroy (upload_t **self_p)
{
    upload_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    str_free (&self->memory);
    blob_writer_destroy (&self->writer);
    free (self);
}

static int too_large (const gateway_t *gateway, err_t *err)
{
    return err_set (err, ERR_BODY_TOO_LARGE, "documents may have up to %llu bytes",
                    (unsigned long long)gateway->config.upload_max);
}

int upload_add (upload_t *self, span_t bytes, err_t *err)
{
    self->size += bytes.size;
    if (self->size > self->gateway->config.upload_max)
        return too_large (self->gateway, err);
    if (!self->writer && self->size <= BLOB_INLINE_MAX) {
        str_add (&self->memory, bytes);
        return 0;
    }
    if (!self->writer) {
        self->writer = blob_writer_new (self->gateway->config.data_dir, self->gateway->config.disk_reserve_bytes, err);
        if (!self->writer || blob_writer_add (self->writer, str_span (&self->memory), err) == -1)
            return -1;
        str_free (&self->memory);
    }
    return blob_writer_add (self->writer, bytes, err);
}

uint64_t upload_size (const upload_t *self)
{
    return self->size;
}

static void saved (void *owner, hash_t hash, const err_t *err)
{
    request_t *request = owner;
    if (err) {
        request_problem_err (request, err);
        return;
    }
    request->in_file = true;
    request->hash = hash;
    dispatch_run (request);
}

static void run_with (request_t *request, buf_t *bytes)
{
    request->bytes = bytes;
    request->hash = hash_of (buf_span (bytes));
    dispatch_run (request);
}

void upload_finish (upload_t **self_p, request_t *request)
{
    upload_t *self = *self_p;
    gateway_t *gateway = self->gateway;
    request->byte_count = self->size;
    if (self->writer) {
        saver_save (gateway->saver, self->writer, NULL, gateway->user, saved, request);
        self->writer = NULL;
        upload_destroy (self_p);
        return;
    }
    buf_t *bytes = buf_take (self->memory.data, self->memory.size);
    self->memory = (str_t)STR_INIT;
    upload_destroy (self_p);
    run_with (request, bytes);
}

void upload_whole (request_t *request, buf_t *bytes)
{
    gateway_t *gateway = request->gateway;
    err_t err;
    request->byte_count = buf_size (bytes);
    if (request->byte_count > gateway->config.upload_max) {
        too_large (gateway, &err);
        request_problem_err (request, &err);
        return;
    }
    if (request->byte_count <= BLOB_INLINE_MAX) {
        run_with (request, buf_ref (bytes));
        return;
    }
    blob_writer_t *writer = blob_writer_new (gateway->config.data_dir, gateway->config.disk_reserve_bytes, &err);
    if (writer)
        saver_save (gateway->saver, writer, bytes, gateway->user, saved, request);
    else
        request_problem_err (request, &err);
}
