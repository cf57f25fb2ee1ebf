/*  worker.c: one loop turn at a time.
 *
 *  The sockets carry little: grants keep what is outstanding bounded, so no high-water marks. The PUSH is IMMEDIATE:
 *  while the broker is away nothing queues up in front of it, a send fails instead and is made up for when the
 *  socket turns writable, that is, the moment the broker is back.
 *
 *  Invariants: jobs are in `jobs` in the order of arrival, taken ones first among equals because they are taken
 *  from the front; every job and kept result is of the epoch that was welcomed last, or its `dead` flag is set.
 */
#include "stages/runtime/worker.h"
#include "base/clock.h"
#include "base/log.h"
#include "stages/runtime/kept.h"
#include "wire/frames.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/signalfd.h>
#include <sys/un.h>
#include <unistd.h>

#define BEAT_MS         1000 /* until WELCOME says */
#define RESEND_MS       5000
#define FAREWELL_MS     1000 /* how long the end waits for the last ACKs */
#define LINGER_MS       500
#define SIGNAL_MS       20  /* how often a worker that never waits looks for signals */
#define READ_MAX        256 /* messages a turn, so that beats cannot starve */
#define ITEMS_MAX       16
#define WARNINGS_A_BEAT 20  /* foreign frames that are logged between two beats */
#define BUSY_READ_US    500 /* worker_run with jobs waiting: how long before it reads again */
#define HOLD_US         500 /* worker_run with jobs waiting: how long results collect */

typedef struct job_entry {
    worker_job_t job; /* first: worker_job_t pointers are entry pointers */
    TAILQ_ENTRY (job_entry) link;
    frames_t in;
    bool taken;
    bool dead;             /* of an epoch that is over: nothing is sent any more */
    uint32_t next_segment; /* extract: the one after the last part that was sent */
    uint64_t counted_us;   /* until here the time is accounted for in a result's cost */
    uint64_t progress;
} job_entry_t;

struct worker {
    void *pull;
    void *push;
    int signal_fd;
    uuid_t id;
    stage_t stage;
    uint32_t slots;
    char host[40];
    char endpoint[sizeof ((struct sockaddr_un *)0)->sun_path + 8];
    uint64_t epoch; /* 0: not welcomed yet */
    uint32_t beat_ms;
    uint64_t beat_at_ms;
    bool beat_stuck; /* the last HELLO or BEAT could not leave */
    uint64_t signals_read_ms;
    uint64_t read_us;
    bool holding; /* within worker_run: results may wait for each other */
    uint64_t flushed_us;
    bool draining;
    uint64_t farewell_ms; /* draining and idle: when to stop waiting for ACKs; 0: not yet */
    uint32_t warnings;
    TAILQ_HEAD (job_entries, job_entry) jobs;
    size_t in_hand; /* taken ones */
    size_t waiting;
    kept_t *kept;
    frames_t in;
};

/*  --- life --- */

static void block_signals (sigset_t *set)
{
    sigemptyset (set);
    sigaddset (set, SIGTERM);
    sigaddset (set, SIGINT);
    pthread_sigmask (SIG_BLOCK, set, NULL);
}

options_t *worker_options (const char *program, const option_t *table, const char *usage, int argc, char **argv,
                           int *exit_code)
{
    sigset_t set;
    block_signals (&set);
    signal (SIGPIPE, SIG_IGN);
    log_init (program, LOG_INFO);
    err_t err;
    *exit_code = 2;
    options_t *options = options_new (table, argc, argv, &err);
    if (!options) {
        log_write (LOG_ERROR, "usage", NULL, "%s", err.message);
        return NULL;
    }
    if (options_help_wanted (options)) {
        options_print_help (table, usage);
        options_destroy (&options);
        *exit_code = 0;
        return NULL;
    }
    log_level_t level;
    if (log_level_parse (options_text (options, "log-level"), &level) == -1) {
        log_write (LOG_ERROR, "usage", NULL, "'%s' is no log level; use debug, info, warn or error",
                   options_text (options, "log-level"));
        options_destroy (&options);
        return NULL;
    }
    log_init (program, level);
    return options;
}

