#include "gateway/http_conns.h"

#include <stdlib.h>
#include <sys/socket.h>

#define HEADER_MS  10000 /* from the connection, or the request line, to the end of the headers */
#define BETWEEN_MS (HTTP_IDLE_S * 1000 + HEADER_MS)
#define BODY_MS    15000 /* in each such time … */
#define BODY_BYTES 1024u /* … so much of a body comes, or all of it */
#define REAP_MS    1000

http_conn_t *http_conn_new (http_conns_t *set, int fd, uint64_t now_ms)
{
    http_conn_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->fd = fd;
    self->deadline_ms = now_ms + HEADER_MS;
    self->next = set->first;
    self->link = &set->first;
    if (self->next)
        self->next->link = &self->next;
    set->first = self;
    return self;
}

void http_conn_destroy (http_conn_t **self_p)
{
    http_conn_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    *self->link = self->next;
    if (self->next)
        self->next->link = self->link;
    free (self);
}

void http_conn_headers (http_conn_t *self, uint64_t now_ms)
{
    self->deadline_ms = now_ms + HEADER_MS;
}

void http_conn_body (http_conn_t *self, uint64_t now_ms)
{
    self->receiving = true;
    self->received = 0;
    self->deadline_ms = now_ms + BODY_MS;
}

void http_conn_got (http_conn_t *self, size_t bytes)
{
    self->received += bytes;
}

void http_conn_pause (http_conn_t *self)
{
    self->deadline_ms = 0;
}

void http_conn_answer (http_conn_t *self)
{
    self->receiving = false;
    self->deadline_ms = 0;
}

void http_conn_between (http_conn_t *self, uint64_t now_ms)
{
    self->receiving = false;
    self->deadline_ms = now_ms + BETWEEN_MS;
}

static bool is_gone (const http_conn_t *conn)
{
    char byte;
    return conn->receiving && recv (conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static bool is_late (http_conn_t *conn, uint64_t now_ms)
{
    if (!conn->deadline_ms || now_ms < conn->deadline_ms)
        return false;
    if (!conn->receiving || conn->received < BODY_BYTES)
        return true;
    http_conn_body (conn, now_ms);
    return false;
}

void http_conns_turn (http_conns_t *self, uint64_t now_ms)
{
    if (now_ms < self->reap_ms)
        return;
    self->reap_ms = now_ms + REAP_MS;
    for (http_conn_t *conn = self->first; conn; conn = conn->next)
        if (is_late (conn, now_ms) || is_gone (conn)) {
            shutdown (conn->fd, SHUT_RDWR);
            http_conn_answer (conn); /* libmicrohttpd closes it */
        }
}

uint64_t http_conns_deadline (const http_conns_t *self)
{
    return self->first ? self->reap_ms : UINT64_MAX;
}
