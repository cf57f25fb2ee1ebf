/*  SQLite FTS5, used as an inverted file only. Its tables hold no text (content='') and no document sizes: the size is
 *  part of the row id (row × 1024 + size / 8), so that scoring needs nothing but the posting lists. Stems
 *  carry the number of their user in front ("17:stem"), which keeps users' lists apart. BM25 is computed here, one list
 *  after the other: FTS5's own walks every list twice and counts other users' rows.
 */
#include "store/index.h"
#include "wire/columns.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define INDEX_FORMAT 1
#define SIZE_BITS    10
#define SIZE_UNIT    8.0f
#define BM25_K1      0.9f
#define BM25_B       0.4f

static const char schema[] =
    "CREATE TABLE meta (identity TEXT, next_row INTEGER);"
    "CREATE TABLE users (id INTEGER PRIMARY KEY, user BLOB UNIQUE, rows INTEGER, size INTEGER);"
    "CREATE VIRTUAL TABLE chunks USING fts5 (body, content='', columnsize=0, tokenize=myelin);";

/*  What the tokenizer of one connection works with. */
typedef struct {
    words_t *words;
    language_t language;
    char token[32 + 2 * WORD_MAX]; /* the user's prefix, then room for a stem */
    size_t prefix_size;
} tokens_t;

/*  Users that the open transaction touched. */
typedef struct {
    str_t name;
    int64_t id, rows, size;
} touched_t;

typedef enum { ADD, REMOVE, USER_MAKE, USER_FIND, USER_COUNT, META_SET, STATEMENTS } statement_t;

static const char *const statements[STATEMENTS] = {
    [ADD] = "INSERT INTO chunks (rowid, body) VALUES (?1, ?2)",
    [REMOVE] = "INSERT INTO chunks (chunks, rowid, body) VALUES ('delete', ?1, ?2)",
    [USER_MAKE] = "INSERT OR IGNORE INTO users (user, rows, size) VALUES (?1, 0, 0)",
    [USER_FIND] = "SELECT id, rows, size FROM users WHERE user = ?1",
    [USER_COUNT] = "UPDATE users SET rows = rows + ?2, size = size + ?3 WHERE id = ?1",
    [META_SET] = "UPDATE meta SET next_row = ?1",
};

struct index_writer {
    sqlite3 *db;
    tokens_t tokens;
    sqlite3_stmt *statement[STATEMENTS];
    touched_t *touched;
    size_t touched_count, touched_room;
    bool in_transaction;
};

struct index_reader {
    sqlite3 *db;
    tokens_t tokens;
    sqlite3_stmt *find_user, *find_rows;
};

static int fail (err_t *err, sqlite3 *db, const char *doing)
{
    int code = db ? sqlite3_errcode (db) & 0xFF : SQLITE_NOMEM;
    err_code_t as = code == SQLITE_FULL                               ? ERR_DISK_FULL
                    : code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? ERR_CORRUPT
                    : code == SQLITE_IOERR || code == SQLITE_CANTOPEN ? ERR_IO
                                                                      : ERR_INTERNAL;
    return err_set (err, as, "%s: %s", doing, db ? sqlite3_errmsg (db) : "out of memory");
}

/*  --- the tokenizer --- */

static int tokenizer_create (void *context, const char **args, int count, Fts5Tokenizer **out)
{
    *out = context;
    return SQLITE_OK;
}

static void tokenizer_delete (Fts5Tokenizer *self)
{
}

typedef int token_fn (void *context, int flags, const char *token, int size, int start, int end);

static int emit (tokens_t *self, token_fn *token, void *context, int flags, span_t stem)
{
    memcpy (self->token + self->prefix_size, stem.data, stem.size);
    return token (context, flags, self->token, (int)(self->prefix_size + stem.size), 0, 0);
}

