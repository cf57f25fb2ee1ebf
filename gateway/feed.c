#include "gateway/feed.h"
#include "base/log.h"
#include "base/str.h"
#include "wire/frames.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#define RING_EVENTS 8192u
#define RING_BYTES  (8u << 20)
#define DRAIN_MAX   512u

struct feed {
    void *socket;
    feed_seen_fn *seen;
    void *owner;
    str_t topic_tasks, topic_queue;
    unsigned users;
    bool subscribed;
    uint64_t release_at_ms; /* 0: in use, or off */
    feed_event_t *ring;
    uint64_t oldest, next;
    size_t bytes;
    uint64_t whole;    /* from this index on no sequence number is missing */
    uint64_t last_seq; /* highest seen since the subscription */
};

feed_t *feed_new (void *context, const char *endpoint, span_t user, feed_seen_fn *seen, void *owner, err_t *err)
{
    feed_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->seen = seen;
    self->owner = owner;
    str_format (&self->topic_tasks, "task.%.*s.", SPAN_ARG (user));
    str_format (&self->topic_queue, "queue.%.*s", SPAN_ARG (user));
    self->ring = calloc (RING_EVENTS, sizeof *self->ring);
    if (!self->ring)
        abort ();
    if (!context) /* a ring alone */
        return self;
    int mark = 100000, reconnect_ms = 100;
    self->socket = frames_socket (context, ZMQ_SUB, 0, false, err);
    if (!self->socket)
        goto fail;
    zmq_setsockopt (self->socket, ZMQ_RCVHWM, &mark, sizeof mark);
    zmq_setsockopt (self->socket, ZMQ_RECONNECT_IVL_MAX, &reconnect_ms, sizeof reconnect_ms);
    if (zmq_connect (self->socket, endpoint) == -1) {
        err_set_errno (err, ERR_CONFIG, errno, "cannot connect to the feed at %s", endpoint);
        goto fail;
    }
    return self;
fail:
    feed_destroy (&self);
    return NULL;
}

static void drop_oldest (feed_t *self)
{
    feed_event_t *event = &self->ring[self->oldest++ % RING_EVENTS];
    self->bytes -= buf_size (event->json);
    buf_unref (&event->json);
}

void feed_destroy (feed_t **self_p)
{
    feed_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    while (self->oldest < self->next)
        drop_oldest (self);
    free (self->ring);
    if (self->socket)
        zmq_close (self->socket);
    str_free (&self->topic_tasks);
    str_free (&self->topic_queue);
    free (self);
}

static void subscribe (feed_t *self, int option)
{
    self->subscribed = option == ZMQ_SUBSCRIBE;
    if (!self->socket)
        return;
    zmq_setsockopt (self->socket, option, self->topic_tasks.data, self->topic_tasks.size);
    zmq_setsockopt (self->socket, option, self->topic_queue.data, self->topic_queue.size);
}

bool feed_use (feed_t *self)
{
    self->users++;
    self->release_at_ms = 0;
    if (self->subscribed)
        return false;
    /* What happened while nobody listened is unknown: the ring starts anew. */
    while (self->oldest < self->next)
        drop_oldest (self);
    self->last_seq = 0;
    subscribe (self, ZMQ_SUBSCRIBE);
    return true;
}

void feed_release (feed_t *self, uint64_t now_ms)
{
    if (--self->users == 0)
        self->release_at_ms = now_ms + FEED_LINGER_MS;
}

uint64_t feed_next (const feed_t *self)
{
    return self->next;
}

uint64_t feed_oldest (const feed_t *self)
{
    return self->oldest;
}

const feed_event_t *feed_at (const feed_t *self, uint64_t index)
{
    return index >= self->oldest && index < self->next ? &self->ring[index % RING_EVENTS] : NULL;
}

int feed_after (const feed_t *self, uint64_t seq, uint64_t *index)
{
    for (uint64_t i = self->oldest > self->whole ? self->oldest : self->whole; i < self->next; i++) {
        const feed_event_t *event = feed_at (self, i);
        if (!event->seq || event->again || event->seq <= seq)
            continue;
        *index = i;
        return event->seq == seq + 1 ? 0 : -1;
    }
    *index = self->next;
    return self->last_seq == seq ? 0 : -1;
}

