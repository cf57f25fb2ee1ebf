/*  What a power cut tore is told from what is damaged. */
#include "store/kv_rocks.h"
#include "store/wal.h"

#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* link: store */

#define SYNCED   20
#define UNSYNCED 5

static const kv_family_t families[] = { { "meta", 0, 0 }, { "bytes", 0, 1 } };
static char dir[] = "/tmp/myelin-wal-XXXXXX";

static kv_t *open_in (const char *path, kv_rocks_mode_t mode, err_t *err)
{
    kv_rocks_config_t config = { path, families, 2, 1u << 20, 1u << 20, mode };
    return kv_rocks_open (&config, err);
}

static kv_t *open_store (const char *path, err_t *err)
{
    return open_in (path, KV_ROCKS_NORMAL, err);
}

static void put (kv_t *kv, uint32_t number, bool sync)
{
    static char value[3000];
    err_t err;
    memset (value, 'a' + (int)(number % 20), sizeof value);
    kv_put (kv, number % 2, span (&number, sizeof number), span (value, 10 + number * 100));
    assert_int_equal (kv_commit (kv, sync, &err), 0);
}

/*  A database whose process was killed: SYNCED synced commits, then some that were not. */
static int make (void **state)
{
    static char path[64];
    assert_non_null (mkdtemp (dir));
    snprintf (path, sizeof path, "%s/db", dir);
    *state = path;
    pid_t child = fork ();
    if (child == 0) {
        err_t err;
        kv_t *kv = open_store (path, &err);
        for (uint32_t i = 0; kv && i < SYNCED + UNSYNCED; i++)
            put (kv, i, i < SYNCED);
        _exit (kv ? 0 : 1);
    }
    int status;
    assert_int_equal (waitpid (child, &status, 0), child);
    assert_int_equal (status, 0);
    return 0;
}

static int run_shell (const char *format, const char *a, const char *b)
{
    char command[512];
    snprintf (command, sizeof command, format, a, b);
    return system (command);
}

static int remove_all (void **state)
{
    return run_shell ("rm -rf %s%s", dir, "");
}

typedef struct {
    char db[64], log[256];
    off_t size;
} copy_t;

static copy_t copy_of (const char *path)
{
    copy_t copy;
    glob_t found;
    char pattern[128];
    struct stat about;
    snprintf (copy.db, sizeof copy.db, "%s/copy", dir);
    run_shell ("rm -rf %s%s", copy.db, "");
    assert_int_equal (run_shell ("cp -r %s %s", path, copy.db), 0);
    snprintf (pattern, sizeof pattern, "%s/*.log", copy.db);
    assert_int_equal (glob (pattern, 0, NULL, &found), 0);
    assert_int_equal (found.gl_pathc, 1);
    snprintf (copy.log, sizeof copy.log, "%s", found.gl_pathv[0]);
    globfree (&found);
    assert_int_equal (stat (copy.log, &about), 0);
    copy.size = about.st_size;
    return copy;
}

/*  Commits that are there: all below the first that is not. -1 when it does not open. */
static int count_commits (const copy_t *copy, err_t *err)
{
    kv_t *kv = open_store (copy->db, err);
    str_t value = STR_INIT;
    uint32_t there = 0;
    if (!kv)
        return -1;
    for (uint32_t i = 0; i < SYNCED + UNSYNCED; i++)
        if (kv_get (kv, i % 2, span (&i, sizeof i), &value, err) == 1) {
            assert_int_equal (there, i); /* nothing is there behind what is not */
            assert_int_equal (value.size, 10 + i * 100);
            assert_int_equal (value.data[value.size - 1], 'a' + (int)(i % 20));
            there++;
        }
    str_free (&value);
    kv_destroy (&kv);
    return (int)there;
}

/*  Where the log's commits begin: that of number i at [i], and its end. */
static void find_commits (const copy_t *copy, off_t at[SYNCED + UNSYNCED + 1])
{
    FILE *file = fopen (copy->log, "r");
    char *bytes = malloc ((size_t)copy->size);
    assert_non_null (file);
    assert_int_equal (fread (bytes, 1, (size_t)copy->size, file), copy->size);
    fclose (file);
    off_t found = 0;
    for (uint32_t i = 0; i < SYNCED + UNSYNCED; i++) {
        while (memcmp (bytes + found, &i, sizeof i) != 0 || bytes[found - 1] != sizeof i)
            found++;
        at[i] = found;
    }
    at[SYNCED + UNSYNCED] = copy->size;
    free (bytes);
}

static void overwrite (const copy_t *copy, off_t at, const void *bytes, size_t size)
{
    int fd = open (copy->log, O_WRONLY);
    assert_int_equal (pwrite (fd, bytes, size, at), size);
    close (fd);
}

