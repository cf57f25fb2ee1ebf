/* link: content embedding */
#include "tests/unit/content_fixture.h"

#include "store/content_private.h"
#include "store/records.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
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

/*  Overwrites one record of a document's only segment, or of the document itself. */
static void damage_with (fixture_t *self, content_family_t family, const char *user, uuid_t document, span_t record)
{
    char path[128];
    err_t err;
    content_state_t state;
    str_t key = STR_INIT;
    snprintf (path, sizeof path, "%s/content", self->dir);
    fixture_close (self);
    kv_t *kv = content_records_open (path, &state, &err);
    assert_non_null (kv);
    if (family == CONTENT_DOCUMENTS)
        record_key (&key, span_str (user), document);
    else
        content_key (&key, span_str (user), document, 1, 0);
    kv_put (kv, family, str_span (&key), record);
    assert_int_equal (kv_commit (kv, true, &err), 0);
    kv_destroy (&kv);
    str_free (&key);
    fixture_open (self);
}

static void damage (fixture_t *self, content_family_t family, const char *user, uuid_t document)
{
    damage_with (self, family, user, document, SPAN_LIT ("\1")); /* no record at all */
}

/*  How many rows the index counts. */
static int rows_of (const fixture_t *self)
{
    char path[128];
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    index_path (self, path);
    assert_int_equal (sqlite3_open (path, &db), SQLITE_OK);
    assert_int_equal (sqlite3_prepare_v2 (db, "SELECT sum(rows) FROM users", -1, &statement, NULL), SQLITE_OK);
    assert_int_equal (sqlite3_step (statement), SQLITE_ROW);
    int rows = sqlite3_column_int (statement, 0);
    sqlite3_finalize (statement);
    sqlite3_close (db);
    return rows;
}

static void what_is_damaged_can_be_deleted_and_keeps_nothing_else_from_being_tidied (void **state)
{
    static const content_family_t families[] = { CONTENT_SEGMENTS, CONTENT_TEXT, CONTENT_DOCUMENTS };
    fixture_t *self = *state;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        uuid_t bad = uuid_new (), good = uuid_new ();
        put_note (self, "ana", bad, 1, "remember the damaged");
        put_note (self, "ana", good, 1, "remember the whole");
        damage (self, families[i], "ana", bad);
        assert_int_equal (apply_job (self, job_plain (JOB_DROP_DOCUMENT, "ana", bad, 0)).rc, 0);
        tidy_up (self);
        fixture_close (self);
        fixture_open (self);
        assert_int_equal (search_for (self, "ana", "remember", SEARCH_TEXT).count, 1);
        assert_int_equal (search_for (self, "ana", "damaged", SEARCH_TEXT).count, 0);
        assert_int_equal (apply_job (self, job_plain (JOB_DROP_DOCUMENT, "ana", good, 0)).rc, 0);
        tidy_up (self);
    }
}

static void damaged_vectors_hide_nothing_else (void **state)
{
    fixture_t *self = *state;
    uuid_t bad = uuid_new ();
    put_note (self, "ana", bad, 1, "remember the damaged");
    put_note (self, "ana", uuid_new (), 1, "remember the whole");
    damage (self, CONTENT_VECTORS, "ana", bad);
    assert_int_equal (search_for (self, "ana", "remember", SEARCH_VECTOR).count, 1);
    assert_int_equal (search_for (self, "ana", "remember", SEARCH_HYBRID).count, 2); /* it is found by its words */
}

