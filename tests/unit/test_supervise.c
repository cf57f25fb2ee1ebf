#include "base/clock.h"
#include "client/datadir.h"
#include "client/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* link: client */

/*  Programs of the tests are shell scripts in a directory of their own; what they have to tell they write to a FIFO
 *  that the test reads, so that nothing waits but for an event. */
typedef struct {
    char directory[64];
    char news[96];
    int news_fd;
    pid_t supervisor;
    int ready_fd; /* its stdout */
    int ignored;  /* signal it ignores from the start; 0: none */
} stage_set_t;

static void script (const stage_set_t *self, const char *name, const char *text)
{
    char path[128];
    snprintf (path, sizeof path, "%s/%s", self->directory, name);
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    /* the FIFO nobody writes to is made by the first who waits */
    fprintf (file, "#!/bin/sh\n[ -p $0-never ] || mkfifo $0-never\nnews=%s\n%s\n", self->news, text);
    fclose (file);
    chmod (path, 0700);
}

static void set_up (stage_set_t *self)
{
    memset (self, 0, sizeof *self);
    strcpy (self->directory, "/tmp/test-supervise-XXXXXX");
    assert_non_null (mkdtemp (self->directory));
    snprintf (self->news, sizeof self->news, "%s/news", self->directory);
    assert_int_equal (mkfifo (self->news, 0600), 0);
    self->news_fd = open (self->news, O_RDWR | O_CLOEXEC);
    assert_true (self->news_fd >= 0);
}

static void clean_up (stage_set_t *self)
{
    char line[128];
    close (self->news_fd);
    close (self->ready_fd);
    snprintf (line, sizeof line, "rm -r %s", self->directory);
    assert_int_equal (system (line), 0);
}

/*  A line from `fd`; fails the test after 20 s. `what` says what is waited for. */
static void take_line (int fd, char line[256], const char *what)
{
    size_t size = 0;
    while (size + 1 < 256 && (size == 0 || line[size - 1] != '\n')) {
        struct pollfd item = { .fd = fd, .events = POLLIN };
        if (poll (&item, 1, 20000) != 1 || read (fd, line + size, 1) != 1)
            fail_msg ("waited for '%s' in vain", what);
        size++;
    }
    line[size - 1] = 0;
}

static void expect_line (int fd, const char *wanted)
{
    char line[256];
    take_line (fd, line, wanted);
    assert_string_equal (line, wanted);
}

/*  Runs a supervisor over the programs `broker`, `worker` and `gateway` in a process of its own. */
static void run_supervisor (stage_set_t *self)
{
    int fds[2];
    assert_int_equal (pipe (fds), 0);
    fflush (NULL);
    self->supervisor = fork ();
    if (self->supervisor == 0) {
        dup2 (fds[1], STDOUT_FILENO);
        int null = open ("/dev/null", O_WRONLY);
        dup2 (null, STDERR_FILENO);
        if (self->ignored)
            signal (self->ignored, SIG_IGN);
        supervisor_t *supervisor = supervisor_new (5000);
        child_t *broker = supervisor_add (supervisor, ROLE_BROKER, "broker", self->directory, "broker");
        child_arg (broker, "--pub", "tcp://127.0.0.1:0");
        supervisor_add (supervisor, ROLE_WORKER, "worker", self->directory, "worker");
        child_t *gateway = supervisor_add (supervisor, ROLE_GATEWAY, "gateway", self->directory, "gateway");
        child_arg (gateway, "--http", "127.0.0.1:0");
        child_arg (gateway, "--req", "tcp://127.0.0.1:0");
        int code = supervisor_run (supervisor);
        supervisor_destroy (&supervisor);
        _exit (code);
    }
    close (fds[1]);
    self->ready_fd = fds[0];
}

static int exit_code (const stage_set_t *self)
{
    int status;
    assert_int_equal (waitpid (self->supervisor, &status, 0), self->supervisor);
    assert_true (WIFEXITED (status));
    return WEXITSTATUS (status);
}

