#include "gateway/upstream.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define DRAIN_MAX    256u
#define SLOT_BITS    20
#define RECONNECT_MS 100 /* at most: a broker that restarts is to be found at once */
#define NOBODY       UINT32_MAX
#define STUCK_BYTES  (64u << 20) /* of what was sent and given up: more are not sent to who does not read */

typedef enum { SLOT_FREE, SLOT_UNSENT, SLOT_SENT } slot_state_t;

typedef struct {
    slot_state_t state;
    uint32_t next; /* in the list of unsent or of free slots */
    uint64_t req;  /* use of this slot << SLOT_BITS | its index */
    uint64_t deadline_ms;
    bool safe;
    str_t header; /* encoded; its memory stays with the slot */
    buf_t *payload;
    size_t bytes; /* of the payload */
    upstream_done_fn *done;
    void *owner;
} slot_t;

struct upstream {
    const char *name;
    void *socket;
    void *monitor;
    bool connected;
    uint64_t away_since_ms; /* while not connected */
    uint64_t soonest_ms;    /* no slot's deadline is before this */
    slot_t *slots;
    uint32_t slot_count, used;
    size_t stuck_bytes; /* of questions that were given up since the last reply: they may still be in the socket */
    uint32_t free_list;
    uint32_t unsent_head, unsent_tail;
    frames_t in;
};

static int watch (upstream_t *self, void *context, err_t *err)
{
    char name[64];
    snprintf (name, sizeof name, "inproc://monitor-%p", (void *)self);
    self->monitor = zmq_socket (context, ZMQ_PAIR);
    if (!self->monitor ||
        zmq_socket_monitor (self->socket, name, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED) == -1 ||
        zmq_connect (self->monitor, name) == -1)
        return err_set_errno (err, ERR_IO, errno, "cannot watch the connection to the %s", self->name);
    return 0;
}

upstream_t *upstream_new (void *context, const char *name, const char *endpoint, err_t *err)
{
    upstream_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->name = name;
    self->free_list = self->unsent_head = self->unsent_tail = NOBODY;
    self->soonest_ms = UINT64_MAX;
    self->away_since_ms = clock_mono_ms ();
    self->socket = frames_socket (context, ZMQ_DEALER, 0, true, err);
    if (!self->socket || watch (self, context, err) == -1)
        goto fail;
    /* Without a connection nothing is queued inside: what could not be sent stays here, to be failed or sent. */
    int immediate = 1, reconnect_ms = RECONNECT_MS;
    zmq_setsockopt (self->socket, ZMQ_IMMEDIATE, &immediate, sizeof immediate);
    zmq_setsockopt (self->socket, ZMQ_RECONNECT_IVL_MAX, &reconnect_ms, sizeof reconnect_ms);
    if (zmq_connect (self->socket, endpoint) == -1) {
        err_set_errno (err, ERR_CONFIG, errno, "cannot connect to the %s at %s", name, endpoint);
        goto fail;
    }
    return self;
fail:
    upstream_destroy (&self);
    return NULL;
}

void upstream_destroy (upstream_t **self_p)
{
    upstream_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (uint32_t i = 0; i < self->slot_count; i++) {
        str_free (&self->slots[i].header);
        buf_unref (&self->slots[i].payload);
    }
    free (self->slots);
    frames_clear (&self->in);
    if (self->socket) {
        zmq_socket_monitor (self->socket, NULL, 0);
        zmq_close (self->socket);
    }
    if (self->monitor)
        zmq_close (self->monitor);
    free (self);
}

static uint32_t take_slot (upstream_t *self)
{
    if (self->free_list == NOBODY) {
        uint32_t count = self->slot_count ? self->slot_count * 2 : 64;
        assert (count <= 1u << SLOT_BITS);
        self->slots = realloc (self->slots, count * sizeof *self->slots);
        if (!self->slots)
            abort ();
        for (uint32_t i = count; i-- > self->slot_count;) {
            self->slots[i] = (slot_t){ .next = self->free_list, .req = i };
            self->free_list = i;
        }
        self->slot_count = count;
    }
    uint32_t index = self->free_list;
    self->free_list = self->slots[index].next;
    self->slots[index].req += 1u << SLOT_BITS;
    self->used++;
    return index;
}

static void append_unsent (upstream_t *self, uint32_t index)
{
    self->slots[index].state = SLOT_UNSENT;
    self->slots[index].next = NOBODY;
    if (self->unsent_tail == NOBODY)
        self->unsent_head = index;
    else
        self->slots[self->unsent_tail].next = index;
    self->unsent_tail = index;
}

