/*  streams.h: server-sent events: each stream reads the feed's ring at its client's pace. */
#ifndef GATEWAY_STREAMS_H
#define GATEWAY_STREAMS_H

#include "gateway/feed.h"

#include <microhttpd.h>

typedef struct streams streams_t;

streams_t *streams_new (feed_t *feed);
/*  All streams must have ended: their connections are closed. */
void streams_destroy (streams_t **self_p);
/*  No connection stays suspended: they are about to be closed. */
void streams_abandon (streams_t *self);

/*  The endless answer for `connection`: events of `task` (null: of all), from now on, or after `last_id` (empty: now).
 *  Caller queues and destroys it. */
struct MHD_Response *streams_open (streams_t *self, struct MHD_Connection *connection, uuid_t task, span_t last_id);

/*  What a HEAD gets instead: the headers. Caller queues and destroys it. */
struct MHD_Response *streams_head (void);

/*  Wakes who has news or was silent for long, cuts who is too slow. True: connections were resumed. */
bool streams_turn (streams_t *self, uint64_t now_ms);
uint64_t streams_deadline (const streams_t *self);
void streams_end (streams_t *self); /* every stream says goodbye, also new ones */

#endif
