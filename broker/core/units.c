/*  units.c: where a unit of work is: nowhere, in the ready queue of its stage, waiting out a backoff, at a worker. */
#include "broker/core/state.h"

#include <assert.h>

#define SEGMENT_BITS 20 /* segments of one task keep their order within the task's place */
#define RUN_RANK     0u /* extraction of a task in hand: it holds memory, and a place that others wait for */
#define FRONT_RANK   1u

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

/*  Effective priority first; a document that is being deleted leaves before anything else arrives. */
static void place (const unit_t *unit, uint64_t *rank, uint64_t *order)
{
    const task_t *task = unit_task (unit);
    if (!task) {
        *rank = FRONT_RANK;
        *order = ((const purge_t *)(const void *)unit)->order << SEGMENT_BITS;
        return;
    }
    uint64_t number = unit->kind == UNIT_SEGMENT  ? ((const segment_t *)(const void *)unit)->number
                      : unit->kind == UNIT_COMMIT ? (1u << SEGMENT_BITS) - 1
                                                  : 0;
    bool in_hand = unit->kind == UNIT_EXTRACT && task->run;
    *rank = in_hand ? RUN_RANK : task->front ? FRONT_RANK : FRONT_RANK + 11u - task->priority;
    *order = task->order << SEGMENT_BITS | number;
}

void unit_ready (core_t *self, unit_t *unit)
{
    assert (unit->where == AT_NONE);
    uint64_t rank, order;
    place (unit, &rank, &order);
    ready_insert (&self->ready[unit->stage], &unit->node, rank, order);
    unit->where = AT_READY;
    user_t *user = unit_user (unit);
    user->ready[unit->stage]++;
    user->queue_changed = true;
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
    case AT_READY:
        ready_remove (&self->ready[unit->stage], &unit->node);
        unit_user (unit)->ready[unit->stage]--;
        unit_user (unit)->queue_changed = true;
        break;
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
