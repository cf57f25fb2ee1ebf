/*  units.c: where a unit of work is: nowhere, in the ready queue of its stage, waiting out a backoff, at a worker. */
#include "broker/core/state.h"

#include <assert.h>

#define WATCHED_STEPS 2u /* of priority, while somebody looks at this very task */
#define SEGMENT_BITS  20 /* segments of one task keep their order within the task's place */

void unit_init (unit_t *unit, unit_kind_t kind, stage_t stage)
{
    *unit = (unit_t){ .kind = (uint8_t)kind, .stage = (uint8_t)stage, .where = AT_NONE };
}

static run_t *commit_run (const unit_t *unit)
{
    return (run_t *)(void *)((char *)(uintptr_t)unit - offsetof (run_t, commit));
}

task_t *unit_task (const unit_t *unit)
{
    switch ((unit_kind_t)unit->kind) {
    case UNIT_EXTRACT:
        return (task_t *)(uintptr_t)unit;
    case UNIT_SEGMENT:
        return ((segment_t *)(uintptr_t)unit)->task;
    case UNIT_COMMIT:
        return commit_run (unit)->task;
    case UNIT_PURGE:
        break;
    }
    return NULL;
}

user_t *unit_user (const unit_t *unit)
{
    task_t *task = unit_task (unit);
    return task ? task->user : ((purge_t *)(uintptr_t)unit)->user;
}

/*  Extraction of a task that is in hand holds memory, and a place that others wait for; a document that is being
 * deleted leaves before anything else arrives. */
static unsigned class_of (const unit_t *unit)
{
    const task_t *task = unit_task (unit);
    if (!task || (unit->kind == UNIT_EXTRACT && task->run))
        return CLASS_IN_HAND;
    unsigned priority = task->priority + (task->watched ? WATCHED_STEPS : 0);
    return task->front ? CLASS_FRONT : queue_class (priority < 10 ? priority : 10);
}

static uint64_t order_of (const unit_t *unit)
{
    const task_t *task = unit_task (unit);
    if (!task)
        return ((const purge_t *)(const void *)unit)->order << SEGMENT_BITS;
    uint64_t number = unit->kind == UNIT_SEGMENT  ? ((const segment_t *)(const void *)unit)->number
                      : unit->kind == UNIT_COMMIT ? (1u << SEGMENT_BITS) - 1
                                                  : 0;
    return task->order << SEGMENT_BITS | number;
}

void unit_ready (core_t *self, unit_t *unit)
{
    assert (unit->where == AT_NONE);
    user_t *user = unit_user (unit);
    if (!user->waiting++ && user->clock_us < self->now * 1000)
        user->clock_us = self->now * 1000; /* who comes back has saved nothing up */
    unit->class = (uint8_t)class_of (unit);
    queue_add (&self->ready[unit->stage], &user->queues[unit->stage], user->clock_us, user->number, &unit->node,
               unit->class, order_of (unit));
    unit->where = AT_READY;
    user->ready[unit->stage]++;
    user->queue_changed = true;
}

uint32_t unit_position (const unit_t *unit)
{
    return queue_position (&unit_user (unit)->queues[unit->stage], &unit->node, unit->class);
}

void unit_wait (core_t *self, unit_t *unit, uint64_t due_ms)
{
    assert (unit->where == AT_NONE);
    ready_insert (&self->backoff, &unit->node, due_ms, self->backoff_order++);
    unit->where = AT_BACKOFF;
}

void unit_leave (core_t *self, unit_t *unit)
{
    switch ((unit_where_t)unit->where) {
    case AT_NONE:
        break;
    case AT_READY: {
        user_t *user = unit_user (unit);
        queue_remove (&self->ready[unit->stage], &user->queues[unit->stage], user->clock_us, user->number, &unit->node,
                      unit->class);
        user->waiting--;
        user->ready[unit->stage]--;
        user->queue_changed = true;
        break;
    }
    case AT_BACKOFF:
        ready_remove (&self->backoff, &unit->node);
        break;
    case AT_WORKER: {
        job_t *job = unit->job;
        wire_msg_t msg = { .kind = WIRE_KIND_CANCEL, .cancel = { self->meta.epoch, job->number } };
        core_send_worker (self, job->worker, &msg, NULL);
        job_free (self, job);
        break;
    }
    }
    unit->where = AT_NONE;
}

void unit_rerank (core_t *self, unit_t *unit)
{
    if (unit->where != AT_READY)
        return;
    unit_leave (self, unit);
    unit_ready (self, unit);
}
