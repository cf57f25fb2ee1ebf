/*  server.h: the broker's sockets and its turn around the core:
 *
 *      drain inputs (bounded) → apply each to the core → commit one batch → release the outbox
 *
 *  Sockets: intake (PULL, from workers), front (ROUTER, from gateways), feed (XPUB, to subscribers), and one PUSH per
 *  worker to the endpoint that the worker named.
 */
#ifndef BROKER_SERVER_H
#define BROKER_SERVER_H

#include "broker/core/core.h"

typedef struct server server_t;

typedef struct {
    const char *intake, *front; /* endpoints to bind */
    const char *pub, *feed;     /* endpoints of the XPUB: for subscribers, and for gateways; may be NULL */
    const char *data_dir;
    uint64_t disk_reserve_bytes; /* below it new work is refused */
    kv_t *kv;                    /* the core's (borrowed), for backups */
} server_config_t;

/*  Binds. `core` is borrowed. NULL with ERR_CONFIG (an endpoint is none, or not on the loopback) or ERR_IO. */
server_t *server_new (void *context, const server_config_t *config, core_t *core, err_t *err);
void server_destroy (server_t **self_p);

/*  The endpoint that `pub` became (port 0 is resolved); empty when there is none. */
const char *server_pub (const server_t *self);

/*  Turns until SIGTERM or SIGINT arrives at `signal_fd`. 0, or -1 when a commit failed: end the process. */
int server_run (server_t *self, int signal_fd, err_t *err);

#endif
