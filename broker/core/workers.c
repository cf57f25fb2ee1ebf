/*  workers.c: who is there to work: they come, beat, stand still, and go. */
#include "base/log.h"
#include "broker/core/state.h"

#include <stdio.h>
#include <stdlib.h>

/*  Why a worker is gone when it was asked to go. */
static const char worker_drained[] = "it was drained";

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
    worker->pid = hello->pid;
    self->counters[worker->stage].joined++;
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

void workers_gone (core_t *self, core_worker_t *worker, const char *why)
{
    stage_counters_t *counters = &self->counters[worker->stage];
    bool drained = why == worker_drained;
    ++*(drained ? &counters->drained : &counters->vanished);
    log_write (drained ? LOG_INFO : LOG_WARN, "worker_gone", &(log_where_t){ .stage = stage_name (worker->stage) },
               "worker %s of %s is gone (%s); %u jobs go back", worker->name, stage_name (worker->stage), why,
               worker->held);
    core_worker_t **at = &self->workers;
    while (*at != worker)
        at = &(*at)->next;
    *at = worker->next;
    while (worker->first) {
        self->lost_jobs++;
        counters->lost++;
        /* Only the oldest can have been running, and is to blame: but an extract worker has several in hand. */
        job_t *job = worker->last;
        if (job == worker->first || worker->stage == STAGE_EXTRACT)
            job_failed (self, job, span_str (err_name (ERR_WORKER_LOST)), span_str (why), true, NULL);
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
        workers_gone (self, worker, "its process ended");
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
    workers_gone (self, worker, why);
}

/*  A job that stands still is asked to stop; a worker that does not, or that cannot let go of one that was taken from
 * it, is killed. */
static void check_silence (core_t *self, core_worker_t *worker)
{
    if (!self->config.silence_ms)
        return;
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
            job_failed (self, job, span_str (err_name (ERR_TIMEOUT)), SPAN_LIT ("it made no progress, nor did it stop"),
                        false, NULL);
            kill_worker (self, worker, "one of its jobs stood still");
            return;
        }
    }
}

static void put_off (uint64_t *at_ms, uint64_t late_ms, uint64_t now)
{
    if (*at_ms)
        *at_ms = *at_ms + late_ms < now ? *at_ms + late_ms : now;
}

void core_stood_still (core_t *self, uint64_t late_ms)
{
    for (core_worker_t *worker = self->workers; worker; worker = worker->next) {
        put_off (&worker->seen_ms, late_ms, self->now);
        put_off (&worker->idle_ms, late_ms, self->now);
        put_off (&worker->void_ms, late_ms, self->now);
        for (job_t *job = worker->first; job; job = job->next) {
            put_off (&job->moved_ms, late_ms, self->now);
            put_off (&job->asked_ms, late_ms, self->now);
        }
    }
}

void workers_check (core_t *self)
{
    uint64_t silence_ms = (uint64_t)self->config.beat_ms * self->config.beats_missed;
    core_worker_t *next;
    for (core_worker_t *worker = self->workers; worker; worker = next) {
        next = worker->next;
        if (self->now > worker->seen_ms + silence_ms)
            workers_gone (self, worker, "it missed its beats");
        else
            check_silence (self, worker);
    }
    run_t *later;
    for (run_t *run = self->runs; run && self->config.task_ms; run = later) {
        later = run->next_run;
        if (self->now < run->began_ms + self->config.task_ms || run->task->committing)
            continue;
        char message[96];
        snprintf (message, sizeof message, "It took longer than the %.10g s that a task may take (--task-timeout).",
                  (double)self->config.task_ms / 1000);
        faults_forget (run); /* not what failed in it, but it all */
        task_fail (self, run->task, span_str (err_name (ERR_TIMEOUT)), span_str (message));
    }
}

/*  --- what they say --- */

int workers_input (core_t *self, const frames_t *in, err_t *err)
{
    const wire_msg_t *msg = &in->msg;
    if (msg->kind == WIRE_KIND_RESULT) {
        core_worker_t *worker = worker_find (self, msg->result.worker);
        if (worker)
            worker->seen_ms = self->now;
        return results_input (self, worker, in, err);
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
        workers_gone (self, worker, worker_drained);
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
