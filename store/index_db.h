/*  index_db.h: what the writing and the reading half of the text index share: a connection to its SQLite file, with the
 *  tokenizer on it, and how it is laid out.
 *
 *  SQLite FTS5, used as an inverted file only. Its tables hold no text (content='') and no document sizes: the size is
 *  part of the row id (row × 1024 + size / 8), so that scoring needs nothing but the posting lists. Stems
 *  carry the number of their user in front ("17:stem"), which keeps users' lists apart. BM25 is computed by the reader,
 *  one list after the other: FTS5's own walks every list twice and counts other users' rows.
 */
#ifndef STORE_INDEX_DB_H
#define STORE_INDEX_DB_H

#include "base/err.h"
#include "store/words.h"
#include "wire/columns.h"

#include <sqlite3.h>

#define INDEX_FORMAT    3 /* of the file; with WORDS_VERSION its user_version */
#define INDEX_VERSION   (INDEX_FORMAT * 1000 + WORDS_VERSION)
#define INDEX_SIZE_BITS 10
#define INDEX_SIZE_UNIT 8
#define INDEX_FIND_USER "SELECT id, rows, size FROM users WHERE user = ?1"

/*  What the tokenizer of one connection works with. */
typedef struct {
    words_t *words;
    language_t language;
    char token[32 + 2 * WORD_MAX]; /* the user's prefix, then room for a stem */
    size_t prefix_size;
} tokens_t;

void tokens_set_user (tokens_t *self, int64_t user);

/*  Hands every token of `text` on, the user's prefix in front, as FTS5 is given it. */
typedef int index_token_fn (void *context, int flags, const char *token, int size, int start, int end);
int index_tokens (tokens_t *self, span_t text, index_token_fn *take, void *context);

/*  Size of a chunk as the index counts it, and the row id that has it. */
static inline uint32_t index_size (chunk_span_t chunk)
{
    uint32_t size = (chunk.end - chunk.start) / INDEX_SIZE_UNIT, most = (1u << INDEX_SIZE_BITS) - 1;
    return size < most ? size : most;
}

static inline int64_t index_row_id (uint64_t row, chunk_span_t chunk)
{
    return (int64_t)(row << INDEX_SIZE_BITS | index_size (chunk));
}

/*  Opens the file, made when missing if `make`; fills *tokens, whose `words` the caller destroys. NULL on failure. */
sqlite3 *index_connect (const char *path, bool make, tokens_t *tokens, err_t *err);
/*  The same without writing a byte, but for the shared memory of a log that was left behind. */
sqlite3 *index_connect_read_only (const char *path, tokens_t *tokens, err_t *err);
sqlite3_stmt *index_prepare (sqlite3 *db, const char *sql, err_t *err);
int index_run (sqlite3 *db, const char *sql, const char *doing, err_t *err);

/*  Translates the last error of `db`. Returns -1. */
int index_fail (err_t *err, sqlite3 *db, const char *doing);

#endif
