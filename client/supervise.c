#include "client/supervise.h"
#include "base/clock.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN_MAX     256
#define RESTART_FIRST_MS 100
#define CANNOT_START_MS  5000
#define LIVED_LONG_MS    10000 /* who lived this long starts with a clean record */
#define KILLED_ANSWER_MS 5000  /* a killed process that does not go is stuck in the kernel */
#define SAME_REQUEST_MS  1000  /* signals that come together are one request */

/*  Addresses in ready lines: which option sets them, and what stands before the option's form. In the order of our
 *  own ready line. */
static const struct {
    const char *name, *option, *prefix;
} addresses[] = {
    { "http", "--http", "http://" },
    { "req", "--req", "" },
    { "pub", "--pub", "" },
};
#define ADDRESS_COUNT (sizeof addresses / sizeof *addresses)

static const struct {
    const char *name;
    uint64_t drain_ms;
    bool says_ready;
} roles[ROLE_COUNT] = {
#define SUPERVISE_ROW(sym, name, drain_ms, says_ready) [ROLE_##sym] = { name, drain_ms, says_ready },
    SUPERVISE_ROLES (SUPERVISE_ROW)
#undef SUPERVISE_ROW
};

typedef enum { STARTING, SERVING, STOPPING } phase_t;

struct supervisor {
    child_t children[CHILDREN_MAX];
    role_t role_of[CHILDREN_MAX];
    size_t count;
    str_t address[ADDRESS_COUNT];
    int signal_fd;
    uint64_t pause_max_ms;
    crew_t *crew;     /* NULL: the numbers of workers are fixed */
    uint64_t crew_ms; /* SERVING: its next turn */
    phase_t phase;
    int exit_code;
    str_t why;            /* STOPPING: what went wrong; empty: we were told to */
    uint64_t stop_ms;     /* STOPPING: since when */
    role_t stopping;      /* STOPPING: the role that is being stopped */
    uint64_t deadline_ms; /* STOPPING: when what is left of it is killed */
    bool killed;          /* STOPPING: that was done */
    bool hurry;           /* STOPPING: no more patience */
};

supervisor_t *supervisor_new (uint64_t pause_max_ms)
{
    supervisor_t *self = calloc (1, sizeof *self);
    assert (self);
    self->signal_fd = -1;
    self->pause_max_ms = pause_max_ms;
    return self;
}

void supervisor_destroy (supervisor_t **self_p)
{
    supervisor_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        child_free (&self->children[i]);
    for (size_t i = 0; i < ADDRESS_COUNT; i++)
        str_free (&self->address[i]);
    str_free (&self->why);
    if (self->signal_fd >= 0)
        close (self->signal_fd);
    free (self);
    *self_p = NULL;
}

child_t *supervisor_add (supervisor_t *self, role_t role, const char *name, const char *directory, const char *program)
{
    assert (self->count < CHILDREN_MAX);
    size_t index = self->count++;
    self->role_of[index] = role;
    child_init (&self->children[index], name, directory, program);
    return &self->children[index];
}

void supervisor_scale (supervisor_t *self, crew_t *crew)
{
    self->crew = crew;
}

static void start (child_t *child, uint64_t now)
{
    err_t err;
    child->restart_ms = 0;
    if (child_start (child, now, &err)) {
        log_write (LOG_ERROR, "child_start", NULL, "%s", err.message);
        child->restart_ms = now + CANNOT_START_MS; /* no process or descriptor to be had: later perhaps */
        return;
    }
    log_write (LOG_DEBUG, "child_started", NULL, "%s runs as process %d", child->name, (int)child->pid);
}

/*  All of the roles before `role` that say `ready` said it. */
static bool ready_before (const supervisor_t *self, role_t role)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->role_of[i] < role && roles[self->role_of[i]].says_ready && !self->children[i].ready)
            return false;
    return true;
}

static void print_ready (const supervisor_t *self)
{
    str_t line = STR_INIT;
    str_text (&line, "ready");
    for (size_t i = 0; i < ADDRESS_COUNT; i++)
        str_format (&line, " %s=%.*s", addresses[i].name, SPAN_ARG (str_span (&self->address[i])));
    puts (line.data);
    fflush (stdout);
    log_write (LOG_INFO, "serving", NULL, "%s", line.data);
    str_free (&line);
}

