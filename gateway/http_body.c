#include "gateway/http_body.h"
#include "gateway/upload.h"

#define FORM_BUFFER   32768u
#define FORM_OVERHEAD (256u << 10) /* boundaries, part headers and fields around a document */
#define FIELD_MAX     (64u << 10)

uint64_t http_body_max (const request_t *request)
{
    if (request->route->body != BODY_UPLOAD)
        return DISPATCH_JSON_MAX;
    return request->gateway->config.upload_max + (dispatch_is_form (request) ? FORM_OVERHEAD : 0);
}

uint64_t http_body_least (const request_t *request, uint64_t length)
{
    uint64_t around = dispatch_is_form (request) ? FORM_OVERHEAD : 0;
    return length > around ? length - around : 0;
}

/*  The field whose value was collected is complete. */
static int end_field (http_body_t *self)
{
    if (!self->field.size)
        return 0;
    int rc = dispatch_form_field (self->request, str_span (&self->field), str_span (&self->text), &self->err);
    str_clear (&self->field);
    str_clear (&self->text);
    return rc;
}

static int add_file (http_body_t *self, const char *filename, const char *media_type, span_t bytes, uint64_t offset)
{
    if (offset == 0 && !self->has_file) {
        if (!filename)
            return err_set (&self->err, ERR_INVALID_VALUE, "field 'file' must be a file, with a file name");
        if (dispatch_file_name (self->request, span_str (filename), &self->err) == -1)
            return -1;
        dispatch_media_type (self->request, span_str (media_type));
        self->has_file = true;
    } else if (offset == 0 && (upload_size (self->request->upload) || self->file_done || !filename ||
                               !span_is (str_span (&self->request->filename), filename)))
        return err_set (&self->err, ERR_INVALID_VALUE, "field 'file' is given twice: one document a request");
    return upload_add (self->request->upload, bytes, &self->err);
}

/*  A part whose first bytes have not arrived yet is announced empty, and then begun once more with them. */
static bool is_begun_again (const http_body_t *self, const char *name)
{
    return self->field.size && !self->text.size && span_is (str_span (&self->field), name);
}

static enum MHD_Result part (void *arg, enum MHD_ValueKind kind, const char *name, const char *filename,
                             const char *media_type, const char *encoding, const char *data, uint64_t offset,
                             size_t size)
{
    http_body_t *self = arg;
    if (self->err.code != ERR_NONE)
        return MHD_NO;
    if (!name || !*name) { /* libmicrohttpd reads no other form */
        err_set (&self->err, ERR_MALFORMED, "a part of the form has no quoted name, as in: form-data; name=\"file\"");
        return MHD_NO;
    }
    if (strcmp (name, "file") == 0)
        return end_field (self) == 0 && add_file (self, filename, media_type, span (data, size), offset) == 0 ? MHD_YES
                                                                                                              : MHD_NO;
    self->file_done = self->has_file;
    if (offset == 0 && !is_begun_again (self, name)) {
        if (end_field (self) == -1)
            return MHD_NO;
        str_text (&self->field, name);
    }
    if (self->text.size + size > FIELD_MAX) {
        err_set (&self->err, ERR_INVALID_VALUE, "a form field has more than %u bytes", FIELD_MAX);
        return MHD_NO;
    }
    str_add (&self->text, span (data, size));
    return MHD_YES;
}

/*  libmicrohttpd takes all that follows `boundary=` for the boundary, so nothing else may. */
static int check_boundary (span_t type, err_t *err)
{
    const char *at = memmem (type.data, type.size, "boundary=", 9);
    const char *end = type.data + type.size;
    if (!at)
        return err_set (err, ERR_MALFORMED, "the form's Content-Type has no boundary");
    at += 9;
    const char *quote = at < end && *at == '"' ? memchr (at + 1, '"', (size_t)(end - at - 1)) : NULL;
    if (quote ? quote + 1 == end : !memchr (at, ';', (size_t)(end - at)))
        return 0;
    return err_set (err, ERR_MALFORMED, "the boundary must be the last parameter of the form's Content-Type");
}

int http_body_start (http_body_t *self, request_t *request, struct MHD_Connection *connection, err_t *err)
{
    self->request = request;
    if (request->route->body != BODY_UPLOAD)
        return 0;
    request->upload = upload_new (request);
    if (!dispatch_is_form (request))
        return 0;
    if (check_boundary (request->headers[HEADER_CONTENT_TYPE], err) == -1)
        return -1;
    self->form = MHD_create_post_processor (connection, FORM_BUFFER, part, self);
    if (!self->form)
        return err_set (err, ERR_MALFORMED, "the form's boundary cannot be used");
    return 0;
}

static int form_error (http_body_t *self, err_t *err)
{
    if (self->err.code == ERR_NONE)
        return err_set (err, ERR_MALFORMED, "the form is malformed or cut short");
    *err = self->err;
    return -1;
}

int http_body_add (http_body_t *self, span_t bytes, err_t *err)
{
    self->size += bytes.size;
    if (self->size > http_body_max (self->request))
        return err_set (err, ERR_BODY_TOO_LARGE, "this path takes bodies of up to %llu bytes",
                        (unsigned long long)http_body_max (self->request));
    if (self->form)
        return MHD_post_process (self->form, bytes.data, bytes.size) == MHD_YES ? 0 : form_error (self, err);
    if (self->request->upload)
        return upload_add (self->request->upload, bytes, err);
    if (self->request->route->body == BODY_JSON)
        str_add (&self->text, bytes);
    return 0;
}

bool http_body_is_full (const http_body_t *self)
{
    return self->request->upload && upload_is_full (self->request->upload);
}

static int end_form (http_body_t *self, err_t *err)
{
    bool whole = MHD_destroy_post_processor (self->form) == MHD_YES;
    self->form = NULL;
    if (!whole || end_field (self) == -1)
        return form_error (self, err);
    if (!self->has_file)
        return err_set (err, ERR_INVALID_VALUE, "the form has no field 'file'");
    return 0;
}

void http_body_end (http_body_t *self)
{
    err_t err;
    if (self->form && end_form (self, &err) == -1) {
        request_problem_err (self->request, &err);
        return;
    }
    if (self->request->upload) {
        upload_finish (self->request->upload);
        return;
    }
    self->request->body = str_span (&self->text);
    dispatch_run (self->request);
}

void http_body_free (http_body_t *self)
{
    if (self->form)
        MHD_destroy_post_processor (self->form);
    if (self->request)
        upload_destroy (&self->request->upload);
    str_free (&self->text);
    str_free (&self->field);
}
