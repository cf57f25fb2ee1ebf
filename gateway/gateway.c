#include "gateway/gateway.h"
#include "base/clock.h"
#include "base/log.h"
#include "gateway/http.h"
#include "gateway/zmq_front.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#define IMPLICIT_USER "local"
#define DRAIN_MS      4000 /* then open questions are answered with 503 … */
#define DRAIN_LAST_MS 4500 /* … and then it is over: whoever stops us waits five seconds */

/*  Everything the loop waits for. */
typedef struct {
    zmq_pollitem_t broker[UPSTREAM_ITEMS];
    zmq_pollitem_t storage[UPSTREAM_ITEMS];
    zmq_pollitem_t feed, front;
    zmq_pollitem_t http[HTTP_ITEMS];
    zmq_pollitem_t saver, stop;
} items_t;
#define ITEM_COUNT (int)(sizeof (items_t) / sizeof (zmq_pollitem_t))

void gateway_saw_event (void *owner, const feed_event_t *event)
{
    gateway_t *self = owner;
    waits_event (self->waits, event);
}

void gateway_count (gateway_t *self, transport_t transport, int status)
{
    self->answered[transport][status <= STATUS_MOST ? status : 0]++;
}

static int check_data_dir (const char *path, err_t *err)
{
    struct stat info;
    if (stat (path, &info) == -1)
        return err_set_errno (err, ERR_IO, errno, "cannot use the data directory %s", path);
    if (!S_ISDIR (info.st_mode))
        return err_set (err, ERR_CONFIG, "the data directory %s is no directory", path);
    return 0;
}

static void sweep (gateway_t *self, uint64_t now_ms)
{
    if (now_ms >= self->sweep_ms)
        self->sweep_ms = now_ms + blob_sweep (self->config.data_dir) * 1000;
}

gateway_t *gateway_new (const gateway_config_t *config, err_t *err)
{
    gateway_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->config = *config;
    self->user = SPAN_LIT (IMPLICIT_USER);
    self->began_ms = clock_mono_ms ();
    self->waits = waits_new (self);
    if (check_data_dir (config->data_dir, err) == -1)
        goto fail;
    sweep (self, clock_mono_ms ());
    self->context = zmq_ctx_new ();
    if (!self->context) {
        err_set_errno (err, ERR_IO, errno, "cannot start ZeroMQ");
        goto fail;
    }
    if (!(self->broker = upstream_new (self->context, "broker", config->broker, err)) ||
        !(self->storage = upstream_new (self->context, "storage", config->query, err)) ||
        !(self->feed = feed_new (self->context, config->feed, self->user, gateway_saw_event, self, err)) ||
        !(self->saver = saver_new (config->data_dir, config->disk_reserve_bytes, err)) ||
        !(self->http = http_new (self, config->http, err)) || !(self->front = zmq_front_new (self, config->req, err)))
        goto fail;
    return self;
fail:
    gateway_destroy (&self);
    return NULL;
}

void gateway_destroy (gateway_t **self_p)
{
    gateway_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    zmq_front_destroy (&self->front);
    http_destroy (&self->http);
    saver_destroy (&self->saver);
    waits_destroy (&self->waits);
    feed_destroy (&self->feed);
    upstream_destroy (&self->storage);
    upstream_destroy (&self->broker);
    if (self->context)
        zmq_ctx_term (self->context);
    free (self);
}

const char *gateway_http_url (const gateway_t *self)
{
    return http_url (self->http);
}

const char *gateway_req_endpoint (const gateway_t *self)
{
    return zmq_front_endpoint (self->front);
}

static void fill_items (const gateway_t *self, items_t *items, int stop_fd)
{
    upstream_items (self->broker, items->broker);
    upstream_items (self->storage, items->storage);
    feed_item (self->feed, &items->feed);
    zmq_front_item (self->front, &items->front);
    http_items (self->http, items->http);
    items->saver = (zmq_pollitem_t){ .fd = saver_fd (self->saver), .events = ZMQ_POLLIN };
    items->stop = (zmq_pollitem_t){ .fd = stop_fd, .events = self->draining ? 0 : ZMQ_POLLIN };
}

static long time_left (const gateway_t *self, uint64_t now_ms)
{
    uint64_t times[] = { upstream_deadline (self->broker),
                         upstream_deadline (self->storage),
                         feed_deadline (self->feed),
                         waits_deadline (self->waits),
                         http_deadline (self->http, now_ms),
                         self->sweep_ms,
                         self->draining ? now_ms + 100 : UINT64_MAX };
    uint64_t soonest = UINT64_MAX;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        if (times[i] < soonest)
            soonest = times[i];
    if (soonest == UINT64_MAX)
        return -1;
    return soonest <= now_ms ? 0 : soonest - now_ms > INT_MAX ? INT_MAX : (long)(soonest - now_ms);
}

static void drain (gateway_t *self, uint64_t now_ms)
{
    log_write (LOG_INFO, "draining", NULL, "answering what is in hand, taking nothing new");
    self->draining = true;
    self->drain_ms = now_ms;
    http_drain (self->http);
    waits_hurry (self->waits);
}

/*  True: it is over. `more`: there are requests to be refused, or replies, still to be read. */
static bool is_drained (gateway_t *self, bool more, uint64_t now_ms)
{
    if (!more && http_in_hand (self->http) + zmq_front_in_hand (self->front) + waits_pending (self->waits) == 0)
        return true;
    if (now_ms >= self->drain_ms + DRAIN_MS) {
        upstream_give_up (self->broker, "did not answer before the gateway stopped");
        upstream_give_up (self->storage, "did not answer before the gateway stopped");
        http_give_up (self->http);
    }
    return now_ms >= self->drain_ms + DRAIN_LAST_MS;
}

int gateway_run (gateway_t *self, int stop_fd, err_t *err)
{
    bool more = false;
    for (;;) {
        items_t items;
        fill_items (self, &items, stop_fd);
        if (zmq_poll ((zmq_pollitem_t *)&items, ITEM_COUNT, more ? 0 : time_left (self, clock_mono_ms ())) == -1 &&
            errno != EINTR)
            return err_set_errno (err, ERR_IO, errno, "cannot poll");
        uint64_t now = clock_mono_ms ();
        if (items.stop.revents && !self->draining)
            drain (self, now);
        more = zmq_front_turn (self->front);
        more |= upstream_turn (self->broker, now);
        more |= upstream_turn (self->storage, now);
        more |= feed_turn (self->feed, now);
        saver_turn (self->saver);
        waits_turn (self->waits, now);
        more |= zmq_front_has_work (self->front);
        http_turn (self->http, items.http, now);
        sweep (self, now);
        if (self->draining && is_drained (self, more, now))
            return 0;
    }
}
