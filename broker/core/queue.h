/*  queue.h: what waits at one stage: whose turn it is, then which of their units.
 *
 *  Between users by fair share: every user has a clock, which cost moves forward: the CPU time of its jobs, the bytes
 * of its documents. Who has used the least lately is next. A step of priority is worth a second on that clock, and the
 *  clock of who has used nothing stands still: so a low priority waits nine seconds at most for other users (twenty
 * when it owes, and the others were moved to the front).
 *
 *  Within a user by priority, then age; but every OLDEST_EVERY-th unit is the oldest, whatever its priority: one that
 *  has n older ones before it is taken after at most (n + 1) × OLDEST_EVERY of its user's units; those in hand, which
 * go first, are not counted.
 */
#ifndef BROKER_CORE_QUEUE_H
#define BROKER_CORE_QUEUE_H

#include "broker/core/ready.h"

#include <stdbool.h>

#define PRIORITY_US  1000000u
#define OLDEST_EVERY 8u
/*  What a user may be behind others at most, however long it had everything for itself. */
#define DEBT_MAX_US 10000000u

/*  Classes of units, best first. */
#define CLASS_IN_HAND 0u /* goes before everything: others wait for it */
#define CLASS_FRONT   1u
#define CLASS_HIGHEST 2u /* priority 10; 11: priority 1 */
#define CLASS_COUNT   12u

/*  All users that have something waiting at a stage. */
typedef struct {
    ready_t turns;
} queue_t;

/*  What one user has waiting there. */
typedef struct {
    ready_node_t node; /* in the stage's turns; first member */
    ready_t classes[CLASS_COUNT];
    uint32_t count, taken; /* taken: of those that were not in hand */
} user_queue_t;

static inline unsigned queue_class (unsigned priority)
{
    return CLASS_HIGHEST + 10u - priority;
}

/*  `clock` is the user's; `id` any number that no other user has. The node's order must be unique in the class. */
void queue_add (queue_t *self, user_queue_t *user, uint64_t clock, uint64_t id, ready_node_t *node, unsigned class,
                uint64_t order);
void queue_remove (queue_t *self, user_queue_t *user, uint64_t clock, uint64_t id, ready_node_t *node, unsigned class);
/*  The user's clock moved. */
void queue_moved (queue_t *self, user_queue_t *user, uint64_t clock, uint64_t id);

/*  Whose turn it is, or NULL; and which unit would be taken then. */
user_queue_t *queue_next (const queue_t *self);
ready_node_t *queue_next_of (const user_queue_t *user);
/*  The unit that was next is taken now (and removed by the caller). */
void queue_taken (user_queue_t *user);

/*  Units of the same user before this one. */
uint32_t queue_position (const user_queue_t *user, const ready_node_t *node, unsigned class);

#endif
