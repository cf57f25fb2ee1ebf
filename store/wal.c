/*  The format is RocksDB's (db/log_format.h): blocks of 32 KiB; in them records of u32 masked checksum, u16 size, u8
 *  type, payload; a batch is one full record, or a first, middles and a last. Fewer than 7 bytes at the end of a block
 *  are filling. A batch begins with u64 sequence and u32 count, then its entries; log data has the tag 3.
 */
#include "store/wal.h"
#include "base/log.h"
#include "store/crc32c.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK       32768u
#define HEADER      7u
#define BATCH_HEAD  12u
#define LOG_DATA    3
#define MARK_WORD   "synced    "
#define MARK_RECORD (HEADER + BATCH_HEAD + 2 + WAL_MARK_SIZE)

enum { FULL = 1, FIRST, MIDDLE, LAST };

typedef struct {
    uint64_t number; /* in the order of writing */
    int fd;
    uint64_t size;
    uint64_t good; /* up to here there are whole records */
} wal_t;

typedef struct {
    const char *dir;
    wal_t *logs;
    size_t count, room;
    char mark[WAL_MARK_SIZE];
    char block[BLOCK];
} check_t;

bool wal_mark (const char *dir, char mark[WAL_MARK_SIZE])
{
    char path[4096], *identity = mark + sizeof MARK_WORD - 1;
    memset (mark, ' ', WAL_MARK_SIZE);
    memcpy (mark, MARK_WORD, sizeof MARK_WORD - 1);
    snprintf (path, sizeof path, "%s/IDENTITY", dir);
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd == -1 ? -1 : read (fd, identity, WAL_MARK_SIZE - (sizeof MARK_WORD - 1));
    if (fd != -1)
        close (fd);
    return size > 0;
}

static uint32_t le (const char *at, size_t width)
{
    uint32_t value = 0;
    for (size_t i = width; i-- > 0;)
        value = value << 8 | (unsigned char)at[i];
    return value;
}

/*  The size of the payload of the whole record at `at`, or -1. */
static int record_at (const char *block, size_t size, size_t at)
{
    if (size - at < HEADER)
        return -1;
    uint32_t payload = le (block + at + 4, 2), type = (unsigned char)block[at + 6];
    if (type < FULL || type > LAST || payload > size - at - HEADER)
        return -1;
    uint32_t masked = le (block + at, 4) - 0xa282ead8u, crc = masked >> 17 | masked << 15;
    return crc == crc32c (span (block + at + 6, 1 + payload)) ? (int)payload : -1;
}

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
            int payload = record_at (self->block, size, at);
            int type = payload < 0 ? 0 : self->block[at + 6];
            if (payload < 0 || inside != (type == MIDDLE || type == LAST))
                return 0;
            at += HEADER + (size_t)payload;
            inside = type == FIRST || type == MIDDLE;
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
        while (at < size && (found = memmem (self->block + at, size - at, self->mark, WAL_MARK_SIZE))) {
            size_t mark_at = (size_t)(found - self->block), head = MARK_RECORD - WAL_MARK_SIZE;
            if (mark_at >= head && found[-2] == LOG_DATA && le (found - 6, 4) == 0 &&
                record_at (self->block, size, mark_at - head) == (int)(MARK_RECORD - HEADER))
                return 1;
            at = mark_at + 1;
        }
    }
    return 0;
}

/*  Everything from the end of what is good in log `first` on goes. */
static int cut (check_t *self, size_t first, err_t *err)
{
    unsigned long long dropped = 0;
    for (size_t i = first; i < self->count; i++) {
        const wal_t *log = &self->logs[i];
        uint64_t keep = i == first ? log->good : 0;
        dropped += log->size - keep;
        if (ftruncate (log->fd, (off_t)keep) == -1 || fsync (log->fd) == -1)
            return err_set_errno (err, ERR_IO, errno, "cannot cut the log %s/%06llu.log", self->dir,
                                  (unsigned long long)log->number);
    }
    log_write (
        LOG_WARN, "wal.torn", NULL,
        "the end of the log %s/%06llu.log was not synced when the machine stopped: %llu bytes of it are dropped; "
        "nobody was promised them",
        self->dir, (unsigned long long)self->logs[first].number, dropped);
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
    for (size_t i = 0; i < self->count; i++) {
        if (measure (self, &self->logs[i], err) == -1)
            return -1;
        if (self->logs[i].good == self->logs[i].size)
            continue;
        int found = 0;
        for (size_t later = i; later < self->count && found == 0; later++)
            found = find_mark (self, &self->logs[later], later == i ? self->logs[i].good : 0, err);
        if (found == 1)
            err_set (
                err, ERR_CORRUPT,
                "the log %s/%06llu.log is damaged at byte %llu, in what was synced: restore a backup, or keep what "
                "can be read with `myelin repair`",
                self->dir, (unsigned long long)self->logs[i].number, (unsigned long long)self->logs[i].good);
        if (found)
            return -1;
        return may_cut ? cut (self, i, err) : 1;
    }
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
    int rc = open_logs (self, dir, may_cut, err);
    if (rc == 0 && wal_mark (path, self->mark))
        rc = judge (self, may_cut, err);
    for (size_t i = 0; i < self->count; i++)
        if (self->logs[i].fd != -1)
            close (self->logs[i].fd);
    free (self->logs);
    free (self);
    closedir (dir);
    return rc;
}