static void read_boot_id (char *text, size_t size)
{
    text[0] = '\0';
    int fd = open ("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return;
    ssize_t got = read (fd, text, size - 1);
    close (fd);
    text[got > 0 ? got : 0] = '\0';
    text[strcspn (text, "\n")] = '\0';
}

static int bind_own (worker_t *self, const char *run, err_t *err)
{
    char id[UUID_TEXT];
    uuid_text (self->id, id);
    const size_t path_max = sizeof ((struct sockaddr_un *)0)->sun_path - 1;
    int size = snprintf (self->endpoint, sizeof self->endpoint, "ipc://%s/%s-%s.sock", run, stage_name (self->stage),
                         id + 24); /* the random end: UUIDv7s start alike */
    if (size < 0 || (size_t)size - strlen ("ipc://") > path_max)
        return err_set (
            err, ERR_CONFIG,
            "the run directory '%s' has too long a name: sockets in it must have paths of at most %zu bytes", run,
            path_max);
    if (zmq_bind (self->pull, self->endpoint) == -1)
        return err_set (err, ERR_CONFIG, "cannot listen on %s: %s", self->endpoint, zmq_strerror (errno));
    return 0;
}

static void send_beat (worker_t *self, uint64_t now_ms);

worker_t *worker_new (void *context, stage_t stage, uint32_t slots, const options_t *options, err_t *err)
{
    const char *intake = options_text (options, "intake"), *run = options_text (options, "run");
    if (!intake || !run) {
        err_set (err, ERR_CONFIG, "option --%s is required", intake ? "run" : "intake");
        return NULL;
    }
    worker_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->signal_fd = -1;
    self->id = uuid_new ();
    self->stage = stage;
    self->slots = slots;
    self->beat_ms = BEAT_MS;
    TAILQ_INIT (&self->jobs);
    read_boot_id (self->host, sizeof self->host);
    sigset_t set;
    block_signals (&set);
    self->signal_fd = signalfd (-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (self->signal_fd == -1) {
        err_set_errno (err, ERR_IO, errno, "cannot watch for signals");
        goto fail;
    }
    self->pull = frames_socket (context, ZMQ_PULL, 0, true, err);
    self->push = frames_socket (context, ZMQ_PUSH, LINGER_MS, true, err);
    if (!self->pull || !self->push)
        goto fail;
    int one = 1;
    zmq_setsockopt (self->push, ZMQ_IMMEDIATE, &one, sizeof one);
    self->kept = kept_new (self->push);
    if (bind_own (self, run, err) == -1)
        goto fail;
    if (zmq_connect (self->push, intake) == -1) {
        err_set (err, ERR_CONFIG, "cannot connect to the intake %s: %s", intake, zmq_strerror (errno));
        goto fail;
    }
    send_beat (self, clock_mono_ms ());
    return self;
fail:
    worker_destroy (&self);
    return NULL;
}

static void job_free (worker_t *self, job_entry_t *entry)
{
    TAILQ_REMOVE (&self->jobs, entry, link);
    if (entry->taken)
        self->in_hand--;
    else
        self->waiting--;
    frames_clear (&entry->in);
    free (entry);
}

void worker_destroy (worker_t **self_p)
{
    worker_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    if (self->push && self->epoch) {
        wire_msg_t msg = { .kind = WIRE_KIND_BYE, .bye = { self->id } };
        err_t err;
        frames_send (self->push, NULL, &msg, NULL, 0, &err); /* a broker that is away has lost us already */
    }
    while (!TAILQ_EMPTY (&self->jobs))
        job_free (self, TAILQ_FIRST (&self->jobs));
    frames_clear (&self->in);
    kept_destroy (&self->kept);
    if (self->pull)
        zmq_close (self->pull);
    if (self->push)
        zmq_close (self->push);
    if (self->endpoint[0])
        unlink (self->endpoint + strlen ("ipc://"));
    if (self->signal_fd != -1)
        close (self->signal_fd);
    free (self);
}

/*  --- what is said --- */

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

static void flush (worker_t *self, uint64_t now_us)
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
        flush (self, now_us);
}

static void fail_entry (worker_t *self, job_entry_t *entry, const err_t *err)
{
    wire_result_t result = result_base (self, entry, NULL);
    result.outcome = RESULT_FAILED;
    result.code = span_str (err_name (err->code));
    result.message = span_str (err->message);
    if (self->stage == STAGE_EXTRACT) /* a number that no part has, so that an ACK means just one of them */
        result.segment = entry->next_segment;
    send_result (self, entry, &result, NULL);
    job_free (self, entry);
}

static void send_beat (worker_t *self, uint64_t now_ms)
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

/*  --- what is heard --- */

static void hear_welcome (worker_t *self, const wire_welcome_t *welcome)
{
    self->beat_ms = welcome->beat_ms ? welcome->beat_ms : BEAT_MS;
    if (welcome->epoch == self->epoch)
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
            job_free (self, entry);
    }
    send_beat (self, clock_mono_ms ());
}

