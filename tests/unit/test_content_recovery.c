/* link: content embedding */
#include "tests/unit/content_fixture.h"

#include "store/content_records.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void index_path (const fixture_t *self, char path[128])
{
    snprintf (path, 128, "%s/index.sqlite", self->dir);
}

static void write_some (fixture_t *self)
{
    char text[64];
    for (int i = 0; i < 20; i++) {
        snprintf (text, sizeof text, "remember number%d\ncommon line", i);
        put_note (self, "ana", uuid_new (), 1, text);
    }
}

static void expect_some (fixture_t *self)
{
    assert_int_equal (search_in (self, "ana", "common", SEARCH_TEXT, 50, (uuid_t){ 0 }).count, 20);
    assert_int_equal (search_for (self, "ana", "number7", SEARCH_TEXT).count, 1);
    assert_string_equal (search_for (self, "ana", "number7", SEARCH_HYBRID).items[0].text, "remember number7");
}

static void everything_is_there_after_a_restart (void **state)
{
    fixture_t *self = *state;
    write_some (self);
    fixture_close (self);
    fixture_open (self);
    expect_some (self);
    put_note (self, "ana", uuid_new (), 1, "number20");
    assert_int_equal (search_for (self, "ana", "number20", SEARCH_HYBRID).count > 0, 1);
}

static void a_missing_index_is_made_anew (void **state)
{
    fixture_t *self = *state;
    char path[128];
    write_some (self);
    fixture_close (self);
    index_path (self, path);
    assert_int_equal (unlink (path), 0);
    fixture_open (self);
    expect_some (self);
}

static void a_damaged_index_is_made_anew (void **state)
{
    fixture_t *self = *state;
    char path[128];
    index_path (self, path);
    static const char noise[] = "this is no database at all, whatever its name may say";
    write_some (self);
    for (int i = 0; i < 3; i++) {
        fixture_close (self);
        int fd = open (path, O_WRONLY);
        assert_true (fd >= 0);
        if (i == 0) /* not a database */
            assert_int_equal (pwrite (fd, noise, sizeof noise, 0), sizeof noise);
        else if (i == 1) /* cut to half a page */
            assert_int_equal (ftruncate (fd, 4096), 0);
        else /* empty */
            assert_int_equal (ftruncate (fd, 0), 0);
        close (fd);
        fixture_open (self);
        expect_some (self);
    }
}