/*  Frees the slot first: the callee may ask again. Must not be in the unsent list any more. */
static void finish (upstream_t *self, uint32_t index, frames_t *reply, const err_t *err)
{
    slot_t *slot = &self->slots[index];
    upstream_done_fn *done = slot->done;
    void *owner = slot->owner;
    buf_unref (&slot->payload);
    slot->state = SLOT_FREE;
    slot->next = self->free_list;
    self->free_list = index;
    self->used--;
    FAILPOINT (GATEWAY_ANSWER);
    done (owner, reply, err);
}

static void fail (upstream_t *self, uint32_t index, const char *why)
{
    err_t err;
    err_set (&err, ERR_UNAVAILABLE, "the %s %s", self->name, why);
    finish (self, index, NULL, &err);
}

/*  False: it has to wait. */
static bool send_slot (upstream_t *self, slot_t *slot)
{
    if (slot->bytes && self->stuck_bytes >= STUCK_BYTES)
        return false;
    if (FAILPOINT_ERROR (GATEWAY_ASK, NULL) == -1 ||
        frames_send_encoded (self->socket, NULL, str_span (&slot->header), &slot->payload, slot->payload ? 1 : 0,
                             "a request", NULL) == -1)
        return false;
    slot->state = SLOT_SENT;
    if (!slot->safe)
        buf_unref (&slot->payload); /* never sent twice */
    return true;
}

static void flush (upstream_t *self)
{
    while (self->unsent_head != NOBODY && send_slot (self, &self->slots[self->unsent_head])) {
        self->unsent_head = self->slots[self->unsent_head].next;
        if (self->unsent_head == NOBODY)
            self->unsent_tail = NOBODY;
    }
}

void upstream_ask (upstream_t *self, wire_msg_t *msg, buf_t *payload, bool safe, uint64_t timeout_ms,
                   upstream_done_fn *done, void *owner)
{
    uint32_t index = take_slot (self);
    slot_t *slot = &self->slots[index];
    msg->health.req = slot->req; /* req is the first field of every request */
    str_clear (&slot->header);
    wire_encode (msg, &slot->header);
    slot->payload = buf_ref (payload);
    slot->bytes = buf_size (payload);
    slot->safe = safe;
    slot->done = done;
    slot->owner = owner;
    /* While a peer hangs, its clients try again and again: what they send must not pile up before it. */
    bool is_stuck = slot->bytes && self->stuck_bytes >= STUCK_BYTES;
    slot->deadline_ms = clock_mono_ms () + (is_stuck ? 0 : timeout_ms);
    uint64_t look_ms = slot->deadline_ms;
    if (!self->connected && self->away_since_ms + UPSTREAM_GRACE_MS < look_ms)
        look_ms = self->away_since_ms + UPSTREAM_GRACE_MS;
    if (look_ms < self->soonest_ms)
        self->soonest_ms = look_ms;
    if (self->unsent_head != NOBODY || !self->connected || !send_slot (self, slot))
        append_unsent (self, index);
}

void upstream_give_up (upstream_t *self, const char *why)
{
    self->unsent_head = self->unsent_tail = NOBODY;
    for (uint32_t i = 0; i < self->slot_count; i++)
        if (self->slots[i].state != SLOT_FREE)
            fail (self, i, why);
}

size_t upstream_pending (const upstream_t *self)
{
    return self->used;
}

bool upstream_connected (const upstream_t *self)
{
    return self->connected;
}

void upstream_items (const upstream_t *self, zmq_pollitem_t items[UPSTREAM_ITEMS])
{
    bool blocked = self->connected && self->unsent_head != NOBODY;
    items[0] = (zmq_pollitem_t){ .socket = self->socket, .events = (short)(ZMQ_POLLIN | (blocked ? ZMQ_POLLOUT : 0)) };
    items[1] = (zmq_pollitem_t){ .socket = self->monitor, .events = ZMQ_POLLIN };
}

static bool drain (upstream_t *self)
{
    for (unsigned i = 0; i < DRAIN_MAX; i++) {
        err_t err;
        int got = frames_recv (self->socket, false, &self->in, &err);
        if (got == 0)
            return false;
        if (got == -1) {
            log_write (LOG_WARN, "frame_dropped", NULL, "from the %s: %s", self->name, err.message);
            continue;
        }
        self->stuck_bytes = 0; /* it reads */
        uint64_t req = self->in.msg.reply.req;
        uint32_t index = (uint32_t)(req & ((1u << SLOT_BITS) - 1));
        if (self->in.msg.kind != WIRE_KIND_REPLY)
            log_write (LOG_WARN, "frame_dropped", NULL, "from the %s: a %s is no reply", self->name,
                       wire_shape (self->in.msg.kind)->name);
        else if (index < self->slot_count && self->slots[index].req == req && self->slots[index].state == SLOT_SENT)
            finish (self, index, &self->in, NULL);
        /* else: an answer that came too late, or twice */
        frames_clear (&self->in);
    }
    return true;
}