static job_entry_t *find_job (const worker_t *self, uint64_t epoch, uint64_t number)
{
    job_entry_t *entry;
    TAILQ_FOREACH (entry, &self->jobs, link)
    if (entry->job.job.number == number && entry->job.job.epoch == epoch)
        return entry;
    return NULL;
}

static log_where_t where (const wire_job_t *job)
{
    return (log_where_t){ .task = job->task,
                          .stage = stage_name ((stage_t)job->stage),
                          .segment = job->segment + 1ull,
                          .attempt = job->number };
}

/*  Takes over what is in self->in. */
static void hear_job (worker_t *self)
{
    const wire_job_t *job = &self->in.msg.job;
    log_where_t place = where (job);
    if (!self->epoch || job->epoch != self->epoch) {
        log_write (LOG_WARN, "job_void", &place, "a job of epoch %llu came in epoch %llu",
                   (unsigned long long)job->epoch, (unsigned long long)self->epoch);
        return;
    }
    if (self->draining) /* the broker gives it to another on BYE */
        return;
    if (find_job (self, job->epoch, job->number)) {
        log_write (LOG_WARN, "job_twice", &place, "a job came that is in hand already");
        return;
    }
    job_entry_t *entry = calloc (1, sizeof *entry);
    if (!entry)
        abort ();
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
        fail_entry (self, entry, &err);
    }
}

static void hear_ack (worker_t *self, const wire_ack_t *ack)
{
    kept_ack (self->kept, ack);
    job_entry_t *entry = find_job (self, ack->epoch, ack->number);
    if (entry && entry->job.limit < ack->limit)
        entry->job.limit = ack->limit;
}

static void hear_cancel (worker_t *self, const wire_cancel_t *cancel)
{
    job_entry_t *entry = find_job (self, cancel->epoch, cancel->number);
    if (!entry)
        return; /* it has ended meanwhile; its result is on the way */
    entry->job.cancelled = true;
    if (entry->taken)
        return;
    err_t err;
    err_set (&err, ERR_CANCELLED, "it was cancelled before it began");
    entry->counted_us = clock_mono_us ();
    fail_entry (self, entry, &err);
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
            job_free (self, entry);
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
static bool read_messages (worker_t *self)
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

static void read_signals (worker_t *self, uint64_t now_ms)
{
    struct signalfd_siginfo info;
    self->signals_read_ms = now_ms;
    while (read (self->signal_fd, &info, sizeof info) == sizeof info)
        drain (self, info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
}

/*  --- the loop --- */

/*  Does what is due. */
static void tend (worker_t *self, uint64_t now_ms)
{
    if (now_ms >= self->signals_read_ms + SIGNAL_MS)
        read_signals (self, now_ms);
    if (now_ms < self->beat_at_ms)
        return;
    send_beat (self, now_ms);
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
        read_signals (self, now_ms);
    if (stuck && all[2].revents) { /* the broker is back; the beat goes first, so that it knows whose results come */
        send_beat (self, now_ms);
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
            flush (self, clock_mono_us ());
        bool heard = read_messages (self);
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
    job_free (self, entry);
}

void worker_fail (worker_t *self, worker_job_t *job, const err_t *err)
{
    fail_entry (self, (job_entry_t *)job, err);
}

void worker_progress (worker_t *self, const worker_job_t *job, uint64_t counter)
{
    (void)self;
    ((job_entry_t *)job)->progress = counter;
}

static void run_job (worker_t *self, worker_job_t *job, worker_process_fn *process, void *process_self)
{
    wire_result_t result = { 0 };
    buf_t *columns[COLUMN_COUNT] = { NULL };
    err_t err;
    if (process (process_self, job, &result, columns, &err) == 0)
        worker_done (self, job, &result, columns);
    else {
        log_where_t place = where (&job->job);
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
