/*  index_sums.h: checksums under the text index, which SQLite itself has only in its log.
 *
 *  A layer between SQLite and the disk: whole pages of the database file get a sum in their last bytes when they are
 *  written, and it is compared when they are read. A page that does not fit is SQLITE_CORRUPT.
 */
#ifndef STORE_INDEX_SUMS_H
#define STORE_INDEX_SUMS_H

#include <sqlite3.h>
#include <stdbool.h>

#define INDEX_PAGE 8192 /* bytes; the layer reads no file with other pages */

/*  The name of the layer, for sqlite3_open_v2. */
const char *index_sums_layer (void);

/*  Of a new and empty database, before anything else: leaves room for the sums. */
void index_sums_begin (sqlite3 *db);

/*  Whether the log of the database at `path` is damaged before its end. SQLite would use it up to there: what is behind
 *  would be lost without a word, and what of that had reached the database already would be there in pieces. */
bool index_sums_log_is_damaged (const char *path);

#endif