/*  Starts what waits for others, and says `ready` when nothing waits any more. */
static void advance_start (supervisor_t *self, uint64_t now)
{
    if (self->phase != STARTING)
        return;
    if (ready_before (self, ROLE_COUNT)) {
        self->phase = SERVING;
        print_ready (self);
        return;
    }
    if (!ready_before (self, ROLE_GATEWAY))
        return;
    for (size_t i = 0; i < self->count; i++)
        if (self->role_of[i] == ROLE_GATEWAY && !self->children[i].pid && !self->children[i].started_ms)
            start (&self->children[i], now);
}

/*  Keeps the addresses a child serves at; a restart gets them as its options. */
static void remember_addresses (supervisor_t *self, child_t *child, span_t line)
{
    for (size_t i = 0; i < ADDRESS_COUNT; i++) {
        span_t value = child_ready_value (line, addresses[i].name);
        if (!value.size)
            continue;
        str_clear (&self->address[i]);
        str_add (&self->address[i], value);
        size_t skip = strlen (addresses[i].prefix);
        if (value.size > skip && memcmp (value.data, addresses[i].prefix, skip) == 0)
            child_set_arg (child, addresses[i].option, self->address[i].data + skip);
    }
}

static bool role_runs (const supervisor_t *self, role_t role)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->role_of[i] == role && self->children[i].pid)
            return true;
    return false;
}

static void signal_role (const supervisor_t *self, role_t role, int number)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->role_of[i] == role && self->children[i].pid)
            kill (self->children[i].pid, number);
}

static void abandon_role (supervisor_t *self, role_t role)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->role_of[i] == role && self->children[i].pid) {
            close (self->children[i].pid_fd);
            self->children[i].pid_fd = -1;
            self->children[i].pid = 0;
        }
}

static void stop_role (supervisor_t *self, role_t role, uint64_t now)
{
    self->stopping = role;
    self->killed = self->hurry;
    self->deadline_ms = now + (self->hurry ? KILLED_ANSWER_MS : roles[role].drain_ms);
    signal_role (self, role, self->hurry ? SIGKILL : SIGTERM);
}

static void begin_stop (supervisor_t *self, int exit_code, uint64_t now)
{
    self->phase = STOPPING;
    self->exit_code = exit_code;
    self->stop_ms = now;
    stop_role (self, ROLE_COUNT - 1, now);
}

/*  Goes on with stopping; false when nothing runs any more. */
static bool advance_stop (supervisor_t *self, uint64_t now)
{
    while (!role_runs (self, self->stopping)) {
        if (self->stopping == 0)
            return false;
        stop_role (self, self->stopping - 1, now);
    }
    if (now < self->deadline_ms)
        return true;
    if (self->killed) {
        log_write (LOG_ERROR, "stuck", NULL, "a killed %s does not end; leaving it behind", roles[self->stopping].name);
        abandon_role (self, self->stopping);
        return true;
    }
    log_write (LOG_WARN, "drain_timeout", NULL, "a %s did not stop in %llu ms; killed", roles[self->stopping].name,
               (unsigned long long)roles[self->stopping].drain_ms);
    signal_role (self, self->stopping, SIGKILL);
    self->killed = true;
    self->deadline_ms = now + KILLED_ANSWER_MS;
    return true;
}

static void plan_restart (const supervisor_t *self, child_t *child, uint64_t now)
{
    if (now - child->started_ms >= LIVED_LONG_MS)
        child->failures = 0;
    uint64_t pause = 0;
    if (child->failures > 0) {
        unsigned doublings = child->failures < 10 ? child->failures - 1 : 9;
        pause = (uint64_t)RESTART_FIRST_MS << doublings;
        pause = pause < self->pause_max_ms ? pause : self->pause_max_ms;
    }
    child->failures++;
    child->restart_ms = now + pause;
}

