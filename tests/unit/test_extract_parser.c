/*  The parser process, its zygote, and the worker's side of both. */
#include "extract_fixture.h"
#include "stages/extract/checks.h"
#include "stages/extract/child.h"
#include "stages/extract/parser.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* link: extract archive */

static zygote_t *zygote;
static const limits_t limits = LIMITS_DEFAULT;

static int memory_file (span_t bytes)
{
    int fd = memfd_create ("document", MFD_CLOEXEC);
    assert_true (fd >= 0);
    assert_int_equal (write (fd, bytes.data, bytes.size), (ssize_t)bytes.size);
    return fd;
}

static void start (parser_t *parser, span_t bytes, const char *name)
{
    parser_request_t request = { .document = memory_file (bytes), .name = span_str (name) };
    err_t err;
    assert_int_equal (parser_start (parser, &request, &err), 0);
}

static void wait_for (const parser_t *parser)
{
    struct pollfd items[] = { { parser_zygote_fd (parser), POLLIN, 0 }, { parser_output_fd (parser), POLLIN, 0 } };
    assert_true (poll (items, 2, parser_timeout_ms (parser)) >= 0);
}

/*  Runs to the end; the text goes to `text`, the warnings to `warnings` (both may be NULL). */
static parser_state_t finish (parser_t *parser, str_t *text, str_t *warnings, err_t *err)
{
    for (;;) {
        parser_segment_t segment;
        parser_state_t state = parser_next (parser, &segment, err);
        if (state == PARSER_IDLE) {
            wait_for (parser);
            continue;
        }
        if (warnings)
            str_add (warnings, state == PARSER_SEGMENT ? segment.warnings : parser_warnings (parser));
        if (state != PARSER_SEGMENT)
            return state;
        if (text)
            str_add (text, buf_span (segment.text));
        buf_unref (&segment.text);
        buf_unref (&segment.marks);
    }
}

static void a_document_comes_back_as_segments (void **state)
{
    parser_t *parser = parser_new (zygote, &limits);
    str_t text = STR_INIT, metadata = STR_INIT;
    err_t err;
    start (parser, SPAN_LIT ("<title>T &quot;q&quot;</title><h1>Head</h1><p>words"), "a.html");
    assert_int_equal (finish (parser, &text, NULL, &err), PARSER_DONE);
    assert_string_equal (text.data, "T \"q\"\n\nHead\n\nwords");
    assert_true (span_is (parser_media_type (parser), "text/html"));
    parser_metadata (parser, &metadata);
    assert_string_equal (metadata.data, "{\"title\":\"T \\\"q\\\"\",\"charset\":\"UTF-8\"}");
    str_free (&text);
    str_free (&metadata);
    parser_destroy (&parser);
}

static void a_parser_serves_document_after_document (void **state)
{
    parser_t *parser = parser_new (zygote, &limits);
    for (int i = 0; i < 20; i++) {
        str_t text = STR_INIT;
        err_t err;
        char html[64];
        snprintf (html, sizeof html, "<p>number %d", i);
        start (parser, span_str (html), "a.html");
        assert_int_equal (finish (parser, &text, NULL, &err), PARSER_DONE);
        assert_string_equal (text.data, html + 3);
        str_free (&text);
    }
    parser_destroy (&parser);
}

static void a_bad_document_fails_with_its_code (void **state)
{
    parser_t *parser = parser_new (zygote, &limits);
    err_t err;
    start (parser, SPAN_LIT ("%PDF-1.4 and no more"), "a.pdf");
    assert_int_equal (finish (parser, NULL, NULL, &err), PARSER_FAILED);
    assert_int_equal (err.code, ERR_DAMAGED_DOCUMENT);
    assert_false (parser_was_killed (parser)); /* it said so itself */
    start (parser, SPAN_LIT ("<script>x</script>"), "a.html");
    assert_int_equal (finish (parser, NULL, NULL, &err), PARSER_FAILED);
    assert_int_equal (err.code, ERR_EMPTY_DOCUMENT);
    parser_destroy (&parser);
}

