/*  Search, and whether all is well. */
#include "gateway/dispatch.h"
#include "gateway/handlers.h"
#include "gateway/relay.h"

#include <jansson.h>
#include <stdlib.h>

#define DEFAULT_HITS 10

void search (gateway_t *self, request_t *request)
{
    const args_t *args = &request->args;
    wire_msg_t msg = { .kind = WIRE_KIND_SEARCH };
    msg.search.user = self->user;
    msg.search.query = args_span (args, ARG_QUERY);
    msg.search.limit = (uint32_t)args_number (args, ARG_HITS, DEFAULT_HITS);
    msg.search.mode = (uint8_t)args_number (args, ARG_MODE, SEARCH_HYBRID);
    msg.search.document = args_id (args, ARG_DOCUMENT);
    relay (self->storage, request, &msg, true, RELAY_SEARCH_MS);
}

void health_alive (gateway_t *self, request_t *request)
{
    buf_t *body = buf_copy (SPAN_LIT ("{\"status\":\"alive\"}"));
    request_reply (request, 200, body);
    buf_unref (&body);
}

/*  Two questions, one answer. */
typedef enum { PEER_BROKER, PEER_STORAGE, PEER_COUNT } peer_t;

typedef struct {
    request_t *request;
    int open;
    bool ok;
    str_t reasons[PEER_COUNT]; /* empty: all is well with it */
} ready_t;

static void answer_ready (ready_t *ready)
{
    static const char *const names[PEER_COUNT] = { "broker", "storage" };
    str_t text = STR_INIT;
    str_char (&text, '{');
    str_key_str (&text, "status", span_str (ready->ok ? "ready" : "not_ready"));
    str_key (&text, "checks");
    str_char (&text, '{');
    for (peer_t peer = 0; peer < PEER_COUNT; peer++) {
        str_key (&text, names[peer]);
        str_char (&text, '{');
        str_key_raw (&text, "ok", ready->reasons[peer].size ? SPAN_LIT ("false") : SPAN_LIT ("true"));
        str_key_str (&text, "reason", str_span (&ready->reasons[peer]));
        str_char (&text, '}');
        str_free (&ready->reasons[peer]);
    }
    str_text (&text, "}}");
    buf_t *body = buf_take (text.data, text.size);
    request_reply (ready->request, ready->ok ? 200 : 503, body);
    buf_unref (&body);
    free (ready);
}

static bool is_draining (const frames_t *reply)
{
    if (!reply->payload_count)
        return false;
    json_t *health = json_loadb (buf_bytes (reply->payload[0]), buf_size (reply->payload[0]), 0, NULL);
    bool draining = json_is_true (json_object_get (health, "draining"));
    json_decref (health);
    return draining;
}

static void got_health (ready_t *ready, peer_t peer, frames_t *reply, const err_t *err)
{
    err_t failure;
    if (reply && relay_failed (reply, &failure))
        err = &failure;
    if (err)
        str_text (&ready->reasons[peer], err->message[0] ? err->message : err_title (err->code));
    else if (is_draining (reply))
        str_text (&ready->reasons[peer], "it is shutting down");
    ready->ok = ready->ok && !ready->reasons[peer].size;
    if (--ready->open == 0)
        answer_ready (ready);
}

static void got_broker (void *owner, frames_t *reply, const err_t *err)
{
    got_health (owner, PEER_BROKER, reply, err);
}

static void got_storage (void *owner, frames_t *reply, const err_t *err)
{
    got_health (owner, PEER_STORAGE, reply, err);
}

void health_ready (gateway_t *self, request_t *request)
{
    ready_t *ready = calloc (1, sizeof *ready);
    if (!ready)
        abort ();
    ready->request = request;
    ready->open = PEER_COUNT;
    ready->ok = true;
    wire_msg_t msg = { .kind = WIRE_KIND_HEALTH, .health = { .user = self->user } };
    upstream_ask (self->broker, &msg, NULL, true, RELAY_HEALTH_MS, got_broker, ready);
    upstream_ask (self->storage, &msg, NULL, true, RELAY_HEALTH_MS, got_storage, ready);
}
