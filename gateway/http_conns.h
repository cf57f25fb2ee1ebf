/*  http_conns.h: what each connection may take its time for.
 *
 *  An idle connection and a body that does not move are ended by libmicrohttpd's own timeout, which any single byte
 *  defers. So a request line, headers and bodies that trickle in are ended by the deadlines kept here; and so are
 * clients that went in the middle of a body: when the end of the stream comes right behind data, libmicrohttpd takes
 * the short read for "nothing more yet", and epoll does not tell it again.
 */
#ifndef GATEWAY_HTTP_CONNS_H
#define GATEWAY_HTTP_CONNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_IDLE_S 60u /* libmicrohttpd's timeout */

typedef struct http_conn {
    struct http_conn *next, **link;
    int fd;
    uint64_t deadline_ms; /* 0: none */
    bool receiving;       /* in the middle of a body */
    uint64_t received;    /* bytes of it since the deadline was set */
} http_conn_t;

typedef struct {
    http_conn_t *first;
    uint64_t reap_ms;
} http_conns_t;

http_conn_t *http_conn_new (http_conns_t *set, int fd, uint64_t now_ms);
void http_conn_destroy (http_conn_t **self_p);

/*  What the connection is at. */
void http_conn_headers (http_conn_t *self, uint64_t now_ms); /* the request line was read */
void http_conn_body (http_conn_t *self, uint64_t now_ms);    /* the body is being read … */
void http_conn_got (http_conn_t *self, size_t bytes);        /* … and so much came */
void http_conn_pause (http_conn_t *self);                    /* … and it is us who do not read */
void http_conn_answer (http_conn_t *self);                   /* the request is there */
void http_conn_between (http_conn_t *self, uint64_t now_ms); /* it was answered */

/*  Shuts down those that are late. */
void http_conns_turn (http_conns_t *self, uint64_t now_ms);
uint64_t http_conns_deadline (const http_conns_t *self);

#endif
