/*  jobs.c: workers, what they hold, and what comes back.
 *
 *  A job is one attempt: (epoch, number) fences it. A result that matches no job in its worker's hands is late or
 *  doubled: it is acknowledged, so that the worker forgets it, counted, and otherwise ignored.
 */
#include "base/log.h"
#include "broker/core/state.h"
#include "store/blob.h"

#include <stdio.h>
#include <stdlib.h>

#define BYTES_A_US 20u /* what a document is reckoned to cost when it is begun: 20 MB/s */

/*  --- workers --- */

static core_worker_t *worker_find (core_t *self, uuid_t id)
{
    for (core_worker_t *worker = self->workers; worker; worker = worker->next)
        if (uuid_eq (worker->id, id))
            return worker;
    return NULL;
}

static core_worker_t *worker_add (core_t *self, const wire_hello_t *hello)
{
    core_worker_t *worker = calloc (1, sizeof *worker);
    if (!worker)
        abort ();
    worker->id = hello->worker;
    worker->stage = (stage_t)hello->stage;
    worker->slots = hello->slots ? hello->slots : 1;
    char text[UUID_TEXT];
    uuid_text (hello->worker, text);
    snprintf (worker->name, sizeof worker->name, "%.8s", text + 28); /* the random end: UUIDv7s start alike */
    worker->next = self->workers;
    self->workers = worker;

    out_t *out = core_out (self, OUT_CONNECT);
    out->worker = worker->id;
    out->pid = hello->pid;
    out->frames[out->frame_count++] = buf_copy (hello->endpoint);
    out->frames[out->frame_count++] = buf_copy (hello->host);
    wire_msg_t msg = { .kind = WIRE_KIND_WELCOME,
                       .welcome = { self->meta.epoch, self->config.beat_ms, !BUG (STALE_JOBS) } };
    core_send_worker (self, worker, &msg, NULL);
    log_write (LOG_INFO, "worker_joined", &(log_where_t){ .stage = stage_name (worker->stage) },
               "worker %s of %s joined, pid %llu", worker->name, stage_name (worker->stage),
               (unsigned long long)hello->pid);
    return worker;
}

void job_free (core_t *self, job_t *job)
{
    core_worker_t *worker = job->worker;
    if (job->prev)
        job->prev->next = job->next;
    else
        worker->first = job->next;
    if (job->next)
        job->next->prev = job->prev;
    else
        worker->last = job->prev;
    worker->held--;
    worker->held_bytes -= job->bytes;
    user_t *user = unit_user (job->unit);
    user->running[worker->stage]--;
    user->queue_changed = true;
    if (job->unit->kind == UNIT_SEGMENT && job->unit->stage == STAGE_STORAGE)
        job->task->run->storage_out--;
    job->unit->job = NULL;
    job->unit->where = AT_NONE;
    free (job);
    (void)self;
}

static void unit_failed (core_t *self, job_t *job, span_t code, span_t message, bool lost);

void jobs_worker_gone (core_t *self, core_worker_t *worker, const char *why)
{
    log_write (LOG_WARN, "worker_gone", &(log_where_t){ .stage = stage_name (worker->stage) },
               "worker %s of %s is gone (%s); %u jobs go back", worker->name, stage_name (worker->stage), why,
               worker->held);
    core_worker_t **at = &self->workers;
    while (*at != worker)
        at = &(*at)->next;
    *at = worker->next;
    while (worker->first) {
        self->lost_jobs++;
        /* Only the oldest can have been running, and is to blame: but an extract worker has several in hand. */
        job_t *job = worker->last;
        if (job == worker->first || worker->stage == STAGE_EXTRACT)
            unit_failed (self, job, span_str (err_name (ERR_WORKER_LOST)), span_str (why), true);
        else {
            unit_t *unit = job->unit;
            job_free (self, job);
            if (!BUG (LOST_REQUEUE))
                unit_ready (self, unit);
        }
    }
    out_t *out = core_out (self, OUT_DISCONNECT);
    out->worker = worker->id;
    free (worker);
}

