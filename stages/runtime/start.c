/*  start.c: how a worker begins and ends. */
#include "base/clock.h"
#include "base/log.h"
#include "stages/runtime/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LINGER_MS 500

void runtime_block_signals (sigset_t *set)
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
    runtime_block_signals (&set);
    signal (SIGPIPE, SIG_IGN);
    log_init (program, LOG_INFO);
    err_t err;
    *exit_code = 2;
    options_t *options = options_new (table, argc, argv, &err);
    if (!options) {
        log_failed ("usage", &err);
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
        err_set (&err, ERR_CONFIG, "'%s' is no log level; use debug, info, warn or error",
                 options_text (options, "log-level"));
        log_failed ("usage", &err);
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
        return err_set (err, ERR_IO, "cannot listen on %s: %s", self->endpoint, zmq_strerror (errno));
    return 0;
}

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
    runtime_block_signals (&set);
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
    runtime_send_beat (self, clock_mono_ms ());
    return self;
fail:
    worker_destroy (&self);
    return NULL;
}

void worker_destroy (worker_t **self_p)
{
    worker_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    if (self->push) { /* also when no WELCOME came yet: the broker may have heard the HELLO */
        wire_msg_t msg = { .kind = WIRE_KIND_BYE, .bye = { self->id } };
        err_t err;
        frames_send (self->push, NULL, &msg, NULL, 0, &err); /* a broker that is away has lost us already */
    }
    while (!TAILQ_EMPTY (&self->jobs))
        runtime_free_job (self, TAILQ_FIRST (&self->jobs));
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
