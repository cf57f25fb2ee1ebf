/*  results.c: what comes back from workers.
 *
 *  A job is one attempt: (epoch, number) fences it. A result that matches no job in its worker's hands is late or
 *  doubled: it is acknowledged, so that the worker forgets it, counted, and otherwise ignored.
 */
#include "base/log.h"
#include "broker/core/state.h"

#include <stdio.h>
#include <stdlib.h>

void results_ack (core_t *self, const job_t *job, uint32_t segment, uint32_t limit)
{
    wire_msg_t msg = { .kind = WIRE_KIND_ACK, .ack = { self->meta.epoch, job->number, segment, limit } };
    core_send_worker (self, job->worker, &msg, NULL);
}

static uint64_t backoff (core_t *self, unsigned tries)
{
    uint64_t most = self->config.backoff_max_ms, span_ms = self->config.backoff_ms;
    for (unsigned i = 1; i < tries && span_ms < most; i++)
        span_ms *= 2;
    return 1 + core_random (self, span_ms < most ? span_ms : most);
}

static void segment_failed (core_t *self, segment_t *segment, span_t code, span_t message)
{
    run_t *run = segment->task->run;
    char where[32];
    snprintf (where, sizeof where, "segment %u", segment->number);
    run_warn (run, code, message, where);
    str_clear (&run->error_code);
    str_add (&run->error_code, code);
    str_clear (&run->error_message);
    str_add (&run->error_message, message);
    run->failed++;
    segment->failed = true;
    run_segment_finished (self, run, segment);
    run_check_end (self, run);
}

/*  Troubles of a worker and of what it leans on, not of what it works on: another try is not a try of the document's.
 */
static bool is_of_surroundings (err_code_t code)
{
    return code == ERR_UNAVAILABLE || code == ERR_DRAINING || code == ERR_DISK_FULL || code == ERR_IO ||
           code == ERR_NO_MEMORY;
}

/*  Counts that the job ended badly, and says when its unit is to be tried again: in so many ms; -1: never. A vanished
 *  worker and troubles around have a bound of their own, far off; a storage in trouble has none: what was extracted
 *  waits until it is well again. */
static int64_t next_try (core_t *self, const job_t *job, err_code_t code, bool lost)
{
    unit_t *unit = job->unit;
    bool retry = err_class (code) == ERR_RETRY, storage = unit->stage == STAGE_STORAGE;
    if (!lost && !retry) { /* it would end so again */
        unit->tries += unit->tries < UINT8_MAX;
        return -1;
    }
    if (lost || is_of_surroundings (code)) {
        unit->losses += unit->losses < UINT16_MAX;
        if (unit->losses > self->config.losses_max && !storage)
            return -1;
        return lost ? 0 : (int64_t)backoff (self, unit->losses);
    }
    unit->tries += unit->tries < UINT8_MAX;
    return storage || unit->tries < self->config.tries_max ? (int64_t)backoff (self, unit->tries) : -1;
}

void job_failed (core_t *self, job_t *job, span_t code, span_t message, bool lost, const wire_result_t *result)
{
    unit_t *unit = job->unit;
    task_t *task = job->task;
    char code_name[64];
    snprintf (code_name, sizeof code_name, "%.*s", SPAN_ARG (code));
    err_code_t fault = err_code (code_name);
    int64_t in_ms = next_try (self, job, fault, lost);
    if (task) {
        if (job->final && !lost && err_class (fault) == ERR_REJECT)
            task->committing = false; /* storage says that it did not; of its other troubles nobody knows */
        if (in_ms < 0)
            faults_note (task->run, job, lost, code, result);
        events_note (self, task,
                     &(note_t){ .event = lost ? "lost" : "failed", .job = job, .code = code, .message = message });
        events_flush (self, task); /* what went wrong shall be known also after a crash */
        task_save (self, task);
    }
    stage_t stage = (stage_t)unit->stage;
    uint32_t segment = unit->kind == UNIT_SEGMENT ? ((segment_t *)unit)->number : 0;
    log_write (LOG_WARN, lost ? "job_lost" : "job_failed",
               &(log_where_t){ .task = task ? task->id : (uuid_t){ { 0 } },
                               .stage = stage_name (stage),
                               .segment = unit->kind == UNIT_SEGMENT ? segment + 1 : 0,
                               .attempt = job->number },
               "%.*s: %.*s", SPAN_ARG (code), SPAN_ARG (message));
    job_free (self, job);
    self->counters[stage].failed += !lost;

    if (in_ms >= 0) {
        self->retried_jobs++;
        if (in_ms == 0)
            unit_ready (self, unit);
        else
            unit_wait (self, unit, self->now + (uint64_t)in_ms);
        if (task) {
            events_task (self, task, FEED_RETRYING);
            task_save (self, task);
        }
        return;
    }
    if (!task) {
        purge_refused (self, (purge_t *)unit, code, message);
        return;
    }
    run_t *run = task->run;
    if (unit->kind == UNIT_SEGMENT)
        segment_failed (self, (segment_t *)unit, code, message);
    else if (unit->kind == UNIT_EXTRACT && run->next > 0) { /* keep what was read before the fault */
        run_warn (run, code, message, "document");
        run->failed++;
        run->bad_parts++;
        run->extract_done = true;
        run_check_end (self, run);
    } else
        task_fail (self, task, code, message);
}

static void set_text (str_t *text, span_t value)
{
    if (!value.size)
        return;
    str_clear (text);
    str_add (text, value);
}

