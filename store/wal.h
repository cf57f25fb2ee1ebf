/*  wal.h: RocksDB's write-ahead logs, looked at before RocksDB reads them, so that what a power cut tore and what is
 *  damaged are told apart.
 *
 *  After a cut the end of a log, written and not yet synced, may hold anything: some of it, pieces, zeros. RocksDB
 * either refuses to open at the first bad record or drops silently what comes after it, synced or not; and it passes
 * over zeros and goes on behind them. So every synced commit is followed by a mark in the log (wal_mark.h). A bad
 * record with a mark behind it was synced, and is damage; one without is the end of what was promised, and the logs are
 * cut there.
 */
#ifndef STORE_WAL_H
#define STORE_WAL_H

#include "base/err.h"

#include <stdbool.h>

/*  Looks at all logs of the database in `dir`, which no one has open, and at its manifest; 0 also when there is none.
 * The end that nobody was promised is cut off, and a warning says so; without `may_cut` it stays, and when it is a
 * log's, that is 1. A database without IDENTITY has no marks: RocksDB may judge it. -1 with ERR_CORRUPT: what was
 * promised is damaged, and nothing was changed; or ERR_IO. */
int wal_check (const char *dir, bool may_cut, err_t *err);

#endif
