#include "integrity/restore.h"
#include "base/dir.h"
#include "integrity/files.h"
#include "integrity/repair.h"
#include "store/records.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*  What a restore makes, in the order in which it gets its place: the records that give the rest a meaning come last.
 */
static const char *const parts[] = { "blobs", "content", "index.sqlite", "index.sqlite-wal", "index.sqlite-shm",
                                     "broker" };
#define PART_COUNT (sizeof parts / sizeof *parts)

static void join (str_t *path, const char *dir, const char *name)
{
    str_clear (path);
    str_format (path, "%s/%s", dir, name);
}

/*  --- the backup against its manifest --- */

static void report_file (report_t *to, const char *path, const char *text)
{
    finding_t finding = { .kind = FINDING_BACKUP_FILE, .place = PLACE_BACKUP, .key = span_str (path) };
    report (to, &finding, "%s", text);
}

int restore_check (const char *backup, report_t *to, bool *was_running, err_t *err)
{
    manifest_reader_t *manifest = manifest_reader_new (backup, err);
    str_t name = STR_INIT, path = STR_INIT;
    uint64_t bytes, there;
    hash_t hash, found;
    int more = -1;
    err_t why;
    if (!manifest)
        return -1;
    *was_running = manifest_was_running (manifest);
    while ((more = manifest_next (manifest, &name, &bytes, &hash, err)) == 1) {
        join (&path, backup, name.data);
        if (files_hash (path.data, false, &found, &there, &why) == -1)
            report_file (to, name.data, why.message);
        else if (there != bytes || memcmp (hash.bytes, found.bytes, HASH_SIZE) != 0)
            report_file (to, name.data, "the file is not the one that was backed up");
    }
    manifest_reader_destroy (&manifest);
    str_free (&name);
    str_free (&path);
    return more;
}

/*  --- the data directory --- */

static bool is_part (const char *name)
{
    for (size_t i = 0; i < PART_COUNT; i++)
        if (strcmp (parts[i], name) == 0)
            return true;
    return false;
}

/*  Refuses a directory that has something in it; removes what an interrupted restore left. */
static int check_empty (const char *data, err_t *err)
{
    str_t path = STR_INIT;
    struct dirent *entry;
    int rc = 0;
    join (&path, data, RESTORE_MARK);
    bool interrupted = access (path.data, F_OK) == 0;
    DIR *dir = opendir (data);
    if (!dir)
        rc = err_set_errno (err, ERR_IO, errno, "cannot look into '%s'", data);
    while (rc == 0 && (entry = readdir (dir))) {
        const char *name = entry->d_name;
        if (strcmp (name, ".") == 0 || strcmp (name, "..") == 0 || strcmp (name, "lock") == 0)
            continue;
        if (!interrupted || (!is_part (name) && strcmp (name, RESTORE_MARK) != 0))
            rc = err_set (err, ERR_CONFLICT, "'%s' is not empty ('%s' is in it): restore into a new directory", data,
                          name);
    }
    if (dir)
        closedir (dir);
    for (size_t i = 0; i < PART_COUNT && rc == 0 && interrupted; i++) {
        join (&path, data, parts[i]);
        rc = files_remove (path.data, err);
    }
    join (&path, data, RESTORE_MARK); /* last: it is what says that the others may go */
    if (rc == 0)
        rc = files_remove (path.data, err);
    str_free (&path);
    return rc;
}

/*  --- copying --- */

/*  The manifest is whole, before anything is made of it. */
static int check_manifest (const char *backup, err_t *err)
{
    manifest_reader_t *manifest = manifest_reader_new (backup, err);
    str_t name = STR_INIT;
    uint64_t bytes;
    hash_t hash;
    int more = -1;
    while (manifest && (more = manifest_next (manifest, &name, &bytes, &hash, err)) == 1)
        ;
    manifest_reader_destroy (&manifest);
    str_free (&name);
    return more;
}

static int copy_one (const char *backup, const char *into, const char *name, uint64_t bytes, const hash_t *hash,
                     err_t *err)
{
    str_t from = STR_INIT, to = STR_INIT;
    hash_t found;
    uint64_t there;
    err_t why;
    int rc = -1;
    join (&from, backup, name);
    join (&to, into, name);
    char *slash = strrchr (to.data, '/');
    *slash = 0;
    if (files_make_dir (to.data, err) == -1)
        goto out;
    *slash = '/';
    if (access (from.data, R_OK) == -1 && errno == ENOENT)
        err_set (err, ERR_CORRUPT, "the backup is damaged: its file %s is missing", name);
    else if (files_copy (from.data, to.data, &found, &there, &why) == -1)
        *err = why;
    else if (there != bytes || memcmp (hash->bytes, found.bytes, HASH_SIZE) != 0)
        err_set (err, ERR_CORRUPT, "the backup is damaged: its file %s is not the one that was backed up", name);
    else
        rc = 0;
out:
    str_free (&from);
    str_free (&to);
    return rc;
}

