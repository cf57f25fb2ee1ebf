/*  A stream holds a place in the ring and at most one block of formatted events. While it has nothing to say its
 *  connection is suspended; while its client does not read, libmicrohttpd does not ask. So a client that is too slow
 *  shows as a place that fell off the ring, and is cut.
 */
#include "gateway/streams.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#include <stdlib.h>
#include <sys/socket.h>

#define BLOCK_BYTES 16384u
#define BEAT_MS     15000
#define REPEATED_MS 2000 /* a stream that made a subscription gets the repeated events that come so soon */

typedef struct stream {
    struct stream *next, **link;
    streams_t *streams;
    struct MHD_Connection *connection;
    uuid_t task; /* null: all */
    uint64_t at; /* index in the ring of the next event to look at */
    uint64_t repeats_until_ms;
    uint64_t spoke_ms;
    str_t out;
    size_t out_at;
    bool suspended;
    bool cut;
} stream_t;

struct streams {
    feed_t *feed;
    stream_t *first;
    uint64_t beat_ms; /* no stream is due for a heartbeat before this */
    uint64_t seen;    /* ring index up to which streams were woken */
    bool ending;
};

streams_t *streams_new (feed_t *feed)
{
    streams_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->feed = feed;
    self->beat_ms = UINT64_MAX;
    return self;
}

static void resume (stream_t *stream)
{
    stream->suspended = false;
    MHD_resume_connection (stream->connection);
}

void streams_destroy (streams_t **self_p)
{
    free (*self_p);
    *self_p = NULL;
}

void streams_abandon (streams_t *self)
{
    for (stream_t *stream = self->first; stream; stream = stream->next) {
        stream->cut = true;
        if (stream->suspended)
            resume (stream);
    }
}

static bool wants (const stream_t *self, const feed_event_t *event)
{
    if (event->again && clock_mono_ms () > self->repeats_until_ms)
        return false;
    return uuid_is_null (self->task) || uuid_eq (self->task, event->task);
}

static void say (stream_t *self, const feed_event_t *event)
{
    if (event->seq && !event->again)
        str_format (&self->out, "id: %llu\n", (unsigned long long)event->seq);
    str_format (&self->out, "event: %s\ndata: ", event->event);
    str_add (&self->out, buf_span (event->json));
    str_text (&self->out, "\n\n");
}

/*  Formats what is new, up to about a block. */
static void fill (stream_t *self)
{
    feed_t *feed = self->streams->feed;
    while (self->out.size < BLOCK_BYTES && self->at < feed_next (feed)) {
        const feed_event_t *event = feed_at (feed, self->at++);
        if (event && wants (self, event))
            say (self, event);
    }
}

static ssize_t read_stream (void *arg, uint64_t position, char *block, size_t max)
{
    stream_t *self = arg;
    uint64_t now = clock_mono_ms ();
    if (self->cut || self->at < feed_oldest (self->streams->feed))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (self->out_at == self->out.size) {
        str_clear (&self->out);
        self->out_at = 0;
        fill (self);
    }
    if (!self->out.size && self->streams->ending)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (!self->out.size && now >= self->spoke_ms + BEAT_MS)
        str_text (&self->out, ":\n\n");
    if (!self->out.size) {
        self->suspended = true;
        MHD_suspend_connection (self->connection);
        return 0;
    }
    size_t size = self->out.size - self->out_at;
    size = size < max ? size : max;
    memcpy (block, self->out.data + self->out_at, size);
    self->out_at += size;
    self->spoke_ms = now;
    return (ssize_t)size;
}

static bool is_watched (const streams_t *self, uuid_t task)
{
    for (const stream_t *stream = self->first; stream; stream = stream->next)
        if (uuid_eq (stream->task, task))
            return true;
    return false;
}

static void free_stream (void *arg)
{
    stream_t *self = arg;
    *self->link = self->next;
    if (self->next)
        self->next->link = self->link;
    if (!uuid_is_null (self->task) && !is_watched (self->streams, self->task))
        feed_unwatch (self->streams->feed, self->task);
    feed_release (self->streams->feed, clock_mono_ms ());
    str_free (&self->out);
    free (self);
}