static void damage_in_what_was_synced_is_refused_and_changes_nothing (void **state)
{
    off_t at[SYNCED + UNSYNCED + 1];
    for (int i = 0; i < SYNCED; i++) {
        copy_t copy = copy_of (*state);
        err_t err = { 0 };
        struct stat about;
        find_commits (&copy, at);
        overwrite (&copy, at[i] + 6, "?!", 2);
        assert_int_equal (count_commits (&copy, &err), -1);
        assert_int_equal (err.code, ERR_CORRUPT);
        assert_non_null (strstr (err.message, copy.log));
        assert_non_null (strstr (err.message, "myelin repair"));
        assert_int_equal (stat (copy.log, &about), 0);
        assert_int_equal (about.st_size, copy.size);
    }
}

static void what_was_not_synced_may_be_torn (void **state)
{
    off_t at[SYNCED + UNSYNCED + 1];
    for (int i = SYNCED; i < SYNCED + UNSYNCED; i++) {
        copy_t copy = copy_of (*state);
        err_t err = { 0 };
        find_commits (&copy, at);
        overwrite (&copy, at[i] + 6, "?!", 2);
        assert_int_equal (count_commits (&copy, &err), i);
        assert_int_equal (count_commits (&copy, &err), i); /* and so it stays */
    }
}

static void a_hole_in_what_was_not_synced_hides_what_is_behind_it (void **state)
{
    static const char zeros[4096];
    copy_t copy = copy_of (*state);
    off_t at[SYNCED + UNSYNCED + 1];
    err_t err = { 0 };
    find_commits (&copy, at);
    off_t head = 22; /* of the record, up to the key */
    overwrite (&copy, at[SYNCED + 1] - head, zeros, (size_t)(at[SYNCED + 2] - at[SYNCED + 1]));
    assert_int_equal (count_commits (&copy, &err), SYNCED + 1);
}

static void a_log_that_grew_by_zeros_is_cut (void **state)
{
    for (off_t more = 1; more < 100000; more = more * 3 + 1) {
        copy_t copy = copy_of (*state);
        err_t err = { 0 };
        assert_int_equal (truncate (copy.log, copy.size + more), 0);
        assert_int_equal (count_commits (&copy, &err), SYNCED + UNSYNCED);
    }
}

static void a_log_may_end_at_any_byte (void **state)
{
    off_t at[SYNCED + UNSYNCED + 1];
    copy_t first = copy_of (*state);
    find_commits (&first, at);
    for (off_t size = at[SYNCED]; size < first.size; size += 97) {
        copy_t copy = copy_of (*state);
        err_t err = { 0 };
        int whole = SYNCED;
        while (at[whole + 1] < size)
            whole++;
        assert_int_equal (truncate (copy.log, size), 0);
        int there = count_commits (&copy, &err);
        assert_true (there == whole || there == whole + 1);
    }
}

static void who_only_reads_passes_over_what_is_torn (void **state)
{
    off_t at[SYNCED + UNSYNCED + 1];
    copy_t copy = copy_of (*state);
    err_t err = { 0 };
    struct stat about;
    find_commits (&copy, at);
    overwrite (&copy, at[SYNCED] + 6, "?!", 2);
    kv_t *kv = open_in (copy.db, KV_ROCKS_READ_ONLY, &err);
    str_t value = STR_INIT;
    assert_non_null (kv);
    for (uint32_t i = 0; i < SYNCED + UNSYNCED; i++)
        assert_int_equal (kv_get (kv, i % 2, span (&i, sizeof i), &value, &err), i < SYNCED);
    str_free (&value);
    kv_destroy (&kv);
    assert_int_equal (stat (copy.log, &about), 0);
    assert_int_equal (about.st_size, copy.size);
}

static void a_database_without_its_current_file_is_not_a_new_one (void **state)
{
    copy_t copy = copy_of (*state);
    err_t err = { 0 };
    char name[96];
    snprintf (name, sizeof name, "%s/CURRENT", copy.db);
    assert_int_equal (unlink (name), 0);
    assert_int_equal (count_commits (&copy, &err), -1);
    assert_int_equal (err.code, ERR_CORRUPT);
    assert_non_null (strstr (err.message, "CURRENT"));
    FILE *file = fopen (name, "w");
    assert_non_null (file);
    assert_true (fputs ("MANIFEST-123456\n", file) > 0); /* which is not there */
    fclose (file);
    assert_int_equal (count_commits (&copy, &err), -1);
    assert_int_equal (err.code, ERR_CORRUPT);
}

/*  The manifest of the copy, and its size. */
static off_t manifest_of (const copy_t *copy, char path[256])
{
    glob_t found;
    char pattern[128];
    struct stat about;
    snprintf (pattern, sizeof pattern, "%s/MANIFEST-*", copy->db);
    assert_int_equal (glob (pattern, 0, NULL, &found), 0);
    assert_int_equal (found.gl_pathc, 1);
    snprintf (path, 256, "%s", found.gl_pathv[0]);
    globfree (&found);
    assert_int_equal (stat (path, &about), 0);
    return about.st_size;
}

static void a_manifest_without_what_was_synced_is_refused (void **state)
{
    char path[256];
    for (off_t less = 1; less < 100; less += 9) {
        copy_t copy = copy_of (*state);
        err_t err = { 0 };
        off_t size = manifest_of (&copy, path);
        assert_int_equal (truncate (path, size - less), 0);
        assert_int_equal (count_commits (&copy, &err), -1);
        assert_int_equal (err.code, ERR_CORRUPT);
        assert_non_null (strstr (err.message, "MANIFEST-"));
    }
}