static int copy_all (const char *backup, const char *into, manifest_sums_t *sums, err_t *err)
{
    manifest_reader_t *manifest = manifest_reader_new (backup, err);
    str_t name = STR_INIT;
    uint64_t bytes;
    hash_t hash;
    int more = -1;
    while (manifest && (more = manifest_next (manifest, &name, &bytes, &hash, err)) == 1)
        if (copy_one (backup, into, name.data, bytes, &hash, err) == -1) {
            more = -1;
            break;
        }
    if (manifest)
        *sums = manifest_sums (manifest);
    manifest_reader_destroy (&manifest);
    str_free (&name);
    return more;
}

/*  --- settling --- */

/*  Files that were to be removed are named with their path: it is that of the directory the backup is of, where they
 * may be somebody's again. Here they are files that no document has, and go as such. */
static int forget_unlinks (const char *dir, err_t *err)
{
    str_t path = STR_INIT;
    join (&path, dir, "broker");
    kv_t *kv = records_open (path.data, err);
    str_free (&path);
    if (!kv)
        return -1;
    kv_iter_t *it = kv_iterate (kv, FAMILY_META);
    span_t prefix = SPAN_LIT ("unlink ");
    for (it->ops->seek (it, prefix); it->ops->valid (it); it->ops->step (it, true)) {
        span_t key = it->ops->key (it);
        if (key.size < prefix.size || memcmp (key.data, prefix.data, prefix.size) != 0)
            break;
        kv_delete (kv, FAMILY_META, key);
    }
    int rc = it->ops->check (it, err);
    kv_iter_destroy (&it);
    if (rc == 0)
        rc = kv_commit (kv, true, err);
    kv_destroy (&kv);
    return rc;
}

static void keep_first (void *listener, const finding_t *finding)
{
    err_t *first = listener;
    if (!first->code && !finding->is_note)
        err_set (first, ERR_CORRUPT, "%s", finding->text);
}

static int settle (const char *dir, report_t *settled, err_t *err)
{
    err_t first = { 0 };
    repair_config_t config = { .dir = dir };
    report_t left = { .tell = keep_first, .listener = &first };
    if (forget_unlinks (dir, err) == -1 || repair_run (&config, settled, &left, err) == -1)
        return -1;
    /* Documents whose bytes were damaged before they were backed up are no reason to refuse all the others. */
    uint64_t lost = left.by_kind[FINDING_BYTES_MISSING] + left.by_kind[FINDING_BYTES_DAMAGED];
    return left.findings == lost ? 0
                                 : err_set (err, ERR_CORRUPT, "the data of the backup is damaged: %s", first.message);
}

/*  --- into place --- */

static int sync_all (const char *dir, err_t *err)
{
    int fd = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd == -1 || syncfs (fd) == -1 ? err_set_errno (err, ERR_IO, errno, "cannot sync '%s'", dir) : 0;
    if (fd != -1)
        close (fd);
    return rc;
}

static int put_in_place (const char *data, const char *work, err_t *err)
{
    str_t from = STR_INIT, to = STR_INIT;
    int rc = sync_all (work, err);
    for (size_t i = 0; i < PART_COUNT && rc == 0; i++) {
        join (&from, work, parts[i]);
        join (&to, data, parts[i]);
        if (rename (from.data, to.data) == -1 && errno != ENOENT)
            rc = err_set_errno (err, ERR_IO, errno, "cannot move %s to %s", from.data, to.data);
    }
    if (rc == 0)
        rc = dir_sync (data, err);
    if (rc == 0)
        rc = files_remove (work, err);
    str_free (&from);
    str_free (&to);
    return rc == 0 ? dir_sync (data, err) : -1;
}

int restore_run (const restore_config_t *config, report_t *settled, manifest_sums_t *sums, err_t *err)
{
    str_t work = STR_INIT;
    int rc = -1;
    join (&work, config->data, RESTORE_MARK);
    if (check_manifest (config->backup, err) == -1 || check_empty (config->data, err) == -1)
        goto out;
    if (files_make_dir (work.data, err) == 0 && copy_all (config->backup, work.data, sums, err) == 0 &&
        settle (work.data, settled, err) == 0)
        rc = put_in_place (config->data, work.data, err);
    else
        files_remove (work.data, NULL);
out:
    str_free (&work);
    return rc;
}
