/*  waits.h: requests that are to be answered when their task ends (GET a task with ?wait=SECONDS).
 *
 *  The feed is subscribed to before the broker is asked, and every terminal event makes it be asked again. A
 *  subscription takes a moment to arrive and a feed may drop what a slow reader missed, so it is also asked again after
 *  a tenth of a second, then at growing intervals: an event that was missed costs time, never the answer.
 */
#ifndef GATEWAY_WAITS_H
#define GATEWAY_WAITS_H

#include "gateway/feed.h"
#include "gateway/request.h"

#define WAITS_MAX 4096u /* that wait at a time */

typedef struct waits waits_t;

waits_t *waits_new (gateway_t *gateway);
void waits_destroy (waits_t **self_p);

/*  Takes the request over: answers it when task `request->id` has ended, or with its state after `seconds`; when there
 *  are WAITS_MAX already, with its state now. */
void waits_add (waits_t *self, request_t *request, uint64_t seconds);

void waits_event (waits_t *self, const feed_event_t *event);
void waits_turn (waits_t *self, uint64_t now_ms);
uint64_t waits_deadline (const waits_t *self);
/*  Answers all of them with the state their tasks have now. */
void waits_hurry (waits_t *self);

#endif