static void lost_connection (upstream_t *self, uint64_t now_ms)
{
    self->connected = false;
    self->stuck_bytes = 0;
    self->away_since_ms = now_ms;
    self->soonest_ms = 0;
    log_write (LOG_WARN, "peer_away", NULL, "the connection to the %s is gone", self->name);
    for (uint32_t i = 0; i < self->slot_count; i++) {
        if (self->slots[i].state != SLOT_SENT)
            continue;
        if (self->slots[i].safe)
            append_unsent (self, i);
        else
            fail (self, i, "went away before it answered");
    }
}

static void look_at_connection (upstream_t *self, uint64_t now_ms)
{
    for (;;) {
        zmq_msg_t part;
        zmq_msg_init (&part);
        int rc = zmq_msg_recv (&part, self->monitor, ZMQ_DONTWAIT);
        uint16_t event = 0;
        if (rc >= (int)sizeof event)
            memcpy (&event, zmq_msg_data (&part), sizeof event);
        bool more = rc != -1 && zmq_msg_more (&part);
        zmq_msg_close (&part);
        if (rc == -1)
            return;
        if (more) { /* the address: of no interest */
            zmq_msg_init (&part);
            zmq_msg_recv (&part, self->monitor, ZMQ_DONTWAIT);
            zmq_msg_close (&part);
        }
        if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED && !self->connected) {
            self->connected = true;
            log_write (LOG_INFO, "peer_found", NULL, "connected to the %s", self->name);
        } else if (event == ZMQ_EVENT_DISCONNECTED && self->connected)
            lost_connection (self, now_ms);
    }
}

static bool is_overdue (const upstream_t *self, const slot_t *slot, uint64_t now_ms)
{
    return now_ms >= slot->deadline_ms ||
           (slot->state == SLOT_UNSENT && !self->connected && now_ms >= self->away_since_ms + UPSTREAM_GRACE_MS);
}

/*  Fails what is late, and finds the next time to look. Collects first: a callee may ask again. */
static void expire (upstream_t *self, uint64_t now_ms)
{
    if (now_ms < self->soonest_ms)
        return;
    uint32_t late = NOBODY, *link = &self->unsent_head;
    self->unsent_tail = NOBODY;
    while (*link != NOBODY) {
        uint32_t index = *link;
        slot_t *slot = &self->slots[index];
        if (is_overdue (self, slot, now_ms)) {
            *link = slot->next;
            slot->next = late;
            late = index;
        } else {
            self->unsent_tail = index;
            link = &slot->next;
        }
    }
    self->soonest_ms = UINT64_MAX;
    for (uint32_t i = 0; i < self->slot_count; i++) {
        slot_t *slot = &self->slots[i];
        if (slot->state == SLOT_FREE || (slot->state == SLOT_UNSENT && is_overdue (self, slot, now_ms)))
            continue;
        if (is_overdue (self, slot, now_ms)) {
            slot->next = late;
            late = i;
            continue;
        }
        uint64_t look_ms = slot->deadline_ms;
        if (!self->connected && slot->state == SLOT_UNSENT && self->away_since_ms + UPSTREAM_GRACE_MS < look_ms)
            look_ms = self->away_since_ms + UPSTREAM_GRACE_MS;
        if (look_ms < self->soonest_ms)
            self->soonest_ms = look_ms;
    }
    while (late != NOBODY) {
        uint32_t index = late;
        late = self->slots[index].next;
        bool was_sent = self->slots[index].state == SLOT_SENT;
        self->stuck_bytes += was_sent ? self->slots[index].bytes : 0;
        fail (self, index, was_sent || self->connected ? "did not answer in time" : "is away");
    }
}

bool upstream_turn (upstream_t *self, uint64_t now_ms)
{
    bool more = drain (self);
    look_at_connection (self, now_ms);
    if (self->connected)
        flush (self);
    expire (self, now_ms);
    return more;
}

uint64_t upstream_deadline (const upstream_t *self)
{
    return self->soonest_ms;
}
