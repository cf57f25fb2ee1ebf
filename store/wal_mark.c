#include "store/wal_mark.h"
#include "store/rocks_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct wal_mark {
    int manifest; /* descriptor */
    uint64_t size;
    char bytes[WAL_MARK_SIZE];
};

static ssize_t read_small (const char *dir, const char *name, char *bytes, size_t size)
{
    char path[4096];
    snprintf (path, sizeof path, "%s/%s", dir, name);
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd == -1 ? -1 : read (fd, bytes, size);
    if (fd != -1)
        close (fd);
    return got;
}

bool wal_mark_prefix (const char *dir, char prefix[WAL_MARK_PREFIX])
{
    memset (prefix, ' ', WAL_MARK_PREFIX);
    memcpy (prefix, "synced", 6);
    return read_small (dir, "IDENTITY", prefix + WAL_MARK_WORD, WAL_MARK_PREFIX - WAL_MARK_WORD) > 0;
}

bool wal_manifest_name (const char *dir, char name[WAL_MANIFEST_MAX], uint64_t *number)
{
    ssize_t size = read_small (dir, "CURRENT", name, WAL_MANIFEST_MAX - 1);
    unsigned long long value = 0;
    int end = 0;
    name[size < 0 ? 0 : size] = 0;
    bool good = sscanf (name, "MANIFEST-%llu%n", &value, &end) == 1 && end && name[end] == '\n';
    name[end] = 0;
    *number = value;
    return good;
}

static void put_number (char *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (char)(value >> (8 * i));
}

wal_mark_t *wal_mark_new (const char *dir, err_t *err)
{
    char name[WAL_MANIFEST_MAX], path[4096];
    uint64_t number;
    wal_mark_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->manifest = -1;
    if (!wal_mark_prefix (dir, self->bytes) || !wal_manifest_name (dir, name, &number)) {
        err_set (err, ERR_CORRUPT, "the database %s has no IDENTITY, or no CURRENT", dir);
        wal_mark_destroy (&self);
        return NULL;
    }
    put_number (self->bytes + WAL_MARK_PREFIX, number);
    snprintf (path, sizeof path, "%s/%s", dir, name);
    self->manifest = open (path, O_RDWR | O_CLOEXEC);
    if (self->manifest == -1) {
        err_set_errno (err, ERR_IO, errno, "cannot open %s", path);
        wal_mark_destroy (&self);
    }
    return self;
}

void wal_mark_destroy (wal_mark_t **self_p)
{
    wal_mark_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    if (self->manifest != -1)
        close (self->manifest);
    free (self);
}

const char *wal_mark_bytes (wal_mark_t *self)
{
    struct stat about;
    /* RocksDB syncs it too, but in a thread of its own, and nobody knows when it has. */
    if (fstat (self->manifest, &about) == 0 && (uint64_t)about.st_size != self->size &&
        fdatasync (self->manifest) == 0) {
        self->size = (uint64_t)about.st_size;
        put_number (self->bytes + WAL_MARK_PREFIX + 8, self->size);
    }
    return self->bytes;
}

void wal_mark_read (const char mark[WAL_MARK_SIZE], uint64_t *manifest, uint64_t *size)
{
    *manifest = rocks_log_number (mark + WAL_MARK_PREFIX, 8);
    *size = rocks_log_number (mark + WAL_MARK_PREFIX + 8, 8);
}