void core_worker_gone (core_t *self, uuid_t id)
{
    core_worker_t *worker = worker_find (self, id);
    if (worker)
        jobs_worker_gone (self, worker, "its process ended");
}

/*  --- silence: two clocks. That a worker is alive its beats say; that a job goes on, the job's own counter. --- */

/*  What a beat says about the jobs in its worker's hands. */
static void hear_progress (core_t *self, core_worker_t *worker, const wire_beat_t *beat)
{
    job_t *job = worker->first;
    while (job && job->number != beat->running)
        job = job->next;
    if (job && (!job->moved_ms || job->progress != beat->progress)) {
        job->progress = beat->progress;
        job->moved_ms = self->now;
    }
    worker->idle_ms = beat->running ? 0 : worker->idle_ms ? worker->idle_ms : self->now;
    worker->void_ms = !beat->running || job ? 0 : worker->void_ms ? worker->void_ms : self->now;
}

/*  When the job last showed that it goes on; 0: it waits, behind another or because we hold it back. */
static uint64_t moved (const core_t *self, const core_worker_t *worker, job_t *job)
{
    if (job->unit->kind == UNIT_EXTRACT && job->task->run->next >= job->task->run->limit) {
        job->moved_ms = job->moved_ms ? self->now : 0; /* until an ACK raises its limit */
        return 0;
    }
    if (job->moved_ms || !worker->idle_ms || job != worker->first)
        return job->moved_ms;
    return job->sent_ms > worker->idle_ms ? job->sent_ms : worker->idle_ms; /* its worker knows nothing of it */
}

static void kill_worker (core_t *self, core_worker_t *worker, const char *why)
{
    core_out (self, OUT_KILL)->worker = worker->id;
    jobs_worker_gone (self, worker, why);
}

/*  A job that stands still is asked to stop; a worker that does not, or that cannot let go of one that was taken from
 * it, is killed. */
static void check_silence (core_t *self, core_worker_t *worker)
{
    if (worker->void_ms && self->now >= worker->void_ms + self->config.silence_ms) {
        kill_worker (self, worker, "it does not let go of a job that was taken from it");
        return;
    }
    for (job_t *job = worker->first; job; job = job->next) {
        uint64_t since = moved (self, worker, job);
        if (!since || self->now < since + self->config.silence_ms)
            continue;
        if (!job->asked_ms) {
            job->asked_ms = self->now;
            wire_msg_t msg = { .kind = WIRE_KIND_CANCEL, .cancel = { self->meta.epoch, job->number } };
            core_send_worker (self, worker, &msg, NULL);
        } else if (self->now >= job->asked_ms + self->config.grace_ms) {
            unit_failed (self, job, span_str (err_name (ERR_TIMEOUT)),
                         SPAN_LIT ("it made no progress, nor did it stop"), false);
            kill_worker (self, worker, "one of its jobs stood still");
            return;
        }
    }
}

void jobs_check_workers (core_t *self)
{
    uint64_t silence_ms = (uint64_t)self->config.beat_ms * self->config.beats_missed;
    core_worker_t *next;
    for (core_worker_t *worker = self->workers; worker; worker = next) {
        next = worker->next;
        if (self->now > worker->seen_ms + silence_ms)
            jobs_worker_gone (self, worker, "it missed its beats");
        else
            check_silence (self, worker);
    }
    run_t *later;
    for (run_t *run = self->runs; run && self->config.task_ms; run = later) {
        later = run->next_run;
        if (self->now >= run->began_ms + self->config.task_ms && !run->task->committing)
            task_fail (self, run->task, span_str (err_name (ERR_TIMEOUT)),
                       SPAN_LIT ("It took longer than a task may take; --task-timeout says how long that is."));
    }
}