static int tokenize (Fts5Tokenizer *tokenizer, void *context, int flags, const char *text, int size, token_fn *token)
{
    tokens_t *self = (tokens_t *)(void *)tokenizer;
    if (flags & FTS5_TOKENIZE_QUERY) /* is a token already */
        return token (context, 0, text, size, 0, size);
    word_scan_t scan = words_scan (self->words, span (text, (size_t)size));
    bool unsure = self->language == LANGUAGE_UNSURE;
    int rc = SQLITE_OK;
    for (word_t word; rc == SQLITE_OK && word_next (&scan, &word);) {
        span_t stem = words_stem (self->words, unsure ? LANGUAGE_ENGLISH : self->language, &word);
        rc = emit (self, token, context, 0, stem);
        if (unsure && rc == SQLITE_OK) {
            span_t first = span (self->token + self->prefix_size, stem.size);
            stem = words_stem (self->words, LANGUAGE_PORTUGUESE, &word);
            if (!span_eq (first, stem))
                rc = emit (self, token, context, FTS5_TOKEN_COLOCATED, stem);
        }
    }
    return rc;
}

static void tokens_set_user (tokens_t *self, int64_t user)
{
    self->prefix_size = (size_t)snprintf (self->token, 32, "%llx:", (unsigned long long)user);
}

/*  occurrences (chunks): how often the phrase of the query occurs in the row. */
static void occurrences (const Fts5ExtensionApi *api, Fts5Context *fts, sqlite3_context *context, int count,
                         sqlite3_value **values)
{
    Fts5PhraseIter iter;
    int column, offset, found = 0;
    int rc = api->xPhraseFirst (fts, 0, &iter, &column, &offset);
    for (; rc == SQLITE_OK && column >= 0; api->xPhraseNext (fts, &iter, &column, &offset))
        found++;
    if (rc != SQLITE_OK)
        sqlite3_result_error_code (context, rc);
    else
        sqlite3_result_int (context, found);
}

/*  --- connections --- */

static int run (sqlite3 *db, const char *sql, const char *doing, err_t *err)
{
    return sqlite3_exec (db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail (err, db, doing);
}

static int extend (sqlite3 *db, tokens_t *tokens, err_t *err)
{
    static const char doing[] = "cannot prepare the text index";
    fts5_tokenizer tokenizer = { tokenizer_create, tokenizer_delete, tokenize };
    fts5_api *api = NULL;
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2 (db, "SELECT fts5 (?1)", -1, &statement, NULL) != SQLITE_OK)
        return fail (err, db, doing);
    sqlite3_bind_pointer (statement, 1, &api, "fts5_api_ptr", NULL);
    sqlite3_step (statement);
    sqlite3_finalize (statement);
    if (!api || api->xCreateTokenizer (api, "myelin", tokens, &tokenizer, NULL) != SQLITE_OK ||
        api->xCreateFunction (api, "occurrences", NULL, occurrences, NULL) != SQLITE_OK)
        return fail (err, db, doing);
    return 0;
}

static sqlite3 *connect_to (const char *path, bool make, tokens_t *tokens, err_t *err)
{
    sqlite3 *db = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (make ? SQLITE_OPEN_CREATE : 0);
    tokens->words = words_new ();
    int rc = sqlite3_open_v2 (path, &db, flags, NULL);
    sqlite3_busy_timeout (db, 5000); /* only while another handle recovers the log */
    if (rc == SQLITE_OK && extend (db, tokens, err) == 0)
        return db;
    if (rc != SQLITE_OK)
        fail (err, db, "cannot open the text index");
    sqlite3_close (db);
    words_destroy (&tokens->words);
    return NULL;
}

static sqlite3_stmt *prepare (sqlite3 *db, const char *sql, err_t *err)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v3 (db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK)
        fail (err, db, "cannot prepare the text index");
    return statement;
}

/*  --- the writer --- */

void index_discard (const char *path)
{
    static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
    for (size_t i = 0; i < 4; i++) {
        char name[4096];
        snprintf (name, sizeof name, "%s%s", path, suffixes[i]);
        unlink (name);
    }
}

