#include "gateway/feed.h"
#include "base/log.h"
#include "base/str.h"
#include "wire/frames.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
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

static void set_watch (feed_t *self, uuid_t task, int option)
{
    char id[UUID_TEXT];
    str_t topic = STR_INIT;
    uuid_text (task, id);
    str_format (&topic, "%s%s", self->topic_tasks.data, id);
    if (self->socket)
        zmq_setsockopt (self->socket, option, topic.data, topic.size);
    str_free (&topic);
}

void feed_watch (feed_t *self, uuid_t task, bool is_watched)
{
    /* The same topic twice would be counted twice at the far end, but taken back once. Events keep coming meanwhile,
     * by the subscription to all tasks. */
    if (is_watched)
        feed_unwatch (self, task);
    set_watch (self, task, ZMQ_SUBSCRIBE);
}

void feed_unwatch (feed_t *self, uuid_t task)
{
    set_watch (self, task, ZMQ_UNSUBSCRIBE);
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

/*  The members that matter are scalars and the broker writes them first: they are read without parsing the task behind
 *  them. True: name and value of the next one, a string without its quotes; false: something else follows. */
static bool next_scalar (span_t *rest, span_t *name, span_t *value)
{
    const char *at = rest->data, *end = rest->data + rest->size;
    if (rest->size < 2 || (*at != '{' && *at != ',') || at[1] != '"')
        return false;
    const char *quote = memchr (at + 2, '"', (size_t)(end - at - 2));
    if (!quote || end - quote < 3 || quote[1] != ':')
        return false;
    *name = span (at + 2, (size_t)(quote - at - 2));
    const char *start = quote + 2, *stop = start;
    if (*start == '"') {
        start++;
        stop = memchr (start, '"', (size_t)(end - start));
        if (!stop || memchr (start, '\\', (size_t)(stop - start)))
            return false;
        *rest = span (stop + 1, (size_t)(end - stop - 1));
    } else {
        while (stop < end && (isalnum ((unsigned char)*stop)))
            stop++;
        if (stop == start)
            return false;
        *rest = span (stop, (size_t)(end - stop));
    }
    *value = span (start, (size_t)(stop - start));
    return true;
}

static int read_event (buf_t *json, feed_event_t *event, err_t *err)
{
    span_t rest = buf_span (json), name, value;
    /* Each becomes a line of an event stream. */
    if (rest.size < 2 || rest.data[0] != '{' || rest.data[rest.size - 1] != '}' || memchr (rest.data, '\n', rest.size))
        return err_set (err, ERR_PROTOCOL, "an event is no JSON object in one line");
    while (next_scalar (&rest, &name, &value))
        if (span_is (name, "seq"))
            event->seq = strtoull (value.data, NULL, 10);
        else if (span_is (name, "event"))
            snprintf (event->event, sizeof event->event, "%.*s", SPAN_ARG (value));
        else if (span_is (name, "replay"))
            event->again = span_is (value, "true");
    for (const char *c = event->event; *c; c++)
        if (*c < 'a' || *c > 'z')
            return err_set (err, ERR_PROTOCOL, "an event has a name with a '%c'", *c);
    if (!event->event[0])
        return err_set (err, ERR_PROTOCOL, "an event has no name");
    return 0;
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
        event.again = event.again || event.seq <= self->last_seq;
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
