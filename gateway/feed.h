/*  feed.h: the broker's event feed as the gateway sees it: one subscription, and a bounded ring of what came.
 *
 *  Entries are numbered by arrival (`index`, from 0, without gaps). Readers keep an index of their own and read at
 * their own pace; a reader that falls behind the ring's oldest entry has lost something and is told so. So a slow
 * reader costs no memory and delays nobody.
 */
#ifndef GATEWAY_FEED_H
#define GATEWAY_FEED_H

#include "base/buf.h"
#include "base/err.h"
#include "base/uuid.h"

#include <zmq.h>

#define FEED_LINGER_MS 60000 /* the subscription outlives its last user by this */

typedef struct {
    uint64_t seq; /* 0: it has none (queue status) */
    uuid_t task;  /* null: it is about none */
    char event[24];
    bool ended; /* the task came to a final state, or was deleted */
    bool again; /* repeated because of a new subscription: not news, and out of order */
    buf_t *json;
} feed_event_t;

typedef struct feed feed_t;

/*  Called for every event as it arrives. */
typedef void feed_seen_fn (void *owner, const feed_event_t *event);

/*  A SUB on `endpoint` for the events of `user` (borrowed for good). NULL with ERR_CONFIG or ERR_IO. */
feed_t *feed_new (void *context, const char *endpoint, span_t user, feed_seen_fn *seen, void *owner, err_t *err);
void feed_destroy (feed_t **self_p);

/*  While there are users the subscription is on. feed_use is true when it was off until now. */
bool feed_use (feed_t *self);
void feed_release (feed_t *self, uint64_t now_ms);

/*  While in use: makes the broker repeat the last event of `task`, if it lives; watched tasks are unwatched in the end.
 *  To watch one that is watched already repeats it once more. */
void feed_watch (feed_t *self, uuid_t task, bool is_watched);
void feed_unwatch (feed_t *self, uuid_t task);

uint64_t feed_next (const feed_t *self);   /* index that the next event will have */
uint64_t feed_oldest (const feed_t *self); /* index of the oldest event kept; feed_next when none is */
const feed_event_t *feed_at (const feed_t *self, uint64_t index); /* NULL unless oldest ≤ index < next */
/*  Where a reader goes on that has seen everything up to `seq`: 0 and *index, or -1 when the ring no longer knows. */
int feed_after (const feed_t *self, uint64_t seq, uint64_t *index);

void feed_item (const feed_t *self, zmq_pollitem_t *item);
bool feed_turn (feed_t *self, uint64_t now_ms); /* true: more to do at once */
uint64_t feed_deadline (const feed_t *self);

/*  Adds an event as it came off the wire; for feed_turn and tests. -1 with ERR_PROTOCOL when it is none. */
int feed_add (feed_t *self, span_t topic, buf_t *json, err_t *err);

#endif