/*  As where whoever confines us lets nobody else have filters: questions whether there are any are answered. */
static void forbid_sandboxes (void)
{
    struct sock_filter filter[] = {
        BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
        BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 0, 5),
        BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, args[0])),
        BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SECCOMP_SET_MODE_FILTER, 0, 3),
        BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, args[2])), /* the filter */
        BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
        BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EBUSY),
        BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof filter / sizeof *filter, filter };
    if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        _exit (2);
}

static void a_document_is_not_to_blame_for_a_machine_without_sandbox (void **state)
{
    pid_t pid = fork ();
    if (pid == 0) {
        err_t err = { 0 };
        forbid_sandboxes ();
        zygote_t *unlocked = zygote_new (&limits, &err);
        parser_t *parser = parser_new (unlocked, &limits);
        start (parser, SPAN_LIT ("<p>words"), "a.html");
        parser_state_t end = finish (parser, NULL, NULL, &err);
        bool blamed = parser_was_killed (parser);
        parser_destroy (&parser);
        zygote_destroy (&unlocked);
        _exit (end != PARSER_FAILED ? 3 : err.code != ERR_INTERNAL ? 4 : blamed ? 5 : 0);
    }
    int status;
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_int_equal (status, 0);
}

static void warnings_come_as_json (void **state)
{
    static const member_spec_t members[] = {
        { "a.txt", SPAN_LIT ("fine") },
        { "\"b\".pdf", SPAN_LIT ("%PDF-1.7 but no more") },
        { NULL, SPAN_EMPTY },
    };
    str_t file = STR_INIT, warnings = STR_INIT;
    make_archive (NULL, members, &file);
    parser_t *parser = parser_new (zygote, &limits);
    err_t err;
    start (parser, str_span (&file), "a.zip");
    assert_int_equal (finish (parser, NULL, &warnings, &err), PARSER_DONE);
    assert_int_equal (parser_bad (parser), 1);
    assert_non_null (strstr (warnings.data, "{\"code\":\"damaged_document\",\"message\":"));
    assert_non_null (strstr (warnings.data, "\"where\":\"\\\"b\\\".pdf\"}"));
    parser_destroy (&parser);
    str_free (&file);
    str_free (&warnings);
}

static void long_text (str_t *text, size_t bytes)
{
    str_text (text, "<?xml version='1.0'?><a>");
    while (text->size < bytes)
        str_format (text, "line %zu of a long text\n", text->size);
    str_text (text, "</a>");
}

static void a_parser_nobody_listens_to_waits (void **state)
{
    str_t document = STR_INIT, text = STR_INIT;
    long_text (&document, 8 * MIB);
    parser_t *parser = parser_new (zygote, &limits);
    err_t err;
    start (parser, str_span (&document), "a.xml");
    parser_segment_t segment;
    while (parser_next (parser, &segment, &err) != PARSER_SEGMENT)
        wait_for (parser);
    buf_unref (&segment.text);
    buf_unref (&segment.marks);
    /* The pipe is full now, or soon: what is not read is not made. Then it goes on where it was. */
    assert_int_equal (parser_hold (parser, &err), 0);
    assert_int_equal (finish (parser, &text, NULL, &err), PARSER_DONE);
    assert_in_range (text.size, 7 * MIB, 8 * MIB);
    parser_destroy (&parser);
    str_free (&document);
    str_free (&text);
}

