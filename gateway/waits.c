#include "gateway/waits.h"
#include "base/clock.h"
#include "gateway/gateway.h"
#include "gateway/relay.h"

#include <jansson.h>
#include <stdlib.h>

#define FIRST_AGAIN_MS 100
#define MOST_AGAIN_MS  5000

typedef struct wait {
    struct wait *next;
    waits_t *waits;
    uuid_t task;
    upstream_done_fn *done;
    void *owner;
    uint64_t deadline_ms;
    uint64_t again_ms; /* ask again then */
    uint64_t step_ms;
    bool asking; /* a question is on its way */
    bool woken;  /* something happened meanwhile: the answer may be old */
} wait_t;

struct waits {
    gateway_t *gateway;
    wait_t *first;
    size_t count;
};

waits_t *waits_new (gateway_t *gateway)
{
    waits_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->gateway = gateway;
    return self;
}

void waits_destroy (waits_t **self_p)
{
    waits_t *self = *self_p;
    *self_p = NULL;
    while (self && self->first) {
        wait_t *wait = self->first;
        self->first = wait->next;
        free (wait);
    }
    free (self);
}

static void ask (wait_t *wait);

static bool has_ended (const frames_t *reply)
{
    if (!reply->payload_count)
        return true;
    json_t *task = json_loadb (buf_bytes (reply->payload[0]), buf_size (reply->payload[0]), 0, NULL);
    const char *status = json_string_value (json_object_get (task, "status"));
    bool ended = !status || (strcmp (status, "pending") != 0 && strcmp (status, "processing") != 0);
    json_decref (task);
    return ended;
}

static void finish (wait_t *wait, frames_t *reply, const err_t *err)
{
    waits_t *waits = wait->waits;
    wait_t **link = &waits->first;
    while (*link != wait)
        link = &(*link)->next;
    *link = wait->next;
    waits->count--;
    feed_release (waits->gateway->feed, clock_mono_ms ());
    wait->done (wait->owner, reply, err);
    free (wait);
}

static void asked (void *owner, frames_t *reply, const err_t *err)
{
    wait_t *wait = owner;
    wait->asking = false;
    uint64_t now = clock_mono_ms ();
    if (!reply || reply->msg.reply.code.size || now >= wait->deadline_ms || has_ended (reply)) {
        finish (wait, reply, err);
        return;
    }
    wait->step_ms = wait->step_ms ? wait->step_ms * 2 : FIRST_AGAIN_MS;
    if (wait->step_ms > MOST_AGAIN_MS)
        wait->step_ms = MOST_AGAIN_MS;
    wait->again_ms = now + wait->step_ms < wait->deadline_ms ? now + wait->step_ms : wait->deadline_ms;
    if (wait->woken)
        ask (wait);
}

static void ask (wait_t *wait)
{
    gateway_t *gateway = wait->waits->gateway;
    wire_msg_t msg = { .kind = WIRE_KIND_TASK_GET, .task_get = { .user = gateway->user, .task = wait->task } };
    wait->asking = true;
    wait->woken = false;
    upstream_ask (gateway->broker, &msg, NULL, true, RELAY_TIMEOUT_MS, asked, wait);
}

void waits_add (waits_t *self, uuid_t task, uint64_t seconds, upstream_done_fn *done, void *owner)
{
    wait_t *wait = calloc (1, sizeof *wait);
    if (!wait)
        abort ();
    wait->waits = self;
    wait->task = task;
    wait->done = done;
    wait->owner = owner;
    wait->deadline_ms = clock_mono_ms () + (self->count < WAITS_MAX && !self->gateway->draining ? seconds * 1000 : 0);
    self->count++;
    wait->next = self->first;
    self->first = wait;
    feed_use (self->gateway->feed);
    ask (wait);
}

static void wake (wait_t *wait)
{
    wait->woken = true;
    if (!wait->asking)
        ask (wait);
}

void waits_event (waits_t *self, const feed_event_t *event)
{
    if (!event->ended)
        return;
    for (wait_t *wait = self->first; wait; wait = wait->next)
        if (uuid_eq (wait->task, event->task))
            wake (wait);
}

void waits_turn (waits_t *self, uint64_t now_ms)
{
    for (wait_t *wait = self->first; wait; wait = wait->next)
        if (!wait->asking && now_ms >= wait->again_ms)
            ask (wait);
}

uint64_t waits_deadline (const waits_t *self)
{
    uint64_t soonest = UINT64_MAX;
    for (const wait_t *wait = self->first; wait; wait = wait->next)
        if (!wait->asking && wait->again_ms < soonest)
            soonest = wait->again_ms;
    return soonest;
}

size_t waits_pending (const waits_t *self)
{
    return self->count;
}

void waits_hurry (waits_t *self)
{
    for (wait_t *wait = self->first; wait; wait = wait->next) {
        wait->deadline_ms = 0;
        if (!wait->asking)
            ask (wait);
    }
}