#define READY "ready http=http://127.0.0.1:11 req=tcp://127.0.0.1:12 pub=tcp://127.0.0.1:13"
/*  A process that serves until it is told to stop, and then says so. It waits on a FIFO that nobody writes to. */
#define TRAP(name) "trap 'echo " name " stopped > $news; exit 0' TERM\n"
#define WAIT       "while :; do read line <> $0-never; done"
#define SERVES     "echo ready http=http://127.0.0.1:11 req=tcp://127.0.0.1:12\n"
#define PUBLISHES  "echo ready pub=tcp://127.0.0.1:13\n"

static void ready_line_and_stop_in_order (void **state)
{
    stage_set_t set;
    set_up (&set);
    script (&set, "broker", TRAP ("broker") PUBLISHES WAIT);
    script (&set, "worker", TRAP ("worker") "echo worker up > $news\n" WAIT);
    script (&set, "gateway", TRAP ("gateway") SERVES WAIT);
    run_supervisor (&set);
    expect_line (set.ready_fd, READY);
    expect_line (set.news_fd, "worker up");
    kill (set.supervisor, SIGTERM);
    expect_line (set.news_fd, "gateway stopped");
    expect_line (set.news_fd, "worker stopped");
    expect_line (set.news_fd, "broker stopped");
    assert_int_equal (exit_code (&set), 0);
    clean_up (&set);
}

static void what_dies_comes_back_with_the_ports_it_had (void **state)
{
    stage_set_t set;
    set_up (&set);
    script (&set, "broker", "echo \"broker $2\" > $news\n" PUBLISHES WAIT);
    script (&set, "worker", "exec sleep 1000");
    script (&set, "gateway", "echo \"gateway $2 $4\" > $news\n" SERVES "[ $2 != 127.0.0.1:0 ] || kill -9 $$\n" WAIT);
    run_supervisor (&set);
    expect_line (set.news_fd, "broker tcp://127.0.0.1:0");
    expect_line (set.news_fd, "gateway 127.0.0.1:0 tcp://127.0.0.1:0");
    expect_line (set.ready_fd, READY);
    expect_line (set.news_fd, "gateway 127.0.0.1:11 tcp://127.0.0.1:12");
    kill (set.supervisor, SIGTERM);
    assert_int_equal (exit_code (&set), 0);
    clean_up (&set);
}

static void a_child_that_cannot_start_ends_everything (void **state)
{
    stage_set_t set;
    set_up (&set);
    script (&set, "broker", "exit 1");
    script (&set, "worker", "echo worker up > $news; exec sleep 1000");
    script (&set, "gateway", "echo gateway up > $news");
    run_supervisor (&set);
    assert_int_equal (exit_code (&set), 1);
    char byte;
    assert_int_equal (read (set.ready_fd, &byte, 1), 0); /* it never said ready */
    clean_up (&set);
}

static void wrong_options_end_everything_with_exit_code_2 (void **state)
{
    stage_set_t set;
    set_up (&set);
    script (&set, "broker", TRAP ("broker") PUBLISHES WAIT);
    script (&set, "worker", "exit 2");
    script (&set, "gateway", TRAP ("gateway") SERVES WAIT);
    run_supervisor (&set); /* whether it serves by then or not */
    assert_int_equal (exit_code (&set), 2);
    clean_up (&set);
}

static void the_pauses_before_restarts_grow (void **state)
{
    stage_set_t set;
    set_up (&set);
    script (&set, "broker", TRAP ("broker") PUBLISHES WAIT);
    script (&set, "worker", "read up idle < /proc/uptime; echo $up > $news; kill -9 $$");
    script (&set, "gateway", TRAP ("gateway") SERVES WAIT);
    run_supervisor (&set);
    /* Each tells when it was there, and dies: from one to the next there is at least the pause. */
    static const double pauses[] = { 0, 0.1, 0.2, 0.4, 0.8 };
    double last = 0;
    for (size_t i = 0; i < 6; i++) {
        char line[256];
        take_line (set.news_fd, line, "a worker");
        double now = strtod (line, NULL);
        if (i > 0 && now - last < pauses[i - 1] - 0.02) /* its clock has hundredths */
            fail_msg ("pause %zu was %.2f s", i, now - last);
        last = now;
    }
    kill (set.supervisor, SIGTERM);
    assert_int_equal (exit_code (&set), 0);
    clean_up (&set);
}

