/*  upstream.h: questions to a process behind the gateway (the broker, the storage), and their answers.
 *
 *  The peer may go and come back. A question that was not sent yet waits GRACE_MS from the moment the peer went; one
 *  that was sent and is safe to repeat (nothing changes by asking twice) is sent again; any other fails at once,
 * because nobody can say whether it was carried out. Once the peer was away for longer, questions fail immediately.
 */
#ifndef GATEWAY_UPSTREAM_H
#define GATEWAY_UPSTREAM_H

#include "wire/frames.h"

#include <zmq.h>

#define UPSTREAM_GRACE_MS 3000
#define UPSTREAM_ITEMS    2 /* poll items of one */

typedef struct upstream upstream_t;

/*  Called once for every question: *reply is a REPLY (the callee may take references of its buffers), or NULL, and then
 *  *err says why (ERR_UNAVAILABLE). */
typedef void upstream_done_fn (void *owner, frames_t *reply, const err_t *err);

/*  A DEALER to `endpoint`. `name` (borrowed for good) is what errors call the peer. NULL with ERR_CONFIG or ERR_IO. */
upstream_t *upstream_new (void *context, const char *name, const char *endpoint, err_t *err);
/*  Questions still open are forgotten without a call. */
void upstream_destroy (upstream_t **self_p);

/*  Asks: fills in msg->req; *payload (NULL: none) is referenced. `done` is never called before this returns. */
void upstream_ask (upstream_t *self, wire_msg_t *msg, buf_t *payload, bool safe, uint64_t timeout_ms,
                   upstream_done_fn *done, void *owner);

/*  Fails every open question with `why` ("is …"). */
void upstream_give_up (upstream_t *self, const char *why);

size_t upstream_pending (const upstream_t *self);
bool upstream_connected (const upstream_t *self);

/*  For the loop: what to poll for; then, whatever the poll said, a turn, which returns true while there is more to do
 *  at once; then when to come back at the latest (UINT64_MAX: no need). */
void upstream_items (const upstream_t *self, zmq_pollitem_t items[UPSTREAM_ITEMS]);
bool upstream_turn (upstream_t *self, uint64_t now_ms);
uint64_t upstream_deadline (const upstream_t *self);

#endif
