/*  index.h: the text index: which rows hold a word. A derived thing: whatever is in it can be made again from the
 *  content, and is, when the file is missing, damaged, or was made by another version.
 *
 *  A row is one chunk of one segment; rows are numbered by the content, rising from 1. The index neither knows
 * documents nor what is visible. Every word is filed under its user, so that a query reads only what its user wrote.
 *
 *  The writer and each reader have their own handle and may live in different threads; readers see what was committed
 *  when they asked.
 */
#ifndef STORE_INDEX_H
#define STORE_INDEX_H

#include "base/err.h"
#include "store/terms.h"
#include "store/top.h"

typedef struct index_writer index_writer_t;
typedef struct index_reader index_reader_t;

/*  Opens the index file at `path`, which belongs to the content `identity` (any short text), whose rows are below
 *  `end_row`. A file that cannot serve is replaced by an empty one. *next_row: rows below it are in the index; the
 *  caller adds the others. */
index_writer_t *index_open (const char *path, const char *identity, uint64_t end_row, uint64_t *next_row, err_t *err);
/*  Removes the file, for index_open to make it anew: what to do on ERR_CORRUPT. */
void index_discard (const char *path);
void index_close (index_writer_t **self_p); /* drops what was not committed */

/*  The rows of one segment: row `first_row` + i holds text [spans[i].start, spans[i].end). `spans` is a checked column
 *  (wire/columns.h). -1: the transaction is gone; whatever was added since the last commit has to be added again. */
int index_add (index_writer_t *self, span_t user, uint64_t first_row, span_t text, span_t spans, err_t *err);
/*  Makes what was added visible to readers; survives the process, and a power cut in whole or not at all. */
int index_commit (index_writer_t *self, uint64_t next_row, err_t *err);

/*  Removal needs the very same text and spans: the index can forget a row only while the content still has it, and only
 *  once. So removals have a transaction of their own, before the content's, that is on disk when its commit returns and
 *  keeps a list of the segments (their first rows) until the next one. Should the process end in between, the
 *  next start takes the list: what the content still has is to be added again. */
int index_remove (index_writer_t *self, span_t user, uint64_t first_row, span_t text, span_t spans, err_t *err);
int index_commit_removals (index_writer_t *self, err_t *err);
/*  *rows: caller frees. The list is emptied by the next index_commit. */
int index_take_removed (index_writer_t *self, uint64_t **rows, size_t *count, err_t *err);

index_reader_t *index_reader_new (const char *path, err_t *err);
void index_reader_destroy (index_reader_t **self_p);

typedef struct {
    uint64_t row;
    uint64_t count;
} index_range_t;

/*  The best rows of `user` for the terms by BM25, pushed into `top`. `ranges` (rising, disjoint; range_count 0: all
 *  rows) limits the search to some rows. */
int index_search (index_reader_t *self, span_t user, const terms_t *terms, const index_range_t *ranges,
                  size_t range_count, top_t *top, err_t *err);

#endif
