/*  worker.c: one loop turn at a time.
 *
 *  The sockets carry little: grants keep what is outstanding bounded, so no high-water marks. The PUSH is IMMEDIATE:
 *  while the broker is away nothing queues up in front of it, a send fails instead and is made up for when the
 *  socket turns writable, that is, the moment the broker is back.
 */
#include "stages/runtime/worker.h"
#include "base/clock.h"
#include "stages/runtime/inside.h"

#include <assert.h>
#include <unistd.h>

#define RESEND_MS    5000
#define FAREWELL_MS  1000 /* how long the end waits for the last ACKs */
#define SIGNAL_MS    20   /* how often a worker that never waits looks for signals */
#define ITEMS_MAX    16
#define BUSY_READ_US 500 /* worker_run with jobs waiting: how long before it reads again */

void runtime_send_beat (worker_t *self, uint64_t now_ms)
{
    wire_msg_t msg = { .kind = self->epoch ? WIRE_KIND_BEAT : WIRE_KIND_HELLO };
    /* BEAT begins with the fields of HELLO. */
    msg.beat.worker = self->id;
    msg.beat.stage = (uint8_t)self->stage;
    msg.beat.slots = self->slots;
    msg.beat.pid = (uint64_t)getpid ();
    msg.beat.host = span_str (self->host);
    msg.beat.endpoint = span_str (self->endpoint);
    if (self->epoch) {
        msg.beat.epoch = self->epoch;
        const job_entry_t *oldest = TAILQ_FIRST (&self->jobs);
        if (oldest && oldest->taken && !oldest->dead) {
            msg.beat.running = oldest->job.job.number;
            msg.beat.progress = oldest->progress;
        }
    }
    err_t err;
    self->beat_stuck = frames_send (self->push, NULL, &msg, NULL, 0, &err) == -1;
    self->beat_at_ms = now_ms + self->beat_ms;
    self->warnings = 0;
}

/*  Does what is due. */
static void tend (worker_t *self, uint64_t now_ms)
{
    if (now_ms >= self->signals_read_ms + SIGNAL_MS)
        runtime_read_signals (self, now_ms);
    if (now_ms < self->beat_at_ms)
        return;
    runtime_send_beat (self, now_ms);
    kept_resend (self->kept, now_ms, RESEND_MS);
}

static bool is_over (worker_t *self, uint64_t now_ms)
{
    if (!self->draining || self->in_hand)
        return false;
    if (!self->epoch || !kept_count (self->kept))
        return true;
    if (!self->farewell_ms)
        self->farewell_ms = now_ms + FAREWELL_MS;
    return now_ms >= self->farewell_ms;
}

/*  Waits at most `wait_ms` for anything. */
static void wait_events (worker_t *self, zmq_pollitem_t *items, int count, uint64_t wait_ms)
{
    zmq_pollitem_t all[ITEMS_MAX + 3] = { { .socket = self->pull, .events = ZMQ_POLLIN },
                                          { .fd = self->signal_fd, .events = ZMQ_POLLIN } };
    int own = 2;
    bool stuck = self->beat_stuck || kept_stuck (self->kept);
    if (stuck)
        all[own++] = (zmq_pollitem_t){ .socket = self->push, .events = ZMQ_POLLOUT };
    if (count)
        memcpy (all + own, items, (size_t)count * sizeof *items);
    if (zmq_poll (all, own + count, (long)wait_ms) == -1)
        for (int i = 0; i < own + count; i++)
            all[i].revents = 0; /* EINTR, or the context ends: the next turn sees */
    if (count)
        memcpy (items, all + own, (size_t)count * sizeof *items);
    uint64_t now_ms = clock_mono_ms ();
    if (all[1].revents)
        runtime_read_signals (self, now_ms);
    if (stuck && all[2].revents) { /* the broker is back; the beat goes first, so that it knows whose results come */
        runtime_send_beat (self, now_ms);
        kept_resend (self->kept, now_ms, RESEND_MS);
    }
}

static bool is_any_ready (const zmq_pollitem_t *items, int count)
{
    for (int i = 0; i < count; i++)
        if (items[i].revents)
            return true;
    return false;
}

int worker_poll (worker_t *self, zmq_pollitem_t *items, int count, int timeout_ms)
{
    assert (count <= ITEMS_MAX);
    uint64_t now_ms = clock_mono_ms ();
    uint64_t until_ms = timeout_ms < 0 ? UINT64_MAX : now_ms + (uint64_t)timeout_ms;
    for (int i = 0; i < count; i++)
        items[i].revents = 0;
    for (;;) {
        if (kept_held (self->kept) && !self->waiting)
            runtime_flush (self, clock_mono_us ());
        bool heard = runtime_read (self);
        tend (self, now_ms);
        if (is_over (self, now_ms))
            return -1;
        bool end = heard || is_any_ready (items, count) || now_ms >= until_ms;
        if (end && !count)
            return 0;
        uint64_t next_ms = self->beat_at_ms < until_ms ? self->beat_at_ms : until_ms;
        if (self->farewell_ms && self->farewell_ms < next_ms)
            next_ms = self->farewell_ms;
        bool was_draining = self->draining;
        wait_events (self, items, count, end || next_ms <= now_ms ? 0 : next_ms - now_ms);
        if (end)
            return 0;
        if (self->draining && !was_draining) /* the caller may want to know */
            until_ms = 0;
        now_ms = clock_mono_ms ();
    }
}

static void run_job (worker_t *self, worker_job_t *job, worker_process_fn *process, void *process_self)
{
    wire_result_t result = { 0 };
    buf_t *columns[COLUMN_COUNT] = { NULL };
    err_t err;
    if (process (process_self, job, &result, columns, &err) == 0)
        worker_done (self, job, &result, columns);
    else {
        log_where_t place = runtime_where (&job->job);
        log_write (LOG_WARN, "job_failed", &place, "%s: %s", err_name (err.code), err.message);
        worker_fail (self, job, &err);
    }
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        buf_unref (&columns[i]);
}

void worker_run (worker_t *self, worker_process_fn *process, void *process_self)
{
    self->holding = true;
    for (;;) {
        /* With jobs waiting the sockets are looked at only now and then: each look is a system call. */
        uint64_t now_us = clock_mono_us ();
        if (!self->waiting || now_us >= self->read_us + BUSY_READ_US) {
            if (worker_poll (self, NULL, 0, self->waiting ? 0 : -1) == -1)
                break;
            self->read_us = clock_mono_us ();
        }
        worker_job_t *job = worker_take (self);
        if (job)
            run_job (self, job, process, process_self);
    }
    self->holding = false;
}
