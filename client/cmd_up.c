/*  cmd_up.c: `myelin up`: which processes there are and what each is told. */
#include "base/log.h"
#include "client/cli.h"
#include "client/crew.h"
#include "client/datadir.h"
#include "client/supervise.h"
#include "wire/messages.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WORKERS_DEFAULT "extract=2,chunk=1,embed=2"
/*  Later stages first, also for the CPU: there is one storage, one broker, one gateway, and whoever waits for an answer
 *  waits for them; what the other stages prepare meanwhile waits behind them anyway. */
#define WORKERS_NICE 10

static const option_t up_options[] = {
    { "data", OPTION_TEXT, NULL, "DIR", "where everything is kept (~/.local/share/myelin)" },
    { "http", OPTION_TEXT, "127.0.0.1:8750", "ADDRESS", "REST and dashboard; port 0: any" },
    { "req", OPTION_TEXT, "tcp://127.0.0.1:8751", "ENDPOINT", "ZeroMQ requests" },
    { "pub", OPTION_TEXT, "tcp://127.0.0.1:8752", "ENDPOINT", "ZeroMQ progress feed" },
    { "workers", OPTION_TEXT, WORKERS_DEFAULT, "COUNTS", "processes of each stage: N or MIN-MAX; total=N" },
    { "restart-pause", OPTION_NUMBER, "5", "SECONDS", "longest wait before a restart of what keeps dying" },
    { "log-level", OPTION_TEXT, "info", "LEVEL", "debug, info, warn or error" },
    /* handed on to the processes they are for, when given; each program's --help tells its default */
    { "max-upload", OPTION_SIZE, NULL, "BYTES", "largest document that is accepted" },
    { "chunk-tokens", OPTION_NUMBER, NULL, "N", "most tokens in a chunk" },
    { "chunk-overlap", OPTION_NUMBER, NULL, "N", "most tokens neighbouring chunks share" },
    { "provider", OPTION_TEXT, NULL, "NAME", "what makes the vectors: hash" },
    { "vector-memory", OPTION_SIZE, NULL, "BYTES", "most that vectors take in memory" },
    { "memory", OPTION_SIZE, NULL, "BYTES", "text and vectors between the stages" },
    { "active", OPTION_NUMBER, NULL, "TASKS", "tasks in processing at once" },
    { "silence", OPTION_NUMBER, NULL, "SECONDS", "a job that makes no progress is tried again; 0: any" },
    { "task-timeout", OPTION_NUMBER, NULL, "SECONDS", "most time that a task may take; 0: any" },
    { "disk-reserve", OPTION_SIZE, NULL, "BYTES", "free space below which documents are refused" },
    { "tasks", OPTION_NUMBER, NULL, "TASKS", "most that live, of all users; 0: any" },
    { "user-tasks", OPTION_NUMBER, NULL, "TASKS", "most that wait, of one user; 0: any" },
    { "user-bytes", OPTION_SIZE, NULL, "BYTES", "most in documents of one user; 0: any" },
    { "user-rate", OPTION_NUMBER, NULL, "N", "submits a second of one user; 0: any" },
    { "user-burst", OPTION_NUMBER, NULL, "N", "submits at once, under --user-rate" },
    { "inflated-limit", OPTION_SIZE, NULL, "BYTES", "most that one document may unpack to" },
    { "text-limit", OPTION_SIZE, NULL, "BYTES", "most text taken from one document" },
    { "parser-memory", OPTION_SIZE, NULL, "BYTES", "most memory a parser may use" },
    { "parser-stall", OPTION_NUMBER, NULL, "SECONDS", "CPU time a parser may go without progress" },
    { 0 },
};

/*  Which programs an option is handed on to. */
static const struct {
    const char *option, *program;
} handed_on[] = {
    { "max-upload", "myelin-gateway" },     { "chunk-tokens", "myelin-chunk" },  { "chunk-overlap", "myelin-chunk" },
    { "provider", "myelin-embed" },         { "provider", "myelin-storage" },    { "vector-memory", "myelin-storage" },
    { "memory", "myelin-broker" },          { "active", "myelin-broker" },       { "silence", "myelin-broker" },
    { "task-timeout", "myelin-broker" },    { "disk-reserve", "myelin-broker" }, { "disk-reserve", "myelin-gateway" },
    { "inflated-limit", "myelin-extract" }, { "text-limit", "myelin-extract" },  { "parser-memory", "myelin-extract" },
    { "parser-stall", "myelin-extract" },   { "tasks", "myelin-broker" },        { "user-tasks", "myelin-broker" },
    { "user-bytes", "myelin-broker" },      { "user-rate", "myelin-broker" },    { "user-burst", "myelin-broker" },
};

/*  What every process of a program gets: --option with a fixed value of the run, or with the user's. */
typedef struct {
    const options_t *options;
    const char *data;
    const char *program_directory;
    const char *log_level;
    int lock_fd;
    str_t run, intake, front, query, feed;
} place_t;

static int program_directory (char directory[PATH_MAX], err_t *err)
{
    ssize_t size = readlink ("/proc/self/exe", directory, PATH_MAX - 1);
    if (size < 0)
        return err_set_errno (err, ERR_IO, errno, "cannot find our own program");
    directory[size] = 0;
    *strrchr (directory, '/') = 0;
    return 0;
}

