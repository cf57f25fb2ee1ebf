#include "gateway/admit.h"
#include "gateway/dispatch.h"
#include "gateway/relay.h"

bool admit_is_needed (uint64_t bytes)
{
    return !bytes || bytes > BLOB_INLINE_MAX;
}

static void answered (void *owner, frames_t *reply, const err_t *err)
{
    request_t *request = owner;
    err_t failure;
    if (reply && !relay_failed (reply, &failure)) {
        request->admitted = true;
        request->then (request);
    } else
        request_problem_err (request, reply ? &failure : err);
}

void admit_ask (request_t *request, uint64_t bytes, request_then_fn *then)
{
    wire_msg_t msg = { .kind = WIRE_KIND_ADMIT };
    msg.admit.user = request->gateway->user;
    msg.admit.bytes = bytes;
    /* What a form says about that comes later. */
    msg.admit.makes_task = !dispatch_is_form (request) && args_number (&request->args, ARG_PROCESS, 1);
    msg.admit.idem_key = request->headers[HEADER_IDEMPOTENCY_KEY];
    request->then = then;
    upstream_ask (request->gateway->broker, &msg, NULL, true, RELAY_TIMEOUT_MS, answered, request);
}