static void the_index_of_another_database_is_not_used (void **state)
{
    fixture_t *self = *state;
    char path[128], kept[160];
    index_path (self, path);
    snprintf (kept, sizeof kept, "%s/../kept-%d.sqlite", self->dir, (int)getpid ());
    put_note (self, "ana", uuid_new (), 1, "elsewhere");
    fixture_close (self);
    assert_int_equal (rename (path, kept), 0);
    char content[128];
    snprintf (content, sizeof content, "%s/content", self->dir);
    nftw (content, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    assert_int_equal (rename (kept, path), 0);
    fixture_open (self);
    write_some (self);
    expect_some (self);
    assert_int_equal (search_for (self, "ana", "elsewhere", SEARCH_TEXT).count, 0);
}

/*  Runs `work` in a child that is killed without notice right after. */
static void in_a_killed_child (fixture_t *self, void (*work) (fixture_t *self))
{
    fixture_close (self);
    pid_t child = fork ();
    if (child == 0) {
        fixture_open (self);
        work (self);
        raise (SIGKILL);
    }
    int status;
    assert_int_equal (waitpid (child, &status, 0), child);
    assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
}

static void what_was_answered_survives_a_kill (void **state)
{
    fixture_t *self = *state;
    in_a_killed_child (self, write_some);
    fixture_open (self);
    expect_some (self);
}

static void copy_file (const char *from, const char *to)
{
    char piece[4096];
    size_t got;
    FILE *in = fopen (from, "rb"), *out = fopen (to, "wb");
    assert_non_null (in);
    assert_non_null (out);
    while ((got = fread (piece, 1, sizeof piece, in)) > 0)
        assert_int_equal (fwrite (piece, 1, got, out), got);
    fclose (in);
    fclose (out);
}

static void write_and_lose_index (fixture_t *self)
{
    char path[128], copy[160], text[64];
    index_path (self, path);
    snprintf (copy, sizeof copy, "%s.old", path);
    put_note (self, "ana", uuid_new (), 1, "remember number0\ncommon line");
    fixture_close (self);
    copy_file (path, copy);
    fixture_open (self);
    for (int i = 1; i < 20; i++) {
        snprintf (text, sizeof text, "remember number%d\ncommon line", i);
        put_note (self, "ana", uuid_new (), 1, text);
    }
    fixture_close (self);
    assert_int_equal (rename (copy, path), 0);
}

static void an_index_that_fell_behind_catches_up (void **state)
{
    fixture_t *self = *state;
    write_and_lose_index (self);
    fixture_open (self);
    expect_some (self);
}

static uuid_t half_dropped;
static void drop_and_die (fixture_t *self)
{
    put_note (self, "ana", half_dropped, 1, "doomed");
    apply_job (self, job_plain (JOB_DROP_DOCUMENT, "ana", half_dropped, 0));
}

static void garbage_is_removed_after_a_restart_too (void **state)
{
    fixture_t *self = *state;
    half_dropped = uuid_new ();
    in_a_killed_child (self, drop_and_die);
    fixture_open (self);
    assert_int_equal (content_stats (self->content).garbage, 1);
    assert_int_equal (search_for (self, "ana", "doomed", SEARCH_HYBRID).count, 0);
    tidy_up (self);
    assert_int_equal (content_stats (self->content).garbage, 0);
    fixture_close (self);
    fixture_open (self);
    assert_int_equal (content_stats (self->content).garbage, 0);
    assert_int_equal (search_for (self, "ana", "doomed", SEARCH_HYBRID).count, 0);
}

static void a_second_process_on_the_same_directory_is_refused (void **state)
{
    fixture_t *self = *state;
    err_t err;
    content_config_t config = { self->dir, 1u << 20 };
    assert_null (content_open (&config, &err));
    assert_int_equal (err.code, ERR_LOCKED);
}

static void a_newer_format_is_refused (void **state)
{
    fixture_t *self = *state;
    char path[128];
    err_t err;
    content_state_t record;
    snprintf (path, sizeof path, "%s/content", self->dir);
    fixture_close (self);
    kv_t *kv = content_records_open (path, &record, &err);
    assert_non_null (kv);
    record.format = CONTENT_FORMAT + 1;
    content_put (kv, CONTENT_META, span_str ("state"), &content_state_shape, &record);
    assert_int_equal (kv_commit (kv, true, &err), 0);
    kv_destroy (&kv);
    content_config_t config = { self->dir, 1u << 20 };
    assert_null (content_open (&config, &err));
    assert_int_equal (err.code, ERR_NEWER_FORMAT);
    nftw (path, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    fixture_open (self);
}

static void a_directory_that_cannot_be_made_is_an_error_with_its_name (void **state)
{
    err_t err;
    content_config_t config = { "/proc/nowhere/content", 1u << 20 };
    assert_null (content_open (&config, &err));
    assert_int_equal (err.code, ERR_IO);
    assert_non_null (strstr (err.message, "/proc/nowhere/content"));
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST (everything_is_there_after_a_restart),
        TEST (a_missing_index_is_made_anew),
        TEST (a_damaged_index_is_made_anew),
        TEST (the_index_of_another_database_is_not_used),
        TEST (what_was_answered_survives_a_kill),
        TEST (an_index_that_fell_behind_catches_up),
        TEST (garbage_is_removed_after_a_restart_too),
        TEST (a_second_process_on_the_same_directory_is_refused),
        TEST (a_newer_format_is_refused),
        TEST (a_directory_that_cannot_be_made_is_an_error_with_its_name),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
