/*  Index and cache hold all rows that the snapshot shows, and more: segments are in them before their document is
 *  committed, and until they are removed. A long document may so hold all the first places without being visible.
 *  So each ranking by itself goes on, through four times as many rows each time, until it has enough visible ones or
 *  there are no more; only then are the two made one.
 */
#include "store/content_rank.h"
#include "base/log.h"

#include <stdlib.h>

#define CANDIDATES 100u /* rows that a ranking looks at; visible ones that a fusion takes of each; at least */
#define RESCORED   40u  /* of those by vector, compared precisely; at least */
/*  Weight of words in a fusion, the rest is the vectors'. Measured with the hash provider on Cranfield, CISI and
 *  FaQuAD, against words alone: nDCG@10 0.375 (0.364), 0.380 (0.386), 0.919 (0.916). Fusion by reciprocal ranks: 0.352,
 *  0.339, 0.885. */
#define WORDS_WEIGHT 0.7

typedef struct {
    found_t *items; /* best first */
    size_t count;
} ranking_t;

typedef int ask_fn (rank_t *self, top_t *top, err_t *err);

/*  Takes the visible ones of `top`, up to `enough` and what equals the last of them. */
static int keep_visible (rank_t *self, const top_t *top, size_t enough, ranking_t *out, err_t *err)
{
    out->count = 0;
    for (size_t i = 0; i < top->count; i++) {
        found_t found = { .row = top->items[i].row, .score = (double)top->items[i].score };
        if (out->count >= enough && found.score < out->items[out->count - 1].score)
            break;
        int visible = content_view_resolve (self->view, &found, err);
        if (visible < 0)
            return -1;
        if (visible)
            out->items[out->count++] = found;
    }
    return 0;
}

static int rank (rank_t *self, ask_fn *ask, size_t enough, ranking_t *out, err_t *err)
{
    bool is_dry = false;
    int rc = 0;
    for (size_t wide = 2 * enough > CANDIDATES ? 2 * enough : CANDIDATES; rc == 0 && !is_dry; wide *= 4) {
        top_t top = top_new (wide);
        rc = ask (self, &top, err);
        top_finish (&top);
        out->items = realloc (out->items, (top.count + 1) * sizeof *out->items);
        if (!out->items)
            abort ();
        if (rc == 0)
            rc = keep_visible (self, &top, enough, out, err);
        is_dry = top.count < wide || out->count >= enough;
        top_free (&top);
    }
    return rc;
}

/*  --- by vector --- */

typedef struct {
    vector_cache_t *cache;
    vector_matrix_t *matrix;
} fill_t;

static bool take_into_cache (void *context, uint64_t first_row, const vectors_t *vectors)
{
    const fill_t *fill = context;
    return vector_fill_add (fill->cache, fill->matrix, first_row, vectors);
}

typedef struct {
    scan_query_t query;
    span_t model;
    top_t *top;
} stream_t;

static bool take_into_scan (void *context, uint64_t first_row, const vectors_t *vectors)
{
    stream_t *stream = context;
    if (vectors->dims != stream->query.dims || !span_eq (vectors->model, stream->model))
        return true;
    for (uint32_t i = 0; i < vectors->rows; i++) {
        float scale = vectors_scale (vectors, i);
        uint64_t row = first_row + i;
        scan_rows (&stream->query, vectors->high + (size_t)i * vectors->dims, &scale, &row, 1, stream->top);
    }
    return true;
}

/*  Reads the user's vectors into memory, if that may be. */
static int fill_cache (rank_t *self, err_t *err)
{
    const content_query_t *query = self->query;
    fill_t fill = { .cache = self->content->cache };
    fill.matrix = vector_fill_begin (fill.cache, query->user, query->model, query->dims);
    if (!fill.matrix)
        return 0;
    /* The fill must see at least what was committed before it was announced. */
    content_view_open (self->view, self->content->kv, query->user);
    int rc = content_view_each_vectors (self->view, (uuid_t){ 0 }, take_into_cache, &fill, err);
    vector_fill_end (fill.cache, fill.matrix, rc == 0);
    return rc;
}

static int ask_vectors (rank_t *self, top_t *top, err_t *err)
{
    const content_query_t *query = self->query;
    vector_cache_t *cache = self->content->cache;
    stream_t stream = { .model = query->model, .top = top };
    int rc = 0, scanned = 0;
    if (!query->vector || !query->dims)
        return 0;
    scan_query_init (&stream.query, query->vector, query->dims);
    if (uuid_is_null (query->document)) {
        scanned = vector_cache_scan (cache, query->user, query->model, &stream.query, top);
        if (scanned < 0 && (rc = fill_cache (self, err)) == 0)
            scanned = vector_cache_scan (cache, query->user, query->model, &stream.query, top);
    }
    if (rc == 0 && scanned <= 0)
        rc = content_view_each_vectors (self->view, query->document, take_into_scan, &stream, err);
    scan_query_free (&stream.query);
    return rc;
}

static int by_row (const void *a, const void *b)
{
    uint64_t x = ((const found_t *)a)->row, y = ((const found_t *)b)->row;
    return x < y ? -1 : x > y;
}

static int by_score (const void *a, const void *b)
{
    const found_t *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return by_row (a, b);
}

