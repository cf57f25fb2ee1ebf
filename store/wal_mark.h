/*  wal_mark.h: what is written into RocksDB's log behind every synced commit, and as the first of a new log: that all
 *  before it was synced, and how long the manifest was by then.
 */
#ifndef STORE_WAL_MARK_H
#define STORE_WAL_MARK_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WAL_MARK_WORD    10u /* a fixed word, */
#define WAL_MARK_PREFIX  46u /* and the database's IDENTITY, which no client knows: no document can hold marks */
#define WAL_MARK_SIZE    62u /* then u64 number and u64 length of the manifest */
#define WAL_MANIFEST_MAX 64

/*  What marks of the database in `dir` begin with. False when it has no IDENTITY (yet). */
bool wal_mark_prefix (const char *dir, char prefix[WAL_MARK_PREFIX]);

/*  The name that CURRENT gives, and its number; false when there is none that could be. */
bool wal_manifest_name (const char *dir, char name[WAL_MANIFEST_MAX], uint64_t *number);

typedef struct wal_mark wal_mark_t;

/*  Of an open database. NULL with ERR_IO or ERR_CORRUPT. */
wal_mark_t *wal_mark_new (const char *dir, err_t *err);
void wal_mark_destroy (wal_mark_t **self_p);

/*  The bytes of the next mark, of WAL_MARK_SIZE. Syncs the manifest when it has grown, which is rare. */
const char *wal_mark_bytes (wal_mark_t *self);

void wal_mark_read (const char mark[WAL_MARK_SIZE], uint64_t *manifest, uint64_t *size);

#endif
