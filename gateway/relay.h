/*  relay.h: a question upstream whose reply is the answer, passed through unread. */
#ifndef GATEWAY_RELAY_H
#define GATEWAY_RELAY_H

#include "gateway/gateway.h"

#define RELAY_TIMEOUT_MS 10000
#define RELAY_DELETE_MS  30000
#define RELAY_SEARCH_MS  30000
#define RELAY_HEALTH_MS  1000

/*  Answers the request with a reply, or with the error that came instead: an upstream_done_fn whose owner is the
 *  request. */
void relay_done (void *request, frames_t *reply, const err_t *err);

/*  The error a reply carries: true and *err, or false: it is a success. */
bool relay_failed (const frames_t *reply, err_t *err);

/*  Asks and lets the reply be the answer. */
void relay (upstream_t *upstream, request_t *request, wire_msg_t *msg, bool safe, uint64_t timeout_ms);

#endif