/*  Compares the first of the ranking precisely, and sorts them by that. */
static int rescore (rank_t *self, ranking_t *ranking, size_t count, err_t *err)
{
    const found_t *last = NULL; /* whose segment's vectors were read */
    vectors_t vectors;
    int found = 0;
    if (count > ranking->count)
        count = ranking->count;
    for (size_t i = 0; i < count; i++) {
        found_t *item = &ranking->items[i];
        const seen_t *seen = &self->view->seen[item->seen];
        if (!last || last->seen != item->seen || last->segment != item->segment)
            found = content_view_vectors (self->view, seen, item->segment, &vectors, err);
        if (found < 0)
            return -1;
        last = item;
        if (found && item->index < vectors.rows && vectors.dims == self->query->dims)
            item->score = (double)scan_exact (&vectors, item->index, self->query->vector);
    }
    if (count)
        qsort (ranking->items, count, sizeof *ranking->items, by_score);
    return 0;
}

static int rank_vectors (rank_t *self, size_t enough, ranking_t *out, err_t *err)
{
    size_t precise = 2 * (size_t)self->query->limit > RESCORED ? 2 * (size_t)self->query->limit : RESCORED;
    if (rank (self, ask_vectors, enough > precise ? enough : precise, out, err) < 0)
        return -1;
    return rescore (self, out, precise, err);
}

/*  --- by words --- */

static int ask_index (rank_t *self, const index_range_t *ranges, size_t count, top_t *top, err_t *err)
{
    int rc = index_search (self->index, self->query->user, self->terms, ranges, count, top, err);
    if (rc < 0 && err->code == ERR_CORRUPT) {
        index_discard (self->content->index_path);
        self->lost_index = true;
    }
    return rc;
}

static int by_range (const void *a, const void *b)
{
    uint64_t x = ((const index_range_t *)a)->row, y = ((const index_range_t *)b)->row;
    return x < y ? -1 : x > y;
}

static int ask_words (rank_t *self, top_t *top, err_t *err)
{
    if (!self->terms->count)
        return 0;
    if (uuid_is_null (self->query->document))
        return ask_index (self, NULL, 0, top, err);
    long seen = content_view_document (self->view, self->query->document, err);
    if (seen < 0)
        return -1;
    span_t parts = self->view->seen[seen].record.parts;
    size_t count = 0;
    index_range_t *ranges = malloc ((part_count (parts) + 1) * sizeof *ranges);
    if (!ranges)
        abort ();
    for (size_t i = 0; i < part_count (parts); i++) {
        part_t part = part_at (parts, i);
        if (part.chunks)
            ranges[count++] = (index_range_t){ part.row, part.chunks };
    }
    /* Parts are in the order of the text, rows in the order of arrival: a segment that was tried again came late. */
    qsort (ranges, count, sizeof *ranges, by_range);
    int rc = count ? ask_index (self, ranges, count, top, err) : 0;
    free (ranges);
    return rc;
}

/*  --- together --- */

/*  Adds a ranking to the list; in a fusion its scores count relative to its best one. */
static size_t add_ranking (const ranking_t *ranking, bool is_fused, double weight, found_t *list, size_t count)
{
    double best = ranking->count ? ranking->items[0].score : 0;
    for (size_t i = 0; i < ranking->count && (!is_fused || ranking->items[i].score > 0); i++) {
        list[count] = ranking->items[i];
        if (is_fused)
            list[count].score *= weight / best;
        count++;
    }
    return count;
}

/*  Both rankings in one list, without order. Of one ranking alone the scores stay as they are. */
static size_t fuse (const ranking_t *words, const ranking_t *vectors, search_mode_t mode, found_t *list)
{
    size_t unique = 0, count = add_ranking (words, mode == SEARCH_HYBRID, WORDS_WEIGHT, list, 0);
    count = add_ranking (vectors, mode == SEARCH_HYBRID, 1 - WORDS_WEIGHT, list, count);
    if (count)
        qsort (list, count, sizeof *list, by_row);
    for (size_t i = 0; i < count; i++) {
        if (unique && list[unique - 1].row == list[i].row)
            list[unique - 1].score += list[i].score;
        else
            list[unique++] = list[i];
    }
    return unique;
}

/*  Stable, whatever the order of rows: score, then document, then chunk. */
static int by_place (const void *a, const void *b, void *context)
{
    const content_view_t *view = context;
    const found_t *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    int id = uuid_compare (view->seen[x->seen].id, view->seen[y->seen].id);
    return id ? id : x->chunk < y->chunk ? -1 : x->chunk > y->chunk;
}

int content_rank (rank_t *self, found_t **list, size_t *count, err_t *err)
{
    search_mode_t mode = self->query->mode;
    ranking_t words = { 0 }, vectors = { 0 };
    size_t enough = self->query->limit;
    err_t why;
    int rc = -1;
    if (mode == SEARCH_HYBRID)
        enough = 4 * enough > CANDIDATES ? 4 * enough : CANDIDATES;
    *list = NULL;
    *count = 0;
    /* Vectors first: to fill the cache opens the view anew. */
    if (mode != SEARCH_TEXT && rank_vectors (self, enough, &vectors, &why) < 0) {
        if (mode == SEARCH_VECTOR) {
            *err = why;
            goto out;
        }
        log_write (LOG_ERROR, "vectors.unreadable", NULL, "a hybrid search is answered by words alone: %s",
                   why.message);
        vectors.count = 0;
    }
    if (mode != SEARCH_VECTOR && rank (self, ask_words, enough, &words, err) < 0)
        goto out;
    *list = malloc ((words.count + vectors.count + 1) * sizeof **list);
    if (!*list)
        abort ();
    *count = fuse (&words, &vectors, mode, *list);
    qsort_r (*list, *count, sizeof **list, by_place, self->view);
    rc = 0;
out:
    free (words.items);
    free (vectors.items);
    return rc;
}
