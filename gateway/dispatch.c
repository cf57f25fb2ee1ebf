#include "gateway/dispatch.h"
#include "base/utf8.h"
#include "gateway/header.h"

#define NAME_MAX_BYTES 1024u
#define TYPE_MAX_BYTES 255u
#define KEY_MAX_BYTES  255u

bool dispatch_is_form (const request_t *request)
{
    return header_is (request->headers[HEADER_CONTENT_TYPE], "multipart/form-data");
}

int dispatch_file_name (request_t *request, span_t name, err_t *err)
{
    str_clear (&request->filename);
    str_add (&request->filename, name);
    if (!name.size || name.size > NAME_MAX_BYTES)
        return err_set (err, ERR_MALFORMED, "the file name must have 1 to %u bytes", NAME_MAX_BYTES);
    if (!utf8_is_valid (name))
        return err_set (err, ERR_MALFORMED, "the file name is not UTF-8");
    for (size_t i = 0; i < name.size; i++)
        if ((unsigned char)name.data[i] < 0x20 || name.data[i] == 0x7f)
            return err_set (err, ERR_MALFORMED, "the file name has a control character");
    return 0;
}

void dispatch_media_type (request_t *request, span_t media_type)
{
    str_clear (&request->media_type);
    /* What curl and libraries declare when they were told nothing says nothing. */
    if (media_type.size > TYPE_MAX_BYTES || header_is (media_type, "application/octet-stream") ||
        header_is (media_type, "application/x-www-form-urlencoded"))
        return;
    for (size_t i = 0; i < media_type.size; i++) /* it comes back as a header one day */
        if ((unsigned char)media_type.data[i] < 0x20 || (unsigned char)media_type.data[i] >= 0x7f)
            return;
    str_add (&request->media_type, media_type);
}

static int begin_upload (request_t *request, err_t *err)
{
    if (dispatch_is_form (request))
        return request->takes_forms
                   ? 0
                   : err_set (err, ERR_UNSUPPORTED_BODY_TYPE, "over ZeroMQ the document is frame 2, not a form");
    span_t name = request->headers[HEADER_FILENAME];
    if (!name.size)
        return err_set (err, ERR_MALFORMED, "X-Filename is missing: the document's name, percent-encoded UTF-8");
    str_clear (&request->scratch);
    str_add (&request->scratch, name);
    ssize_t size = percent_decode (request->scratch.data, request->scratch.size, false);
    if (size == -1)
        return err_set (err, ERR_MALFORMED, "X-Filename has a malformed %%-escape");
    dispatch_media_type (request, request->headers[HEADER_CONTENT_TYPE]);
    return dispatch_file_name (request, span (request->scratch.data, (size_t)size), err);
}

static int begin (request_t *request, str_t *allow, err_t *err)
{
    request->route = route_find (request, &request->id, allow, err);
    if (!request->route)
        return -1;
    for (size_t i = 0; i < request->param_count; i++)
        if (args_text (&request->args, request->route->params, request->params[i].name, request->params[i].value,
                       err) == -1)
            return -1;
    if (request->method == METHOD_GET &&
        args_require (&request->args, request->route->required, ERR_INVALID_PARAMETER, err) == -1)
        return -1;
    span_t encoding = request->headers[HEADER_CONTENT_ENCODING];
    if (request->route->body != BODY_NONE && encoding.size && !header_is (encoding, "identity"))
        return err_set (
            err, ERR_UNSUPPORTED_BODY_TYPE,
            "Content-Encoding is not undone here: send the bytes as they are, without it; a document that is "
            "compressed itself, as a .gz or .zip file is, needs none");
    span_t key = request->headers[HEADER_IDEMPOTENCY_KEY];
    for (size_t i = 0; i < key.size; i++)
        if (key.size > KEY_MAX_BYTES || key.data[i] < 0x20 || key.data[i] == 0x7f)
            return err_set (err, ERR_MALFORMED, "Idempotency-Key must be up to %u printable characters", KEY_MAX_BYTES);
    return request->route->body == BODY_UPLOAD ? begin_upload (request, err) : 0;
}

int dispatch_begin (request_t *request)
{
    err_t err;
    str_t allow = STR_INIT;
    int rc = -1;
    if (request->gateway->draining)
        request_problem (request, ERR_DRAINING, "the gateway is shutting down");
    else if (begin (request, &allow, &err) == 0)
        rc = 0;
    else if (err.code == ERR_METHOD_NOT_ALLOWED)
        request_not_allowed (request, str_span (&allow));
    else
        request_problem_err (request, &err);
    str_free (&allow);
    return rc;
}

int dispatch_form_field (request_t *request, span_t name, span_t value, err_t *err)
{
    return args_field (&request->args, request->route->fields, name, value, &request->options, err);
}

/*  What makes two requests the same request: the route, and everything it was given. */
static void hash_request (request_t *request)
{
    const args_t *args = &request->args;
    hasher_t hasher;
    hash_start (&hasher);
    hash_feed (&hasher, span (&request->method, sizeof request->method));
    hash_feed (&hasher, span_str (request->route->path));
    hash_feed (&hasher, span (request->id.bytes, UUID_SIZE));
    hash_feed (&hasher, span (&args->given, sizeof args->given));
    for (arg_t arg = 0; arg < ARG_COUNT; arg++)
        if (args_has (args, arg))
            args_hash (args, arg, &hasher);
    hash_feed (&hasher, str_span (&request->options));
    if (request->route->body == BODY_UPLOAD) {
        hash_feed (&hasher, str_span (&request->filename));
        hash_feed (&hasher, span (request->hash.bytes, HASH_SIZE));
    }
    request->idem_hash = hash_end (&hasher);
}

static int check_body (request_t *request, json_t *body, err_t *err)
{
    if (body && args_json (&request->args, request->route->fields, body, &request->options, err) == -1)
        return -1;
    return args_require (&request->args, request->route->required, ERR_INVALID_VALUE, err);
}

void dispatch_run_json (request_t *request, json_t *body)
{
    err_t err;
    if (request->route->body != BODY_NONE && check_body (request, body, &err) == -1) {
        request_problem_err (request, &err);
        return;
    }
    if (request->headers[HEADER_IDEMPOTENCY_KEY].size)
        hash_request (request);
    request->route->run (request->gateway, request);
}

static bool is_json (span_t type)
{
    str_t charset = STR_INIT;
    int found = header_param (type, "charset", &charset);
    bool fits =
        header_is (type, "application/json") &&
        (found == 0 ||
         (found == 1 && (header_is (str_span (&charset), "utf-8") || header_is (str_span (&charset), "us-ascii"))));
    str_free (&charset);
    return fits;
}

void dispatch_run (request_t *request)
{
    span_t type = request->headers[HEADER_CONTENT_TYPE];
    if (request->route->body != BODY_JSON || !request->body.size) {
        dispatch_run_json (request, NULL);
        return;
    }
    if (type.size && !is_json (type)) {
        request_problem (request, ERR_UNSUPPORTED_BODY_TYPE, "this path takes application/json, in UTF-8");
        return;
    }
    json_error_t error;
    json_t *body = json_loadb (request->body.data, request->body.size, JSON_REJECT_DUPLICATES, &error);
    if (body)
        dispatch_run_json (request, body);
    else
        request_problem (request, ERR_MALFORMED, "the body is no JSON: line %d, column %d", error.line, error.column);
    json_decref (body);
}
