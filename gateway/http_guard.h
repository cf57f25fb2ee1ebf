/*  http_guard.h: what libmicrohttpd lets through and must not.
 *
 *  A request whose length can be read in two ways can smuggle a second one past a proxy, so such framing is refused:
 *  more than one Content-Length or one that is no number, a Content-Length next to a Transfer-Encoding, an encoding
 *  other than chunked, a header name with a blank or control character (as in `Content-Length :`), a header that goes
 * on in the next line, anything but exactly one Host. And because a loopback listener trusts whoever reaches it, Host
 * and Origin must name the loopback too: otherwise any web page could have its visitor's browser talk to us (DNS
 * rebinding).
 */
#ifndef GATEWAY_HTTP_GUARD_H
#define GATEWAY_HTTP_GUARD_H

#include "base/err.h"
#include "base/span.h"

#include <microhttpd.h>
#include <stdint.h>

typedef struct {
    bool has_length;
    bool is_chunked;
    uint64_t length;
    /* while reading */
    int hosts, encodings;
    uint32_t seen;     /* mask of request_header_t */
    const char *twice; /* one of those that came again */
    bool is_folded, bad_name, bad_length, bad_encoding, bad_host, bad_origin;
} http_guard_t;

/*  Notes one header; for http_guard_check and tests. */
void http_guard_header (http_guard_t *self, span_t name, span_t value);
/*  The verdict: 0, or -1 with ERR_MALFORMED or ERR_FORBIDDEN. */
int http_guard_verdict (const http_guard_t *self, err_t *err);

/*  Both, over the headers of a request. */
int http_guard_check (http_guard_t *self, struct MHD_Connection *connection, err_t *err);

#endif
