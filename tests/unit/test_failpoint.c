/*  Named failpoints: what the environment says is done, and counted. Each case is a process of its own, because most
 *  end one. */
#include "base/failpoint.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* link: base */

#ifdef MYELIN_FAILPOINTS
static char program[4096], counts[] = "/tmp/test-failpoint-XXXXXX";

static uint64_t counted (failpoint_t which, bool done)
{
    uint64_t value = 0;
    int fd = open (counts, O_RDONLY);
    assert_int_equal (pread (fd, &value, sizeof value, (off_t)(16 * which + 8 * done)), sizeof value);
    close (fd);
    return value;
}

/*  Runs ourselves so that blob.write is passed `times` times; the status as of waitpid, stopped ones included. */
static int passing (const char *plan, const char *times)
{
    pid_t pid = fork ();
    if (pid == 0) {
        setenv ("MYELIN_FAILPOINTS", plan, 1);
        setenv ("MYELIN_FAILPOINTS_COUNTS", counts, 1);
        dup2 (open ("/dev/null", O_WRONLY), STDOUT_FILENO);
        dup2 (STDOUT_FILENO, STDERR_FILENO);
        execl (program, program, times, NULL);
        _exit (99);
    }
    int status = 0;
    waitpid (pid, &status, WUNTRACED);
    if (WIFSTOPPED (status)) {
        kill (pid, SIGKILL);
        waitpid (pid, NULL, 0);
    }
    return status;
}

/*  As passing, for plans at which it lives; how many of the passes were errors. */
static int errors (const char *plan, const char *times)
{
    int status = passing (plan, times);
    assert_true (WIFEXITED (status));
    return WEXITSTATUS (status);
}

static int forget (void **state)
{
    unlink (counts);
    return 0;
}

static void what_is_planned_is_done_and_counted (void **state)
{
    assert_int_equal (errors ("", "5"), 0);
    assert_int_equal (counted (FAILPOINT_BLOB_WRITE, false), 5);
    assert_int_equal (errors ("blob.write=error", "5"), 5);
    assert_int_equal (errors ("blob.write=error@3", "5"), 1);
    assert_int_equal (errors ("blob.sync=error", "5"), 0);
    assert_int_equal (counted (FAILPOINT_BLOB_WRITE, false), 20);
    assert_int_equal (counted (FAILPOINT_BLOB_WRITE, true), 6);
    assert_int_equal (WTERMSIG (passing ("blob.write=crash@4", "9")), SIGKILL);
    assert_int_equal (counted (FAILPOINT_BLOB_WRITE, false), 24); /* what it counted outlives it */
    assert_int_equal (WSTOPSIG (passing ("blob.write=pause", "1")), SIGSTOP);
    assert_int_equal (counted (FAILPOINT_BLOB_WRITE, true), 8);
}

static void at_most_so_many_times_over_all_processes (void **state)
{
    assert_int_equal (errors ("blob.write=error*7", "5"), 5);
    assert_int_equal (errors ("blob.write=error*7", "5"), 2);
    assert_int_equal (errors ("blob.write=error*7", "5"), 0);
    assert_int_equal (counted (FAILPOINT_BLOB_WRITE, true), 7);
}

static void a_chance_is_one (void **state)
{
    int got = errors ("blob.write=error@1/4", "200");
    assert_in_range (got, 10, 110); /* 50 ± 6; further off is one in 10^10 */
    assert_int_equal (errors ("blob.write=error@1/1", "20"), 20);
}

static void beginnings_name_many_and_what_is_named_later_wins (void **state)
{
    assert_int_equal (errors ("blob.*=error,blob.sync=crash", "3"), 3);
    assert_int_equal (errors ("*=error,blob.write=error@2", "3"), 1);
}

static void mistakes_end_the_program_at_its_start (void **state)
{
    static const char *const wrong[] = {
        "blob.wirte=crash",  "blob.write=crush",   "blob.write",           "nonsense*=crash",   "=crash",
        "blob.write=crash@", "blob.write=crash@x", "blob.write=error@1/0", "blob.write=error*", "blob.kept=error",
        "blob.write=crash@0"
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int status = passing (wrong[i], "0");
        if (!WIFEXITED (status) || WEXITSTATUS (status) != 2)
            fail_msg ("%s was taken", wrong[i]);
    }
}

int main (int argc, char **argv)
{
    if (argc > 1) {
        int failed = 0;
        for (int i = atoi (argv[1]); i > 0; i--)
            failed += FAILPOINT_ERROR (BLOB_WRITE, NULL) == -1;
        return failed;
    }
    ssize_t size = readlink ("/proc/self/exe", program, sizeof program - 1);
    if (size < 0 || mkstemp (counts) < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (what_is_planned_is_done_and_counted, forget, forget),
        cmocka_unit_test_setup_teardown (at_most_so_many_times_over_all_processes, forget, forget),
        cmocka_unit_test_setup_teardown (a_chance_is_one, forget, forget),
        cmocka_unit_test_setup_teardown (beginnings_name_many_and_what_is_named_later_wins, forget, forget),
        cmocka_unit_test_setup_teardown (mistakes_end_the_program_at_its_start, forget, forget),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
#else
int main (void)
{
    return 0; /* compiled out */
}
#endif
