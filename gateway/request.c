#include "gateway/request.h"
#include "base/utf8.h"
#include "gateway/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#define TARGET_MAX 16384u

static const char *const method_names[METHOD_COUNT] = { "GET", "POST", "PUT", "DELETE" };

void request_clear (request_t *self)
{
    self->method = METHOD_COUNT;
    str_clear (&self->target);
    self->segment_count = self->param_count = 0;
    str_clear (&self->scratch);
    for (int i = 0; i < HEADER_COUNT; i++)
        self->headers[i] = SPAN_EMPTY;
    self->body = SPAN_EMPTY;
    str_clear (&self->filename);
    str_clear (&self->media_type);
    buf_unref (&self->bytes);
    self->in_file = false;
    self->byte_count = 0;
    self->admitted = false;
    self->route = NULL;
    self->args.given = 0;
    str_clear (&self->options);
}

void request_free (request_t *self)
{
    str_free (&self->target);
    str_free (&self->scratch);
    str_free (&self->filename);
    str_free (&self->media_type);
    buf_unref (&self->bytes);
    str_free (&self->options);
}

method_t method_parse (span_t name)
{
    for (int i = 0; i < METHOD_COUNT; i++)
        if (span_is (name, method_names[i]))
            return (method_t)i;
    return span_is (name, "HEAD") ? METHOD_GET : METHOD_COUNT;
}

const char *method_name (method_t method)
{
    return method < METHOD_COUNT ? method_names[method] : "unknown";
}

static int hex_digit (char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

ssize_t percent_decode (char *text, size_t size, bool plus)
{
    size_t out = 0;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '%') {
            int high = i + 2 < size ? hex_digit (text[i + 1]) : -1;
            int low = high >= 0 ? hex_digit (text[i + 2]) : -1;
            if (low < 0 || (high | low) == 0)
                return -1;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus)
            c = ' ';
        text[out++] = c;
    }
    return (ssize_t)out;
}

void percent_encode (str_t *out, span_t text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || strchr ("-._~", c ? c : ' ')) {
            str_char (out, (char)c);
            continue;
        }
        char *at = str_grow (out, 3);
        at[0] = '%';
        at[1] = hex[c >> 4];
        at[2] = hex[c & 15];
    }
}

int request_param (request_t *self, span_t name, span_t value, err_t *err)
{
    if (self->param_count == REQUEST_PARAMS)
        return err_set (err, ERR_MALFORMED, "more than %d query parameters", REQUEST_PARAMS);
    self->params[self->param_count++] = (param_t){ name, value };
    return 0;
}

static int decode_part (char *start, char *end, bool plus, span_t *part, err_t *err)
{
    ssize_t size = percent_decode (start, (size_t)(end - start), plus);
    if (size == -1 || !utf8_is_valid (span (start, (size_t)size)))
        return err_set (err, ERR_MALFORMED, "the path or query has a malformed %%-escape or is not UTF-8");
    *part = span (start, (size_t)size);
    return 0;
}

static int split_query (request_t *self, char *at, char *end, err_t *err)
{
    while (at < end) {
        char *stop = memchr (at, '&', (size_t)(end - at));
        stop = stop ? stop : end;
        char *equals = memchr (at, '=', (size_t)(stop - at));
        span_t name = SPAN_EMPTY, value = SPAN_LIT ("");
        if (decode_part (at, equals ? equals : stop, true, &name, err) == -1 ||
            (equals && decode_part (equals + 1, stop, true, &value, err) == -1))
            return -1;
        if (stop > at && request_param (self, name, value, err) == -1)
            return -1;
        at = stop + 1;
    }
    return 0;
}

int request_target (request_t *self, span_t target, err_t *err)
{
    if (!target.size || target.data[0] != '/')
        return err_set (err, ERR_MALFORMED, "the path must start with '/'");
    if (target.size > TARGET_MAX)
        return err_set (err, ERR_MALFORMED, "path and query are longer than %u bytes", TARGET_MAX);
    str_clear (&self->target);
    str_add (&self->target, target);
    char *at = self->target.data + 1, *end = self->target.data + self->target.size;
    char *query = memchr (at, '?', (size_t)(end - at));
    char *path_end = query ? query : end;
    self->segment_count = self->param_count = 0;
    while (at < path_end) { /* so a trailing slash makes no segment */
        char *slash = memchr (at, '/', (size_t)(path_end - at));
        char *stop = slash ? slash : path_end;
        /* Too deep for any route: the last one marks it, and matches nothing. */
        if (self->segment_count == REQUEST_SEGMENTS)
            self->segment_count--;
        if (decode_part (at, stop, false, &self->segments[self->segment_count++], err) == -1)
            return -1;
        at = stop + 1;
    }
    return query ? split_query (self, query + 1, end, err) : 0;
}

void reply_header (reply_t *reply, const char *name, span_t value)
{
    if (!value.size || reply->header_count == REPLY_HEADERS)
        return;
    reply->headers[reply->header_count].name = name;
    reply->headers[reply->header_count++].value = value;
}

void request_reply (request_t *self, int status, buf_t *json)
{
    reply_t reply = { .status = status, .fd = -1 };
    if (json) {
        reply.media_type = "application/json";
        reply.is_json = true;
        reply.body = json;
    }
    reply_header (&reply, "X-Request-Id", self->headers[HEADER_REQUEST_ID]);
    self->answer (self, &reply);
}

static void answer_problem (request_t *self, err_code_t code, span_t detail, span_t allow, uint32_t retry_after_s)
{
    str_t after = STR_INIT;
    str_t text = STR_INIT;
    problem_write (&text, code, 0, detail);
    buf_t *body = buf_take (text.data, text.size);
    reply_t reply = {
        .status = err_status (code), .media_type = PROBLEM_MEDIA_TYPE, .is_json = true, .body = body, .fd = -1
    };
    if (reply.status == 429 || reply.status == 503) {
        str_u64 (&after, retry_after_s ? retry_after_s : RETRY_AFTER_S);
        reply_header (&reply, "Retry-After", str_span (&after));
    }
    reply_header (&reply, "Allow", allow);
    reply_header (&reply, "X-Request-Id", self->headers[HEADER_REQUEST_ID]);
    self->answer (self, &reply);
    buf_unref (&body);
    str_free (&after);
}

void request_problem (request_t *self, err_code_t code, const char *format, ...)
{
    err_t err;
    va_list args;
    va_start (args, format);
    vsnprintf (err.message, sizeof err.message, format, args);
    va_end (args);
    answer_problem (self, code, span_str (err.message), SPAN_EMPTY, 0);
}

void request_problem_err (request_t *self, const err_t *err)
{
    answer_problem (self, err->code, span_str (err->message), SPAN_EMPTY, err->retry_after_s);
}

void request_not_allowed (request_t *self, span_t methods)
{
    str_t detail = STR_INIT;
    str_format (&detail, "This path takes: %.*s.", SPAN_ARG (methods));
    answer_problem (self, ERR_METHOD_NOT_ALLOWED, str_span (&detail), methods, 0);
    str_free (&detail);
}