/*  "task.<user>.<id>"; user ids may contain dots, task ids do not. */
static uuid_t task_of (const feed_t *self, span_t topic)
{
    uuid_t task = { 0 };
    if (topic.size == self->topic_tasks.size + UUID_TEXT - 1)
        uuid_parse (span (topic.data + self->topic_tasks.size, UUID_TEXT - 1), &task);
    return task;
}

static int read_event (buf_t *json, feed_event_t *event, err_t *err)
{
    json_error_t error;
    json_t *root = json_loadb (buf_bytes (json), buf_size (json), 0, &error);
    int rc = -1;
    if (!json_is_object (root)) {
        err_set (err, ERR_PROTOCOL, "an event is no JSON object");
        goto out;
    }
    json_int_t seq = json_integer_value (json_object_get (root, "seq"));
    const char *name = json_string_value (json_object_get (root, "event"));
    event->seq = seq > 0 ? (uint64_t)seq : 0;
    snprintf (event->event, sizeof event->event, "%s", name ? name : "queue");
    for (char *c = event->event; *c; c++) /* it becomes a line of its own for clients */
        if (*c < 'a' || *c > 'z')
            *c = '_';
    rc = 0;
out:
    json_decref (root);
    return rc;
}

int feed_add (feed_t *self, span_t topic, buf_t *json, err_t *err)
{
    static const char *const final[] = { "completed", "failed", "cancelled", "deleted" };
    feed_event_t event = { .task = task_of (self, topic) };
    if (read_event (json, &event, err) == -1)
        return -1;
    for (size_t i = 0; i < sizeof final / sizeof final[0]; i++)
        event.ended |= strcmp (event.event, final[i]) == 0;
    if (event.seq) {
        event.again = event.seq <= self->last_seq;
        if (!event.again && event.seq != self->last_seq + 1)
            self->whole = self->next;
        if (!event.again)
            self->last_seq = event.seq;
    }
    while (self->next - self->oldest == RING_EVENTS ||
           (self->oldest < self->next && self->bytes + buf_size (json) > RING_BYTES))
        drop_oldest (self);
    event.json = buf_ref (json);
    self->bytes += buf_size (json);
    self->ring[self->next++ % RING_EVENTS] = event;
    self->seen (self->owner, &event);
    return 0;
}

void feed_item (const feed_t *self, zmq_pollitem_t *item)
{
    *item = (zmq_pollitem_t){ .socket = self->socket, .events = ZMQ_POLLIN };
}

/*  One message: topic and body. 1, 0 (none there) or -1 (dropped). */
static int take (feed_t *self)
{
    zmq_msg_t parts[2];
    int count = 0, got = 0;
    bool more = true;
    err_t err;
    for (; more; got++) {
        zmq_msg_t extra, *part = count < 2 ? &parts[count] : &extra;
        zmq_msg_init (part);
        if (zmq_msg_recv (part, self->socket, ZMQ_DONTWAIT) == -1) {
            zmq_msg_close (part);
            break;
        }
        more = zmq_msg_more (part);
        if (part == &extra)
            zmq_msg_close (part);
        else
            count++;
    }
    int rc = got ? -1 : 0;
    if (got == 2) {
        buf_t *json = buf_copy (span (zmq_msg_data (&parts[1]), zmq_msg_size (&parts[1])));
        rc = feed_add (self, span (zmq_msg_data (&parts[0]), zmq_msg_size (&parts[0])), json, &err) == 0 ? 1 : -1;
        buf_unref (&json);
    } else if (got)
        err_set (&err, ERR_PROTOCOL, "an event has %d frames instead of 2", got);
    if (rc == -1)
        log_write (LOG_WARN, "frame_dropped", NULL, "from the feed: %s", err.message);
    for (int i = 0; i < count; i++)
        zmq_msg_close (&parts[i]);
    return rc;
}

bool feed_turn (feed_t *self, uint64_t now_ms)
{
    if (self->release_at_ms && now_ms >= self->release_at_ms) {
        self->release_at_ms = 0;
        subscribe (self, ZMQ_UNSUBSCRIBE);
    }
    for (unsigned i = 0; i < DRAIN_MAX; i++)
        if (take (self) == 0)
            return false;
    return true;
}

uint64_t feed_deadline (const feed_t *self)
{
    return self->release_at_ms ? self->release_at_ms : UINT64_MAX;
}
