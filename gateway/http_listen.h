/*  http_listen.h: the listening socket, and which addresses may be served without users. */
#ifndef GATEWAY_HTTP_LISTEN_H
#define GATEWAY_HTTP_LISTEN_H

#include "base/err.h"

typedef struct {
    int fd;
    char url[80]; /* "http://127.0.0.1:8750" */
} http_listen_t;

/*  Binds ADDRESS:PORT (IPv6 in brackets; port 0: any). -1 with ERR_CONFIG when it is malformed, not a loopback address
 *  or taken. */
int http_listen (http_listen_t *self, const char *address, err_t *err);

#endif