/*  --- dispatch --- */

static core_worker_t *pick_worker (core_t *self, stage_t stage)
{
    core_worker_t *best = NULL;
    for (core_worker_t *worker = self->workers; worker; worker = worker->next) {
        if (worker->stage != stage || worker->held >= worker->slots + BUG (ONE_SLOT_MORE))
            continue;
        /* One running and one waiting; more only while all of it together is small. Nothing waits behind a long
         * extraction while another worker may become free. */
        bool small =
            worker->held_bytes < (stage == STAGE_STORAGE ? self->config.batch_bytes : self->config.small_bytes);
        if (worker->held >= (stage == STAGE_EXTRACT ? 1u : 2u) && !small)
            continue;
        if (!best || worker->held < best->held)
            best = worker;
    }
    return best;
}

static void send_job (core_t *self, core_worker_t *worker, unit_t *unit, wire_job_t *job_msg,
                      buf_t *columns[COLUMN_COUNT], uint64_t bytes)
{
    job_t *job = calloc (1, sizeof *job);
    if (!job)
        abort ();
    job->number = self->next_number++;
    job->unit = unit;
    job->task = unit_task (unit);
    job->worker = worker;
    job->sent_ms = self->now;
    job->bytes = bytes;
    job->final = job_msg->final;
    job->prev = worker->last;
    if (worker->last)
        worker->last->next = job;
    else
        worker->first = job;
    worker->last = job;
    worker->held++;
    worker->held_bytes += bytes;
    unit->job = job;
    unit->where = AT_WORKER;
    unit_user (unit)->running[worker->stage]++;

    job_msg->epoch = self->meta.epoch;
    job_msg->number = job->number;
    job_msg->stage = (uint8_t)worker->stage;
    job_msg->tries = unit->tries;
    job_msg->user = unit_user (unit)->name;
    for (unsigned i = 0; columns && i < COLUMN_COUNT; i++)
        if (columns[i])
            job_msg->columns |= (uint8_t)(1u << i);
    core_send_worker (self, worker, &(wire_msg_t){ .kind = WIRE_KIND_JOB, .job = *job_msg }, columns);
}

/*  Sends the document to extract. -1: the task ended instead, or waits. */
static int send_extract (core_t *self, core_worker_t *worker, task_t *task)
{
    err_t err = { 0 };
    record_document_t document;
    str_t bytes = STR_INIT, path = STR_INIT;
    buf_t *columns[COLUMN_COUNT] = { NULL };
    int rc = -1;
    if (!task->run && task_start (self, task, &err) == -1)
        goto fail;
    run_t *run = task->run;
    record_key (&self->key, task->user->name, task->document);
    int found =
        record_get (self->kv, FAMILY_DOCUMENTS, str_span (&self->key), &record_document_shape, &document, &bytes, &err);
    if (found != 1) {
        if (found == 0)
            err_set (&err, ERR_NOT_FOUND, "the document is gone");
        goto fail;
    }
    str_clear (&run->filename);
    str_add (&run->filename, document.filename);
    if (document.in_file) {
        hash_t hash;
        memcpy (hash.bytes, document.hash.data, document.hash.size < HASH_SIZE ? document.hash.size : HASH_SIZE);
        blob_path (&path, self->config.data_dir, task->user->name, hash);
    } else {
        str_t blob = STR_INIT;
        record_key (&self->key, task->user->name, task->document);
        found = kv_get (self->kv, FAMILY_BLOBS, str_span (&self->key), &blob, &err);
        if (found != 1) {
            str_free (&blob);
            if (found == 0)
                err_set (&err, ERR_CORRUPT, "the bytes of the document are missing");
            goto fail;
        }
        columns[0] = core_str_buf (&blob);
    }
    run->limit = run_limit (self, run);
    wire_job_t msg = { .task = task->id,
                       .document = task->document,
                       .action = JOB_SEGMENT,
                       .segment = run->next,
                       .revision = task->revision,
                       .filename = document.filename,
                       .media_type = document.media_type,
                       .blob_path = str_span (&path),
                       .bytes = document.bytes,
                       .options = str_span (&run->options),
                       .cursor = buf_span (run->cursor),
                       .first_segment = run->next,
                       .limit = run->limit,
                       .text_offset = run->text_bytes };
    task->attempts++;
    task->stage = STAGE_EXTRACT;
    core_charge (self, task->user, document.bytes / BYTES_A_US);
    send_job (self, worker, &task->extract, &msg, columns, document.bytes);
    rc = 0;
    goto out;
fail:
    log_write (LOG_ERROR, "task_unstartable", &(log_where_t){ .task = task->id }, "%s", err.message);
    task_fail (self, task, span_str (err_name (err.code)), span_str (err.message));
out:
    buf_unref (&columns[0]);
    str_free (&bytes);
    str_free (&path);
    return rc;
}

