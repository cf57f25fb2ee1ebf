/*  wal.h: RocksDB's write-ahead logs, looked at before RocksDB reads them, so that what a power cut tore and what is
 *  damaged are told apart.
 *
 *  After a cut the end of a log, written and not yet synced, may hold anything: some of it, pieces, zeros. RocksDB
 * either refuses to open at the first bad record or drops silently what comes after it, synced or not; and it passes
 * over zeros and goes on behind them. So every synced commit is followed by a mark in the log. A bad record with a mark
 *  behind it was synced, and is damage; one without is the end of what was promised, and the logs are cut there.
 */
#ifndef STORE_WAL_H
#define STORE_WAL_H

#include "base/err.h"
#include <stdbool.h>

#define WAL_MARK_SIZE 46

/*  What a mark holds, for rocksdb_writebatch_put_log_data: the IDENTITY of the database in `dir`, which no client
 * knows, so that no document can hold marks. False when there is none (yet). */
bool wal_mark (const char *dir, char mark[WAL_MARK_SIZE]);

/*  Looks at all logs of the database in `dir`, which no one has open; 0 also when there is none. The end that nobody was
 *  promised is cut off, and a warning says so; without `may_cut` it stays, and that is 1. A database without IDENTITY has
 *  no marks: RocksDB may judge it. -1 with ERR_CORRUPT: what was promised is damaged, and nothing was changed; or
 *  ERR_IO. */
int wal_check (const char *dir, bool may_cut, err_t *err);

#endif
