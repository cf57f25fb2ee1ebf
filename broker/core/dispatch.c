/*  dispatch.c: jobs to free slots: which worker, which unit, and what it is sent. */
#include "base/log.h"
#include "broker/core/state.h"
#include "store/blob.h"

#include <stdlib.h>

#define BYTES_A_US    20u /* what a document is reckoned to cost when it is begun: 20 MB/s */
#define SUSPECT_AFTER 2u  /* vanished workers under the same document: from then on it is alone with its worker */

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

/*  A worker of extract that vanishes takes all it has in hand with it, and nobody knows which of it it was. */
static bool is_suspect (const unit_t *unit)
{
    return unit->kind == UNIT_EXTRACT && unit->losses >= SUSPECT_AFTER;
}

static core_worker_t *pick_worker (core_t *self, stage_t stage, const unit_t *unit)
{
    core_worker_t *best = NULL;
    for (core_worker_t *worker = self->workers; worker; worker = worker->next) {
        if (worker->stage != stage || worker->held >= worker->slots + BUG (ONE_SLOT_MORE))
            continue;
        if (worker->held && (is_suspect (unit) || is_suspect (worker->first->unit)))
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
    job->attempt = unit->kind == UNIT_EXTRACT ? job->task->attempts : unit->sent + 1;
    job->final = job_msg->final;
    unit->sent++;
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
    record_key (&self->key, task->user->name, task->document);
    int found =
        record_get (self->kv, FAMILY_DOCUMENTS, str_span (&self->key), &record_document_shape, &document, &bytes, &err);
    if (found != 1) {
        if (found == 0)
            err_set (&err, ERR_NOT_FOUND, "the document is gone");
        goto fail;
    }
    /* Another task of the same content may have failed of it while this one waited. */
    if (task->status == TASK_PENDING && poison_known (self, task->user, document.hash, task->updated_at, &err)) {
        task_fail (self, task, span_str (err_name (err.code)), span_str (err.message));
        goto out;
    }
    task->attempts++; /* before the start writes it down */
    if (!task->run && task_start (self, task, &err) == -1)
        goto fail;
    run_t *run = task->run;
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
    task->stage = STAGE_EXTRACT;
    core_charge (self, task->user, document.bytes / BYTES_A_US);
    bool again = run->resumed || task->extract.sent;
    send_job (self, worker, &task->extract, &msg, columns, document.bytes);
    run->resumed = false;
    if (again) { /* rare, and what shows how much is done twice */
        note_t note = { .event = "resumed",
                        .job = task->extract.job,
                        .has_segment = true,
                        .segment = run->next,
                        .cursor = buf_span (run->cursor) };
        events_note (self, task, &note);
        events_flush (self, task);
        task_save (self, task);
    }
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

/*  A power cut can take that storage was told to commit (it is not synced), but not what it committed: when the task is
 *  cancelled then, its revision is visible, and has to go. Where another was visible before, which is gone, it stays:
 * it is of the same bytes. */
static bool nothing_completed (core_t *self, const purge_t *purge)
{
    record_document_t document;
    str_t bytes = STR_INIT;
    record_key (&self->key, purge->user->name, purge->document);
    bool nothing = record_get (self->kv, FAMILY_DOCUMENTS, str_span (&self->key), &record_document_shape, &document,
                               &bytes, NULL) == 1 &&
                   !document.revision;
    str_free (&bytes);
    return nothing;
}

static void send_purge (core_t *self, core_worker_t *worker, purge_t *purge)
{
    wire_job_t msg = { .document = purge->document,
                       .action = purge->revision ? JOB_DROP_REVISION : JOB_DROP_DOCUMENT,
                       .revision = purge->revision,
                       .final = purge->revision && nothing_completed (self, purge) };
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
    return self->hold || self->active >= self->config.active_max || self->memory_bytes >= self->config.memory_bytes;
}

/*  Nothing of the task is at a worker: why not, as of one of its units. */
static const char *why_waits (const core_t *self, const unit_t *unit)
{
    if (unit->where == AT_BACKOFF)
        return "backoff";
    if (unit->where != AT_READY)
        return NULL;
    if (unit->stage == STAGE_EXTRACT && !((const task_t *)(const void *)unit)->run && is_full (self))
        return self->hold ? "disk_space" : "memory_budget";
    for (const core_worker_t *worker = self->workers; worker; worker = worker->next)
        if (worker->stage == unit->stage)
            return "user_share"; /* whoever is served, it is another one's or a better one's turn */
    return "workers";
}

const char *dispatch_waiting_for (const core_t *self, const task_t *task)
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

void dispatch_all (core_t *self)
{
    for (int stage = STAGE_COUNT - 1; stage >= 0; stage--) { /* later stages first */
        user_queue_t *user;
        core_worker_t *worker;
        while ((user = queue_next (&self->ready[stage]))) {
            unit_t *unit = (unit_t *)queue_next_of (user);
            worker = pick_worker (self, (stage_t)stage, unit);
            if (!worker || (stage == STAGE_EXTRACT && !((task_t *)unit)->run && is_full (self)))
                break;
            queue_taken (user);
            dispatch (self, worker, unit);
        }
    }
}