static void send_segment (core_t *self, core_worker_t *worker, segment_t *segment)
{
    task_t *task = segment->task;
    run_t *run = task->run;
    wire_job_t msg = { .task = task->id,
                       .document = task->document,
                       .action = JOB_SEGMENT,
                       .segment = segment->number,
                       .revision = task->revision,
                       .filename = str_span (&run->filename),
                       .media_type = str_span (&run->media_type),
                       .options = str_span (&run->options),
                       .text_offset = segment->text_offset };
    if (worker->stage == STAGE_STORAGE) {
        /* The last one out also commits: a small document needs no job more. */
        uint32_t unfinished = 0;
        for (uint32_t i = 0; i < run->next - run->first; i++)
            unfinished += !run->segments[i]->finished;
        msg.final = run->extract_done && unfinished == 1;
        msg.segments = run->next;
        run->touched_storage = true;
        run->storage_out++;
        if (msg.final)
            task_committing (self, task);
    }
    if (worker->stage > task->stage)
        task->stage = (uint8_t)worker->stage;
    uint64_t bytes = 0;
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        bytes += buf_size (segment->columns[i]);
    send_job (self, worker, &segment->unit, &msg, segment->columns, bytes);
}

static void send_commit (core_t *self, core_worker_t *worker, run_t *run)
{
    task_t *task = run->task;
    wire_job_t msg = { .task = task->id,
                       .document = task->document,
                       .action = JOB_COMMIT,
                       .revision = task->revision,
                       .filename = str_span (&run->filename),
                       .media_type = str_span (&run->media_type),
                       .final = 1,
                       .segments = run->next };
    task->stage = STAGE_STORAGE;
    task_committing (self, task);
    send_job (self, worker, &run->commit, &msg, NULL, 0);
}

static void send_purge (core_t *self, core_worker_t *worker, purge_t *purge)
{
    wire_job_t msg = { .document = purge->document,
                       .action = purge->revision ? JOB_DROP_REVISION : JOB_DROP_DOCUMENT,
                       .revision = purge->revision };
    send_job (self, worker, &purge->unit, &msg, NULL, 0);
}

static void dispatch (core_t *self, core_worker_t *worker, unit_t *unit)
{
    unit_leave (self, unit);
    switch ((unit_kind_t)unit->kind) {
    case UNIT_EXTRACT:
        send_extract (self, worker, (task_t *)unit);
        break;
    case UNIT_SEGMENT:
        send_segment (self, worker, (segment_t *)unit);
        break;
    case UNIT_COMMIT:
        send_commit (self, worker, unit_task (unit)->run);
        break;
    case UNIT_PURGE:
        send_purge (self, worker, (purge_t *)unit);
        break;
    }
}

/*  True when nothing more may be begun: work in hand has to end first. */
static bool is_full (const core_t *self)
{
    return self->active >= self->config.active_max || self->memory_bytes >= self->config.memory_bytes;
}