static int version_of (sqlite3 *db)
{
    sqlite3_stmt *statement = NULL;
    int version = -1;
    if (sqlite3_prepare_v2 (db, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step (statement) == SQLITE_ROW)
        version = sqlite3_column_int (statement, 0);
    sqlite3_finalize (statement);
    return version;
}

/*  1: the file is a whole index of this content and *next_row is set; 0: it is not; -1: that cannot be known now. */
static int fits (sqlite3 *db, const char *identity, uint64_t *next_row, err_t *err)
{
    sqlite3_stmt *statement = NULL;
    bool fit = version_of (db) == INDEX_FORMAT * 1000 + WORDS_VERSION &&
               sqlite3_prepare_v2 (db, "SELECT next_row, identity FROM meta", -1, &statement, NULL) == SQLITE_OK &&
               sqlite3_step (statement) == SQLITE_ROW;
    int code = sqlite3_errcode (db) & 0xFF;
    const char *whose = fit ? (const char *)sqlite3_column_text (statement, 1) : NULL;
    fit = whose && strcmp (whose, identity) == 0;
    if (fit)
        *next_row = (uint64_t)sqlite3_column_int64 (statement, 0);
    bool known = fit || code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE || code == SQLITE_ERROR ||
                 code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
    if (!known)
        fail (err, db, "cannot read the text index");
    sqlite3_finalize (statement);
    return known ? fit : -1;
}

static int make (sqlite3 *db, const char *identity, err_t *err)
{
    static const char doing[] = "cannot make the text index";
    char sql[256];
    snprintf (sql, sizeof sql,
              "INSERT INTO meta VALUES ('%s', 1);"
              "INSERT INTO chunks (chunks, rank) VALUES ('hashsize', 4194304);"
              "INSERT INTO chunks (chunks, rank) VALUES ('automerge', 8);"
              "PRAGMA user_version = %d",
              identity, INDEX_FORMAT * 1000 + WORDS_VERSION);
    if (run (db, "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; BEGIN", doing, err) < 0 ||
        run (db, schema, doing, err) < 0 || run (db, sql, doing, err) < 0)
        return -1;
    return run (db, "COMMIT", doing, err);
}

static int settle (index_writer_t *self, err_t *err)
{
    if (run (self->db,
             "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = OFF;"
             "PRAGMA cache_size = -8192; PRAGMA wal_autocheckpoint = 2000; PRAGMA journal_size_limit = 33554432",
             "cannot set up the text index", err) < 0)
        return -1;
    for (int i = 0; i < STATEMENTS; i++)
        if (!(self->statement[i] = prepare (self->db, statements[i], err)))
            return -1;
    return 0;
}

static index_writer_t *new_writer (const char *path, err_t *err)
{
    index_writer_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->db = connect_to (path, true, &self->tokens, err);
    if (!self->db)
        index_close (&self);
    return self;
}

index_writer_t *index_open (const char *path, const char *identity, uint64_t end_row, uint64_t *next_row, err_t *err)
{
    err_t why = { 0 };
    *next_row = 0;
    index_writer_t *self = new_writer (path, &why);
    int fit = self ? fits (self->db, identity, next_row, &why) : why.code == ERR_CORRUPT ? 0 : -1;
    if (fit == 1 && *next_row <= end_row) {
        if (settle (self, &why) == 0)
            return self;
        fit = why.code == ERR_CORRUPT ? 0 : -1;
    }
    index_close (&self);
    if (fit < 0) { /* a full disk, say: what is there may be whole, and making it anew may take hours */
        *err = why;
        return NULL;
    }
    index_discard (path);
    *next_row = 1;
    self = new_writer (path, err);
    if (self && (make (self->db, identity, err) < 0 || settle (self, err) < 0))
        index_close (&self);
    return self;
}

static void forget_touched (index_writer_t *self)
{
    for (size_t i = 0; i < self->touched_count; i++)
        str_free (&self->touched[i].name);
    self->touched_count = 0;
}

void index_close (index_writer_t **self_p)
{
    index_writer_t *self = *self_p;
    if (!self)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize (self->statement[i]);
    sqlite3_close (self->db);
    words_destroy (&self->tokens.words);
    forget_touched (self);
    free (self->touched);
    free (self);
    *self_p = NULL;
}

/*  Runs a statement whose parameters are bound; 1 when it stands on a row. */
static int step (index_writer_t *self, statement_t which, err_t *err)
{
    int rc = sqlite3_step (self->statement[which]);
    if (rc == SQLITE_ROW)
        return 1;
    int result = rc == SQLITE_DONE ? 0 : fail (err, self->db, "cannot write the text index");
    sqlite3_reset (self->statement[which]);
    return result;
}

static touched_t *touch (index_writer_t *self, span_t user, err_t *err)
{
    for (size_t i = 0; i < self->touched_count; i++)
        if (span_eq (str_span (&self->touched[i].name), user))
            return &self->touched[i];
    sqlite3_stmt *find = self->statement[USER_FIND];
    sqlite3_bind_blob (self->statement[USER_MAKE], 1, user.data, (int)user.size, SQLITE_STATIC);
    sqlite3_bind_blob (find, 1, user.data, (int)user.size, SQLITE_STATIC);
    if (step (self, USER_MAKE, err) < 0 || step (self, USER_FIND, err) < 0)
        return NULL;
    int64_t id = sqlite3_column_int64 (find, 0);
    sqlite3_reset (find);
    if (self->touched_count == self->touched_room) {
        self->touched_room = self->touched_room ? 2 * self->touched_room : 8;
        self->touched = realloc (self->touched, self->touched_room * sizeof *self->touched);
        if (!self->touched)
            abort ();
    }
    touched_t *touched = &self->touched[self->touched_count++];
    *touched = (touched_t){ .id = id };
    str_add (&touched->name, user);
    return touched;
}

static void abandon (index_writer_t *self)
{
    if (self->in_transaction)
        sqlite3_exec (self->db, "ROLLBACK", NULL, NULL, NULL);
    self->in_transaction = false;
    forget_touched (self);
}

static uint32_t size_of (chunk_span_t chunk)
{
    uint32_t size = (chunk.end - chunk.start) / (uint32_t)SIZE_UNIT, most = (1u << SIZE_BITS) - 1;
    return size < most ? size : most;
}

static int change (index_writer_t *self, statement_t which, span_t user, uint64_t first_row, span_t text, span_t spans,
                   err_t *err)
{
    if (!self->in_transaction && run (self->db, "BEGIN", "cannot write the text index", err) < 0)
        return -1;
    self->in_transaction = true;
    touched_t *touched = touch (self, user, err);
    if (!touched)
        goto failed;
    tokens_set_user (&self->tokens, touched->id);
    self->tokens.language = words_language (self->tokens.words, text);
    int sign = which == ADD ? 1 : -1;
    sqlite3_stmt *statement = self->statement[which];
    for (size_t i = 0; i < chunk_span_count (spans); i++) {
        chunk_span_t chunk = chunk_span_at (spans, i);
        uint32_t size = size_of (chunk);
        sqlite3_bind_int64 (statement, 1, (int64_t)((first_row + i) << SIZE_BITS | size));
        sqlite3_bind_text (statement, 2, text.data + chunk.start, (int)(chunk.end - chunk.start), SQLITE_STATIC);
        if (step (self, which, err) < 0)
            goto failed;
        touched->rows += sign;
        touched->size += sign * (int64_t)size;
    }
    return 0;
failed:
    abandon (self);
    return -1;
}

int index_add (index_writer_t *self, span_t user, uint64_t first_row, span_t text, span_t spans, err_t *err)
{
    return change (self, ADD, user, first_row, text, spans, err);
}

int index_remove (index_writer_t *self, span_t user, uint64_t first_row, span_t text, span_t spans, err_t *err)
{
    return change (self, REMOVE, user, first_row, text, spans, err);
}

int index_commit (index_writer_t *self, uint64_t next_row, err_t *err)
{
    if (!self->in_transaction && run (self->db, "BEGIN", "cannot write the text index", err) < 0)
        return -1;
    self->in_transaction = true;
    for (size_t i = 0; i < self->touched_count; i++) {
        const touched_t *touched = &self->touched[i];
        sqlite3_bind_int64 (self->statement[USER_COUNT], 1, touched->id);
        sqlite3_bind_int64 (self->statement[USER_COUNT], 2, touched->rows);
        sqlite3_bind_int64 (self->statement[USER_COUNT], 3, touched->size);
        if (step (self, USER_COUNT, err) < 0)
            goto failed;
    }
    sqlite3_bind_int64 (self->statement[META_SET], 1, (int64_t)next_row);
    if (step (self, META_SET, err) < 0 || run (self->db, "COMMIT", "cannot write the text index", err) < 0)
        goto failed;
    self->in_transaction = false;
    forget_touched (self);
    return 0;
failed:
    abandon (self);
    return -1;
}

/*  --- the reader --- */

index_reader_t *index_reader_new (const char *path, err_t *err)
{
    index_reader_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->db = connect_to (path, false, &self->tokens, err);
    if (!self->db ||
        run (self->db, "PRAGMA query_only = ON; PRAGMA cache_size = -8192", "cannot open the text index", err) < 0 ||
        !(self->find_user = prepare (self->db, statements[USER_FIND], err)) ||
        !(self->find_rows = prepare (self->db,
                                     "SELECT rowid, occurrences (chunks) FROM chunks WHERE chunks MATCH ?1"
                                     " AND rowid BETWEEN ?2 AND ?3",
                                     err)))
        index_reader_destroy (&self);
    return self;
}

void index_reader_destroy (index_reader_t **self_p)
{
    index_reader_t *self = *self_p;
    if (!self)
        return;
    sqlite3_finalize (self->find_user);
    sqlite3_finalize (self->find_rows);
    sqlite3_close (self->db);
    words_destroy (&self->tokens.words);
    free (self);
    *self_p = NULL;
}

typedef struct {
    uint64_t id; /* row × 1024 + size */
    float value; /* occurrences, then score */
} posting_t;

typedef struct {
    posting_t *items;
    size_t count, room;
} postings_t;

static void posting_add (postings_t *self, posting_t item)
{
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 1024;
        self->items = realloc (self->items, self->room * sizeof *self->items);
        if (!self->items)
            abort ();
    }
    self->items[self->count++] = item;
}