static void a_parser_that_ends_while_nobody_listens_is_heard_once (void **state)
{
    str_t document = STR_INIT;
    long_text (&document, 400 * 1000); /* two segments: the second and the end fit into the pipe */
    parser_t *parser = parser_new (zygote, &limits);
    err_t err;
    start (parser, str_span (&document), "a.xml");
    parser_segment_t segment;
    while (parser_next (parser, &segment, &err) != PARSER_SEGMENT)
        wait_for (parser);
    buf_unref (&segment.text);
    buf_unref (&segment.marks);
    struct pollfd told = { parser_zygote_fd (parser), POLLIN, 0 };
    assert_int_equal (poll (&told, 1, 10000), 1); /* it has ended */
    assert_int_equal (parser_hold (parser, &err), 0);
    assert_int_equal (poll (&told, 1, 0), 0); /* a poll waits again */
    assert_int_equal (finish (parser, NULL, NULL, &err), PARSER_DONE);
    parser_destroy (&parser);
    str_free (&document);
}

static void a_parser_that_talks_and_talks_lets_others_have_a_word (void **state)
{
    member_spec_t members[601] = { { NULL, SPAN_EMPTY } };
    char names[600][16];
    for (int i = 0; i < 600; i++) { /* a step for each, and one segment at the end */
        snprintf (names[i], sizeof names[i], "%d.txt", i);
        members[i] = (member_spec_t){ names[i], SPAN_LIT ("") };
    }
    str_t file = STR_INIT, text = STR_INIT;
    make_archive (NULL, members, &file);
    parser_t *parser = parser_new (zygote, &limits);
    err_t err;
    start (parser, str_span (&file), "a.zip");
    struct pollfd output = { parser_output_fd (parser), 0, 0 };
    assert_int_equal (poll (&output, 1, 10000), 1); /* hung up: all was said */
    parser_segment_t segment;
    for (int turns = 0; turns < 2; turns++) {
        assert_int_equal (parser_next (parser, &segment, &err), PARSER_IDLE);
        assert_int_equal (parser_timeout_ms (parser), 0);
    }
    assert_int_equal (finish (parser, &text, NULL, &err), PARSER_DONE);
    assert_non_null (strstr (text.data, "599.txt"));
    parser_destroy (&parser);
    str_free (&file);
    str_free (&text);
}

static void a_killed_parser_is_gone_and_the_next_starts (void **state)
{
    str_t document = STR_INIT;
    long_text (&document, 8 * MIB);
    parser_t *parser = parser_new (zygote, &limits);
    for (int i = 0; i < 5; i++) {
        err_t err;
        parser_segment_t segment;
        start (parser, str_span (&document), "a.xml");
        while (i && parser_next (parser, &segment, &err) != PARSER_SEGMENT) /* at once, and in the middle */
            wait_for (parser);
        if (i) {
            buf_unref (&segment.text);
            buf_unref (&segment.marks);
        }
        parser_kill (parser);
    }
    start (parser, str_span (&document), "a.xml"); /* forgotten before its process has started: that one is not ours */
    parser_destroy (&parser);
    parser = parser_new (zygote, &limits);
    err_t err;
    str_t text = STR_INIT;
    start (parser, SPAN_LIT ("<p>after"), "a.html");
    assert_int_equal (finish (parser, &text, NULL, &err), PARSER_DONE);
    assert_string_equal (text.data, "after");
    str_free (&text);
    str_free (&document);
    parser_destroy (&parser);
}

/*  The pid of the only parser that runs: the child of the zygote. */
static pid_t parser_pid (void)
{
    DIR *proc = opendir ("/proc");
    struct dirent *entry;
    pid_t found = 0;
    while ((entry = readdir (proc))) {
        char path[300], name[32] = "";
        snprintf (path, sizeof path, "/proc/%s/comm", entry->d_name);
        FILE *file = fopen (path, "r");
        if (!file)
            continue;
        if (fgets (name, sizeof name, file) && strcmp (name, "extract-parser\n") == 0) {
            /* Of our zygote, not of one that another test runs. */
            char stat[512];
            int parent = 0;
            snprintf (path, sizeof path, "/proc/%s/stat", entry->d_name);
            FILE *more = fopen (path, "r");
            if (more && fgets (stat, sizeof stat, more))
                sscanf (strrchr (stat, ')') + 1, " %*c %d", &parent);
            if (more)
                fclose (more);
            if (parent == zygote_pid (zygote))
                found = (pid_t)atoi (entry->d_name);
        }
        fclose (file);
    }
    closedir (proc);
    return found;
}