static void the_end_of_a_manifest_may_be_torn (void **state)
{
    char path[256], torn[300];
    memset (torn, 0, sizeof torn);
    for (int i = 0; i < 3; i++) {
        copy_t copy = copy_of (*state);
        err_t err = { 0 };
        off_t size = manifest_of (&copy, path);
        int fd = open (path, O_WRONLY);
        memcpy (torn, "\1\2\3\4\100\0\1", (size_t)i * 4); /* zeros; half a header; one that does not fit */
        assert_int_equal (pwrite (fd, torn, sizeof torn, size), sizeof torn);
        close (fd);
        assert_null (open_in (copy.db, KV_ROCKS_READ_ONLY, &err));
        assert_non_null (strstr (err.message, "start myelin once"));
        assert_int_equal (count_commits (&copy, &err), SYNCED + UNSYNCED);
    }
}

static void a_missing_log_is_missed (void **state)
{
    copy_t copy = copy_of (*state);
    err_t err = { 0 };
    kv_t *kv = open_store (copy.db, &err); /* a new log, which begins where the old one ended */
    assert_non_null (kv);
    kv_destroy (&kv);
    assert_int_equal (run_shell ("cp %s/*.log %s.later", copy.db, copy.db), 0);
    copy = copy_of (*state);
    assert_int_equal (run_shell ("rm %s/*.log%s", copy.db, ""), 0);
    assert_int_equal (run_shell ("mv %s.later %s/000099.log", copy.db, copy.db), 0);
    assert_int_equal (count_commits (&copy, &err), -1);
    assert_int_equal (err.code, ERR_CORRUPT);
}

static void a_log_that_is_not_needed_any_more_may_be_torn (void **state)
{
    copy_t copy = copy_of (*state);
    off_t at[SYNCED + UNSYNCED + 1];
    err_t err = { 0 };
    find_commits (&copy, at);
    assert_int_equal (run_shell ("cp %s %s.kept", copy.log, copy.log), 0);
    /* What a kill left is read, put into tables, and the log removed, which the disk has not heard of yet. */
    assert_int_equal (count_commits (&copy, &err), SYNCED + UNSYNCED);
    assert_int_equal (access (copy.log, F_OK), -1);
    assert_int_equal (run_shell ("mv %s.kept %s", copy.log, copy.log), 0);
    overwrite (&copy, at[SYNCED + 1] + 6, "?!", 2);
    if (count_commits (&copy, &err) != SYNCED + UNSYNCED)
        fail_msg ("%s", err.message);
}

/*  What was lost had numbers, and the log that a repair begins comes behind them: when the mark behind it is in another
 * block of the log, and so not lost with it. */
static void a_repaired_database_misses_no_log (void **state)
{
    copy_t copy = copy_of (*state);
    err_t err = { 0 };
    int status;
    pid_t child = fork ();
    if (child == 0) {
        static char value[100000];
        memset (value, '#', sizeof value);
        kv_t *kv = open_store (copy.db, &err);
        if (kv)
            kv_put (kv, 0, SPAN_LIT ("key"), span (value, sizeof value));
        _exit (!kv || kv_commit (kv, true, &err));
    }
    assert_int_equal (waitpid (child, &status, 0), child);
    assert_int_equal (status, 0);
    assert_int_equal (run_shell ("sed -i 's/#/?/1' %s/*.log%s", copy.db, ""), 0);
    assert_int_equal (count_commits (&copy, &err), -1);
    kv_t *kv = open_in (copy.db, KV_ROCKS_LOSSY, &err);
    assert_non_null (kv);
    kv_destroy (&kv);
    if (count_commits (&copy, &err) != SYNCED + UNSYNCED)
        fail_msg ("%s", err.message);
}

static void there_need_not_be_a_database (void **state)
{
    err_t err;
    assert_int_equal (wal_check ("/tmp/myelin-no-such-directory", true, &err), 0);
    assert_int_equal (wal_check (dir, true, &err), 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (damage_in_what_was_synced_is_refused_and_changes_nothing),
        cmocka_unit_test (what_was_not_synced_may_be_torn),
        cmocka_unit_test (a_hole_in_what_was_not_synced_hides_what_is_behind_it),
        cmocka_unit_test (a_log_that_grew_by_zeros_is_cut),
        cmocka_unit_test (a_log_may_end_at_any_byte),
        cmocka_unit_test (who_only_reads_passes_over_what_is_torn),
        cmocka_unit_test (a_database_without_its_current_file_is_not_a_new_one),
        cmocka_unit_test (a_manifest_without_what_was_synced_is_refused),
        cmocka_unit_test (the_end_of_a_manifest_may_be_torn),
        cmocka_unit_test (a_missing_log_is_missed),
        cmocka_unit_test (a_log_that_is_not_needed_any_more_may_be_torn),
        cmocka_unit_test (a_repaired_database_misses_no_log),
        cmocka_unit_test (there_need_not_be_a_database),
    };
    return cmocka_run_group_tests (tests, make, remove_all);
}
