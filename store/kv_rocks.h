/*  kv_rocks.h: the kv_t on RocksDB 7.8. The one place where RocksDB's error strings are translated.
 *
 *  The logs are looked at before RocksDB sees them (wal.h): what a power cut tore is cut off, damage is refused. Then
 *  wal_recovery_mode 0 (a torn tail is tolerated, damage is not), paranoid checks, checksums verified. Not used, for
 *  bugs in 7.8: wal_compression, async_io, DeleteRange, atomic_flush, TransactionDB, manual_wal_flush.
 */
#ifndef STORE_KV_ROCKS_H
#define STORE_KV_ROCKS_H

#include "store/kv.h"

typedef struct {
    const char *name;
    bool point_lookups; /* keys are looked up one by one: keep a Bloom filter */
    bool large_values;  /* values of a kilobyte and more: keep them in blob files, out of compaction */
} kv_family_t;

/*  How a database is opened. */
typedef enum {
    KV_ROCKS_NORMAL,
    KV_ROCKS_READ_ONLY, /* as it would be after a start, without a byte written; families it lacks are empty */
    KV_ROCKS_LOSSY,     /* what is damaged in the log is skipped: for an explicit repair alone */
    KV_ROCKS_SALVAGE,   /* read-only and lossy, and tables that cannot be opened stand for nothing: to copy what is left
                         */
} kv_rocks_mode_t;

typedef struct {
    const char *path;
    const kv_family_t *families; /* family number = place here; the first becomes RocksDB's "default" */
    unsigned family_count;
    size_t cache_bytes;        /* block cache, shared by all families */
    size_t write_buffer_bytes; /* memtables of all families together */
    kv_rocks_mode_t mode;
} kv_rocks_config_t;

/*  Opens or makes the database. NULL with ERR_CORRUPT, ERR_LOCKED, ERR_DISK_FULL or ERR_IO. */
kv_t *kv_rocks_open (const kv_rocks_config_t *config, err_t *err);

/*  A read-only view of what is committed now, which later writes do not change. It may live in another thread than the
 *  store; it is destroyed before it, with kv_destroy. Nothing may be put into it. */
kv_t *kv_rocks_view (kv_t *store);

/*  Makes `dir` (missing; its parent is there) a database of its own with all that is committed now, synced or not: by
 * hard links to the files that never change, when on the same file system, and copies of the others. Blocks for some
 * tens of milliseconds; may be called from another thread than the store's. 0, or -1: there may be a part of it. */
int kv_rocks_checkpoint (kv_t *store, const char *dir, err_t *err);

/*  Translates and frees an error string of RocksDB. Returns -1. */
int kv_rocks_error (err_t *err, char *text, const char *doing);

#endif
