/*  wal_losses.h: what of RocksDB's write-ahead logs cannot be read, for whoever opens the database all the same. */
#ifndef STORE_WAL_LOSSES_H
#define STORE_WAL_LOSSES_H

#include "base/err.h"

/*  A part of a log that cannot be read, and what was in it. */
typedef struct {
    unsigned long long log;      /* number of the file: LOG.log, of six digits */
    unsigned long long from, to; /* bytes in it */
    unsigned long long changes;  /* of records; UINT64_MAX: not known, nothing that can be read comes after it */
} wal_loss_t;
typedef void wal_loss_fn (void *listener, const wal_loss_t *loss);

/*  Tells of each such part of the database in `dir`, in order: what KV_ROCKS_LOSSY (store/kv_rocks.h) passes over. 0,
 * or -1 with ERR_IO. */
int wal_losses (const char *dir, wal_loss_fn *tell, void *listener, err_t *err);

#endif