/*  Nothing of the task is at a worker: why not, as of one of its units. */
static const char *why_waits (const core_t *self, const unit_t *unit)
{
    if (unit->where == AT_BACKOFF)
        return "backoff";
    if (unit->where != AT_READY)
        return NULL;
    if (unit->stage == STAGE_EXTRACT && !((const task_t *)(const void *)unit)->run && is_full (self))
        return "memory_budget";
    for (const core_worker_t *worker = self->workers; worker; worker = worker->next)
        if (worker->stage == unit->stage)
            return "user_share"; /* whoever is served, it is another one's or a better one's turn */
    return "workers";
}

const char *jobs_waiting_for (const core_t *self, const task_t *task)
{
    const char *why = why_waits (self, &task->extract);
    const run_t *run = task->run;
    if (task->extract.where == AT_WORKER || (run && run->commit.where == AT_WORKER))
        return NULL;
    for (uint32_t i = 0; run && i < run->next - run->first; i++) {
        const unit_t *unit = &run->segments[i]->unit;
        if (unit->where == AT_WORKER)
            return NULL;
        why = why ? why : why_waits (self, unit);
    }
    return why || !run ? why : why_waits (self, &run->commit);
}

void jobs_dispatch (core_t *self)
{
    for (int stage = STAGE_COUNT - 1; stage >= 0; stage--) { /* later stages first */
        user_queue_t *user;
        core_worker_t *worker;
        while ((user = queue_next (&self->ready[stage])) && (worker = pick_worker (self, (stage_t)stage))) {
            unit_t *unit = (unit_t *)queue_next_of (user);
            if (stage == STAGE_EXTRACT && !((task_t *)unit)->run && is_full (self))
                break;
            queue_taken (user);
            dispatch (self, worker, unit);
        }
    }
}

/*  --- results --- */

void jobs_ack (core_t *self, const job_t *job, uint32_t segment, uint32_t limit)
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

/*  A job ended badly, or its worker vanished: the unit goes back, waits, or fails for good. */
static void unit_failed (core_t *self, job_t *job, span_t code, span_t message, bool lost)
{
    unit_t *unit = job->unit;
    task_t *task = job->task;
    char code_name[64];
    snprintf (code_name, sizeof code_name, "%.*s", SPAN_ARG (code));
    err_class_t class = err_class (err_code (code_name));
    if (task) {
        if (job->final && !lost && class == ERR_REJECT)
            task->committing = false; /* storage says that it did not; of its other troubles nobody knows */
        events_note (self, task, lost ? "lost" : "failed", job, code, message, 0);
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

    /* A storage in trouble is never the document's fault: what was extracted waits until it is well again. */
    bool blameless = stage == STAGE_STORAGE && (lost || class == ERR_RETRY);
    bool retry = class == ERR_RETRY;
    if (lost)
        retry = ++unit->losses <= self->config.losses_max || blameless;
    else if (unit->tries < UINT8_MAX)
        unit->tries++;
    if (retry && (lost || blameless || unit->tries < self->config.tries_max)) {
        if (lost)
            unit_ready (self, unit);
        else
            unit_wait (self, unit, self->now + backoff (self, unit->tries));
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
        jobs_ack (self, job, result->segment, run->limit);
        run_progress (self, run);
        return 0;
    }
    run->extract_done = true;
    run->failed += result->segments_failed;
    run->bad_parts += result->segments_failed;
    jobs_ack (self, job, result->segment, run->limit);
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
    jobs_ack (self, job, result->segment, 0);
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

static int on_result (core_t *self, core_worker_t *worker, const frames_t *in, err_t *err)
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
        self->stale_results++;
        if (worker) {
            wire_msg_t msg = { .kind = WIRE_KIND_ACK, .ack = { result->epoch, result->number, result->segment, 0 } };
            core_send_worker (self, worker, &msg, NULL);
        }
        return 0;
    }
    if (job->task) {
        if (job->task->run)
            job->task->run->cost_us += result->cost_us;
        core_charge (self, job->task->user, result->cost_us);
        if (result->outcome == RESULT_DONE)
            events_note (self, job->task, "done", job, SPAN_EMPTY, SPAN_EMPTY, result->cost_us);
    }
    if (result->outcome == RESULT_FAILED) {
        jobs_ack (self, job, result->segment, 0);
        if (job->asked_ms)
            unit_failed (self, job, span_str (err_name (ERR_TIMEOUT)), SPAN_LIT ("it made no progress"), false);
        else
            unit_failed (self, job, result->code, result->message, false);
        return 0;
    }
    user_t *user = unit_user (job->unit);
    if (result->outcome == RESULT_DONE)
        user->done[job->unit->stage]++;
    switch ((unit_kind_t)job->unit->kind) {
    case UNIT_EXTRACT:
        if (extract_result (self, job, result, columns, err) == 0)
            return 0;
        /* A worker that breaks the protocol gets its job taken away; the attempt counts as failed. */
        jobs_ack (self, job, result->segment, 0);
        unit_failed (self, job, span_str (err_name (ERR_PROTOCOL)), span_str (err ? err->message : ""), false);
        return -1;
    case UNIT_SEGMENT:
        segment_result (self, job, (segment_t *)job->unit, result, columns);
        return 0;
    case UNIT_COMMIT: {
        task_t *task = job->task;
        jobs_ack (self, job, result->segment, 0);
        job_free (self, job);
        task_complete (self, task);
        return 0;
    }
    case UNIT_PURGE: {
        purge_t *purge = (purge_t *)job->unit;
        jobs_ack (self, job, result->segment, 0);
        job_free (self, job);
        purge_done (self, purge);
        return 0;
    }
    }
    return 0;
}

