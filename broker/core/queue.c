#include "broker/core/queue.h"
#include "broker/core/bugs.h"

#include <stddef.h>

static unsigned best_class (const user_queue_t *user)
{
    unsigned class = 0;
    while (!user->classes[class].root)
        class ++;
    return class;
}

static void enter (queue_t *self, user_queue_t *user, uint64_t clock, uint64_t id)
{
    unsigned class = best_class (user);
    ready_insert (&self->turns, &user->node, class == CLASS_IN_HAND ? 0 : clock + class * (uint64_t)PRIORITY_US, id);
}

void queue_add (queue_t *self, user_queue_t *user, uint64_t clock, uint64_t id, ready_node_t *node, unsigned class,
                uint64_t order)
{
    bool was_there = user->count > 0;
    unsigned best = was_there ? best_class (user) : CLASS_COUNT;
    ready_insert (&user->classes[class], node, 0, order);
    user->count++;
    if (class >= best)
        return; /* whoever comes later changes nobody's turn */
    if (was_there)
        ready_remove (&self->turns, &user->node);
    enter (self, user, clock, id);
}

void queue_remove (queue_t *self, user_queue_t *user, uint64_t clock, uint64_t id, ready_node_t *node, unsigned class)
{
    ready_remove (&user->classes[class], node);
    if (--user->count && user->classes[class].root)
        return;
    ready_remove (&self->turns, &user->node);
    if (user->count)
        enter (self, user, clock, id);
}

void queue_moved (queue_t *self, user_queue_t *user, uint64_t clock, uint64_t id)
{
    if (!user->count)
        return;
    ready_remove (&self->turns, &user->node);
    enter (self, user, clock, id);
}

user_queue_t *queue_next (const queue_t *self)
{
    return (user_queue_t *)ready_first (&self->turns);
}

ready_node_t *queue_next_of (const user_queue_t *user)
{
    ready_node_t *next = ready_first (&user->classes[best_class (user)]);
    if ((user->taken + 1) % OLDEST_EVERY || user->classes[CLASS_IN_HAND].root || BUG (NO_AGEING))
        return next;
    for (unsigned class = CLASS_FRONT; class < CLASS_COUNT; class ++) {
        ready_node_t *first = ready_first (&user->classes[class]);
        if (first && first->order < next->order)
            next = first;
    }
    return next;
}

void queue_taken (user_queue_t *user)
{
    /* What is in hand does not count: the oldest would miss its turn whenever the eighth is one of those. */
    user->taken += !user->classes[CLASS_IN_HAND].root;
}

uint32_t queue_position (const user_queue_t *user, const ready_node_t *node, unsigned class)
{
    uint32_t before = ready_position (&user->classes[class], node);
    for (unsigned better = 0; better < class; better++)
        before += ready_size (&user->classes[better]);
    return before;
}