static bool in_ranges (const index_range_t *ranges, size_t count, uint64_t row)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (row < ranges[middle].row)
            high = middle;
        else if (row >= ranges[middle].row + ranges[middle].count)
            low = middle + 1;
        else
            return true;
    }
    return count == 0;
}

/*  Appends the rows that hold the stem. */
static int read_list (index_reader_t *self, const term_t *term, int language, const index_range_t *ranges, size_t count,
                      postings_t *out, err_t *err)
{
    tokens_t *tokens = &self->tokens;
    char match[sizeof tokens->token + 2];
    int size = snprintf (match, sizeof match, "\"%.*s%.*s\"", (int)tokens->prefix_size, tokens->token,
                         (int)term->size[language], term->stem[language]);
    uint64_t first = count ? ranges[0].row : 0, last = count ? ranges[count - 1].row + ranges[count - 1].count : 0;
    sqlite3_bind_text (self->find_rows, 1, match, size, SQLITE_STATIC);
    sqlite3_bind_int64 (self->find_rows, 2, (int64_t)(first << SIZE_BITS));
    sqlite3_bind_int64 (self->find_rows, 3, count ? (int64_t)(last << SIZE_BITS) : INT64_MAX);
    int rc;
    while ((rc = sqlite3_step (self->find_rows)) == SQLITE_ROW) {
        uint64_t id = (uint64_t)sqlite3_column_int64 (self->find_rows, 0);
        if (in_ranges (ranges, count, id >> SIZE_BITS))
            posting_add (out, (posting_t){ id, (float)sqlite3_column_int (self->find_rows, 1) });
    }
    int result = rc == SQLITE_DONE ? 0 : fail (err, self->db, "cannot search the text index");
    sqlite3_reset (self->find_rows);
    return result;
}

