#include "store/index_check.h"
#include "store/index_db.h"
#include "store/index_sums.h"

#include <stdlib.h>
#include <unistd.h>

static const char reading[] = "cannot read the text index";

struct index_check {
    sqlite3 *db;
    tokens_t tokens;
    sqlite3_stmt *find_user, *find_removed;
    uint64_t next_row;
    bool has_removed, is_behind;
    uint64_t sum;
    str_t user;
    int64_t user_id; /* -1: the index does not know the user */
    int64_t rows, size, kept_rows, kept_size;
    int64_t all_rows, all_size;
    bool differs;
    err_t wrong; /* the first difference */
};

static uint64_t mix (int64_t row, const char *token, size_t size)
{
    uint64_t h = 0xcbf29ce484222325u ^ (uint64_t)row * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < size; i++)
        h = (h ^ (unsigned char)token[i]) * 0x100000001b3u;
    h ^= h >> 31;
    return h * 0x9e3779b97f4a7c15u;
}

/*  One number of a statement's first row. */
static int number (sqlite3 *db, const char *sql, int64_t *value, err_t *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2 (db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step (statement);
    if (rc == SQLITE_ROW)
        *value = sqlite3_column_int64 (statement, 0);
    int result = rc == SQLITE_ROW ? 0 : index_fail (err, db, reading);
    sqlite3_finalize (statement);
    return result;
}

static int check_identity (index_check_t *self, const char *identity, err_t *err)
{
    sqlite3_stmt *statement = NULL;
    int64_t version = 0;
    if (number (self->db, "PRAGMA user_version", &version, err) < 0)
        return -1;
    if (version != INDEX_VERSION)
        return err_set (err, ERR_CORRUPT, "it was made by another version");
    int rc = sqlite3_prepare_v2 (self->db, "SELECT next_row, identity FROM meta", -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step (statement);
    if (rc != SQLITE_ROW) {
        index_fail (err, self->db, reading);
        sqlite3_finalize (statement);
        return -1;
    }
    const char *whose = (const char *)sqlite3_column_text (statement, 1);
    self->next_row = (uint64_t)sqlite3_column_int64 (statement, 0);
    rc = whose && strcmp (whose, identity) == 0 ? 0 : err_set (err, ERR_CORRUPT, "it is of another content");
    sqlite3_finalize (statement);
    return rc;
}

index_check_t *index_check_new (const char *path, const char *identity, uint64_t end_row, err_t *err)
{
    if (access (path, F_OK) != 0) {
        err_set (err, ERR_NOT_FOUND, "there is no text index");
        return NULL;
    }
    if (index_sums_log_is_damaged (path)) {
        err_set (err, ERR_CORRUPT, "its log is damaged");
        return NULL;
    }
    index_check_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    int64_t removed = 0;
    self->db = index_connect_read_only (path, &self->tokens, err);
    if (!self->db || check_identity (self, identity, err) < 0 ||
        number (self->db, "SELECT count(*) FROM removed", &removed, err) < 0 ||
        !(self->find_user = index_prepare (self->db, INDEX_FIND_USER, err)) ||
        !(self->find_removed = index_prepare (self->db, "SELECT 1 FROM removed WHERE row = ?1", err)))
        goto failed;
    if (self->next_row > end_row) {
        err_set (err, ERR_CORRUPT, "it has rows that the content never gave out");
        goto failed;
    }
    self->has_removed = removed > 0;
    self->is_behind = self->next_row < end_row;
    return self;
failed:
    index_check_destroy (&self);
    return NULL;
}

void index_check_destroy (index_check_t **self_p)
{
    index_check_t *self = *self_p;
    if (!self)
        return;
    sqlite3_finalize (self->find_user);
    sqlite3_finalize (self->find_removed);
    sqlite3_close (self->db);
    words_destroy (&self->tokens.words);
    str_free (&self->user);
    free (self);
    *self_p = NULL;
}

bool index_check_is_behind (const index_check_t *self)
{
    return self->is_behind;
}

static void differs (index_check_t *self, const char *what, int64_t there, int64_t wanted)
{
    if (!self->differs)
        err_set (&self->wrong, ERR_CORRUPT, "%s%.*s%s%s: %lld, the content has %lld",
                 self->user.size ? "of user '" : "", SPAN_ARG (str_span (&self->user)), self->user.size ? "': " : "",
                 what, (long long)there, (long long)wanted);
    self->differs = true;
}

/*  Compares the user's counters. */
static void end_user (index_check_t *self)
{
    if (!self->user.size)
        return;
    if (self->rows != self->kept_rows)
        differs (self, "chunks", self->kept_rows, self->rows);
    if (self->size != self->kept_size)
        differs (self, "their size in units of eight bytes", self->kept_size, self->size);
    self->all_rows += self->rows;
    self->all_size += self->size;
}

static void begin_user (index_check_t *self, span_t user)
{
    end_user (self);
    str_clear (&self->user);
    str_add (&self->user, user);
    self->rows = self->size = self->kept_rows = self->kept_size = 0;
    self->user_id = -1;
    sqlite3_bind_blob (self->find_user, 1, user.data, (int)user.size, SQLITE_STATIC);
    if (sqlite3_step (self->find_user) == SQLITE_ROW) {
        self->user_id = sqlite3_column_int64 (self->find_user, 0);
        self->kept_rows = sqlite3_column_int64 (self->find_user, 1);
        self->kept_size = sqlite3_column_int64 (self->find_user, 2);
    }
    sqlite3_reset (self->find_user);
    tokens_set_user (&self->tokens, self->user_id);
}

/*  The index forgot it for a commit that never was: the next start adds it again. */
static bool is_removed (index_check_t *self, uint64_t row)
{
    sqlite3_bind_int64 (self->find_removed, 1, (int64_t)row);
    bool removed = sqlite3_step (self->find_removed) == SQLITE_ROW;
    sqlite3_reset (self->find_removed);
    return removed;
}

typedef struct {
    uint64_t sum;
    int64_t row;
} sum_t;

static int take_token (void *context, int flags, const char *token, int size, int start, int end)
{
    sum_t *sum = context;
    sum->sum += mix (sum->row, token, (size_t)size);
    return SQLITE_OK;
}

void index_check_segment (index_check_t *self, span_t user, uint64_t first_row, span_t text, span_t spans)
{
    if (!spans.size || first_row >= self->next_row)
        return;
    if (self->has_removed && is_removed (self, first_row)) {
        self->is_behind = true;
        return;
    }
    if (!span_eq (str_span (&self->user), user))
        begin_user (self, user);
    sum_t sum = { self->sum, 0 };
    self->tokens.language = words_language (self->tokens.words, text);
    for (size_t i = 0; i < chunk_span_count (spans); i++) {
        chunk_span_t chunk = chunk_span_at (spans, i);
        sum.row = index_row_id (first_row + i, chunk);
        index_tokens (&self->tokens, span (text.data + chunk.start, chunk.end - chunk.start), take_token, &sum);
        self->rows++;
        self->size += index_size (chunk);
    }
    self->sum = sum.sum;
}

/*  The sum of what is in the index. */
static int read_all (index_check_t *self, uint64_t *sum, err_t *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_exec (self->db, "CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab (main, chunks, instance)",
                           NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2 (self->db, "SELECT term, doc FROM temp.vocabulary", -1, &statement, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step (statement);
        if (rc == SQLITE_ROW)
            *sum += mix (sqlite3_column_int64 (statement, 1), (const char *)sqlite3_column_text (statement, 0),
                         (size_t)sqlite3_column_bytes (statement, 0));
    }
    int result = rc == SQLITE_DONE ? 0 : index_fail (err, self->db, reading);
    sqlite3_finalize (statement);
    return result;
}

int index_check_end (index_check_t *self, err_t *err)
{
    int64_t rows = 0, size = 0;
    uint64_t sum = 0;
    end_user (self);
    str_clear (&self->user);
    if (number (self->db, "SELECT coalesce(sum(rows), 0) FROM users", &rows, err) < 0 ||
        number (self->db, "SELECT coalesce(sum(size), 0) FROM users", &size, err) < 0 || read_all (self, &sum, err) < 0)
        return -1;
    if (rows != self->all_rows)
        differs (self, "chunks", rows, self->all_rows);
    if (size != self->all_size)
        differs (self, "their size in units of eight bytes", size, self->all_size);
    if (!self->differs && sum != self->sum) {
        err_set (&self->wrong, ERR_CORRUPT, "the words it files are not those of the content");
        self->differs = true;
    }
    if (self->differs && err)
        *err = self->wrong;
    return self->differs ? -1 : 0;
}
