#include "tests/sim/depot.h"

#include <stdlib.h>

#define REVISIONS 16u /* kept of one document at a time */

typedef struct {
    uint64_t revision; /* 0: free */
    uint32_t segments; /* mask */
} revision_t;

typedef struct {
    uuid_t id;
    uint64_t visible, dropped_through;
    uint64_t dark; /* what was visible when the power was lost last */
    revision_t revisions[REVISIONS];
} shelf_t;

struct depot {
    shelf_t *shelves;
    size_t count, room;
};

depot_t *depot_new (void)
{
    return calloc (1, sizeof (depot_t));
}

void depot_destroy (depot_t **self_p)
{
    if (!*self_p)
        return;
    free ((*self_p)->shelves);
    free (*self_p);
    *self_p = NULL;
}

static shelf_t *shelf_of (const depot_t *self, uuid_t document)
{
    for (size_t i = 0; i < self->count; i++)
        if (uuid_eq (self->shelves[i].id, document))
            return &self->shelves[i];
    return NULL;
}

static shelf_t *make_shelf (depot_t *self, uuid_t document)
{
    shelf_t *shelf = shelf_of (self, document);
    if (shelf)
        return shelf;
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 64;
        self->shelves = realloc (self->shelves, self->room * sizeof *self->shelves);
        if (!self->shelves)
            abort ();
    }
    shelf = &self->shelves[self->count++];
    *shelf = (shelf_t){ .id = document };
    return shelf;
}

static revision_t *revision_of (shelf_t *shelf, uint64_t number, bool make)
{
    revision_t *free_one = NULL;
    for (size_t i = 0; i < REVISIONS; i++) {
        if (shelf->revisions[i].revision == number)
            return &shelf->revisions[i];
        if (!shelf->revisions[i].revision)
            free_one = &shelf->revisions[i];
    }
    if (make && !free_one)
        abort (); /* remains pile up: the broker never asks to drop them */
    if (make)
        *free_one = (revision_t){ .revision = number };
    return make ? free_one : NULL;
}

static void drop (shelf_t *shelf, uint64_t through, uint64_t exactly)
{
    for (size_t i = 0; i < REVISIONS; i++) {
        revision_t *at = &shelf->revisions[i];
        if (at->revision && (at->revision == exactly || at->revision <= through))
            *at = (revision_t){ 0 };
    }
}

static void commit (shelf_t *shelf, uint64_t revision)
{
    revision_t *now = revision_of (shelf, revision, true);
    uint64_t old = shelf->visible;
    (void)now;
    shelf->visible = revision;
    if (old)
        drop (shelf, 0, old);
}

void depot_apply (depot_t *self, const wire_job_t *job)
{
    shelf_t *shelf = make_shelf (self, job->document);
    bool late = job->revision <= shelf->visible || job->revision <= shelf->dropped_through;
    switch ((job_action_t)job->action) {
    case JOB_SEGMENT:
        if (late)
            return;
        revision_of (shelf, job->revision, true)->segments |= 1u << job->segment;
        if (job->final)
            commit (shelf, job->revision);
        break;
    case JOB_COMMIT:
        if (!late)
            commit (shelf, job->revision);
        break;
    case JOB_DROP_REVISION:
        if (job->revision == shelf->visible && !job->final)
            break;
        if (job->revision == shelf->visible) {
            shelf->visible = 0;
            shelf->dropped_through = job->revision;
        }
        drop (shelf, 0, job->revision);
        break;
    case JOB_DROP_DOCUMENT:
        shelf->dropped_through = UINT64_MAX;
        shelf->visible = 0;
        drop (shelf, UINT64_MAX, 0);
        break;
    }
}

uint64_t depot_visible (const depot_t *self, uuid_t document, uint32_t *segments)
{
    shelf_t *shelf = shelf_of (self, document);
    *segments = 0;
    if (!shelf || !shelf->visible)
        return 0;
    *segments = revision_of (shelf, shelf->visible, true)->segments;
    return shelf->visible;
}

void depot_power_lost (depot_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        self->shelves[i].dark = self->shelves[i].visible;
}

bool depot_is_dark (const depot_t *self, uuid_t document)
{
    const shelf_t *shelf = shelf_of (self, document);
    return shelf && shelf->visible && shelf->dark == shelf->visible;
}

bool depot_has_remains (const depot_t *self, uuid_t document)
{
    const shelf_t *shelf = shelf_of (self, document);
    for (size_t i = 0; shelf && i < REVISIONS; i++)
        if (shelf->revisions[i].revision && shelf->revisions[i].revision != shelf->visible)
            return true;
    return false;
}

void depot_forget (depot_t *self, uuid_t document)
{
    shelf_t *shelf = shelf_of (self, document);
    if (shelf)
        *shelf = self->shelves[--self->count];
}