/*  out = the union of both sorted lists, values of the same row added up. */
static void merge (const postings_t *a, const postings_t *b, postings_t *out)
{
    out->count = 0;
    for (size_t i = 0, j = 0; i < a->count || j < b->count;) {
        if (j == b->count || (i < a->count && a->items[i].id < b->items[j].id)) {
            posting_add (out, a->items[i++]);
        } else if (i == a->count || b->items[j].id < a->items[i].id) {
            posting_add (out, b->items[j++]);
        } else {
            posting_add (out, (posting_t){ a->items[i].id, a->items[i].value + b->items[j].value });
            i++, j++;
        }
    }
}

static void swap (postings_t *a, postings_t *b)
{
    postings_t c = *a;
    *a = *b;
    *b = c;
}

static void bm25 (postings_t *list, unsigned times, double rows, float average)
{
    double holding = (double)list->count;
    float weight = (float)times * (float)log (1.0 + (fmax (rows - holding, 0) + 0.5) / (holding + 0.5)) * (BM25_K1 + 1);
    for (size_t i = 0; i < list->count; i++) {
        posting_t *item = &list->items[i];
        float size = (float)(item->id & ((1u << SIZE_BITS) - 1));
        item->value = weight * item->value / (item->value + BM25_K1 * (1 - BM25_B + BM25_B * size / average));
    }
}

