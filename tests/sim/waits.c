#include "tests/sim/waits.h"
#include "broker/core/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define USERS_MAX 64u
/*  Lowest priority against the front of another's queue, and what a user may owe. */
#define STAND_MS ((CLASS_COUNT - 1 - CLASS_FRONT) * (uint64_t)PRIORITY_US / 1000 + DEBT_MAX_US / 1000)

typedef struct {
    user_t *user;
    uint64_t order;
    int64_t left; /* of its user's units that may be taken before it */
    uint64_t allowed;
    bool gone; /* taken in this dispatch */
} waiter_t;

typedef struct {
    user_t *user;
    uint64_t clock_us, since_ms; /* it stands still since then: has units that wait, none is taken, nothing charged */
    bool stands, seen;
    uint32_t taken;             /* in this dispatch */
    uint64_t older, entered;    /* counted on the way through its waiters: all; those that were not there before */
    uint32_t passed[USERS_MAX]; /* by each of the others, after it had stood for STAND_MS */
} stander_t;

struct waits {
    waiter_t *waiters; /* by order */
    size_t count, room;
    stander_t users[USERS_MAX];
    size_t user_count;
    uint64_t longest_ms, waited; /* for the report: longest stand, waits that were watched */
    double nearest;              /* share of what was allowed that was used */
};

waits_t *waits_new (void)
{
    waits_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    return self;
}

void waits_destroy (waits_t **self_p)
{
    if (*self_p)
        free ((*self_p)->waiters);
    free (*self_p);
    *self_p = NULL;
}

void waits_forget (waits_t *self)
{
    self->count = 0;
    self->user_count = 0;
}

static stander_t *stander_of (waits_t *self, user_t *user)
{
    for (size_t i = 0; i < self->user_count; i++)
        if (self->users[i].user == user)
            return &self->users[i];
    if (self->user_count == USERS_MAX)
        abort ();
    self->users[self->user_count] = (stander_t){ .user = user };
    return &self->users[self->user_count++];
}

static const waiter_t *old_waiter (const waiter_t *old, size_t count, uint64_t order)
{
    while (count) {
        size_t middle = count / 2;
        if (old[middle].order == order)
            return &old[middle];
        if (old[middle].order < order) {
            old += middle + 1;
            count -= middle + 1;
        } else
            count = middle;
    }
    return NULL;
}

static int by_order (const void *a, const void *b)
{
    uint64_t left = ((const waiter_t *)a)->order, right = ((const waiter_t *)b)->order;
    return left < right ? -1 : left > right;
}

typedef struct {
    waiter_t *waiters;
    size_t count, room;
} list_t;

static void collect (list_t *list, user_t *user, const ready_node_t *node)
{
    if (!node)
        return;
    collect (list, user, node->left);
    collect (list, user, node->right);
    if (list->count == list->room) {
        list->room = list->room ? 2 * list->room : 256;
        list->waiters = realloc (list->waiters, list->room * sizeof *list->waiters);
        if (!list->waiters)
            abort ();
    }
    list->waiters[list->count++] = (waiter_t){ .user = user, .order = node->order };
}

static void collect_users (list_t *list, const ready_node_t *node)
{
    if (!node)
        return;
    collect_users (list, node->left);
    collect_users (list, node->right);
    user_queue_t *queue = (user_queue_t *)(uintptr_t)node;
    user_t *user = (user_t *)(void *)((char *)queue - offsetof (user_t, queues) - STAGE_EXTRACT * sizeof *queue);
    for (unsigned class = CLASS_FRONT; class < CLASS_COUNT; class ++)
        collect (list, user, queue->classes[class].root);
}

/*  All that waits to be begun, by order. */
static list_t who_waits (const core_t *core)
{
    list_t list = { 0 };
    collect_users (&list, core->ready[STAGE_EXTRACT].turns.root);
    if (list.count)
        qsort (list.waiters, list.count, sizeof *list.waiters, by_order);
    return list;
}