static void a_signal_that_was_ignored_from_the_start_stops_nothing (void **state)
{
    stage_set_t set;
    set_up (&set);
    set.ignored = SIGHUP; /* as nohup does */
    script (&set, "broker", TRAP ("broker") PUBLISHES WAIT);
    script (&set, "worker", "exec sleep 1000");
    script (&set, "gateway", "echo $$ > $news\n" SERVES WAIT);
    run_supervisor (&set);
    expect_line (set.ready_fd, READY);
    char line[256];
    take_line (set.news_fd, line, "the gateway's pid");
    kill (set.supervisor, SIGHUP);
    kill ((pid_t)atoi (line), SIGKILL);
    take_line (set.news_fd, line, "the next gateway's pid"); /* one that stops starts nothing */
    assert_true (atoi (line) > 0);
    kill (set.supervisor, SIGTERM);
    assert_int_equal (exit_code (&set), 0);
    clean_up (&set);
}

static void signals_that_come_together_are_one_request (void **state)
{
    stage_set_t set;
    set_up (&set);
    script (&set, "broker", TRAP ("broker") PUBLISHES WAIT);
    script (&set, "worker", TRAP ("worker") "echo worker up > $news\n" WAIT);
    script (&set, "gateway", TRAP ("gateway") SERVES WAIT);
    run_supervisor (&set);
    expect_line (set.ready_fd, READY);
    expect_line (set.news_fd, "worker up");
    kill (set.supervisor, SIGHUP);
    kill (set.supervisor, SIGTERM);
    expect_line (set.news_fd, "gateway stopped");
    expect_line (set.news_fd, "worker stopped");
    expect_line (set.news_fd, "broker stopped");
    assert_int_equal (exit_code (&set), 0);
    clean_up (&set);
}

static bool no_pidfd;

/*  Stands in for the C library's, which fails when the machine has no descriptors left. */
int pidfd_open (pid_t pid, unsigned flags)
{
    if (!no_pidfd)
        return (int)syscall (SYS_pidfd_open, pid, flags);
    errno = ENFILE;
    return -1;
}

static void a_child_that_cannot_be_watched_is_not_started (void **state)
{
    child_t child;
    err_t err;
    child_init (&child, "sleeper", "/bin", "sleep");
    child_arg (&child, "1000", "1000");
    no_pidfd = true;
    int rc = child_start (&child, 1, &err);
    no_pidfd = false;
    assert_int_equal (rc, -1);
    assert_non_null (strstr (err.message, "cannot watch sleeper"));
    assert_int_equal (waitpid (-1, NULL, WNOHANG), -1); /* nothing was left behind */
    assert_int_equal (child.out_fd, -1);
    child_free (&child); /* asserts that it does not run */
}

static void a_crash_before_ready_is_tried_again (void **state)
{
    stage_set_t set;
    set_up (&set);
    script (&set, "broker", "if mkdir ${0}-was-here 2>/dev/null; then kill -9 $$; fi\n" TRAP ("broker") PUBLISHES WAIT);
    script (&set, "worker", "exec sleep 1000");
    script (&set, "gateway", TRAP ("gateway") SERVES WAIT);
    run_supervisor (&set);
    expect_line (set.ready_fd, READY);
    kill (set.supervisor, SIGINT);
    assert_int_equal (exit_code (&set), 0);
    clean_up (&set);
}

static void a_second_signal_does_not_wait (void **state)
{
    stage_set_t set;
    set_up (&set);
    script (&set, "broker", TRAP ("broker") PUBLISHES WAIT);
    script (&set, "worker", "trap '' TERM\necho worker up > $news\n" WAIT);
    script (&set, "gateway", TRAP ("gateway") SERVES WAIT);
    run_supervisor (&set);
    expect_line (set.ready_fd, READY);
    expect_line (set.news_fd, "worker up");
    uint64_t start = clock_mono_ms ();
    kill (set.supervisor, SIGTERM);
    expect_line (set.news_fd, "gateway stopped");
    /* Again and again, until one is late enough not to be of the first request, and its stdout closes. */
    struct pollfd item = { .fd = set.ready_fd, .events = POLLIN };
    while (poll (&item, 1, 100) == 0)
        kill (set.supervisor, SIGTERM);
    assert_int_equal (exit_code (&set), 0);
    assert_true (clock_mono_ms () - start < 8000); /* the worker's bound alone is 10 s */
    clean_up (&set);
}

