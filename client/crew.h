/*  crew.h: the workers of the stages whose numbers may change: asks the broker how busy they are, decides (scale.h),
 * and lets the supervisor's children come and go.
 *
 *  Every worker there may ever be is a child from the beginning; who is not wanted now is `spare`: not started, not
 *  started again. Who becomes spare is asked to end (SIGTERM) and may finish what it has begun.
 */
#ifndef CLIENT_CREW_H
#define CLIENT_CREW_H

#include "client/child.h"
#include "client/scale.h"

typedef struct crew crew_t;

/*  `front` is where the broker answers; copied. */
crew_t *crew_new (const scale_limits_t *limits, const char *front);
void crew_destroy (crew_t **self_p);

/*  Adds a child, borrowed for the life of the crew, before the first turn; spare, when its stage begins with fewer. */
void crew_add (crew_t *self, child_t *child, stage_t stage);

/*  Asks, listens, changes: sets `spare`, plans starts as restart_ms, signals. To be called when it said, or before.
 *  Returns the monotonic time of the next turn. */
uint64_t crew_turn (crew_t *self, uint64_t now_ms);

#endif