void waits_before (waits_t *self, const core_t *core)
{
    list_t now = who_waits (core);
    for (size_t i = 0; i < self->user_count; i++)
        self->users[i].older = self->users[i].entered = 0;
    for (size_t i = 0; i < now.count; i++) { /* the oldest first */
        waiter_t *waiter = &now.waiters[i];
        stander_t *user = stander_of (self, waiter->user);
        const waiter_t *before = old_waiter (self->waiters, self->count, waiter->order);
        uint64_t more = OLDEST_EVERY * user->entered;
        waiter->allowed = before ? before->allowed + more : OLDEST_EVERY * (user->older + 1);
        waiter->left = before ? before->left + (int64_t)more : (int64_t)waiter->allowed;
        user->older++;
        user->entered += !before;
        self->waited += !before;
    }
    free (self->waiters);
    self->waiters = now.waiters;
    self->count = now.count;
    self->room = now.room;

    for (size_t i = 0; i < self->user_count; i++) {
        self->users[i].taken = 0;
        self->users[i].seen = false;
    }
    for (size_t i = 0; i < self->count; i++) {
        stander_t *stander = stander_of (self, self->waiters[i].user);
        if (!stander->stands || stander->clock_us != stander->user->clock_us)
            *stander = (stander_t){
                .user = stander->user, .clock_us = stander->user->clock_us, .since_ms = core->now, .stands = true
            };
        stander->seen = true;
    }
    for (size_t i = 0; i < self->user_count; i++)
        self->users[i].stands &= self->users[i].seen;
}

/*  True while nobody that stands is passed twice. */
static bool check_users (waits_t *self, const core_t *core)
{
    for (size_t i = 0; i < self->user_count; i++) {
        stander_t *stander = &self->users[i];
        uint64_t stood = core->now - stander->since_ms;
        if (!stander->stands || stander->taken)
            continue;
        if (stood > self->longest_ms)
            self->longest_ms = stood;
        for (size_t k = 0; stood > STAND_MS && k < self->user_count; k++)
            if (k != i && self->users[k].taken && ++stander->passed[k] > 1) {
                fprintf (stderr, "%.*s stands for %" PRIu64 " ms while %.*s is served\n",
                         SPAN_ARG (stander->user->name), stood, SPAN_ARG (self->users[k].user->name));
                return false;
            }
    }
    return true;
}

bool waits_after (waits_t *self, const core_t *core)
{
    list_t now = who_waits (core);
    for (size_t i = 0; i < self->count; i++) {
        waiter_t *waiter = &self->waiters[i];
        waiter->gone = !old_waiter (now.waiters, now.count, waiter->order);
        stander_of (self, waiter->user)->taken += waiter->gone;
    }
    free (now.waiters);
    size_t kept = 0;
    for (size_t i = 0; i < self->count; i++) {
        waiter_t waiter = self->waiters[i];
        if (waiter.gone)
            continue;
        waiter.left -= stander_of (self, waiter.user)->taken;
        double used = 1.0 - (double)waiter.left / (double)waiter.allowed;
        if (used > self->nearest)
            self->nearest = used;
        if (waiter.left <= 0) {
            fprintf (stderr, "a unit of %.*s waits while %" PRIu64 " of its user's are taken\n",
                     SPAN_ARG (waiter.user->name), waiter.allowed);
            return false;
        }
        self->waiters[kept++] = waiter;
    }
    self->count = kept;
    for (size_t i = 0; i < self->user_count; i++)
        self->users[i].stands &= !self->users[i].taken;
    return check_users (self, core);
}

void waits_print (const waits_t *self)
{
    printf ("    %" PRIu64 " waits watched: %.0f %% of the bound at most within a user; longest without a turn %" PRIu64
            " ms, bound %" PRIu64 " ms\n",
            self->waited, 100 * self->nearest, self->longest_ms, (uint64_t)STAND_MS);
}