static int search (index_reader_t *self, const terms_t *terms, const index_range_t *ranges, size_t range_count,
                   double rows, float average, top_t *top, err_t *err)
{
    postings_t list = { 0 }, other = { 0 }, sum = { 0 }, spare = { 0 };
    int rc = -1;
    for (size_t i = 0; i < terms->count; i++) {
        const term_t *term = &terms->items[i];
        list.count = other.count = 0;
        if (read_list (self, term, 0, ranges, range_count, &list, err) < 0)
            goto out;
        if (!span_eq (span (term->stem[0], term->size[0]), span (term->stem[1], term->size[1]))) {
            if (read_list (self, term, 1, ranges, range_count, &other, err) < 0)
                goto out;
            merge (&list, &other, &spare);
            swap (&list, &spare);
        }
        bm25 (&list, term->weight, rows, average);
        merge (&sum, &list, &spare);
        swap (&sum, &spare);
    }
    for (size_t i = 0; i < sum.count; i++)
        top_push (top, sum.items[i].id >> SIZE_BITS, sum.items[i].value);
    rc = 0;
out:
    free (list.items);
    free (other.items);
    free (sum.items);
    free (spare.items);
    return rc;
}

int index_search (index_reader_t *self, span_t user, const terms_t *terms, const index_range_t *ranges,
                  size_t range_count, top_t *top, err_t *err)
{
    if (run (self->db, "BEGIN", "cannot search the text index", err) < 0) /* all lists as of the same moment */
        return -1;
    sqlite3_bind_blob (self->find_user, 1, user.data, (int)user.size, SQLITE_STATIC);
    int found = sqlite3_step (self->find_user);
    double rows = 0, size = 0;
    if (found == SQLITE_ROW) {
        tokens_set_user (&self->tokens, sqlite3_column_int64 (self->find_user, 0));
        rows = (double)sqlite3_column_int64 (self->find_user, 1);
        size = (double)sqlite3_column_int64 (self->find_user, 2);
    }
    sqlite3_reset (self->find_user);
    int rc = 0;
    if (found != SQLITE_ROW && found != SQLITE_DONE)
        rc = fail (err, self->db, "cannot search the text index");
    else if (rows >= 1)
        rc = search (self, terms, ranges, range_count, rows, (float)(size / rows) + 0.001f, top, err);
    sqlite3_exec (self->db, "COMMIT", NULL, NULL, NULL);
    return rc;
}
