/*  No bit of the text index's file changes without being noticed. */
#include "store/index_sums.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* link: content */

#define ROWS 600

static char dir[] = "/tmp/myelin-sums-XXXXXX";
static char path[64], wal[80], kept_wal[80];

static void run (sqlite3 *db, const char *sql)
{
    char *error = NULL;
    if (sqlite3_exec (db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg ("%s: %s", sql, error);
}

static sqlite3 *open_db (void)
{
    sqlite3 *db = NULL;
    assert_int_equal (sqlite3_open_v2 (path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, index_sums_layer ()),
                      SQLITE_OK);
    return db;
}

static void copy (const char *from, const char *to)
{
    char command[256];
    snprintf (command, sizeof command, "cp %s %s", from, to);
    assert_int_equal (system (command), 0);
}

static int make (void **state)
{
    assert_non_null (mkdtemp (dir));
    snprintf (path, sizeof path, "%s/db", dir);
    snprintf (wal, sizeof wal, "%s-wal", path);
    snprintf (kept_wal, sizeof kept_wal, "%s/kept", dir);
    sqlite3 *db = open_db ();
    index_sums_begin (db);
    run (db, "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)");
    for (int i = 0; i < ROWS; i++) {
        char sql[128];
        snprintf (sql, sizeof sql, "INSERT INTO t VALUES (%d, hex (zeroblob (%d)) || 'row %d')", i, i % 50, i);
        run (db, sql);
    }
    copy (wal, kept_wal); /* as a kill would leave it */
    sqlite3_close (db);
    return 0;
}

static int remove_all (void **state)
{
    char command[128];
    snprintf (command, sizeof command, "rm -rf %s", dir);
    return system (command);
}

static off_t size_of (const char *name)
{
    struct stat about;
    assert_int_equal (stat (name, &about), 0);
    return about.st_size;
}

static void flip (const char *name, off_t at, int bit)
{
    uint8_t byte;
    int fd = open (name, O_RDWR);
    assert_int_equal (pread (fd, &byte, 1, at), 1);
    byte ^= (uint8_t)(1u << bit);
    assert_int_equal (pwrite (fd, &byte, 1, at), 1);
    close (fd);
}

/*  Reads all; SQLITE_OK, or what went wrong. */
static int read_all (void)
{
    sqlite3 *db = open_db ();
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2 (db, "SELECT count(*), sum (length (text)) FROM t", -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step (statement);
    if (rc == SQLITE_ROW)
        assert_int_equal (sqlite3_column_int (statement, 0), ROWS);
    sqlite3_finalize (statement);
    sqlite3_close (db);
    return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static void every_flipped_bit_shows_when_its_page_is_read (void **state)
{
    assert_int_equal (read_all (), SQLITE_OK);
    off_t size = size_of (path);
    assert_true (size >= 4 * INDEX_PAGE);
    for (off_t page = 0; page < size; page += INDEX_PAGE)
        for (int i = 0; i < 40; i++) {
            off_t at = page + (i * 7919 + page / INDEX_PAGE) % INDEX_PAGE;
            flip (path, at, i % 8);
            int rc = read_all ();
            assert_true (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB);
            flip (path, at, i % 8);
        }
    assert_int_equal (read_all (), SQLITE_OK);
}

static void a_page_in_anothers_place_does_not_fit (void **state)
{
    char pages[2 * INDEX_PAGE];
    off_t at = size_of (path) - (off_t)sizeof pages;
    int fd = open (path, O_RDWR);
    assert_int_equal (pread (fd, pages, sizeof pages, at), sizeof pages);
    assert_int_equal (pwrite (fd, pages, INDEX_PAGE, at + INDEX_PAGE), INDEX_PAGE);
    assert_int_equal (read_all (), SQLITE_CORRUPT);
    assert_int_equal (pwrite (fd, pages, sizeof pages, at), sizeof pages);
    close (fd);
    assert_int_equal (read_all (), SQLITE_OK);
}

static void a_log_that_is_damaged_within_is_told_from_one_that_was_torn (void **state)
{
    assert_false (index_sums_log_is_damaged (path)); /* there is none */
    copy (kept_wal, wal);
    assert_false (index_sums_log_is_damaged (path));
    off_t size = size_of (wal), frame = 24 + INDEX_PAGE;
    for (int i = 0; i < 400; i++) {
        off_t at = (off_t)i * 15485863 % (size - frame); /* anywhere but in the last frame */

        flip (wal, at, i % 8);
        if (!index_sums_log_is_damaged (path))
            fail_msg ("byte %lld of %lld", (long long)at, (long long)size);
        flip (wal, at, i % 8);
    }
    flip (wal, size - 1, 3);
    assert_false (index_sums_log_is_damaged (path)); /* the end may be torn */
    for (off_t less = 1; less < 3 * frame; less += 997) {
        assert_int_equal (truncate (wal, size - less), 0);
        assert_false (index_sums_log_is_damaged (path));
    }
    unlink (wal);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (every_flipped_bit_shows_when_its_page_is_read),
        cmocka_unit_test (a_page_in_anothers_place_does_not_fit),
        cmocka_unit_test (a_log_that_is_damaged_within_is_told_from_one_that_was_torn),
    };
    return cmocka_run_group_tests (tests, make, remove_all);
}
