/*  A batch begins with u64 sequence of its first change and u32 count of its changes: so the batch behind a damaged
 * part tells how many changes were in it.
 */
#include "store/wal_losses.h"
#include "store/rocks_log.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK      ROCKS_LOG_BLOCK
#define HEADER     ROCKS_LOG_HEADER
#define BATCH_HEAD 12u

typedef struct {
    wal_loss_fn *tell;
    void *listener;
    uint64_t sequence; /* that the next batch has; 0: none was seen */
    bool is_open;      /* something is lost, and what comes after it was not seen yet */
    wal_loss_t open;
    char block[BLOCK];
} losses_t;

static void begin (losses_t *self, uint64_t log, uint64_t from, uint64_t to)
{
    if (!self->is_open)
        self->open = (wal_loss_t){ log, from, to, UINT64_MAX };
    else if (self->open.log == log)
        self->open.to = to;
    self->is_open = true;
}

static void end (losses_t *self, const char *batch)
{
    uint64_t sequence = rocks_log_number (batch, 8);
    if (self->is_open) {
        self->open.changes = self->sequence && sequence >= self->sequence ? sequence - self->sequence : UINT64_MAX;
        self->tell (self->listener, &self->open);
    }
    self->is_open = false;
    self->sequence = sequence + rocks_log_number (batch + 8, 4);
}

/*  One log, as RocksDB reads it: at a bad record the rest of its block is passed over, and then what belongs to a batch
 *  whose beginning is lost. A batch that has its head in a good record and its end in a bad one is lost too. */
static int read_log (losses_t *self, FILE *file, uint64_t log)
{
    char head[BATCH_HEAD] = { 0 };
    uint64_t batch_at = 0, start = 0;
    bool inside = false;
    size_t size;
    for (; (size = fread (self->block, 1, BLOCK, file)) > 0; start += size)
        for (size_t at = 0; at < size && BLOCK - at >= HEADER;) {
            int payload = rocks_log_record (self->block, size, at);
            int type = payload < 0 ? 0 : self->block[at + HEADER - 1];
            if (payload < 0) {
                begin (self, log, inside ? batch_at : start + at, start + size);
                inside = false;
                break;
            }
            bool is_first = type == ROCKS_LOG_FULL || type == ROCKS_LOG_FIRST;
            if (inside && is_first)
                begin (self, log, batch_at, start + at);
            if (!inside && !is_first)
                begin (self, log, start + at, start + at + HEADER + (size_t)payload);
            if (is_first && (size_t)payload >= BATCH_HEAD) {
                memcpy (head, self->block + at + HEADER, BATCH_HEAD);
                batch_at = start + at;
            }
            at += HEADER + (size_t)payload;
            if (type == ROCKS_LOG_FULL || (type == ROCKS_LOG_LAST && inside))
                end (self, head);
            inside = type == ROCKS_LOG_FIRST || (inside && type == ROCKS_LOG_MIDDLE);
        }
    if (inside)
        begin (self, log, batch_at, start);
    return ferror (file) ? -1 : 0;
}

/*  The number of the log after `before`; 0: there is none. */
static unsigned long long next_log (DIR *dir, unsigned long long before)
{
    struct dirent *entry;
    unsigned long long next = 0, number;
    rewinddir (dir);
    while ((entry = readdir (dir))) {
        int length = 0;
        if (sscanf (entry->d_name, "%llu.log%n", &number, &length) == 1 && length && !entry->d_name[length] &&
            number > before && (!next || number < next))
            next = number;
    }
    return next;
}

int wal_losses (const char *path, wal_loss_fn *tell, void *listener, err_t *err)
{
    DIR *dir = opendir (path);
    if (!dir)
        return err_set_errno (err, ERR_IO, errno, "cannot read the directory %s", path);
    losses_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->tell = tell;
    self->listener = listener;
    int rc = 0;
    for (unsigned long long log = 0; rc == 0 && (log = next_log (dir, log));) {
        char name[4096];
        snprintf (name, sizeof name, "%s/%06llu.log", path, log);
        FILE *file = fopen (name, "re");
        if (!file || read_log (self, file, log) == -1)
            rc = err_set_errno (err, ERR_IO, errno, "cannot read the log %s", name);
        if (file)
            fclose (file);
    }
    if (rc == 0 && self->is_open)
        tell (listener, &self->open);
    free (self);
    closedir (dir);
    return rc;
}