static void what_is_damaged_is_missing_in_a_search_and_told_who_asks_for_it (void **state)
{
    static const content_family_t families[] = { CONTENT_TEXT, CONTENT_DOCUMENTS, CONTENT_SEGMENTS };
    fixture_t *self = *state;
    put_note (self, "ana", uuid_new (), 1, "remember the whole");
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        uuid_t bad = uuid_new ();
        err_code_t code;
        str_t spans = STR_INIT, record = STR_INIT;
        put_note (self, "ana", bad, 1, "remember one\nremember two");
        chunk_span_add (&spans, (chunk_span_t){ 0, 8, 1 }); /* one chunk, where the document says two */
        content_segment_t fewer = { .row = 1000, .spans = str_span (&spans) };
        codec_encode (&content_segment_shape, &fewer, &record);
        damage_with (self, families[i], "ana", bad,
                     families[i] == CONTENT_SEGMENTS ? str_span (&record) : SPAN_LIT ("\1"));
        for (int mode = SEARCH_HYBRID; mode <= SEARCH_VECTOR; mode++) {
            hits_t hits = search_for (self, "ana", "remember", (search_mode_t)mode);
            assert_int_equal (hits.count, 1);
            assert_string_equal (hits.items[0].text, "remember the whole");
        }
        chunks_of (self, "ana", bad, 0, 10, &code);
        assert_int_equal (code, ERR_CORRUPT);
        str_free (&spans);
        str_free (&record);
    }
}

static void a_damaged_segment_keeps_nothing_else_out_of_a_new_index (void **state)
{
    fixture_t *self = *state;
    char path[128];
    uuid_t bad = uuid_new ();
    put_note (self, "ana", bad, 1, "remember the damaged");
    write_some (self);
    damage (self, CONTENT_SEGMENTS, "ana", bad);
    fixture_close (self);
    index_path (self, path);
    assert_int_equal (unlink (path), 0);
    fixture_open (self);
    expect_some (self);
    assert_int_equal (search_for (self, "ana", "damaged", SEARCH_TEXT).count, 0);
}

static void what_a_newer_version_wrote_is_not_tidied_and_keeps_nothing_from_it (void **state)
{
    fixture_t *self = *state;
    uuid_t newer = uuid_new (), id = uuid_new ();
    put_note (self, "ana", newer, 1, "remember the newer");
    put_note (self, "ana", id, 1, "remember this");
    damage_with (self, CONTENT_SEGMENTS, "ana", newer, SPAN_LIT ("\x63\3"));
    apply_job (self, job_plain (JOB_DROP_DOCUMENT, "ana", newer, 0));
    apply_job (self, job_plain (JOB_DROP_DOCUMENT, "ana", id, 0));
    tidy_up (self);
    assert_int_equal (content_stats (self->content).garbage, 1);
    assert_int_equal (rows_of (self), 1); /* its own, in the index */
}

static void copy_dir (const char *from, const char *to)
{
    char a[512], b[512];
    DIR *dir = opendir (from);
    assert_non_null (dir);
    mkdir (to, 0700);
    for (struct dirent *entry; (entry = readdir (dir));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf (a, sizeof a, "%s/%s", from, entry->d_name);
        snprintf (b, sizeof b, "%s/%s", to, entry->d_name);
        copy_file (a, b);
    }
    closedir (dir);
}

/*  A process that ends between the two commits of a removal leaves an index that forgot it and a database that did not.
 */
