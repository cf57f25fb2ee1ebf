#include "gateway/http_body.h"
#include "gateway/upload.h"

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

static int begin_file (http_body_t *self, const span_t *filename, span_t media_type, err_t *err)
{
    if (!filename)
        return err_set (err, ERR_INVALID_VALUE, "field 'file' must be a file, with a file name");
    if (self->has_file)
        return err_set (err, ERR_INVALID_VALUE, "field 'file' is given twice: one document a request");
    self->in_file = self->has_file = true;
    dispatch_media_type (self->request, media_type);
    return dispatch_file_name (self->request, *filename, err);
}

static int begin_part (void *owner, span_t name, const span_t *filename, span_t media_type, err_t *err)
{
    http_body_t *self = owner;
    str_clear (&self->field);
    str_clear (&self->text);
    str_add (&self->field, name);
    self->in_file = false;
    return span_is (name, "file") ? begin_file (self, filename, media_type, err) : 0;
}

static int add_to_part (void *owner, span_t bytes, err_t *err)
{
    http_body_t *self = owner;
    if (self->in_file)
        return upload_add (self->request->upload, bytes, err);
    if (self->text.size + bytes.size > FIELD_MAX)
        return err_set (err, ERR_INVALID_VALUE, "a form field has more than %u bytes", FIELD_MAX);
    str_add (&self->text, bytes);
    return 0;
}

static int end_part (void *owner, err_t *err)
{
    http_body_t *self = owner;
    return self->in_file ? 0
                         : dispatch_form_field (self->request, str_span (&self->field), str_span (&self->text), err);
}

static const form_ops_t form_ops = { begin_part, add_to_part, end_part };

int http_body_start (http_body_t *self, request_t *request, err_t *err)
{
    self->request = request;
    if (request->route->body != BODY_UPLOAD)
        return 0;
    request->upload = upload_new (request);
    if (!dispatch_is_form (request))
        return 0;
    self->form = form_new (request->headers[HEADER_CONTENT_TYPE], &form_ops, self, err);
    return self->form ? 0 : -1;
}

int http_body_add (http_body_t *self, span_t bytes, err_t *err)
{
    self->size += bytes.size;
    if (self->size > http_body_max (self->request))
        return err_set (err, ERR_BODY_TOO_LARGE, "this path takes bodies of up to %llu bytes",
                        (unsigned long long)http_body_max (self->request));
    if (self->form)
        return form_feed (self->form, bytes, err);
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
    if (form_end (self->form, err) == -1)
        return -1;
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
    form_destroy (&self->form);
    if (self->request)
        upload_destroy (&self->request->upload);
    str_free (&self->text);
    str_free (&self->field);
}
