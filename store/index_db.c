#include "store/index_db.h"
#include "store/index_sums.h"

#include "base/str.h"

#include <stdio.h>
#include <unistd.h>

int index_fail (err_t *err, sqlite3 *db, const char *doing)
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

static int emit (tokens_t *self, index_token_fn *token, void *context, int flags, span_t stem)
{
    memcpy (self->token + self->prefix_size, stem.data, stem.size);
    return token (context, flags, self->token, (int)(self->prefix_size + stem.size), 0, 0);
}

int index_tokens (tokens_t *self, span_t text, index_token_fn *token, void *context)
{
    word_scan_t scan = words_scan (self->words, text);
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

static int tokenize (Fts5Tokenizer *tokenizer, void *context, int flags, const char *text, int size,
                     index_token_fn *token)
{
    tokens_t *self = (tokens_t *)(void *)tokenizer;
    if (flags & FTS5_TOKENIZE_QUERY) /* is a token already */
        return token (context, 0, text, size, 0, size);
    return index_tokens (self, span (text, (size_t)size), token, context);
}

void tokens_set_user (tokens_t *self, int64_t user)
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

int index_run (sqlite3 *db, const char *sql, const char *doing, err_t *err)
{
    return sqlite3_exec (db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : index_fail (err, db, doing);
}

static int extend (sqlite3 *db, tokens_t *tokens, err_t *err)
{
    static const char doing[] = "cannot prepare the text index";
    fts5_tokenizer tokenizer = { tokenizer_create, tokenizer_delete, tokenize };
    fts5_api *api = NULL;
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2 (db, "SELECT fts5 (?1)", -1, &statement, NULL) != SQLITE_OK)
        return index_fail (err, db, doing);
    sqlite3_bind_pointer (statement, 1, &api, "fts5_api_ptr", NULL);
    sqlite3_step (statement);
    sqlite3_finalize (statement);
    if (!api || api->xCreateTokenizer (api, "myelin", tokens, &tokenizer, NULL) != SQLITE_OK ||
        api->xCreateFunction (api, "occurrences", NULL, occurrences, NULL) != SQLITE_OK)
        return index_fail (err, db, doing);
    return 0;
}

static sqlite3 *connect_with (const char *path, int flags, tokens_t *tokens, err_t *err)
{
    sqlite3 *db = NULL;
    tokens->words = words_new ();
    int rc = sqlite3_open_v2 (path, &db, flags | SQLITE_OPEN_NOMUTEX, index_sums_layer ());
    sqlite3_busy_timeout (db, 5000); /* only while another handle recovers the log */
    if (rc == SQLITE_OK && extend (db, tokens, err) == 0)
        return db;
    if (rc != SQLITE_OK)
        index_fail (err, db, "cannot open the text index");
    sqlite3_close (db);
    words_destroy (&tokens->words);
    return NULL;
}

sqlite3 *index_connect (const char *path, bool make, tokens_t *tokens, err_t *err)
{
    return connect_with (path, SQLITE_OPEN_READWRITE | (make ? SQLITE_OPEN_CREATE : 0), tokens, err);
}

sqlite3 *index_connect_read_only (const char *path, tokens_t *tokens, err_t *err)
{
    str_t name = STR_INIT;
    str_format (&name, "%s-wal", path);
    bool has_log = access (name.data, F_OK) == 0;
    str_clear (&name);
    str_text (&name, "file:");
    for (const char *c = path; *c; c++)
        str_format (&name, strchr ("%?#", *c) ? "%%%02x" : "%c", (unsigned char)*c);
    str_text (&name, has_log ? "?mode=ro" : "?immutable=1");
    sqlite3 *db = connect_with (name.data, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, tokens, err);
    str_free (&name);
    return db;
}

sqlite3_stmt *index_prepare (sqlite3 *db, const char *sql, err_t *err)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v3 (db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK)
        index_fail (err, db, "cannot prepare the text index");
    return statement;
}