/*  As the parser's libraries do it. */
static void say_on_stderr (pid_t pid, const char *words)
{
    char path[64];
    snprintf (path, sizeof path, "/proc/%d/fd/2", (int)pid);
    int fd = open (path, O_WRONLY | O_NONBLOCK);
    assert_true (fd >= 0);
    assert_int_equal (write (fd, words, strlen (words)), (ssize_t)strlen (words));
    close (fd);
}

static void a_parser_that_dies_is_told_with_its_signal_and_its_last_words (void **state)
{
    str_t document = STR_INIT;
    long_text (&document, 8 * MIB);
    parser_t *parser = parser_new (zygote, &limits);
    err_t err;
    parser_segment_t segment;
    start (parser, str_span (&document), "a.xml");
    while (parser_next (parser, &segment, &err) != PARSER_SEGMENT)
        wait_for (parser);
    buf_unref (&segment.text);
    buf_unref (&segment.marks);
    pid_t pid = parser_pid ();
    assert_true (pid > 0);
    say_on_stderr (pid, "something is \033[1mwrong\n");
    assert_int_equal (kill (pid, SIGILL), 0);
    assert_int_equal (finish (parser, NULL, NULL, &err), PARSER_FAILED);
    assert_int_equal (err.code, ERR_PARSER_CRASHED);
    str_t errors = STR_INIT;
    parser_errors (parser, &errors);
    assert_string_equal (errors.data, "something is \\x1b[1mwrong\n");
    str_free (&errors);
    if (!strstr (err.message, "SIGILL"))
        fail_msg ("it says '%s'", err.message);
    assert_true (parser_was_killed (parser));
    parser_destroy (&parser);
    str_free (&document);
}

static void a_parser_whose_zygote_is_gone_already_does_nothing (void **state)
{
    int output[2], document = memory_file (SPAN_LIT ("<p>words")), status;
    assert_int_equal (pipe (output), 0);
    pid_t pid = fork ();
    if (pid == 0)
        child_run (&(record_spawn_t){ .name = SPAN_LIT ("a.html") },
                   &(child_fds_t){ document, output[1], STDERR_FILENO, -1 }, &limits, getpid ());
    close (output[1]);
    char byte;
    assert_int_equal (read (output[0], &byte, 1), 0);
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 0);
    close (output[0]);
    close (document);
}

static void a_unit_that_kills_its_parser_is_skipped (void **state)
{
    /* An entry long enough to be caught in the act. */
    str_t document = STR_INIT, file = STR_INIT, text = STR_INIT, warnings = STR_INIT;
    long_text (&document, 3 * MIB);
    const member_spec_t members[] = {
        { "a.txt", SPAN_LIT ("first") },
        { "b.xml", str_span (&document) },
        { "c.txt", SPAN_LIT ("last") },
        { NULL, SPAN_EMPTY },
    };
    make_archive (NULL, members, &file);
    parser_t *parser = parser_new (zygote, &limits);
    err_t err;
    parser_segment_t segment;
    start (parser, str_span (&file), "a.zip");
    for (int segments = 0; segments < 2;) { /* the second is of b.xml */
        parser_state_t now = parser_next (parser, &segment, &err);
        if (now == PARSER_IDLE)
            wait_for (parser);
        if (now != PARSER_SEGMENT)
            continue;
        str_add (&text, buf_span (segment.text));
        buf_unref (&segment.text);
        buf_unref (&segment.marks);
        segments++;
    }
    assert_int_equal (kill (parser_pid (), SIGILL), 0);
    assert_int_equal (finish (parser, &text, &warnings, &err), PARSER_DONE);
    assert_int_equal (parser_bad (parser), 1);
    assert_non_null (strstr (text.data, "first"));
    assert_non_null (strstr (text.data, "last"));
    assert_non_null (strstr (warnings.data, "\"parser_crashed\""));
    assert_non_null (strstr (warnings.data, "\"where\":\"b.xml\""));
    parser_destroy (&parser);
    str_free (&document);
    str_free (&file);
    str_free (&text);
    str_free (&warnings);
}

