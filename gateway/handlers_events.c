/*  Live events. The feed tells what happens from now on, and where each live task stands; of a task that has ended it
 *  says nothing. So who opens a stream of one task is told by us when there is nothing to come: that there is no such
 *  task, or how it ended. It may end while the subscription is on its way: hence the broker is asked for a little
 * while.
 */
#include "base/log.h"
#include "gateway/handlers.h"
#include "gateway/relay.h"

#include <jansson.h>
#include <stdlib.h>

#define ASK_S 1

typedef struct {
    gateway_t *gateway;
    uuid_t task;
    uint64_t from; /* index of the feed when the stream was opened */
} opened_t;

/*  The stream has heard of the end already. */
static bool was_told (const opened_t *self)
{
    feed_t *feed = self->gateway->feed;
    for (uint64_t i = self->from; i < feed_next (feed); i++) {
        const feed_event_t *event = feed_at (feed, i);
        if (event && event->ended && uuid_eq (event->task, self->task))
            return true;
    }
    return false;
}

/*  Adds the event that ended the task to the feed once more, marked as a repetition. */
static void tell (const opened_t *self, const char *status, const char *at, buf_t *task)
{
    err_t err;
    char id[UUID_TEXT];
    str_t topic = STR_INIT, text = STR_INIT;
    uuid_text (self->task, id);
    str_format (&topic, "task.%.*s.%s", SPAN_ARG (self->gateway->user), id);
    str_char (&text, '{');
    str_key_str (&text, "event", span_str (status));
    str_key_str (&text, "at", at ? span_str (at) : SPAN_EMPTY);
    str_key_raw (&text, "replay", SPAN_LIT ("true"));
    str_key_raw (&text, "task", buf_span (task));
    str_char (&text, '}');
    buf_t *json = buf_take (text.data, text.size);
    if (feed_add (self->gateway->feed, str_span (&topic), json, &err) == -1)
        log_write (LOG_WARN, "frame_dropped", NULL, "from the broker: %s", err.message);
    buf_unref (&json);
    str_free (&topic);
}

static void asked (void *owner, frames_t *reply, const err_t *err)
{
    opened_t *self = owner;
    err_t failure;
    /* Without a reply, or without the task by now, the stream stays as it is: it was told what there was. */
    if (reply && !relay_failed (reply, &failure) && reply->payload_count && !was_told (self)) {
        buf_t *task = reply->payload[0];
        json_t *json = json_loadb (buf_bytes (task), buf_size (task), 0, NULL);
        const char *status = json_string_value (json_object_get (json, "status"));
        if (status && strcmp (status, "pending") != 0 && strcmp (status, "processing") != 0)
            tell (self, status, json_string_value (json_object_get (json, "updated_at")), task);
        json_decref (json);
    }
    free (self);
}

static void found (void *owner, frames_t *reply, const err_t *err)
{
    request_t *request = owner;
    gateway_t *self = request->gateway;
    err_t failure;
    if (!reply || relay_failed (reply, &failure)) {
        relay_done (request, reply, err);
        return;
    }
    opened_t *opened = malloc (sizeof *opened);
    if (!opened)
        abort ();
    *opened = (opened_t){ self, args_id (&request->args, ARG_TASK), feed_next (self->feed) };
    request->stream (request);
    waits_add (self->waits, opened->task, ASK_S, asked, opened);
}

void events_stream (gateway_t *self, request_t *request)
{
    if (!request->stream) {
        request_problem (request, ERR_MALFORMED, "events are a stream: over ZeroMQ, subscribe to the PUB feed");
        return;
    }
    if (!args_has (&request->args, ARG_TASK)) {
        request->stream (request);
        return;
    }
    wire_msg_t msg = { .kind = WIRE_KIND_TASK_GET,
                       .task_get = { .user = self->user, .task = args_id (&request->args, ARG_TASK) } };
    upstream_ask (self->broker, &msg, NULL, true, RELAY_TIMEOUT_MS, found, request);
}
