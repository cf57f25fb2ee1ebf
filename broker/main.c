#include "base/clock.h"
#include "base/dir.h"
#include "base/failpoint.h"
#include "base/files.h"
#include "base/log.h"
#include "base/options.h"
#include "broker/ballast.h"
#include "broker/server.h"
#include "store/blob.h"
#include "store/records.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

static const option_t table[] = {
    { "data", OPTION_TEXT, NULL, "DIR", "the data directory (required)" },
    { "run", OPTION_TEXT, NULL, "DIR", "directory of the internal sockets" },
    { "intake", OPTION_TEXT, NULL, "ENDPOINT", "where workers send their results (required)" },
    { "front", OPTION_TEXT, NULL, "ENDPOINT", "where gateways ask (required)" },
    { "pub", OPTION_TEXT, NULL, "ENDPOINT", "progress feed for subscribers" },
    { "feed", OPTION_TEXT, NULL, "ENDPOINT", "progress feed for gateways" },
    { "memory", OPTION_SIZE, "128M", "BYTES", "text and vectors in memory between the stages" },
    { "active", OPTION_NUMBER, "512", "TASKS", "tasks in processing at once" },
    { "silence", OPTION_NUMBER, "300", "SECONDS", "a job that makes no progress is tried again; 0: any" },
    { "task-timeout", OPTION_NUMBER, "86400", "SECONDS", "most time that a task may take; 0: any" },
    { "disk-reserve", OPTION_SIZE, "64M", "BYTES", "refuse new documents when less than this is free" },
    { "tasks", OPTION_NUMBER, "4000000", "TASKS", "most that live, of all users; 0: any" },
    { "user-tasks", OPTION_NUMBER, "2000000", "TASKS", "most that wait, of one user; 0: any" },
    { "user-bytes", OPTION_SIZE, "0", "BYTES", "most in documents of one user; 0: any" },
    { "user-rate", OPTION_NUMBER, "0", "N", "submits a second of one user; 0: any" },
    { "user-burst", OPTION_NUMBER, "100", "N", "submits at once, under --user-rate" },
    { "log-level", OPTION_TEXT, "info", "LEVEL", "debug, info, warn or error" },
    { 0 },
};

static int open_signals (void)
{
    sigset_t set;
    sigemptyset (&set);
    sigaddset (&set, SIGTERM);
    sigaddset (&set, SIGINT);
    sigprocmask (SIG_BLOCK, &set, NULL);
    return signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int require (const options_t *options, const char *name, err_t *err)
{
    return options_text (options, name) ? 0 : err_set (err, ERR_CONFIG, "--%s is required", name);
}

/*  What is larger than anything means the most there can be. */
static uint32_t number_32 (const options_t *options, const char *name)
{
    uint64_t number = options_number (options, name);
    return number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
}

/*  On a full disk, with what the ballast had. */
static int open_state (const char *path, const core_config_t *config, kv_t **kv, core_t **core, err_t *err)
{
    do {
        if ((*kv = records_open (path, err)) &&
            (*core = core_new (config, *kv, clock_mono_ms (), clock_wall_ms (), err))) {
            FAILPOINT (BROKER_START); /* the new epoch is durable, and nobody knows it */
            return 0;
        }
        kv_destroy (kv);
    } while (err->code == ERR_DISK_FULL && ballast_release (config->data_dir));
    return -1;
}

static int run (const options_t *options, err_t *err)
{
    log_level_t level;
    if (log_level_parse (options_text (options, "log-level"), &level) == -1)
        return err_set (err, ERR_CONFIG, "--log-level is one of debug, info, warn, error");
    log_init ("myelin-broker", level);
    if (require (options, "data", err) == -1 || require (options, "intake", err) == -1 ||
        require (options, "front", err) == -1)
        return -1;

    int rc = -1;
    str_t path = STR_INIT;
    kv_t *kv = NULL;
    core_t *core = NULL;
    server_t *server = NULL;
    void *context = zmq_ctx_new ();
    int signal_fd = open_signals ();
    const char *data = options_text (options, "data");
    str_format (&path, "%s/broker", data);
    if (dir_make (path.data, err) == -1)
        goto out;
    blob_sweep (data);
    core_config_t config = core_config_default;
    config.data_dir = data;
    config.memory_bytes = options_number (options, "memory");
    config.active_max = number_32 (options, "active");
    uint32_t silence_s = number_32 (options, "silence");
    config.silence_ms = silence_s < UINT32_MAX / 1000 ? silence_s * 1000 : UINT32_MAX;
    config.task_ms = (uint64_t)number_32 (options, "task-timeout") * 1000;
    config.tasks_max = options_number (options, "tasks");
    config.user_tasks = options_number (options, "user-tasks");
    config.user_bytes = options_number (options, "user-bytes");
    config.user_rate = number_32 (options, "user-rate");
    config.user_burst = number_32 (options, "user-burst");
    config.seed = clock_mono_us ();
    uint64_t start = clock_mono_ms ();
    if (open_state (path.data, &config, &kv, &core, err) == -1)
        goto out;
    server_config_t sockets = { options_text (options, "intake"),
                                options_text (options, "front"),
                                options_text (options, "pub"),
                                options_text (options, "feed"),
                                data,
                                options_number (options, "disk-reserve"),
                                kv };
    if (!(server = server_new (context, &sockets, core, err)))
        goto out;
    log_write (LOG_INFO, "ready", NULL, "epoch %llu, loaded in %llu ms", (unsigned long long)core_epoch (core),
               (unsigned long long)(clock_mono_ms () - start));
    printf ("ready pub=%s\n", server_pub (server));
    fflush (stdout);
    rc = server_run (server, signal_fd, err);
    if (rc == -1 && err->code == ERR_DISK_FULL) /* the database takes nothing more until it is opened again */
        ballast_release (data);
out:
    server_destroy (&server);
    core_destroy (&core);
    kv_destroy (&kv);
    close (signal_fd);
    zmq_ctx_term (context);
    str_free (&path);
    return rc;
}

int main (int argc, char **argv)
{
    err_t err = { 0 };
    log_init ("myelin-broker", LOG_INFO);
    options_t *options = options_new (table, argc, argv, &err);
    if (!options)
        return log_failed ("usage", &err);
    if (options_help_wanted (options)) {
        options_print_help (table, "myelin-broker [OPTIONS]");
        options_destroy (&options);
        return 0;
    }
    prctl (PR_SET_PDEATHSIG, SIGTERM);
    files_allow_all (); /* libzmq ends the process when it cannot take a connection */
    int code = run (options, &err) == -1 ? log_failed ("stopped", &err) : 0;
    options_destroy (&options);
    return code;
}