static child_t *add (supervisor_t *supervisor, const place_t *place, role_t role, const char *name, const char *program)
{
    child_t *child = supervisor_add (supervisor, role, name, place->program_directory, program);
    child_arg (child, "--log-level", place->log_level);
    for (size_t i = 0; i < sizeof handed_on / sizeof *handed_on; i++)
        if (strcmp (handed_on[i].program, program) == 0 && options_given (place->options, handed_on[i].option)) {
            char option[32];
            snprintf (option, sizeof option, "--%s", handed_on[i].option);
            child_arg (child, option, options_text (place->options, handed_on[i].option));
        }
    return child;
}

static void add_children (supervisor_t *supervisor, const place_t *place, const scale_limits_t *limits, crew_t *crew)
{
    child_t *broker = add (supervisor, place, ROLE_BROKER, "broker", "myelin-broker");
    broker->keep_fd = place->lock_fd;
    child_arg (broker, "--data", place->data);
    child_arg (broker, "--run", place->run.data);
    child_arg (broker, "--intake", place->intake.data);
    child_arg (broker, "--front", place->front.data);
    child_arg (broker, "--pub", options_text (place->options, "pub"));
    child_arg (broker, "--feed", place->feed.data);

    child_t *storage = add (supervisor, place, ROLE_STORAGE, "storage", "myelin-storage");
    storage->keep_fd = place->lock_fd;
    child_arg (storage, "--data", place->data);
    child_arg (storage, "--intake", place->intake.data);
    child_arg (storage, "--run", place->run.data);
    child_arg (storage, "--query", place->query.data);

    for (stage_t stage = 0; stage < SCALE_STAGES; stage++)
        for (unsigned i = 0; i < limits->most[stage]; i++) {
            char name[32], program[32];
            snprintf (name, sizeof name, "%s-%u", stage_name (stage), i + 1);
            snprintf (program, sizeof program, "myelin-%s", stage_name (stage));
            child_t *worker = add (supervisor, place, ROLE_WORKER, name, program);
            worker->nice = WORKERS_NICE;
            child_arg (worker, "--intake", place->intake.data);
            child_arg (worker, "--run", place->run.data);
            crew_add (crew, worker, stage);
        }

    child_t *gateway = add (supervisor, place, ROLE_GATEWAY, "gateway", "myelin-gateway");
    gateway->keep_fd = place->lock_fd; /* it writes large documents */
    child_arg (gateway, "--http", options_text (place->options, "http"));
    child_arg (gateway, "--req", options_text (place->options, "req"));
    child_arg (gateway, "--broker", place->front.data);
    child_arg (gateway, "--query", place->query.data);
    child_arg (gateway, "--feed", place->feed.data);
    child_arg (gateway, "--data", place->data);
}

static cli_exit_t run_up (const options_t *options)
{
    int code;
    err_t err;
    datadir_t *datadir = NULL;
    supervisor_t *supervisor = NULL;
    char directory[PATH_MAX];
    str_t data = STR_INIT;
    place_t place = { .options = options,
                      .program_directory = directory,
                      .log_level = options_text (options, "log-level") };
    crew_t *crew = NULL;
    scale_limits_t limits = { .least = { 2, 1, 2 }, .most = { 2, 1, 2 } }; /* as WORKERS_DEFAULT */
    log_level_t level = LOG_INFO;

    if (log_level_parse (place.log_level, &level)) {
        err_set (&err, ERR_CONFIG, "--log-level takes debug, info, warn or error, not '%s'", place.log_level);
        goto failed;
    }
    log_init ("myelin", level);
    if (scale_parse (options_text (options, "workers"), &limits, &err) || program_directory (directory, &err))
        goto failed;
    if (options_text (options, "data") && !*options_text (options, "data")) {
        code = CLI_USAGE;
        err_set (&err, ERR_CONFIG, "--data needs the name of a directory, not an empty one");
        goto failed;
    }
    if (options_text (options, "data"))
        str_text (&data, options_text (options, "data"));
    else
        datadir_default (&data);
    datadir = datadir_open (data.data, &err);
    if (!datadir)
        goto failed;

    place.data = datadir_path (datadir);
    place.lock_fd = datadir_lock_fd (datadir);
    str_text (&place.run, datadir_run (datadir));
    str_format (&place.intake, "ipc://%s/intake", place.run.data);
    str_format (&place.front, "ipc://%s/front", place.run.data);
    str_format (&place.query, "ipc://%s/query", place.run.data);
    str_format (&place.feed, "ipc://%s/feed", place.run.data);
    unsetenv ("MYELIN_CONFIG"); /* was for us; the children would not know our options */

    supervisor = supervisor_new (options_number (options, "restart-pause") * 1000);
    crew = crew_new (&limits, place.front.data);
    add_children (supervisor, &place, &limits, crew);
    if (scale_is_needed (&limits))
        supervisor_scale (supervisor, crew);
    code = supervisor_run (supervisor);
    goto out;
failed:
    log_write (LOG_ERROR, "start_failed", NULL, "%s", err.message);
    code = err_exit (&err);
out:
    supervisor_destroy (&supervisor);
    crew_destroy (&crew);
    datadir_close (&datadir);
    str_free (&data);
    str_free (&place.run);
    str_free (&place.intake);
    str_free (&place.front);
    str_free (&place.query);
    str_free (&place.feed);
    return (cli_exit_t)code;
}

const command_t cli_up_commands[] = {
    { "up", "[OPTIONS…]", "starts everything on this machine and keeps it running",
      "Prints one line on stdout when it serves:\n"
      "  ready http=http://… req=tcp://… pub=tcp://…\n"
      "SIGTERM or Ctrl-C lets work in hand finish and ends with exit code 0.",
      up_options, 0, 0, run_up },
    { 0 },
};
