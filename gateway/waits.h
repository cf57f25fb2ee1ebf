/*  waits.h: who is to be told when a task ends (GET a task with ?wait=SECONDS; streams that are opened).
 *
 *  The feed is subscribed to before the broker is asked, and every terminal event makes it be asked again. A
 *  subscription takes a moment to arrive and a feed may drop what a slow reader missed, so it is also asked again after
 *  a tenth of a second, then at growing intervals: an event that was missed costs time, never the answer.
 */
#ifndef GATEWAY_WAITS_H
#define GATEWAY_WAITS_H

#include "gateway/feed.h"
#include "gateway/request.h"
#include "gateway/upstream.h"

#define WAITS_MAX 4096u /* that wait at a time */

typedef struct waits waits_t;

waits_t *waits_new (gateway_t *gateway);
void waits_destroy (waits_t **self_p);

/*  Asks for `task` and calls `done` with the reply when it has ended, or with its state after `seconds`; when there are
 *  WAITS_MAX already, or the gateway is stopping, with its state now. Not before this returns. */
void waits_add (waits_t *self, uuid_t task, uint64_t seconds, upstream_done_fn *done, void *owner);

size_t waits_pending (const waits_t *self);

void waits_event (waits_t *self, const feed_event_t *event);
void waits_turn (waits_t *self, uint64_t now_ms);
uint64_t waits_deadline (const waits_t *self);
/*  Tells all of them the state their tasks have now. */
void waits_hurry (waits_t *self);

#endif
