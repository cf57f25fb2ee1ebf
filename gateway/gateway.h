/*  gateway.h: the process as a whole: what the handlers share, and the one loop that drives it. */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "gateway/feed.h"
#include "gateway/request.h"
#include "gateway/saver.h"
#include "gateway/upstream.h"
#include "gateway/waits.h"

typedef struct http http_t;
typedef struct zmq_front zmq_front_t;

typedef struct {
    const char *http;   /* ADDRESS:PORT */
    const char *req;    /* ZeroMQ endpoint for clients */
    const char *broker; /* endpoints of the other processes */
    const char *query;
    const char *feed;
    const char *data_dir;
    uint64_t upload_max;         /* bytes of one document */
    uint64_t disk_reserve_bytes; /* with less free, no document is written */
} gateway_config_t;

#define TRANSPORTS(X) X (HTTP, "http") X (ZMQ, "zmq")
typedef enum {
#define TRANSPORT_ENUM(sym, name) TRANSPORT_##sym,
    TRANSPORTS (TRANSPORT_ENUM)
#undef TRANSPORT_ENUM
        TRANSPORT_COUNT
} transport_t;
#define STATUS_MOST 599

struct gateway {
    gateway_config_t config;
    span_t user; /* the one implicit user of a loopback listener */
    void *context;
    upstream_t *broker;
    upstream_t *storage;
    feed_t *feed;
    waits_t *waits;
    saver_t *saver;
    http_t *http;
    zmq_front_t *front;
    uint64_t began_ms;
    uint64_t answered[TRANSPORT_COUNT][STATUS_MOST + 1]; /* requests by status, for the metrics */
    uint64_t upload_bytes;                               /* of documents on their way in, in memory (upload.h) */
    bool draining;
    uint64_t drain_ms; /* since then */
    uint64_t sweep_ms; /* left-over files are looked for then */
};

/*  Opens every socket and binds the two fronts. `config` is borrowed for the life of the object. NULL with ERR_CONFIG
 *  (an address that may not be served, or is taken) or ERR_IO. */
gateway_t *gateway_new (const gateway_config_t *config, err_t *err);
void gateway_destroy (gateway_t **self_p);

/*  Where it serves: "http://…" and "tcp://…", with the ports that were picked; borrowed. */
const char *gateway_http_url (const gateway_t *self);
const char *gateway_req_endpoint (const gateway_t *self);

/*  Serves until `stop_fd` becomes readable; then accepts nothing new, answers what is in hand, and returns. */
int gateway_run (gateway_t *self, int stop_fd, err_t *err);

/*  An answer leaves. */
void gateway_count (gateway_t *self, transport_t transport, int status);

/*  Events of the feed wake those who wait for them; the handlers' entry for server-sent events. */
void gateway_saw_event (void *gateway, const feed_event_t *event);

#endif
