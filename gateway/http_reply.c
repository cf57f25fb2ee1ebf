#include "gateway/http_reply.h"
#include "gateway/file_body.h"
#include "gateway/problem.h"

#include <stdlib.h>

static void drop_buf (void *arg)
{
    buf_t *buf = arg;
    buf_unref (&buf);
}

void http_reply_header (struct MHD_Response *response, const char *name, span_t value)
{
    str_t text = STR_INIT; /* libmicrohttpd wants a C string */
    str_add (&text, value);
    if (text.size)
        MHD_add_response_header (response, name, text.data);
    str_free (&text);
}

struct MHD_Response *http_reply_response (const reply_t *reply)
{
    struct MHD_Response *response;
    if (reply->fd >= 0)
        response = file_body_response (reply->fd, reply->fd_bytes, reply->fd_hash);
    else
        response = MHD_create_response_from_buffer_with_free_callback_cls (
            buf_size (reply->body), reply->body ? buf_bytes (reply->body) : "", drop_buf, buf_ref (reply->body));
    if (!response)
        abort ();
    if (reply->media_type)
        MHD_add_response_header (response, "Content-Type", reply->media_type);
    for (size_t i = 0; i < reply->header_count; i++)
        http_reply_header (response, reply->headers[i].name, reply->headers[i].value);
    return response;
}

static bool is_header_value (span_t text)
{
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return false;
    return text.size > 0;
}

void http_reply_refusal (str_t *out, const err_t *err, span_t request_id)
{
    str_t body = STR_INIT;
    problem_write (&body, err->code, 0, span_str (err->message));
    str_format (out, "HTTP/1.1 %d Refused\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n",
                err_status (err->code), PROBLEM_MEDIA_TYPE, body.size);
    if (err_status (err->code) == 503 || err_status (err->code) == 429)
        str_format (out, "Retry-After: %u\r\n", err->retry_after_s ? err->retry_after_s : RETRY_AFTER_S);
    if (is_header_value (request_id))
        str_format (out, "X-Request-Id: %.*s\r\n", SPAN_ARG (request_id));
    str_text (out, "\r\n");
    str_add (out, str_span (&body));
    str_free (&body);
}