static void values_of_a_ready_line (void **state)
{
    span_t line = SPAN_LIT ("http=http://a:1 req=tcp://b:2 x= pub");
    assert_true (span_is (child_ready_value (line, "http"), "http://a:1"));
    assert_true (span_is (child_ready_value (line, "req"), "tcp://b:2"));
    assert_int_equal (child_ready_value (line, "x").size, 0);
    assert_int_equal (child_ready_value (line, "pub").size, 0);
    assert_int_equal (child_ready_value (line, "eq").size, 0);
    assert_int_equal (child_ready_value (SPAN_EMPTY, "http").size, 0);
}

/*  --- the data directory --- */

static void a_directory_is_made_locked_and_given_back (void **state)
{
    char place[] = "/tmp/test-datadir-XXXXXX", path[64];
    assert_non_null (mkdtemp (place));
    snprintf (path, sizeof path, "%s/a/b/", place);
    err_t err;
    datadir_t *first = datadir_open (path, &err);
    assert_non_null (first);
    assert_non_null (strstr (datadir_run (first), "/a/b/run"));

    assert_null (datadir_open (path, &err));
    assert_int_equal (err.code, ERR_LOCKED);
    char pid[32];
    snprintf (pid, sizeof pid, "process %d;", (int)getpid ());
    assert_non_null (strstr (err.message, pid));

    datadir_close (&first);
    first = datadir_open (path, &err);
    assert_non_null (first);
    datadir_close (&first);
    char line[64];
    snprintf (line, sizeof line, "rm -r %s", place);
    assert_int_equal (system (line), 0);
}

static void a_long_path_gets_its_sockets_elsewhere (void **state)
{
    char place[] = "/tmp/test-datadir-XXXXXX", path[160];
    assert_non_null (mkdtemp (place));
    snprintf (path, sizeof path, "%s/%080d", place, 0);
    err_t err;
    datadir_t *self = datadir_open (path, &err);
    assert_non_null (self);
    char run[64];
    assert_true (strlen (datadir_run (self)) < sizeof run);
    strcpy (run, datadir_run (self));
    assert_int_equal (access (run, W_OK), 0);
    datadir_close (&self);
    assert_int_not_equal (access (run, F_OK), 0);
    char line[64];
    snprintf (line, sizeof line, "rm -r %s", place);
    assert_int_equal (system (line), 0);
}

static void a_file_is_no_data_directory (void **state)
{
    err_t err;
    assert_null (datadir_open ("/dev/null", &err));
    assert_non_null (strstr (err.message, "/dev/null"));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (ready_line_and_stop_in_order),
        cmocka_unit_test (what_dies_comes_back_with_the_ports_it_had),
        cmocka_unit_test (a_child_that_cannot_start_ends_everything),
        cmocka_unit_test (wrong_options_end_everything_with_exit_code_2),
        cmocka_unit_test (the_pauses_before_restarts_grow),
        cmocka_unit_test (a_signal_that_was_ignored_from_the_start_stops_nothing),
        cmocka_unit_test (signals_that_come_together_are_one_request),
        cmocka_unit_test (a_child_that_cannot_be_watched_is_not_started),
        cmocka_unit_test (a_crash_before_ready_is_tried_again),
        cmocka_unit_test (a_second_signal_does_not_wait),
        cmocka_unit_test (values_of_a_ready_line),
        cmocka_unit_test (a_directory_is_made_locked_and_given_back),
        cmocka_unit_test (a_long_path_gets_its_sockets_elsewhere),
        cmocka_unit_test (a_file_is_no_data_directory),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