int jobs_input (core_t *self, const frames_t *in, err_t *err)
{
    const wire_msg_t *msg = &in->msg;
    if (msg->kind == WIRE_KIND_RESULT) {
        core_worker_t *worker = worker_find (self, msg->result.worker);
        if (worker)
            worker->seen_ms = self->now;
        return on_result (self, worker, in, err);
    }
    if (msg->kind == WIRE_KIND_BYE) {
        core_worker_t *worker = worker_find (self, msg->bye.worker);
        if (!worker)
            return 0;
        while (worker->last) { /* it was asked to stop: nobody's fault */
            unit_t *unit = worker->last->unit;
            job_free (self, worker->last);
            unit_ready (self, unit);
        }
        jobs_worker_gone (self, worker, "it was drained");
        return 0;
    }
    /* HELLO and BEAT start with the same fields; a beat of someone unknown means that this broker is new. */
    wire_hello_t hello = msg->hello;
    if (msg->kind == WIRE_KIND_BEAT)
        hello = (wire_hello_t){ msg->beat.worker, msg->beat.stage, msg->beat.slots,
                                msg->beat.pid,    msg->beat.host,  msg->beat.endpoint };
    if (hello.stage >= STAGE_COUNT)
        return err_set (err, ERR_PROTOCOL, "a worker says it is of stage %u", hello.stage);
    core_worker_t *worker = worker_find (self, hello.worker);
    if (!worker)
        worker = worker_add (self, &hello);
    else if (msg->kind == WIRE_KIND_HELLO || msg->beat.epoch != self->meta.epoch) {
        wire_msg_t welcome = { .kind = WIRE_KIND_WELCOME, .welcome = { self->meta.epoch, self->config.beat_ms, 0 } };
        core_send_worker (self, worker, &welcome, NULL);
    }
    worker->seen_ms = self->now;
    if (msg->kind == WIRE_KIND_BEAT && msg->beat.epoch == self->meta.epoch)
        hear_progress (self, worker, &msg->beat);
    return 0;
}