static void child_ended (supervisor_t *self, child_t *child, uint64_t now)
{
    span_t last;
    child_read (child, &last);
    int status = child_reap (child);
    bool exited = WIFEXITED (status);
    int code = exited ? WEXITSTATUS (status) : WTERMSIG (status);
    if (self->phase == STOPPING)
        return;
    if (child->spare) {
        log_write (LOG_DEBUG, "child_gone", NULL, "%s was not needed any more", child->name);
        return;
    }
    log_write (LOG_WARN, "child_ended", NULL, "%s ended with %s %d", child->name, exited ? "exit code" : "signal",
               code);
    if (exited && !child->was_ready && (code == 2 || (code == 1 && self->phase == STARTING))) {
        str_format (&self->why, "%s could not start: ", child->name);
        str_add (&self->why, child->why.size ? str_span (&child->why) : SPAN_LIT ("its lines above may say why"));
        log_write (LOG_ERROR, "start_failed", NULL, "%s", self->why.data);
        begin_stop (self, code, now);
        return;
    }
    plan_restart (self, child, now);
}

static void read_signal (supervisor_t *self, uint64_t now)
{
    struct signalfd_siginfo info;
    if (read (self->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (self->phase != STOPPING) {
        log_write (LOG_INFO, "stopping", NULL, "signal %u: stopping", info.ssi_signo);
        begin_stop (self, 0, now);
    } else if (!self->hurry && now - self->stop_ms >= SAME_REQUEST_MS) {
        log_write (LOG_WARN, "hurry", NULL, "second signal: killing what is left");
        self->hurry = true;
        stop_role (self, self->stopping, now);
    }
}

static int next_timeout (const supervisor_t *self, uint64_t now)
{
    uint64_t next = self->phase == STOPPING ? self->deadline_ms : UINT64_MAX;
    if (self->phase == SERVING && self->crew)
        next = self->crew_ms;
    for (size_t i = 0; self->phase != STOPPING && i < self->count; i++)
        if (self->children[i].restart_ms && self->children[i].restart_ms < next)
            next = self->children[i].restart_ms;
    if (next == UINT64_MAX)
        return -1;
    return next > now ? (int)(next - now) : 0;
}

/*  One turn: wait, then see who spoke, who ended, who told us to stop. */
static void turn (supervisor_t *self)
{
    struct pollfd fds[1 + 2 * CHILDREN_MAX] = { { .fd = self->signal_fd, .events = POLLIN } };
    for (size_t i = 0; i < self->count; i++) {
        fds[1 + 2 * i] = (struct pollfd){ .fd = self->children[i].out_fd, .events = POLLIN };
        fds[2 + 2 * i] = (struct pollfd){ .fd = self->children[i].pid_fd, .events = POLLIN };
    }
    if (poll (fds, 1 + 2 * self->count, next_timeout (self, clock_mono_ms ())) < 0)
        return;
    uint64_t now = clock_mono_ms ();
    if (fds[0].revents)
        read_signal (self, now);
    for (size_t i = 0; i < self->count; i++) {
        child_t *child = &self->children[i];
        span_t line;
        if (fds[1 + 2 * i].revents && child_read (child, &line))
            remember_addresses (self, child, line);
        if (fds[2 + 2 * i].revents)
            child_ended (self, child, now);
        if (self->phase != STOPPING && child->restart_ms && child->restart_ms <= now)
            start (child, now);
    }
    advance_start (self, now);
    if (self->phase == SERVING && self->crew && now >= self->crew_ms)
        self->crew_ms = crew_turn (self->crew, now);
}

/*  What stops us, blocked. Who started us may want that some of it does not. */
static sigset_t block_signals (void)
{
    static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
    sigset_t signals;
    sigemptyset (&signals);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction inherited;
        if (sigaction (numbers[i], NULL, &inherited) == 0 && inherited.sa_handler != SIG_IGN)
            sigaddset (&signals, numbers[i]);
    }
    sigprocmask (SIG_BLOCK, &signals, NULL);
    return signals;
}

int supervisor_run (supervisor_t *self)
{
    sigset_t signals = block_signals ();
    signal (SIGPIPE, SIG_IGN);
    self->signal_fd = signalfd (-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    assert (self->signal_fd >= 0);

    uint64_t now = clock_mono_ms ();
    for (size_t i = 0; i < self->count; i++)
        if (self->role_of[i] != ROLE_GATEWAY && !self->children[i].spare)
            start (&self->children[i], now);
    while (self->phase != STOPPING || advance_stop (self, clock_mono_ms ()))
        turn (self);
    if (self->why.size)
        log_write (LOG_ERROR, "stopped", NULL, "stopped: %s", self->why.data);
    else
        log_write (LOG_INFO, "stopped", NULL, "stopped");
    return self->exit_code;
}
