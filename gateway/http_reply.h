/*  http_reply.h: answers as libmicrohttpd, or the wire itself, wants them. */
#ifndef GATEWAY_HTTP_REPLY_H
#define GATEWAY_HTTP_REPLY_H

#include "gateway/request.h"

#include <microhttpd.h>

/*  The answer as a response, which the caller destroys; takes reply->fd over. */
struct MHD_Response *http_reply_response (const reply_t *reply);
/*  Adds a header; one without a value, or whose value is none (it has a line break), is left out. */
void http_reply_header (struct MHD_Response *response, const char *name, span_t value);

/*  Appends a whole answer, head and problem, that closes its connection. */
void http_reply_refusal (str_t *out, const err_t *err, span_t request_id);

#endif