/*  The system, or whoever does not like the process: the page is not to blame for it. */
static void a_unit_at_which_somebody_else_kills_the_parser_is_read_all_the_same (void **state)
{
    str_t document = STR_INIT, file = STR_INIT, text = STR_INIT, warnings = STR_INIT;
    long_text (&document, 3 * MIB);
    const member_spec_t members[] = {
        { "a.txt", SPAN_LIT ("first") },
        { "b.xml", str_span (&document) },
        { "c.txt", SPAN_LIT ("last") },
        { NULL, SPAN_EMPTY },
    };
    make_archive (NULL, members, &file);
    for (int kills = 1; kills <= 2; kills++) {
        parser_t *parser = parser_new (zygote, &limits);
        err_t err;
        parser_segment_t segment;
        start (parser, str_span (&file), "a.zip");
        str_clear (&text);
        str_clear (&warnings);
        pid_t killed = 0;                             /* what it had said before may still come when it is dead */
        for (int segments = 0, left = kills; left;) { /* those after the first are of b.xml */
            parser_state_t now = parser_next (parser, &segment, &err);
            if (now == PARSER_IDLE)
                wait_for (parser);
            if (now != PARSER_SEGMENT)
                continue;
            str_add (&text, buf_span (segment.text));
            buf_unref (&segment.text);
            buf_unref (&segment.marks);
            pid_t pid = parser_pid ();
            if (++segments == 1 || pid <= 0 || pid == killed)
                continue;
            assert_int_equal (kill (pid, SIGKILL), 0);
            killed = pid;
            left--;
        }
        assert_int_equal (finish (parser, &text, &warnings, &err), PARSER_DONE);
        assert_non_null (strstr (text.data, "last"));
        assert_int_equal (parser_bad (parser), kills - 1);
        if (kills == 1)
            assert_in_range (text.size, 3 * MIB - 100, 4 * MIB);
        else /* again at the same: then it may be its doing */
            assert_non_null (strstr (warnings.data, "\"parser_killed\""));
        parser_destroy (&parser);
    }
    str_free (&document);
    str_free (&file);
    str_free (&text);
    str_free (&warnings);
}

