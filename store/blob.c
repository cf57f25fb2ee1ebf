#include "store/blob.h"
#include "base/dir.h"
#include "base/failpoint.h"
#include "base/uuid.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

struct blob_writer {
    char *data_dir;
    str_t path; /* temporary name; empty once committed */
    int fd;
    uint64_t size;
    hasher_t hasher;
    hash_t hash;
    uint64_t flushed; /* bytes whose writing to disk was started */
    uint64_t reserve_bytes;
};

#define SWEEP_AGE_S 3600
#define FLUSH_STEP  (4u << 20) /* start writing back early: the sync at the end shall be short */

static void user_dir (str_t *path, const char *data_dir, span_t user)
{
    str_clear (path);
    str_format (path, "%s/blobs/u-", data_dir);
    for (size_t i = 0; i < user.size; i++) /* any user id becomes a safe file name */
        str_format (path, "%02x", (unsigned char)user.data[i]);
}

void blob_path (str_t *path, const char *data_dir, span_t user, hash_t hash)
{
    char text[HASH_TEXT];
    hash_text (hash, text);
    user_dir (path, data_dir, user);
    str_format (path, "/%.2s/%s", text, text);
}

static int make_dir (const char *path, err_t *err)
{
    if (mkdir (path, 0700) == 0 || errno == EEXIST)
        return 0;
    return err_set_errno (err, ERR_IO, errno, "cannot make the directory %s", path);
}

static int check_free (const blob_writer_t *self, err_t *err)
{
    struct statvfs fs;
    if (fstatvfs (self->fd, &fs) == -1)
        return err_set_errno (err, ERR_IO, errno, "cannot tell how much of the disk is free at %s", self->data_dir);
    if ((uint64_t)fs.f_bavail * fs.f_frsize >= self->reserve_bytes)
        return 0;
    return err_set (err, ERR_DISK_FULL, "less than %llu bytes are free on the disk of %s: free some, then try again",
                    (unsigned long long)self->reserve_bytes, self->data_dir);
}

blob_writer_t *blob_writer_new (const char *data_dir, uint64_t reserve_bytes, err_t *err)
{
    blob_writer_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->fd = -1;
    self->data_dir = strdup (data_dir);
    self->reserve_bytes = reserve_bytes;
    hash_start (&self->hasher);
    str_format (&self->path, "%s/blobs", data_dir);
    if (make_dir (self->path.data, err) == -1)
        goto fail;
    str_text (&self->path, "/tmp");
    if (make_dir (self->path.data, err) == -1)
        goto fail;
    char name[UUID_TEXT];
    uuid_text (uuid_new (), name);
    str_format (&self->path, "/%s", name);
    self->fd = open (self->path.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (self->fd == -1) {
        err_set_errno (err, ERR_IO, errno, "cannot make the file %s", self->path.data);
        goto fail;
    }
    if (check_free (self, err) == 0)
        return self;
    blob_writer_destroy (&self);
    return NULL;
fail:
    str_clear (&self->path); /* there is no file to remove */
    blob_writer_destroy (&self);
    return NULL;
}

int blob_writer_add (blob_writer_t *self, span_t bytes, err_t *err)
{
    if (FAILPOINT_ERROR (BLOB_WRITE, err) == -1)
        return -1;
    hash_feed (&self->hasher, bytes);
    self->size += bytes.size;
    while (bytes.size) {
        ssize_t written = write (self->fd, bytes.data, bytes.size);
        if (written == -1 && errno == EINTR)
            continue;
        if (written == -1)
            return err_set_errno (err, ERR_IO, errno, "cannot write %s", self->path.data);
        bytes.data += written;
        bytes.size -= (size_t)written;
    }
    if (self->size - self->flushed >= FLUSH_STEP) {
        sync_file_range (self->fd, (off_t)self->flushed, (off_t)(self->size - self->flushed), SYNC_FILE_RANGE_WRITE);
        self->flushed = self->size;
        return check_free (self, err);
    }
    return 0;
}

hash_t blob_writer_hash (blob_writer_t *self)
{
    return self->hash = hash_end (&self->hasher);
}

uint64_t blob_writer_size (const blob_writer_t *self)
{
    return self->size;
}

int blob_writer_commit (blob_writer_t *self, span_t user, err_t *err)
{
    str_t path = STR_INIT, parent = STR_INIT;
    int rc = -1;
    if (FAILPOINT_ERROR (BLOB_SYNC, err) == -1)
        goto out;
    if (fdatasync (self->fd) == -1) {
        err_set_errno (err, ERR_IO, errno, "cannot sync %s", self->path.data);
        goto out;
    }
    user_dir (&parent, self->data_dir, user);
    if (make_dir (parent.data, err) == -1)
        goto out;
    blob_path (&path, self->data_dir, user, self->hash);
    size_t user_size = parent.size;
    str_add (&parent, span (path.data + user_size, 3));
    if (make_dir (parent.data, err) == -1)
        goto out;
    if (FAILPOINT_ERROR (BLOB_RENAME, err) == -1)
        goto out;
    if (rename (self->path.data, path.data) == -1) {
        err_set_errno (err, ERR_IO, errno, "cannot rename %s to %s", self->path.data, path.data);
        goto out;
    }
    str_clear (&self->path);
    /* The name, and the names of directories that may be new. */
    rc = FAILPOINT_ERROR (BLOB_DIR_SYNC, err) == -1 ? -1 : dir_sync (parent.data, err);
    parent.data[user_size] = 0;
    for (int level = 0; level < 2 && rc == 0; level++) { /* of the user's, and of all blobs' */
        rc = dir_sync (parent.data, err);
        *strrchr (parent.data, '/') = 0;
    }
    rc = rc == 0 ? dir_sync (self->data_dir, err) : rc;
    FAILPOINT (BLOB_KEPT);
out:
    str_free (&path);
    str_free (&parent);
    return rc;
}

void blob_writer_destroy (blob_writer_t **self_p)
{
    blob_writer_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    if (self->fd != -1)
        close (self->fd);
    if (self->path.size)
        unlink (self->path.data);
    str_free (&self->path);
    free (self->data_dir);
    free (self);
}

uint64_t blob_sweep (const char *data_dir)
{
    str_t path = STR_INIT;
    str_format (&path, "%s/blobs/tmp", data_dir);
    DIR *dir = opendir (path.data);
    struct dirent *entry;
    struct stat st;
    time_t now = time (NULL);
    uint64_t next_s = SWEEP_AGE_S;
    while (dir && (entry = readdir (dir))) {
        if (entry->d_name[0] == '.' || fstatat (dirfd (dir), entry->d_name, &st, 0) == -1)
            continue;
        if (now > st.st_mtime + SWEEP_AGE_S)
            unlinkat (dirfd (dir), entry->d_name, 0);
        else if ((uint64_t)(st.st_mtime + SWEEP_AGE_S - now) < next_s)
            next_s = (uint64_t)(st.st_mtime + SWEEP_AGE_S - now);
    }
    if (dir)
        closedir (dir);
    str_free (&path);
    return next_s + 1;
}
