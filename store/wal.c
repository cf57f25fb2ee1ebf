/*  A batch begins with u64 sequence of its first change and u32 count of its changes, then they follow; log data has
 * the tag 3.
 */
#include "store/wal.h"
#include "base/log.h"
#include "store/manifest.h"
#include "store/rocks_log.h"
#include "store/wal_mark.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK       ROCKS_LOG_BLOCK
#define HEADER      ROCKS_LOG_HEADER
#define BATCH_HEAD  12u
#define LOG_DATA    3
#define MARK_RECORD (HEADER + BATCH_HEAD + 2 + WAL_MARK_SIZE)

typedef struct {
    uint64_t number; /* in the order of writing */
    int fd;
    uint64_t size;
    uint64_t good; /* up to here there are whole records */
    bool has_batch;
    uint64_t first_sequence; /* of the first batch */
} wal_t;

typedef struct {
    const char *dir;
    wal_t *logs;
    size_t count, room;
    char mark[WAL_MARK_PREFIX];
    uint64_t manifest, manifest_size; /* its number; how long marks say that it was synced */
    manifest_t said;                  /* and what it says */
    char block[BLOCK];
} check_t;

static int read_block (check_t *self, const wal_t *log, uint64_t at, size_t *size, err_t *err)
{
    *size = 0;
    while (*size < BLOCK) {
        ssize_t got = pread (log->fd, self->block + *size, BLOCK - *size, (off_t)(at + *size));
        if (got == 0)
            break;
        if (got == -1 && errno != EINTR)
            return err_set_errno (err, ERR_IO, errno, "cannot read the log %s/%06llu.log", self->dir,
                                  (unsigned long long)log->number);
        *size += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

/*  Takes what a mark says of the manifest; other records say nothing. */
static void read_mark (check_t *self, const char *payload, int size)
{
    const char *mark = payload + BATCH_HEAD + 2;
    uint64_t manifest, synced;
    if (size != (int)(MARK_RECORD - HEADER) || payload[BATCH_HEAD] != LOG_DATA ||
        memcmp (mark, self->mark, WAL_MARK_PREFIX) != 0)
        return;
    wal_mark_read (mark, &manifest, &synced);
    if (manifest == self->manifest && synced > self->manifest_size)
        self->manifest_size = synced;
}

/*  Finds how far the log is good. */
static int measure (check_t *self, wal_t *log, err_t *err)
{
    bool inside = false; /* a batch that began and did not end */
    size_t size;
    for (uint64_t start = 0; start < log->size; start += BLOCK) {
        if (read_block (self, log, start, &size, err) == -1)
            return -1;
        size_t at = 0;
        while (at < size && BLOCK - at >= HEADER) {
            int payload = rocks_log_record (self->block, size, at);
            int type = payload < 0 ? 0 : self->block[at + 6];
            if (start == 0 && at == 0 && payload >= (int)BATCH_HEAD) {
                log->has_batch = true;
                log->first_sequence = rocks_log_number (self->block + HEADER, 8);
            }
            if (payload < 0 || inside != (type == ROCKS_LOG_MIDDLE || type == ROCKS_LOG_LAST))
                return 0;
            read_mark (self, self->block + at + HEADER, payload);
            at += HEADER + (size_t)payload;
            inside = type == ROCKS_LOG_FIRST || type == ROCKS_LOG_MIDDLE;
            if (!inside)
                log->good = start + at;
        }
        if (!inside && size == BLOCK)
            log->good = start + BLOCK; /* with the filling */
    }
    if (!inside && log->size - log->good < HEADER && log->size % BLOCK > BLOCK - HEADER)
        log->good = log->size;
    return 0;
}

/*  Whether there is a mark from `from` on. 1, 0, -1. */
static int find_mark (check_t *self, const wal_t *log, uint64_t from, err_t *err)
{
    for (uint64_t start = from / BLOCK * BLOCK; start < log->size; start += BLOCK) {
        size_t size, at = from > start ? (size_t)(from - start) : 0;
        if (read_block (self, log, start, &size, err) == -1)
            return -1;
        const char *found;
        while (at < size && (found = memmem (self->block + at, size - at, self->mark, WAL_MARK_PREFIX))) {
            size_t mark_at = (size_t)(found - self->block), head = MARK_RECORD - WAL_MARK_SIZE;
            if (mark_at >= head && found[-2] == LOG_DATA && rocks_log_number (found - 6, 4) == 0 &&
                rocks_log_record (self->block, size, mark_at - head) == (int)(MARK_RECORD - HEADER))
                return 1;
            at = mark_at + 1;
        }
    }
    return 0;
}

static int damaged (err_t *err, const char *path, uint64_t at, const char *why)
{
    return err_set (err, ERR_CORRUPT,
                    "%s is damaged at byte %llu, %s: restore a backup, or keep what can be read with `myelin repair`",
                    path, (unsigned long long)at, why);
}

static const char *log_path (const check_t *self, const wal_t *log, char path[PATH_MAX])
{
    snprintf (path, PATH_MAX, "%s/%06llu.log", self->dir, (unsigned long long)log->number);
    return path;
}

/*  Everything from the end of what is good in log `first` on goes. */
static int cut (check_t *self, size_t first, err_t *err)
{
    unsigned long long dropped = 0;
    char path[PATH_MAX];
    for (size_t i = first; i < self->count; i++) {
        wal_t *log = &self->logs[i];
        uint64_t keep = i == first ? log->good : 0;
        dropped += log->size - keep;
        log->has_batch = log->has_batch && keep;
        if (ftruncate (log->fd, (off_t)keep) == -1 || fsync (log->fd) == -1)
            return err_set_errno (err, ERR_IO, errno, "cannot cut the log %s", log_path (self, log, path));
    }
    log_write (
        LOG_WARN, "wal.torn", NULL,
        "the end of the log %s was not synced when the machine stopped: %llu bytes of it are dropped; nobody was "
        "promised them",
        log_path (self, &self->logs[first], path), dropped);
    return 0;
}

static int by_number (const void *a, const void *b)
{
    uint64_t x = ((const wal_t *)a)->number, y = ((const wal_t *)b)->number;
    return x < y ? -1 : x > y;
}

static int open_log (check_t *self, int dir, const char *name, bool may_write, uint64_t number, err_t *err)
{
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 8;
        self->logs = realloc (self->logs, self->room * sizeof *self->logs);
        if (!self->logs)
            abort ();
    }
    wal_t *log = &self->logs[self->count++];
    struct stat about = { 0 };
    *log = (wal_t){ .number = number, .fd = openat (dir, name, (may_write ? O_RDWR : O_RDONLY) | O_CLOEXEC) };
    if (log->fd == -1 || fstat (log->fd, &about) == -1)
        return err_set_errno (err, ERR_IO, errno, "cannot open the log %s/%s", self->dir, name);
    log->size = (uint64_t)about.st_size;
    return 0;
}

static int open_logs (check_t *self, DIR *dir, bool may_write, err_t *err)
{
    struct dirent *entry;
    while ((entry = readdir (dir))) {
        unsigned long long number;
        int end = 0;
        if (sscanf (entry->d_name, "%llu.log%n", &number, &end) == 1 && end && !entry->d_name[end] &&
            open_log (self, dirfd (dir), entry->d_name, may_write, number, err) == -1)
            return -1;
    }
    if (!self->count)
        return 0;
    qsort (self->logs, self->count, sizeof *self->logs, by_number);
    /* RocksDB would take it for a new database, and begin with nothing. */
    if (faccessat (dirfd (dir), "CURRENT", F_OK, 0) == -1 && errno == ENOENT)
        return err_set (err, ERR_CORRUPT, "the database %s has logs, but its file CURRENT is missing: restore a backup",
                        self->dir);
    return 0;
}

static int judge (check_t *self, bool may_cut, err_t *err)
{
    char path[PATH_MAX];
    for (size_t i = 0; i < self->count; i++) {
        if (measure (self, &self->logs[i], err) == -1)
            return -1;
        if (self->logs[i].good == self->logs[i].size)
            continue;
        int found = 0;
        for (size_t later = i; later < self->count && found == 0; later++)
            found = find_mark (self, &self->logs[later], later == i ? self->logs[i].good : 0, err);
        if (found == 1)
            damaged (err, log_path (self, &self->logs[i], path), self->logs[i].good, "in what was synced");
        if (found)
            return -1;
        return may_cut ? cut (self, i, err) : 1;
    }
    return 0;
}

/*  Forgets the logs whose content is in tables. RocksDB reads them no more and removes them some time; their ends may
 * be torn, though marks are in the logs after them: of a log that was read after a kill nobody syncs the end. */
static void skip_unneeded (check_t *self)
{
    size_t skipped = 0;
    while (skipped < self->count && self->logs[skipped].number < self->said.first_log)
        close (self->logs[skipped++].fd);
    if (!skipped) /* of no logs there is not even an array */
        return;
    self->count -= skipped;
    memmove (self->logs, self->logs + skipped, self->count * sizeof *self->logs);
}

/*  The manifest is written before what it names is relied on: a torn end was being written. Unless it was synced: a
 * mark in the logs says so, or changes are missing between it and the first log. */
static int judge_manifest (check_t *self, const char *path, bool may_cut, err_t *err)
{
    const manifest_t manifest = self->said;
    const wal_t *first = NULL;
    for (size_t i = 0; i < self->count && !first; i++)
        if (self->logs[i].has_batch)
            first = &self->logs[i];
    if (manifest.good < self->manifest_size)
        return damaged (err, path, manifest.good, "in what was synced");
    if (first && first->first_sequence > manifest.last_sequence + 1)
        return damaged (err, path, manifest.good, "or a log is missing that it needs");
    if (manifest.good == manifest.size)
        return 0;
    if (!may_cut) /* RocksDB would not read it */
        return err_set (err, ERR_CORRUPT,
                        "the end of %s was being written when the machine stopped: start myelin once, which drops it",
                        path);
    if (truncate (path, (off_t)manifest.good) == -1)
        return err_set_errno (err, ERR_IO, errno, "cannot cut %s", path);
    log_write (LOG_WARN, "manifest.torn", NULL,
               "the end of %s was being written when the machine stopped: %llu bytes of it are dropped", path,
               (unsigned long long)(manifest.size - manifest.good));
    return 0;
}

int wal_check (const char *path, bool may_cut, err_t *err)
{
    DIR *dir = opendir (path);
    if (!dir)
        return errno == ENOENT ? 0 : err_set_errno (err, ERR_IO, errno, "cannot read the directory %s", path);
    check_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->dir = path;
    char name[WAL_MANIFEST_MAX], manifest[PATH_MAX];
    int has_manifest = 0; /* without one RocksDB says that it is missing */
    if (wal_manifest_name (path, name, &self->manifest)) {
        snprintf (manifest, sizeof manifest, "%s/%s", path, name);
        has_manifest = manifest_read (manifest, &self->said, err);
    }
    int rc = has_manifest < 0 ? -1 : open_logs (self, dir, may_cut, err);
    if (rc == 0 && wal_mark_prefix (path, self->mark)) {
        skip_unneeded (self);
        rc = judge (self, may_cut, err);
        if (rc >= 0 && has_manifest && judge_manifest (self, manifest, may_cut, err) < 0)
            rc = -1;
    }
    for (size_t i = 0; i < self->count; i++)
        if (self->logs[i].fd != -1)
            close (self->logs[i].fd);
    free (self->logs);
    free (self);
    closedir (dir);
    return rc;
}