static void what_a_parser_says_is_checked (void **state)
{
    err_t err;
    str_t mark = STR_INIT;
    record_segment_t good = { .permille = 5, .text = SPAN_LIT ("text"), .cursor = SPAN_LIT ("0;0;0;0;") }, bad;
    mark_add (&mark, (mark_t){ 4, MARK_PAGE, 1, SPAN_EMPTY });
    good.marks = str_span (&mark);
    assert_int_equal (check_segment (&good, &err), 0);
    bad = good, bad.text = SPAN_EMPTY;
    assert_int_equal (check_segment (&bad, &err), -1);
    bad = good, bad.text = SPAN_LIT ("not \xff utf-8");
    assert_int_equal (check_segment (&bad, &err), -1);
    bad = good, bad.text = SPAN_LIT ("txt"); /* the mark is beyond it */
    assert_int_equal (check_segment (&bad, &err), -1);
    bad = good, bad.permille = 1001;
    assert_int_equal (check_segment (&bad, &err), -1);
    bad = good, bad.cursor = SPAN_LIT ("\xff");
    assert_int_equal (check_segment (&bad, &err), -1);
    bad = good, bad.marks.size--;
    assert_int_equal (check_segment (&bad, &err), -1);
    mark_add (&mark, (mark_t){ 2, MARK_PAGE, 1, SPAN_EMPTY }); /* backwards */
    bad = good, bad.marks = str_span (&mark);
    assert_int_equal (check_segment (&bad, &err), -1);
    str_free (&mark);

    assert_int_equal (
        check_warning (&(record_warning_t){ SPAN_LIT ("too_deep"), SPAN_LIT ("x"), SPAN_LIT ("y") }, &err), 0);
    assert_int_equal (check_warning (&(record_warning_t){ SPAN_LIT ("made_up"), SPAN_LIT ("x"), SPAN_LIT ("y") }, &err),
                      -1);
    assert_int_equal (check_meta (&(record_meta_t){ META_COUNT, SPAN_LIT ("x") }, &err), -1);
    assert_int_equal (check_step (&(record_step_t){ 0, SPAN_LIT ("a\nb"), SPAN_EMPTY }, &err), -1);
    assert_int_equal (check_step (&(record_step_t){ 0, SPAN_LIT ("a"), SPAN_LIT ("\xff") }, &err), -1);
    assert_int_equal (check_end (&(record_end_t){ .code = SPAN_LIT ("none") }, &err), -1);
    assert_int_equal (check_end (&(record_end_t){ .media_type = SPAN_LIT ("text/plain") }, &err), 0);
}

static void records_are_read_whole_or_not_at_all (void **state)
{
    str_t bytes = STR_INIT;
    record_t record, back;
    err_t err;
    record = (record_t){ .kind = RECORD_KIND_SPAWN,
                         .spawn = { SPAN_LIT ("name"), SPAN_LIT ("type"), SPAN_LIT ("cursor"), 7, 1ull << 40,
                                    SPAN_LIT ("page=1\n") } };
    record_encode (&record, &bytes);
    assert_int_equal (record_decode (str_span (&bytes), &back, &err), 0);
    assert_int_equal (back.kind, RECORD_KIND_SPAWN);
    assert_true (span_is (back.spawn.skip, "page=1\n"));
    assert_int_equal (back.spawn.text_offset, 1ull << 40);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal (record_decode (span (bytes.data, size), &back, &err), -1);
    bytes.data[1] = (char)RECORD_COUNT;
    assert_int_equal (record_decode (str_span (&bytes), &back, &err), -1);
    str_free (&bytes);
}

static int begin (void **state)
{
    err_t err;
    zygote = zygote_new (&limits, &err);
    return zygote ? 0 : -1;
}

static int end (void **state)
{
    zygote_destroy (&zygote);
    return 0;
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_document_comes_back_as_segments),
        cmocka_unit_test (a_parser_serves_document_after_document),
        cmocka_unit_test (a_bad_document_fails_with_its_code),
        cmocka_unit_test (a_document_is_not_to_blame_for_a_machine_without_sandbox),
        cmocka_unit_test (warnings_come_as_json),
        cmocka_unit_test (a_parser_nobody_listens_to_waits),
        cmocka_unit_test (a_parser_that_ends_while_nobody_listens_is_heard_once),
        cmocka_unit_test (a_parser_that_talks_and_talks_lets_others_have_a_word),
        cmocka_unit_test (a_killed_parser_is_gone_and_the_next_starts),
        cmocka_unit_test (a_parser_that_dies_is_told_with_its_signal_and_its_last_words),
        cmocka_unit_test (a_parser_whose_zygote_is_gone_already_does_nothing),
        cmocka_unit_test (a_unit_that_kills_its_parser_is_skipped),
        cmocka_unit_test (a_unit_at_which_somebody_else_kills_the_parser_is_read_all_the_same),
        cmocka_unit_test (what_a_parser_says_is_checked),
        cmocka_unit_test (records_are_read_whole_or_not_at_all),
    };
    return cmocka_run_group_tests (tests, begin, end);
}
