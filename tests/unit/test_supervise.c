#include "base/clock.h"
#include "client/datadir.h"
#include "client/supervise.h"

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
#include <sys/stat.h>
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

/*  A line from `fd`; fails the test after 20 s. */
static void expect_line (int fd, const char *wanted)
{
    char line[256];
    size_t size = 0;
    while (size + 1 < sizeof line && (size == 0 || line[size - 1] != '\n')) {
        struct pollfd item = { .fd = fd, .events = POLLIN };
        if (poll (&item, 1, 20000) != 1 || read (fd, line + size, 1) != 1)
            fail_msg ("waited for '%s' in vain", wanted);
        size++;
    }
    line[size - 1] = 0;
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
        supervisor_t *supervisor = supervisor_new ();
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
        cmocka_unit_test (a_crash_before_ready_is_tried_again),
        cmocka_unit_test (a_second_signal_does_not_wait),
        cmocka_unit_test (values_of_a_ready_line),
        cmocka_unit_test (a_directory_is_made_locked_and_given_back),
        cmocka_unit_test (a_long_path_gets_its_sockets_elsewhere),
        cmocka_unit_test (a_file_is_no_data_directory),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