static void a_removal_that_reached_only_the_index_is_made_once (void **state)
{
    fixture_t *self = *state;
    char path[128], copy[160];
    uuid_t id = uuid_new ();
    snprintf (path, sizeof path, "%s/content", self->dir);
    snprintf (copy, sizeof copy, "%s.before", path);
    write_some (self);
    put_note (self, "ana", id, 1, "doomed one\ndoomed two\ndoomed three");
    apply_job (self, job_plain (JOB_DROP_DOCUMENT, "ana", id, 0));
    fixture_close (self);
    copy_dir (path, copy);
    fixture_open (self);
    tidy_up (self);
    fixture_close (self);
    nftw (path, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    assert_int_equal (rename (copy, path), 0);
    for (int i = 0; i < 2; i++) {
        fixture_open (self);
        assert_int_equal (rows_of (self), i == 0 ? 43 : 40);
        assert_int_equal (self->content->state.next_row,
                          44 + 3); /* under new numbers: FTS5 may not forget a row twice */
        tidy_up (self);
        assert_int_equal (rows_of (self), 40);
        expect_some (self);
        fixture_close (self);
    }
    fixture_open (self);
}

/*  Overwrites a page that is read only when the index is written. */
static void damage_index (const fixture_t *self)
{
    char path[128], noise[8192];
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    index_path (self, path);
    assert_int_equal (sqlite3_open (path, &db), SQLITE_OK);
    assert_int_equal (
        sqlite3_prepare_v2 (db, "SELECT rootpage FROM sqlite_master WHERE name = 'chunks_idx'", -1, &statement, NULL),
        SQLITE_OK);
    assert_int_equal (sqlite3_step (statement), SQLITE_ROW);
    off_t at = (off_t)(sqlite3_column_int (statement, 0) - 1) * (off_t)sizeof noise;
    sqlite3_finalize (statement);
    sqlite3_close (db);
    int fd = open (path, O_WRONLY);
    memset (noise, 0xee, sizeof noise);
    assert_int_equal (pwrite (fd, noise, sizeof noise, at), sizeof noise);
    close (fd);
}

static void an_index_found_damaged_while_writing_is_told_as_such_and_made_anew_by_the_next_start (void **state)
{
    fixture_t *self = *state;
    uuid_t id = uuid_new ();
    write_some (self);
    put_note (self, "ana", id, 1, "first revision");
    fixture_close (self);
    damage_index (self);
    fixture_open (self);
    for (int i = 0; i < 2; i++) { /* also who comes later is told of the cause */
        job_t jobs[2];
        content_change_t changes[2];
        for (int k = 0; k < 2; k++) { /* the second has to wait for the first: it is flushed in between */
            jobs[k] = job_segment (self, "ana", id, (uint64_t)k + 2, 0, "another revision");
            jobs[k].job.final = 1;
            changes[k] = job_change (&jobs[k]);
        }
        err_t err = { 0 };
        assert_int_equal (content_apply (self->content, changes, 2, &err), -1);
        assert_int_equal (err.code, ERR_CORRUPT);
        assert_non_null (strstr (err.message, "text index"));
        job_clear (&jobs[0]);
        job_clear (&jobs[1]);
    }
    fixture_close (self);
    fixture_open (self);
    expect_some (self);
}

/*  It says whose index it is, and how far it goes; its damage shows only when it is written. */
static void an_index_behind_that_is_damaged_within_is_made_anew (void **state)
{
    fixture_t *self = *state;
    char path[128], copy[160];
    index_path (self, path);
    snprintf (copy, sizeof copy, "%s.copy", path);
    for (int i = 0; i < 400; i++) {
        char text[64];
        snprintf (text, sizeof text, "old line of number%d", 1000 + i);
        put_note (self, "ana", uuid_new (), 1, text);
    }
    fixture_close (self);
    copy_file (path, copy);
    fixture_open (self);
    write_some (self);
    fixture_close (self);
    copy_file (copy, path); /* behind */
    damage_index (self);
    fixture_open (self);
    expect_some (self);
    assert_int_equal (search_for (self, "ana", "number1007", SEARCH_TEXT).count, 1);
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
        TEST (what_is_damaged_can_be_deleted_and_keeps_nothing_else_from_being_tidied),
        TEST (damaged_vectors_hide_nothing_else),
        TEST (what_is_damaged_is_missing_in_a_search_and_told_who_asks_for_it),
        TEST (a_damaged_segment_keeps_nothing_else_out_of_a_new_index),
        TEST (what_a_newer_version_wrote_is_not_tidied_and_keeps_nothing_from_it),
        TEST (a_removal_that_reached_only_the_index_is_made_once),
        TEST (an_index_found_damaged_while_writing_is_told_as_such_and_made_anew_by_the_next_start),
        TEST (an_index_behind_that_is_damaged_within_is_made_anew),
        TEST (a_second_process_on_the_same_directory_is_refused),
        TEST (a_newer_format_is_refused),
        TEST (a_directory_that_cannot_be_made_is_an_error_with_its_name),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
