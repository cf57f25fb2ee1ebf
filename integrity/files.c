#include "integrity/files.h"
#include "base/dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP_BYTES (256u << 10)

int files_make_dir (const char *path, err_t *err)
{
    str_t partial = STR_INIT;
    int rc = 0;
    for (size_t i = 0; path[i] && rc == 0; i++) {
        str_char (&partial, path[i]);
        bool complete = path[i + 1] == '/' || !path[i + 1];
        if (complete && path[i] != '/' && mkdir (partial.data, 0700) == -1 && errno != EEXIST)
            rc = err_set_errno (err, ERR_IO, errno, "cannot make the directory '%s'", path);
    }
    str_free (&partial);
    return rc;
}

int files_sync_parent (const char *path, err_t *err)
{
    str_t parent = STR_INIT;
    const char *slash = strrchr (path, '/');
    if (slash && slash != path)
        str_add (&parent, span (path, (size_t)(slash - path)));
    else
        str_text (&parent, slash ? "/" : ".");
    int rc = dir_sync (parent.data, err);
    str_free (&parent);
    return rc;
}

int files_remove (const char *path, err_t *err)
{
    char *const paths[] = { (char *)(uintptr_t)path, NULL };
    struct stat about;
    if (lstat (path, &about) == -1 && errno == ENOENT)
        return 0;
    FTS *tree = fts_open (paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    FTSENT *entry;
    int rc = 0;
    if (!tree)
        return err_set_errno (err, ERR_IO, errno, "cannot remove '%s'", path);
    while (rc == 0 && (entry = fts_read (tree))) {
        int failed = entry->fts_info == FTS_D    ? 0
                     : entry->fts_info == FTS_DP ? rmdir (entry->fts_accpath)
                                                 : unlink (entry->fts_accpath);
        if (failed == -1 && errno != ENOENT)
            rc = err_set_errno (err, ERR_IO, errno, "cannot remove '%s'", entry->fts_path);
    }
    fts_close (tree);
    return rc;
}

int files_is_empty (const char *path, err_t *err)
{
    DIR *dir = opendir (path);
    struct dirent *entry;
    int empty = 1;
    if (!dir && errno == ENOENT)
        return 1;
    if (!dir)
        return err_set_errno (err, ERR_IO, errno, "cannot look into '%s'", path);
    while (empty && (entry = readdir (dir)))
        empty = strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0;
    closedir (dir);
    return empty;
}

/*  Reads `from` to its end, into the hash and, unless it is -1, into `to`. */
static int pour (int from, int to, hash_t *hash, uint64_t *bytes)
{
    static char step[STEP_BYTES];
    hasher_t hasher;
    uint64_t sum = 0;
    hash_start (&hasher);
    for (;;) {
        ssize_t got = read (from, step, sizeof step);
        if (got == -1 && errno == EINTR)
            continue;
        if (got <= 0) {
            if (hash)
                *hash = hash_end (&hasher);
            if (bytes)
                *bytes = sum;
            return (int)got;
        }
        if (hash)
            hash_feed (&hasher, span (step, (size_t)got));
        sum += (uint64_t)got;
        for (ssize_t done = 0; to != -1 && done < got;) {
            ssize_t put = write (to, step + done, (size_t)(got - done));
            if (put == -1 && errno != EINTR)
                return -1;
            done += put > 0 ? put : 0;
        }
    }
}

int files_hash (const char *path, bool sync, hash_t *hash, uint64_t *bytes, err_t *err)
{
    int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), rc = -1;
    if (fd == -1 || pour (fd, -1, hash, bytes) == -1)
        err_set_errno (err, ERR_IO, errno, "cannot read %s", path);
    else if (sync && fsync (fd) == -1)
        err_set_errno (err, ERR_IO, errno, "cannot sync %s", path);
    else
        rc = 0;
    if (fd != -1)
        close (fd);
    return rc;
}

int files_copy (const char *from, const char *to, hash_t *hash, uint64_t *bytes, err_t *err)
{
    int in = open (from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), out = -1, rc = -1;
    if (in == -1) {
        err_set_errno (err, ERR_IO, errno, "cannot read %s", from);
        return -1;
    }
    out = open (to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out == -1 || pour (in, out, hash, bytes) == -1 || fsync (out) == -1)
        err_set_errno (err, ERR_IO, errno, "cannot copy %s to %s", from, to);
    else
        rc = 0;
    if (out != -1)
        close (out);
    close (in);
    return rc;
}

int files_link (const char *from, const char *to, err_t *err)
{
    if (link (from, to) == 0)
        return 0;
    if (errno == EXDEV || errno == EMLINK || errno == EPERM || errno == EOPNOTSUPP)
        return files_copy (from, to, NULL, NULL, err);
    return err_set_errno (err, ERR_IO, errno, "cannot link %s to %s", from, to);
}

static FTS *open_tree (const char *dir)
{
    char *const paths[] = { (char *)(uintptr_t)dir, NULL };
    return fts_open (paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
}

int files_walk (const char *dir, files_visit_fn *visit, void *context, err_t *err)
{
    FTS *tree = open_tree (dir);
    FTSENT *entry;
    size_t skip = strlen (dir);
    int rc = 0;
    while (skip && dir[skip - 1] == '/')
        skip--;
    while (tree && rc == 0 && (entry = fts_read (tree))) {
        if (entry->fts_info == FTS_F)
            rc = visit (context, entry->fts_path + skip + 1, err);
        else if ((entry->fts_info == FTS_ERR || entry->fts_info == FTS_DNR || entry->fts_info == FTS_NS) &&
                 entry->fts_errno != ENOENT)
            rc = err_set_errno (err, ERR_IO, entry->fts_errno, "cannot read '%s'", entry->fts_path);
    }
    if (tree)
        fts_close (tree);
    return rc;
}

int files_sync_tree (const char *dir, err_t *err)
{
    FTS *tree = open_tree (dir);
    FTSENT *entry;
    int rc = tree ? 0 : err_set_errno (err, ERR_IO, errno, "cannot read '%s'", dir);
    while (tree && rc == 0 && (entry = fts_read (tree)))
        if (entry->fts_info == FTS_DP)
            rc = dir_sync (entry->fts_path, err);
    if (tree)
        fts_close (tree);
    return rc;
}
