/*  The reading half of the text index: posting lists, scored by BM25.
 */
#include "store/index.h"
#include "store/index_db.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define BM25_K1 0.9f
#define BM25_B  0.4f

struct index_reader {
    sqlite3 *db;
    tokens_t tokens;
    sqlite3_stmt *find_user, *find_rows;
};

index_reader_t *index_reader_new (const char *path, err_t *err)
{
    index_reader_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->db = index_connect (path, false, &self->tokens, err);
    if (!self->db ||
        index_run (self->db, "PRAGMA query_only = ON; PRAGMA cache_size = -8192", "cannot open the text index", err) <
            0 ||
        !(self->find_user = index_prepare (self->db, INDEX_FIND_USER, err)) ||
        !(self->find_rows = index_prepare (self->db,
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
    sqlite3_bind_int64 (self->find_rows, 2, (int64_t)(first << INDEX_SIZE_BITS));
    sqlite3_bind_int64 (self->find_rows, 3, count ? (int64_t)(last << INDEX_SIZE_BITS) : INT64_MAX);
    int rc;
    while ((rc = sqlite3_step (self->find_rows)) == SQLITE_ROW) {
        uint64_t id = (uint64_t)sqlite3_column_int64 (self->find_rows, 0);
        if (in_ranges (ranges, count, id >> INDEX_SIZE_BITS))
            posting_add (out, (posting_t){ id, (float)sqlite3_column_int (self->find_rows, 1) });
    }
    int result = rc == SQLITE_DONE ? 0 : index_fail (err, self->db, "cannot search the text index");
    sqlite3_reset (self->find_rows);
    return result;
}

static float larger (float a, float b)
{
    return a > b ? a : b;
}

static float sum_of (float a, float b)
{
    return a + b;
}

/*  out = the union of both sorted lists; values of the same row become one by `join`. */
static void merge (const postings_t *a, const postings_t *b, float (*join) (float, float), postings_t *out)
{
    out->count = 0;
    for (size_t i = 0, j = 0; i < a->count || j < b->count;) {
        if (j == b->count || (i < a->count && a->items[i].id < b->items[j].id)) {
            posting_add (out, a->items[i++]);
        } else if (i == a->count || b->items[j].id < a->items[i].id) {
            posting_add (out, b->items[j++]);
        } else {
            posting_add (out, (posting_t){ a->items[i].id, join (a->items[i].value, b->items[j].value) });
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
        float size = (float)(item->id & ((1u << INDEX_SIZE_BITS) - 1));
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
            /* Where the language was unsure a word is under both of its stems, and yet was said once. */
            merge (&list, &other, larger, &spare);
            swap (&list, &spare);
        }
        bm25 (&list, term->weight, rows, average);
        merge (&sum, &list, sum_of, &spare);
        swap (&sum, &spare);
    }
    for (size_t i = 0; i < sum.count; i++)
        top_push (top, sum.items[i].id >> INDEX_SIZE_BITS, sum.items[i].value);
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
    if (index_run (self->db, "BEGIN", "cannot search the text index", err) < 0) /* all lists as of the same moment */
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
        rc = index_fail (err, self->db, "cannot search the text index");
    else if (rows >= 1)
        rc = search (self, terms, ranges, range_count, rows, (float)(size / rows) + 0.001f, top, err);
    sqlite3_exec (self->db, "COMMIT", NULL, NULL, NULL);
    return rc;
}
