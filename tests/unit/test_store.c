#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "store/blob.h"
#include "store/blob_walk.h"
#include "store/records.h"

/* link: store */

static char dir[64];

static int make_dir (void **state)
{
    (void)state;
    strcpy (dir, "/tmp/myelin-test-XXXXXX");
    return mkdtemp (dir) ? 0 : -1;
}

static int remove_one (const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove (path);
}

static int remove_dir (void **state)
{
    (void)state;
    return nftw (dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static kv_t *open_db (void)
{
    err_t err = { 0 };
    char path[128];
    snprintf (path, sizeof path, "%s/db", dir);
    kv_t *kv = records_open (path, &err);
    if (!kv)
        fail_msg ("%s", err.message);
    return kv;
}

static void reads_see_the_pending_batch_and_iterators_do_not (void **state)
{
    kv_t *kv = open_db ();
    str_t value = STR_INIT;
    (void)state;
    kv_put (kv, FAMILY_TASKS, SPAN_LIT ("a"), SPAN_LIT ("1"));
    kv_put (kv, FAMILY_TASKS, SPAN_LIT ("a"), SPAN_LIT ("2"));
    assert_int_equal (kv_get (kv, FAMILY_TASKS, SPAN_LIT ("a"), &value, NULL), 1);
    assert_true (span_is (str_span (&value), "2"));
    assert_int_equal (kv_get (kv, FAMILY_LIVE, SPAN_LIT ("a"), &value, NULL), 0);
    kv_iter_t *iter = kv_iterate (kv, FAMILY_TASKS);
    iter->ops->seek (iter, SPAN_EMPTY);
    assert_false (iter->ops->valid (iter));
    kv_iter_destroy (&iter);
    assert_int_equal (kv_commit (kv, true, NULL), 0);
    kv_delete (kv, FAMILY_TASKS, SPAN_LIT ("a"));
    assert_int_equal (kv_get (kv, FAMILY_TASKS, SPAN_LIT ("a"), &value, NULL), 0);
    kv_drop_pending (kv);
    assert_int_equal (kv_get (kv, FAMILY_TASKS, SPAN_LIT ("a"), &value, NULL), 1);
    str_free (&value);
    kv_destroy (&kv);
}

static void a_prefix_takes_what_is_committed_and_what_is_pending (void **state)
{
    kv_t *kv = open_db ();
    str_t value = STR_INIT;
    char key[16];
    (void)state;
    kv_put (kv, FAMILY_HISTORY, SPAN_LIT ("ab1"), SPAN_LIT ("1"));
    kv_put (kv, FAMILY_HISTORY, SPAN_LIT ("aa"), SPAN_LIT ("1"));
    assert_int_equal (kv_commit (kv, true, NULL), 0);
    for (int i = 0; i < 1000; i++) { /* so that the batch grows meanwhile */
        snprintf (key, sizeof key, "ab%d", i);
        kv_put (kv, FAMILY_HISTORY, span_str (key), SPAN_LIT ("2"));
    }
    kv_put (kv, FAMILY_HISTORY, SPAN_LIT ("ac"), SPAN_LIT ("2"));
    kv_put (kv, FAMILY_TASKS, SPAN_LIT ("ab"), SPAN_LIT ("2"));
    kv_delete_prefix (kv, FAMILY_HISTORY, SPAN_LIT ("ab"));
    assert_int_equal (kv_commit (kv, true, NULL), 0);
    kv_iter_t *iter = kv_iterate (kv, FAMILY_HISTORY);
    iter->ops->seek (iter, SPAN_EMPTY);
    assert_true (span_is (iter->ops->key (iter), "aa"));
    iter->ops->step (iter, true);
    assert_true (span_is (iter->ops->key (iter), "ac"));
    iter->ops->step (iter, true);
    assert_false (iter->ops->valid (iter));
    kv_iter_destroy (&iter);
    assert_int_equal (kv_get (kv, FAMILY_TASKS, SPAN_LIT ("ab"), &value, NULL), 1);
    str_free (&value);
    kv_destroy (&kv);
}

static void a_large_batch_is_one_commit_and_survives_reopening (void **state)
{
    kv_t *kv = open_db ();
    str_t value = STR_INIT;
    char key[16];
    (void)state;
    for (int i = 0; i < 5000; i++) {
        snprintf (key, sizeof key, "key %06d", i);
        kv_put (kv, FAMILY_BLOBS, span_str (key), span_str (key));
    }
    assert_int_equal (kv_pending (kv), 5000);
    assert_int_equal (kv_commit (kv, true, NULL), 0);
    assert_int_equal (kv_pending (kv), 0);
    kv_put (kv, FAMILY_BLOBS, SPAN_LIT ("not committed"), SPAN_LIT ("x"));
    kv_destroy (&kv);
    kv = open_db ();
    kv_iter_t *iter = kv_iterate (kv, FAMILY_BLOBS);
    int count = 0;
    for (iter->ops->seek (iter, SPAN_EMPTY); iter->ops->valid (iter); iter->ops->step (iter, true))
        count++;
    assert_int_equal (count, 5000);
    iter->ops->seek_for_prev (iter, SPAN_LIT ("key 002500x"));
    assert_true (span_is (iter->ops->key (iter), "key 002500"));
    kv_iter_destroy (&iter);
    str_free (&value);
    kv_destroy (&kv);
}

static void a_second_opener_is_told_that_the_database_is_in_use (void **state)
{
    kv_t *kv = open_db ();
    err_t err = { 0 };
    char path[128];
    (void)state;
    snprintf (path, sizeof path, "%s/db", dir);
    assert_null (records_open (path, &err));
    assert_int_equal (err.code, ERR_LOCKED);
    kv_destroy (&kv);
}

static void records_of_a_newer_version_are_refused (void **state)
{
    kv_t *kv = open_db ();
    record_user_t user = { .seq = 7 };
    str_t bytes = STR_INIT;
    err_t err = { 0 };
    (void)state;
    record_put (kv, FAMILY_USERS, SPAN_LIT ("u"), &record_user_shape, &user);
    assert_int_equal (record_get (kv, FAMILY_USERS, SPAN_LIT ("u"), &record_user_shape, &user, &bytes, &err), 1);
    assert_int_equal (user.seq, 7);
    bytes.data[0]++; /* the version */
    kv_put (kv, FAMILY_USERS, SPAN_LIT ("u"), str_span (&bytes));
    assert_int_equal (record_get (kv, FAMILY_USERS, SPAN_LIT ("u"), &record_user_shape, &user, &bytes, &err), -1);
    assert_int_equal (err.code, ERR_NEWER_FORMAT);
    kv_put (kv, FAMILY_USERS, SPAN_LIT ("u"), SPAN_LIT ("\1\2"));
    assert_int_equal (record_get (kv, FAMILY_USERS, SPAN_LIT ("u"), &record_user_shape, &user, &bytes, &err), -1);
    assert_int_equal (err.code, ERR_CORRUPT);
    str_free (&bytes);
    kv_destroy (&kv);
}

static void keys_of_a_user_stay_together_and_can_be_read_back (void **state)
{
    str_t a = STR_INIT, b = STR_INIT, prefix = STR_INIT;
    uuid_t first = uuid_new (), second = uuid_new ();
    span_t user, rest;
    (void)state;
    record_key (&a, SPAN_LIT ("ann"), first);
    record_key (&b, SPAN_LIT ("ann"), second);
    record_key_user (&prefix, SPAN_LIT ("ann"));
    assert_memory_equal (a.data, prefix.data, prefix.size);
    assert_true (memcmp (a.data, b.data, a.size) < 0); /* sorted as made */
    assert_int_equal (record_key_parse (str_span (&a), &user, &rest), 0);
    assert_true (span_is (user, "ann"));
    assert_true (uuid_eq (record_key_id (rest), first));
    assert_int_equal (record_key_parse (SPAN_LIT ("ab"), &user, &rest), -1);
    assert_int_equal (record_key_parse (SPAN_LIT ("ab\xff"), &user, &rest), -1);
    record_key_number (&a, SPAN_LIT ("ann"), first, 0x0102030405060708u);
    assert_int_equal (record_key_u64 (span (a.data + a.size - 8, 8)), 0x0102030405060708u);
    str_free (&a);
    str_free (&b);
    str_free (&prefix);
}

static void a_blob_appears_whole_under_its_hash_or_not_at_all (void **state)
{
    err_t err = { 0 };
    str_t path = STR_INIT;
    struct stat st;
    (void)state;
    blob_writer_t *writer = blob_writer_new (dir, 0, &err);
    assert_non_null (writer);
    assert_int_equal (blob_writer_add (writer, SPAN_LIT ("hello "), &err), 0);
    assert_int_equal (blob_writer_add (writer, SPAN_LIT ("world"), &err), 0);
    hash_t hash = blob_writer_hash (writer), whole = hash_of (SPAN_LIT ("hello world"));
    assert_memory_equal (hash.bytes, whole.bytes, HASH_SIZE);
    blob_path (&path, dir, SPAN_LIT ("../ann"), hash);
    assert_null (strstr (path.data + strlen (dir), "..")); /* no user id leaves the directory */
    assert_int_equal (stat (path.data, &st), -1);
    assert_int_equal (blob_writer_commit (writer, SPAN_LIT ("../ann"), &err), 0);
    assert_int_equal (stat (path.data, &st), 0);
    assert_int_equal (st.st_size, 11);
    blob_writer_destroy (&writer);
    assert_int_equal (stat (path.data, &st), 0);

    writer = blob_writer_new (dir, 0, &err);
    blob_writer_add (writer, SPAN_LIT ("never committed"), &err);
    hash = blob_writer_hash (writer);
    blob_writer_destroy (&writer);
    blob_path (&path, dir, SPAN_LIT ("../ann"), hash);
    assert_int_equal (stat (path.data, &st), -1);
    str_clear (&path);
    str_format (&path, "%s/blobs/tmp", dir);
    assert_int_equal (rmdir (path.data), 0); /* empty again */
    str_free (&path);
}

static void an_unwritable_place_is_an_error_with_a_name (void **state)
{
    err_t err = { 0 };
    (void)state;
    assert_null (blob_writer_new ("/proc/nowhere", 0, &err));
    assert_non_null (strstr (err.message, "/proc/nowhere"));
}

static void a_writer_leaves_the_reserve_of_the_disk_free (void **state)
{
    err_t err = { 0 };
    str_t path = STR_INIT;
    struct statvfs fs;
    (void)state;
    assert_null (blob_writer_new (dir, UINT64_MAX, &err));
    assert_int_equal (err.code, ERR_DISK_FULL);
    str_format (&path, "%s/blobs/tmp", dir);
    assert_int_equal (rmdir (path.data), 0); /* nothing is left */

    assert_int_equal (statvfs (dir, &fs), 0);
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    /* Others write to this disk too: the bound is passed somewhere in the middle of the file. */
    blob_writer_t *writer = blob_writer_new (dir, free_bytes - (32u << 20), &err);
    assert_non_null (writer);
    static char block[1 << 20];
    int rc = 0;
    for (int i = 0; i < 256 && rc == 0; i++)
        rc = blob_writer_add (writer, span (block, sizeof block), &err);
    assert_int_equal (rc, -1);
    assert_int_equal (err.code, ERR_DISK_FULL);
    blob_writer_destroy (&writer);
    assert_int_equal (rmdir (path.data), 0);
    str_free (&path);
}

/*  A file in the writers' directory, untouched for `age_s`. */
static void leave_file (const char *name, time_t age_s)
{
    str_t path = STR_INIT;
    str_format (&path, "%s/blobs/tmp/%s", dir, name);
    int fd = open (path.data, O_CREAT | O_WRONLY, 0600);
    assert_true (fd >= 0);
    struct timespec times[] = { { .tv_sec = time (NULL) - age_s }, { .tv_sec = time (NULL) - age_s } };
    assert_int_equal (futimens (fd, times), 0);
    close (fd);
    str_free (&path);
}

static void a_sweep_removes_what_is_old_and_tells_when_more_will_be (void **state)
{
    err_t err;
    str_t path = STR_INIT;
    (void)state;
    blob_writer_t *writer = blob_writer_new (dir, 0, &err);
    assert_in_range (blob_sweep (dir), 3590, 3601); /* what is being written is left alone */
    leave_file ("old", 3700);
    leave_file ("older", 7200);
    leave_file ("young", 3000);
    assert_in_range (blob_sweep (dir), 590, 601);
    str_format (&path, "%s/blobs/tmp/young", dir);
    assert_int_equal (unlink (path.data), 0);
    blob_writer_destroy (&writer);
    *strrchr (path.data, '/') = 0;
    assert_int_equal (rmdir (path.data), 0);
    assert_int_equal (blob_sweep (dir), 3601);
    str_free (&path);
}

/*  A blob of `user`; `age_s`: it was written so long ago. */
static hash_t make_blob (span_t user, span_t content, time_t age_s)
{
    err_t err;
    str_t path = STR_INIT;
    blob_writer_t *writer = blob_writer_new (dir, 0, &err);
    assert_non_null (writer);
    assert_int_equal (blob_writer_add (writer, content, &err), 0);
    hash_t hash = blob_writer_hash (writer);
    assert_int_equal (blob_writer_commit (writer, user, &err), 0);
    blob_writer_destroy (&writer);
    blob_path (&path, dir, user, hash);
    struct timespec times[] = { { .tv_sec = time (NULL) - age_s }, { .tv_sec = time (NULL) - age_s } };
    assert_int_equal (utimensat (AT_FDCWD, path.data, times, 0), 0);
    str_free (&path);
    return hash;
}

static void a_walk_finds_the_blobs_that_are_no_longer_fresh (void **state)
{
    hash_t hash;
    (void)state;
    str_t user = STR_INIT;
    blob_walk_t *walk = blob_walk_new (dir); /* where nothing is yet, nothing is found */
    assert_true (!walk || !blob_walk_next (walk, &user, &hash));
    blob_walk_destroy (&walk);
    hash_t ann = make_blob (SPAN_LIT ("../ann"), SPAN_LIT ("old"), 7200);
    hash_t bob = make_blob (SPAN_LIT ("bob"), SPAN_LIT ("old"), 7200);
    make_blob (SPAN_LIT ("bob"), SPAN_LIT ("fresh"), 60);
    walk = blob_walk_new (dir);
    assert_non_null (walk);
    unsigned found = 0;
    while (blob_walk_next (walk, &user, &hash)) {
        bool is_ann = span_is (str_span (&user), "../ann");
        assert_true (is_ann || span_is (str_span (&user), "bob"));
        assert_memory_equal (hash.bytes, (is_ann ? ann : bob).bytes, HASH_SIZE);
        found |= is_ann ? 1u : 2u;
    }
    assert_int_equal (found, 3);
    blob_walk_destroy (&walk);
    str_free (&user);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (reads_see_the_pending_batch_and_iterators_do_not, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (a_prefix_takes_what_is_committed_and_what_is_pending, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (a_large_batch_is_one_commit_and_survives_reopening, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (a_second_opener_is_told_that_the_database_is_in_use, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (records_of_a_newer_version_are_refused, make_dir, remove_dir),
        cmocka_unit_test (keys_of_a_user_stay_together_and_can_be_read_back),
        cmocka_unit_test_setup_teardown (a_blob_appears_whole_under_its_hash_or_not_at_all, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (a_walk_finds_the_blobs_that_are_no_longer_fresh, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (a_writer_leaves_the_reserve_of_the_disk_free, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown (a_sweep_removes_what_is_old_and_tells_when_more_will_be, make_dir, remove_dir),
        cmocka_unit_test (an_unwritable_place_is_an_error_with_a_name),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
