#include "gateway/relay.h"

#include <stdio.h>

bool relay_failed (const frames_t *reply, err_t *err)
{
    const wire_reply_t *head = &reply->msg.reply;
    if (!head->code.size)
        return false;
    char name[64];
    snprintf (name, sizeof name, "%.*s", SPAN_ARG (head->code));
    err_set (err, err_code (name), "%.*s", SPAN_ARG (head->detail));
    err->retry_after_s = head->retry_after_s;
    return true;
}

void relay_done (void *owner, frames_t *reply, const err_t *err)
{
    request_t *request = owner;
    err_t failure;
    if (!reply) {
        request_problem_err (request, err);
        return;
    }
    if (relay_failed (reply, &failure)) {
        request_problem_err (request, &failure);
        return;
    }
    reply_t answer = { .status = (int)reply->msg.reply.status, .fd = -1 };
    if (reply->payload_count && buf_size (reply->payload[0])) {
        answer.media_type = "application/json";
        answer.is_json = true;
        answer.body = reply->payload[0];
    }
    reply_header (&answer, "Location", reply->msg.reply.location);
    reply_header (&answer, "X-Request-Id", request->headers[HEADER_REQUEST_ID]);
    request->answer (request, &answer);
}

void relay (upstream_t *upstream, request_t *request, wire_msg_t *msg, bool safe, uint64_t timeout_ms)
{
    upstream_ask (upstream, msg, NULL, safe, timeout_ms, relay_done, request);
}
