/*  hear.c: what the broker and the supervisor say to a worker, and what it does about it. */
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "stages/runtime/inside.h"

#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define READ_MAX        256 /* messages a turn, so that beats cannot starve */
#define WARNINGS_A_BEAT 20  /* foreign frames that are logged between two beats */

static void hear_welcome (worker_t *self, const wire_welcome_t *welcome)
{
    self->beat_ms = welcome->beat_ms ? welcome->beat_ms : BEAT_MS;
    if (welcome->epoch == self->epoch && !welcome->fresh)
        return;
    log_write (LOG_INFO, "welcome", &(log_where_t){ .stage = stage_name (self->stage) },
               "the broker is there, epoch %llu; %zu jobs and %zu results of before are void",
               (unsigned long long)welcome->epoch, self->in_hand + self->waiting, kept_count (self->kept));
    self->epoch = welcome->epoch;
    kept_clear (self->kept);
    job_entry_t *entry, *next;
    for (entry = TAILQ_FIRST (&self->jobs); entry; entry = next) {
        next = TAILQ_NEXT (entry, link);
        if (entry->taken)
            entry->job.cancelled = entry->dead = true;
        else
            runtime_free_job (self, entry);
    }
    runtime_send_beat (self, clock_mono_ms ());
}

/*  Takes over what is in self->in. */
static void hear_job (worker_t *self)
{
    const wire_job_t *job = &self->in.msg.job;
    log_where_t place = runtime_where (job);
    if (!self->epoch || job->epoch != self->epoch) {
        log_write (LOG_WARN, "job_void", &place, "a job of epoch %llu came in epoch %llu",
                   (unsigned long long)job->epoch, (unsigned long long)self->epoch);
        return;
    }
    if (self->draining) /* the broker gives it to another on BYE */
        return;
    if (runtime_find_job (self, job->epoch, job->number)) {
        log_write (LOG_WARN, "job_twice", &place, "a job came that is in hand already");
        return;
    }
    job_entry_t *entry = calloc (1, sizeof *entry);
    if (!entry)
        abort ();
    FAILPOINT (WORKER_JOB);
    entry->in = self->in;
    self->in = (frames_t){ 0 };
    entry->job.job = entry->in.msg.job;
    entry->job.limit = entry->job.job.limit;
    entry->next_segment = entry->job.job.first_segment;
    TAILQ_INSERT_TAIL (&self->jobs, entry, link);
    self->waiting++;
    err_t err;
    int rc = 0;
    if (entry->job.job.stage != self->stage)
        rc = err_set (&err, ERR_PROTOCOL, "a job for %s came to a worker of %s",
                      stage_name ((stage_t)entry->job.job.stage), stage_name (self->stage));
    if (rc == 0)
        rc = frames_columns (&entry->in, entry->job.job.columns, entry->job.columns, &err);
    if (rc == -1) {
        log_write (LOG_ERROR, "job_malformed", &place, "%s", err.message);
        entry->counted_us = clock_mono_us ();
        runtime_fail_job (self, entry, &err);
    }
}

static void hear_ack (worker_t *self, const wire_ack_t *ack)
{
    FAILPOINT (WORKER_ACK);
    kept_ack (self->kept, ack);
    job_entry_t *entry = runtime_find_job (self, ack->epoch, ack->number);
    if (entry && entry->job.limit < ack->limit)
        entry->job.limit = ack->limit;
}

static void hear_cancel (worker_t *self, const wire_cancel_t *cancel)
{
    job_entry_t *entry = runtime_find_job (self, cancel->epoch, cancel->number);
    if (!entry)
        return; /* it has ended meanwhile; its result is on the way */
    entry->job.cancelled = true;
    if (entry->taken)
        return;
    err_t err;
    err_set (&err, ERR_CANCELLED, "it was cancelled before it began");
    entry->counted_us = clock_mono_us ();
    runtime_fail_job (self, entry, &err);
}

static void drain (worker_t *self, const char *why)
{
    if (self->draining)
        return;
    self->draining = true;
    log_write (LOG_INFO, "draining", &(log_where_t){ .stage = stage_name (self->stage) },
               "%s: ending after %zu running jobs, %zu waiting ones go back", why, self->in_hand, self->waiting);
    job_entry_t *entry, *next;
    for (entry = TAILQ_FIRST (&self->jobs); entry; entry = next) {
        next = TAILQ_NEXT (entry, link);
        if (!entry->taken)
            runtime_free_job (self, entry);
    }
}

static void foreign (worker_t *self, const char *what)
{
    if (self->warnings++ < WARNINGS_A_BEAT)
        log_write (LOG_WARN, "foreign_message", &(log_where_t){ .stage = stage_name (self->stage) }, "dropped: %s",
                   what);
}

static void hear (worker_t *self)
{
    const wire_msg_t *msg = &self->in.msg;
    switch (msg->kind) {
    case WIRE_KIND_WELCOME:
        hear_welcome (self, &msg->welcome);
        break;
    case WIRE_KIND_JOB:
        hear_job (self);
        break;
    case WIRE_KIND_ACK:
        hear_ack (self, &msg->ack);
        break;
    case WIRE_KIND_CANCEL:
        hear_cancel (self, &msg->cancel);
        break;
    case WIRE_KIND_DRAIN:
        if (msg->drain.epoch == self->epoch)
            drain (self, "the broker asked for it");
        break;
    default:
        foreign (self, wire_shape (msg->kind)->name);
    }
}

/*  Reads what is there, at most READ_MAX messages; true when something was. */
bool runtime_read (worker_t *self)
{
    err_t err;
    int got = 0, rc;
    while (got < READ_MAX && (rc = frames_recv (self->pull, false, &self->in, &err)) != 0) {
        got++;
        if (rc == 1)
            hear (self);
        else
            foreign (self, err.message);
    }
    frames_clear (&self->in);
    return got > 0;
}

void runtime_read_signals (worker_t *self, uint64_t now_ms)
{
    struct signalfd_siginfo info;
    self->signals_read_ms = now_ms;
    while (read (self->signal_fd, &info, sizeof info) == sizeof info)
        drain (self, info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
}
