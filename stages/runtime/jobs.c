/*  jobs.c: the jobs in a worker's hands, and what is said about them. */
#include "base/clock.h"
#include "stages/runtime/inside.h"

#include <assert.h>
#include <stdlib.h>

#define HOLD_US 500 /* within worker_run, with jobs waiting: how long results collect */

job_entry_t *runtime_find_job (const worker_t *self, uint64_t epoch, uint64_t number)
{
    job_entry_t *entry;
    TAILQ_FOREACH (entry, &self->jobs, link)
    if (entry->job.job.number == number && entry->job.job.epoch == epoch)
        return entry;
    return NULL;
}

log_where_t runtime_where (const wire_job_t *job)
{
    return (log_where_t){ .task = job->task,
                          .stage = stage_name ((stage_t)job->stage),
                          .segment = job->segment + 1ull,
                          .attempt = job->number };
}

void runtime_free_job (worker_t *self, job_entry_t *entry)
{
    TAILQ_REMOVE (&self->jobs, entry, link);
    if (entry->taken)
        self->in_hand--;
    else
        self->waiting--;
    frames_clear (&entry->in);
    free (entry);
}

static wire_result_t result_base (const worker_t *self, const job_entry_t *entry, const wire_result_t *said)
{
    const wire_job_t *job = &entry->job.job;
    wire_result_t result = said ? *said : (wire_result_t){ 0 };
    result.worker = self->id;
    result.epoch = job->epoch;
    result.number = job->number;
    result.task = job->task;
    result.stage = job->stage;
    result.action = job->action;
    if (self->stage != STAGE_EXTRACT)
        result.segment = job->segment;
    return result;
}

void runtime_flush (worker_t *self, uint64_t now_us)
{
    kept_flush (self->kept, now_us / 1000);
    self->flushed_us = now_us;
}

/*  Sends it; a worker that has more small jobs waiting collects results for a moment, so that the I/O thread and the
 *  broker are woken once for several. */
static void send_result (worker_t *self, job_entry_t *entry, wire_result_t *result, buf_t *const *columns)
{
    if (entry->dead)
        return;
    uint64_t now_us = clock_mono_us ();
    if (!result->cost_us)
        result->cost_us = now_us - entry->counted_us;
    entry->counted_us = now_us;
    result->columns = 0;
    for (unsigned i = 0; columns && i < COLUMN_COUNT; i++)
        if (columns[i])
            result->columns |= (uint8_t)(1u << i);
    kept_add (self->kept, result, columns);
    if (!self->holding || !self->waiting || now_us >= self->flushed_us + HOLD_US)
        runtime_flush (self, now_us);
}

static void fail_job (worker_t *self, job_entry_t *entry, const err_t *err, const wire_result_t *said)
{
    wire_result_t result = result_base (self, entry, said);
    result.outcome = RESULT_FAILED;
    result.code = span_str (err_name (err->code));
    result.message = span_str (err->message);
    if (self->stage == STAGE_EXTRACT) /* a number that no part has, so that an ACK means just one of them */
        result.segment = entry->next_segment;
    send_result (self, entry, &result, NULL);
    runtime_free_job (self, entry);
}

void runtime_fail_job (worker_t *self, job_entry_t *entry, const err_t *err)
{
    fail_job (self, entry, err, NULL);
}

worker_job_t *worker_take (worker_t *self)
{
    if (!self->waiting || self->draining)
        return NULL;
    job_entry_t *entry;
    TAILQ_FOREACH (entry, &self->jobs, link)
    if (!entry->taken)
        break;
    entry->taken = true;
    self->waiting--;
    self->in_hand++;
    entry->job.taken_us = entry->counted_us = clock_mono_us ();
    return &entry->job;
}

void worker_part (worker_t *self, worker_job_t *job, const wire_result_t *said, buf_t *columns[COLUMN_COUNT])
{
    job_entry_t *entry = (job_entry_t *)job;
    assert (said->segment < job->limit);
    wire_result_t result = result_base (self, entry, said);
    result.outcome = RESULT_PART;
    entry->next_segment = said->segment + 1;
    send_result (self, entry, &result, columns);
}

void worker_done (worker_t *self, worker_job_t *job, const wire_result_t *said, buf_t *columns[COLUMN_COUNT])
{
    job_entry_t *entry = (job_entry_t *)job;
    wire_result_t result = result_base (self, entry, said);
    result.outcome = RESULT_DONE;
    send_result (self, entry, &result, columns);
    runtime_free_job (self, entry);
}

void worker_fail (worker_t *self, worker_job_t *job, const err_t *err)
{
    runtime_fail_job (self, (job_entry_t *)job, err);
}

void worker_fail_with (worker_t *self, worker_job_t *job, const err_t *err, const wire_result_t *result)
{
    fail_job (self, (job_entry_t *)job, err, result);
}

void worker_progress (worker_t *self, const worker_job_t *job, uint64_t counter)
{
    (void)self;
    ((job_entry_t *)job)->progress = counter;
}