/*  Where to begin. What the client has missed and the ring no longer holds is said, not hidden. */
static void find_place (stream_t *self, span_t last_id)
{
    feed_t *feed = self->streams->feed;
    uint64_t seq = 0;
    self->at = feed_next (feed);
    if (!last_id.size)
        return;
    for (size_t i = 0; i < last_id.size; i++) {
        if (last_id.data[i] < '0' || last_id.data[i] > '9' || i > 18) {
            seq = UINT64_MAX;
            break;
        }
        seq = seq * 10 + (uint64_t)(last_id.data[i] - '0');
    }
    if (feed_after (feed, seq, &self->at) == -1) {
        self->at = feed_next (feed);
        str_text (&self->out, "event: reset\ndata: {\"event\":\"reset\"}\n\n");
    }
}

static void add_headers (struct MHD_Response *response)
{
    if (!response)
        abort ();
    MHD_add_response_header (response, "Content-Type", "text/event-stream");
    MHD_add_response_header (response, "Cache-Control", "no-store");
}

struct MHD_Response *streams_head (void)
{
    struct MHD_Response *response = MHD_create_response_from_buffer (0, NULL, MHD_RESPMEM_PERSISTENT);
    add_headers (response);
    return response;
}

struct MHD_Response *streams_open (streams_t *self, struct MHD_Connection *connection, uuid_t task, span_t last_id)
{
    stream_t *stream = calloc (1, sizeof *stream);
    if (!stream)
        abort ();
    uint64_t now = clock_mono_ms ();
    stream->streams = self;
    stream->connection = connection;
    stream->task = task;
    stream->spoke_ms = now;
    bool is_new = feed_use (self->feed);
    if (!uuid_is_null (task))
        feed_watch (self->feed, task, is_watched (self, task));
    if (is_new || !uuid_is_null (task))
        stream->repeats_until_ms = now + REPEATED_MS;
    str_text (&stream->out, "retry: 1000\n\n"); /* and so the headers leave at once */
    find_place (stream, last_id);
    stream->next = self->first;
    stream->link = &self->first;
    if (stream->next)
        stream->next->link = &stream->next;
    self->first = stream;
    if (now + BEAT_MS < self->beat_ms)
        self->beat_ms = now + BEAT_MS;
    struct MHD_Response *response =
        MHD_create_response_from_callback (MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_stream, stream, free_stream);
    add_headers (response);
    return response;
}

/*  Its client stopped reading: whatever waits in the kernel is dropped with it. */
static void cut (stream_t *stream)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info (stream->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    stream->cut = true;
    log_write (LOG_INFO, "stream_cut", NULL, "a client of the event stream reads too slowly");
    if (info)
        shutdown (info->connect_fd, SHUT_RDWR);
}

/*  Moves a silent stream past events that are not for it; true when there is one that is. */
static bool has_news (stream_t *stream)
{
    feed_t *feed = stream->streams->feed;
    for (; stream->at < feed_next (feed); stream->at++) {
        const feed_event_t *event = feed_at (feed, stream->at);
        if (event && wants (stream, event))
            return true;
    }
    return false;
}

bool streams_turn (streams_t *self, uint64_t now_ms)
{
    bool resumed = false;
    if (self->seen == feed_next (self->feed) && now_ms < self->beat_ms && !self->ending)
        return false;
    self->seen = feed_next (self->feed);
    self->beat_ms = UINT64_MAX;
    for (stream_t *stream = self->first; stream; stream = stream->next) {
        if (!stream->suspended && !stream->cut && stream->at < feed_oldest (self->feed))
            cut (stream);
        bool due = now_ms >= stream->spoke_ms + BEAT_MS;
        if (stream->suspended && (due || self->ending || has_news (stream))) {
            resume (stream);
            resumed = true;
        }
        /* One that is not suspended is busy writing, and comes back by itself. */
        uint64_t beat = due ? now_ms + BEAT_MS : stream->spoke_ms + BEAT_MS;
        if (beat < self->beat_ms)
            self->beat_ms = beat;
    }
    return resumed;
}

uint64_t streams_deadline (const streams_t *self)
{
    return self->beat_ms;
}

void streams_end (streams_t *self)
{
    self->ending = true;
}
