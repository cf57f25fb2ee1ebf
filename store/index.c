/*  The writing half of the text index. */
#include "store/index.h"
#include "base/log.h"
#include "store/index_db.h"
#include "store/index_sums.h"
#include "wire/columns.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char writing[] = "cannot write the text index";

static const char schema[] =
    "CREATE TABLE meta (identity TEXT, next_row INTEGER);"
    "CREATE TABLE removed (row INTEGER PRIMARY KEY);"
    "CREATE TABLE users (id INTEGER PRIMARY KEY, user BLOB UNIQUE, rows INTEGER, size INTEGER);"
    "CREATE VIRTUAL TABLE chunks USING fts5 (body, content='', columnsize=0, tokenize=myelin);";

/*  Users that the open transaction touched. */
typedef struct {
    str_t name;
    int64_t id, rows, size;
} touched_t;

typedef enum { ADD, REMOVE, USER_MAKE, USER_FIND, USER_COUNT, META_SET, REMOVED_ADD, STATEMENTS } statement_t;

static const char *const statements[STATEMENTS] = {
    [ADD] = "INSERT INTO chunks (rowid, body) VALUES (?1, ?2)",
    [REMOVE] = "INSERT INTO chunks (chunks, rowid, body) VALUES ('delete', ?1, ?2)",
    [USER_MAKE] = "INSERT OR IGNORE INTO users (user, rows, size) VALUES (?1, 0, 0)",
    [USER_FIND] = INDEX_FIND_USER,
    [USER_COUNT] = "UPDATE users SET rows = rows + ?2, size = size + ?3 WHERE id = ?1",
    [META_SET] = "UPDATE meta SET next_row = ?1",
    [REMOVED_ADD] = "INSERT OR REPLACE INTO removed (row) VALUES (?1)",
};

struct index_writer {
    sqlite3 *db;
    tokens_t tokens;
    sqlite3_stmt *statement[STATEMENTS];
    touched_t *touched;
    size_t touched_count, touched_room;
    bool in_transaction;
};

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
    bool fit = version_of (db) == INDEX_VERSION &&
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
        index_fail (err, db, "cannot read the text index");
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
              identity, INDEX_VERSION);
    char begin[96];
    snprintf (begin, sizeof begin, "PRAGMA page_size = %d; PRAGMA journal_mode = WAL; BEGIN", INDEX_PAGE);
    index_sums_begin (db);
    if (index_run (db, begin, doing, err) < 0 || index_run (db, schema, doing, err) < 0 ||
        index_run (db, sql, doing, err) < 0)
        return -1;
    return index_run (db, "COMMIT", doing, err);
}

static int settle (index_writer_t *self, err_t *err)
{
    if (index_run (self->db,
                   "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = OFF;"
                   "PRAGMA cache_size = -8192; PRAGMA wal_autocheckpoint = 2000; PRAGMA journal_size_limit = 33554432",
                   "cannot set up the text index", err) < 0)
        return -1;
    for (int i = 0; i < STATEMENTS; i++)
        if (!(self->statement[i] = index_prepare (self->db, statements[i], err)))
            return -1;
    return 0;
}

static index_writer_t *new_writer (const char *path, err_t *err)
{
    index_writer_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->db = index_connect (path, true, &self->tokens, err);
    if (!self->db)
        index_close (&self);
    return self;
}