static int extract_result (core_t *self, job_t *job, const wire_result_t *result, buf_t *columns[COLUMN_COUNT],
                           err_t *err)
{
    run_t *run = job->task->run;
    set_text (&run->media_type, result->media_type);
    set_text (&run->metadata, result->metadata);
    if (result->columns && run_add_segment (self, run, result, columns, err) == -1)
        return -1;
    run_add_warnings (run, result->warnings);
    if (result->outcome == RESULT_PART) {
        job->unit->tries = 0; /* tries are counted for each segment */
        job->unit->losses = 0;
        job->moved_ms = job->moved_ms ? self->now : 0;
        results_ack (self, job, result->segment, run->limit);
        run_progress (self, run);
        return 0;
    }
    run->extract_done = true;
    run->failed += result->segments_failed;
    run->bad_parts += result->segments_failed;
    results_ack (self, job, result->segment, run->limit);
    job_free (self, job);
    run_progress (self, run);
    run_check_end (self, run);
    return 0;
}

/*  The next stage of a segment, or the end of it. */
static void segment_result (core_t *self, job_t *job, segment_t *segment, const wire_result_t *result,
                            buf_t *columns[COLUMN_COUNT])
{
    run_t *run = segment->task->run;
    stage_t stage = (stage_t)segment->unit.stage;
    bool final = job->final;
    results_ack (self, job, result->segment, 0);
    job_free (self, job);
    for (size_t i = 3; i < COLUMN_COUNT; i++) /* spans, vectors: each stage adds its own */
        if (columns[i] && !segment->columns[i]) {
            segment->columns[i] = buf_ref (columns[i]);
            self->memory_bytes += buf_size (columns[i]);
        }
    run_add_warnings (run, result->warnings);
    run->stage_done++;
    segment->unit.tries = 0;
    segment->unit.losses = 0;
    segment->unit.sent = 0;
    if (stage == STAGE_CHUNK)
        segment->chunks = result->chunks;
    if (stage == STAGE_EMBED)
        segment->embeddings = result->embeddings;
    if (stage != STAGE_STORAGE) {
        segment->unit.stage = (uint8_t)(stage + 1);
        if (stage == STAGE_CHUNK && !buf_size (segment->columns[3])) { /* no chunks: nothing to embed */
            segment->unit.stage = STAGE_STORAGE;
            run->stage_done++;
        }
        unit_ready (self, &segment->unit);
        run_progress (self, run);
        return;
    }
    run->stored++;
    run->chunks += segment->chunks;
    run->embeddings += segment->embeddings;
    run_segment_finished (self, run, segment);
    if (final) {
        task_complete (self, run->task);
        return;
    }
    run_progress (self, run);
    run_check_end (self, run);
}

int results_input (core_t *self, core_worker_t *worker, const frames_t *in, err_t *err)
{
    const wire_result_t *result = &in->msg.result;
    buf_t *columns[COLUMN_COUNT];
    if (frames_columns (in, result->columns, columns, err) == -1)
        return -1;
    job_t *job = NULL;
    if (worker && (result->epoch == self->meta.epoch || BUG (NO_FENCE)))
        for (job = worker->first; job && job->number != result->number; job = job->next)
            ;
    if (!job || job->unit->stage != result->stage ||
        (job->unit->kind == UNIT_EXTRACT && result->outcome != RESULT_FAILED && result->columns &&
         result->segment < job->task->run->next && !BUG (DOUBLED))) {
        self->stale_results += !BUG (UNCOUNTED);
        if (worker) {
            wire_msg_t msg = { .kind = WIRE_KIND_ACK, .ack = { result->epoch, result->number, result->segment, 0 } };
            core_send_worker (self, worker, &msg, NULL);
        }
        return 0;
    }
    self->counters[job->unit->stage].cost_us += result->cost_us;
    if (job->task) {
        if (job->task->run)
            job->task->run->cost_us += result->cost_us;
        core_charge (self, job->task->user, result->cost_us);
        if (result->outcome == RESULT_DONE)
            events_note (self, job->task, &(note_t){ .event = "done", .job = job, .cost_us = result->cost_us });
    }
    if (result->outcome == RESULT_FAILED) {
        results_ack (self, job, result->segment, 0);
        if (job->asked_ms)
            job_failed (self, job, span_str (err_name (ERR_TIMEOUT)), SPAN_LIT ("it made no progress"), false, result);
        else
            job_failed (self, job, result->code, result->message, false, result);
        return 0;
    }
    user_t *user = unit_user (job->unit);
    if (result->outcome == RESULT_DONE) {
        user->done[job->unit->stage]++;
        self->counters[job->unit->stage].done++;
    }
    switch ((unit_kind_t)job->unit->kind) {
    case UNIT_EXTRACT:
        if (extract_result (self, job, result, columns, err) == 0)
            return 0;
        /* A worker that breaks the protocol gets its job taken away; the attempt counts as failed. */
        results_ack (self, job, result->segment, 0);
        job_failed (self, job, span_str (err_name (ERR_PROTOCOL)), span_str (err ? err->message : ""), false, NULL);
        return -1;
    case UNIT_SEGMENT:
        segment_result (self, job, (segment_t *)job->unit, result, columns);
        return 0;
    case UNIT_COMMIT: {
        task_t *task = job->task;
        results_ack (self, job, result->segment, 0);
        job_free (self, job);
        task_complete (self, task);
        return 0;
    }
    case UNIT_PURGE: {
        purge_t *purge = (purge_t *)job->unit;
        results_ack (self, job, result->segment, 0);
        job_free (self, job);
        purge_done (self, purge);
        return 0;
    }
    }
    return 0;
}