index_writer_t *index_open (const char *path, const char *identity, uint64_t end_row, uint64_t *next_row, err_t *err)
{
    err_t why = { 0 };
    *next_row = 0;
    bool log_is_good = !index_sums_log_is_damaged (path);
    if (!log_is_good)
        log_write (LOG_WARN, "index.damaged", NULL, "the text index is made anew: its log %s-wal is damaged", path);
    index_writer_t *self = log_is_good ? new_writer (path, &why) : NULL;
    int fit = !log_is_good ? 0 : self ? fits (self->db, identity, next_row, &why) : why.code == ERR_CORRUPT ? 0 : -1;
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
    int result = rc == SQLITE_DONE ? 0 : index_fail (err, self->db, writing);
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

static int begin (index_writer_t *self, const char *sql, err_t *err)
{
    if (!self->in_transaction && index_run (self->db, sql, writing, err) < 0)
        return -1;
    self->in_transaction = true;
    return 0;
}

static int change (index_writer_t *self, statement_t which, span_t user, uint64_t first_row, span_t text, span_t spans,
                   err_t *err)
{
    touched_t *touched = touch (self, user, err);
    if (!touched)
        goto failed;
    tokens_set_user (&self->tokens, touched->id);
    self->tokens.language = words_language (self->tokens.words, text);
    int sign = which == ADD ? 1 : -1;
    sqlite3_stmt *statement = self->statement[which];
    for (size_t i = 0; i < chunk_span_count (spans); i++) {
        chunk_span_t chunk = chunk_span_at (spans, i);
        sqlite3_bind_int64 (statement, 1, index_row_id (first_row + i, chunk));
        sqlite3_bind_text (statement, 2, text.data + chunk.start, (int)(chunk.end - chunk.start), SQLITE_STATIC);
        if (step (self, which, err) < 0)
            goto failed;
        touched->rows += sign;
        touched->size += sign * (int64_t)index_size (chunk);
    }
    return 0;
failed:
    abandon (self);
    return -1;
}

int index_add (index_writer_t *self, span_t user, uint64_t first_row, span_t text, span_t spans, err_t *err)
{
    return begin (self, "BEGIN", err) < 0 ? -1 : change (self, ADD, user, first_row, text, spans, err);
}

int index_remove (index_writer_t *self, span_t user, uint64_t first_row, span_t text, span_t spans, err_t *err)
{
    if (begin (self, "PRAGMA synchronous = FULL; BEGIN; DELETE FROM removed", err) < 0)
        return -1;
    sqlite3_bind_int64 (self->statement[REMOVED_ADD], 1, (int64_t)first_row);
    if (step (self, REMOVED_ADD, err) < 0) {
        abandon (self);
        return -1;
    }
    return change (self, REMOVE, user, first_row, text, spans, err);
}

/*  Ends the transaction, with the users' counters in it. */
static int commit (index_writer_t *self, err_t *err)
{
    for (size_t i = 0; i < self->touched_count; i++) {
        const touched_t *touched = &self->touched[i];
        sqlite3_bind_int64 (self->statement[USER_COUNT], 1, touched->id);
        sqlite3_bind_int64 (self->statement[USER_COUNT], 2, touched->rows);
        sqlite3_bind_int64 (self->statement[USER_COUNT], 3, touched->size);
        if (step (self, USER_COUNT, err) < 0)
            goto failed;
    }
    if (index_run (self->db, "COMMIT", writing, err) < 0)
        goto failed;
    self->in_transaction = false;
    forget_touched (self);
    return 0;
failed:
    abandon (self);
    return -1;
}

int index_commit (index_writer_t *self, uint64_t next_row, err_t *err)
{
    if (begin (self, "BEGIN", err) < 0)
        return -1;
    sqlite3_bind_int64 (self->statement[META_SET], 1, (int64_t)next_row);
    if (step (self, META_SET, err) < 0) {
        abandon (self);
        return -1;
    }
    return commit (self, err);
}

int index_commit_removals (index_writer_t *self, err_t *err)
{
    return commit (self, err) < 0 ? -1 : index_run (self->db, "PRAGMA synchronous = NORMAL", writing, err);
}

int index_take_removed (index_writer_t *self, uint64_t **rows, size_t *count, err_t *err)
{
    sqlite3_stmt *list = index_prepare (self->db, "SELECT row FROM removed", err);
    size_t room = 0;
    int rc = SQLITE_ERROR;
    *rows = NULL;
    *count = 0;
    while (list && (rc = sqlite3_step (list)) == SQLITE_ROW) {
        if (*count == room) {
            room = room ? 2 * room : 64;
            *rows = realloc (*rows, room * sizeof **rows);
            if (!*rows)
                abort ();
        }
        (*rows)[(*count)++] = (uint64_t)sqlite3_column_int64 (list, 0);
    }
    if (list && rc != SQLITE_DONE)
        index_fail (err, self->db, "cannot read the text index");
    sqlite3_finalize (list);
    if (rc != SQLITE_DONE)
        return -1;
    return *count ? begin (self, "BEGIN; DELETE FROM removed", err) : 0;
}
