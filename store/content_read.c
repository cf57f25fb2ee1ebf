/*  A query: a snapshot is taken; then the best rows by words (index) and by vector (cache, or the database) are found
 *  and fused; then, on the snapshot, rows become documents. Index and cache hold all rows that the snapshot shows, and
 *  more: those drop out at the end.
 */
#include "base/log.h"
#include "store/content.h"
#include "store/content_private.h"
#include "store/kv_rocks.h"
#include "store/records.h"
#include "store/snippet.h"
#include "wire/columns.h"

#include <stdlib.h>

#define CANDIDATES 100u /* rows taken from each ranking, at least */
#define RESCORED   40u  /* of those by vector, compared precisely; at least */
#define WIDENINGS  3    /* times that the net is cast four times as wide when too much of it is not visible */
/*  Weight of words in a fusion, the rest is the vectors'. Measured with the hash provider on Cranfield, CISI and
 * FaQuAD, against words alone: nDCG@10 0.375 (0.364), 0.380 (0.386), 0.919 (0.916). Fusion by reciprocal ranks: 0.352,
 * 0.339, 0.885. */
#define WORDS_WEIGHT 0.7

struct content_reader {
    content_t *content;
    index_reader_t *index;
    words_t *words;
    bool lost_index;
    reader_mark_t mark;
};

/*  A document read during a query. */
typedef struct {
    uuid_t id;
    content_document_t record; /* revision 0: not there */
    str_t bytes;
} seen_t;

typedef struct {
    uint64_t row;
    double score;
    size_t seen; /* place in the list of documents */
    uint32_t segment, index, chunk;
} found_t;

typedef struct {
    content_reader_t *reader;
    const content_query_t *query;
    kv_t *view;
    kv_iter_t *rows;
    seen_t *seen;
    size_t seen_count, seen_room;
    str_t key, bytes, text, marks;
} search_t;

content_reader_t *content_reader_new (content_t *content, err_t *err)
{
    content_reader_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->content = content;
    self->words = words_new ();
    self->index = index_reader_new (content->index_path, err);
    if (!self->index) {
        words_destroy (&self->words);
        free (self);
        return NULL;
    }
    pthread_mutex_lock (&content->readers_lock);
    self->mark.next = content->readers;
    content->readers = &self->mark;
    pthread_mutex_unlock (&content->readers_lock);
    return self;
}

void content_reader_destroy (content_reader_t **self_p)
{
    content_reader_t *self = *self_p;
    if (!self)
        return;
    pthread_mutex_lock (&self->content->readers_lock);
    reader_mark_t **at = &self->content->readers;
    while (*at != &self->mark)
        at = &(*at)->next;
    *at = self->mark.next;
    pthread_mutex_unlock (&self->content->readers_lock);
    index_reader_destroy (&self->index);
    words_destroy (&self->words);
    free (self);
    *self_p = NULL;
}

bool content_reader_lost_index (const content_reader_t *self)
{
    return self->lost_index;
}

/*  --- documents and rows of a snapshot --- */

static long see_document (search_t *self, span_t user, uuid_t id, err_t *err)
{
    for (size_t i = 0; i < self->seen_count; i++)
        if (uuid_eq (self->seen[i].id, id))
            return (long)i;
    self->seen = content_grow (self->seen, self->seen_count, &self->seen_room, sizeof *self->seen);
    seen_t *seen = &self->seen[self->seen_count];
    *seen = (seen_t){ .id = id };
    record_key (&self->key, user, id);
    if (content_get (self->view, CONTENT_DOCUMENTS, str_span (&self->key), &content_document_shape, &seen->record,
                     &seen->bytes, err) < 0) {
        str_free (&seen->bytes);
        return -1;
    }
    return (long)self->seen_count++;
}

/*  1: the row is visible, and *found says where; 0: it is not. */
static int resolve (search_t *self, found_t *found, err_t *err)
{
    content_rows_of_t rows;
    span_t user = self->query->user;
    content_key_row (&self->key, found->row);
    self->rows->ops->seek_for_prev (self->rows, str_span (&self->key));
    if (!self->rows->ops->valid (self->rows))
        return self->rows->ops->check (self->rows, err);
    uint64_t first = record_key_u64 (self->rows->ops->key (self->rows));
    if (content_decode (&content_rows_of_shape, self->rows->ops->value (self->rows), &rows, err) < 0)
        return -1;
    if (found->row - first >= rows.count || !span_eq (rows.user, user))
        return 0;
    long seen = see_document (self, user, rows.document, err);
    if (seen < 0)
        return -1;
    const content_document_t *document = &self->seen[seen].record;
    long part = document->revision == rows.revision ? part_find (document->parts, rows.segment) : -1;
    if (part < 0 || part_at (document->parts, (size_t)part).row != first)
        return 0;
    found->seen = (size_t)seen;
    found->segment = rows.segment;
    found->index = (uint32_t)(found->row - first);
    found->chunk = part_at (document->parts, (size_t)part).first_chunk + found->index;
    return 1;
}

/*  --- by vector --- */

typedef int vectors_fn (search_t *self, void *context, uint64_t first_row, const vectors_t *vectors);

/*  Gives every visible segment's vectors to `take`, of one document or of all the user's, until it returns 0. */
static int each_vectors (search_t *self, vectors_fn *take, void *context, err_t *err)
{
    span_t user = self->query->user;
    str_t prefix = STR_INIT;
    if (uuid_is_null (self->query->document))
        record_key_user (&prefix, user);
    else
        record_key (&prefix, user, self->query->document);
    kv_iter_t *it = kv_iterate (self->view, CONTENT_VECTORS);
    size_t user_size = 3 + user.size;
    int rc = 1;
    seen_t seen = { 0 };
    bool has_seen = false;
    for (it->ops->seek (it, str_span (&prefix)); rc == 1 && it->ops->valid (it); it->ops->step (it, true)) {
        span_t key = it->ops->key (it);
        if (key.size != user_size + UUID_SIZE + 12 || memcmp (key.data, prefix.data, prefix.size) != 0)
            break;
        uuid_t id = record_key_id (span (key.data + user_size, UUID_SIZE));
        if (!has_seen || !uuid_eq (seen.id, id)) {
            seen.record = (content_document_t){ 0 };
            seen.id = id;
            has_seen = true;
            record_key (&self->key, user, id);
            if (content_get (self->view, CONTENT_DOCUMENTS, str_span (&self->key), &content_document_shape,
                             &seen.record, &seen.bytes, err) < 0)
                rc = -1;
        }
        uint32_t segment = 0;
        for (size_t i = key.size - 4; i < key.size; i++)
            segment = segment << 8 | (unsigned char)key.data[i];
        uint64_t revision = record_key_u64 (span (key.data + user_size + UUID_SIZE, 8));
        long part = seen.record.revision == revision ? part_find (seen.record.parts, segment) : -1;
        vectors_t vectors;
        if (rc < 0 || part < 0)
            continue;
        err_t why;
        if (content_vectors (it->ops->value (it), &vectors, &why) < 0) /* the others are found all the same */
            log_write (LOG_WARN, "vectors_damaged", NULL, "the vectors of a segment are left out: %s", why.message);
        else
            rc = take (self, context, part_at (seen.record.parts, (size_t)part).row, &vectors);
    }
    if (rc >= 0 && it->ops->check (it, err) < 0)
        rc = -1;
    kv_iter_destroy (&it);
    str_free (&seen.bytes);
    str_free (&prefix);
    return rc < 0 ? -1 : 0;
}

static int take_into_cache (search_t *self, void *context, uint64_t first_row, const vectors_t *vectors)
{
    return vector_fill_add (self->reader->content->cache, context, first_row, vectors);
}

typedef struct {
    scan_query_t query;
    top_t *top;
} stream_t;

static int take_into_scan (search_t *self, void *context, uint64_t first_row, const vectors_t *vectors)
{
    stream_t *stream = context;
    if (vectors->dims != stream->query.dims || !span_eq (vectors->model, self->query->model))
        return 1;
    for (uint32_t i = 0; i < vectors->rows; i++) {
        float scale = vectors_scale (vectors, i);
        uint64_t row = first_row + i;
        scan_rows (&stream->query, vectors->high + (size_t)i * vectors->dims, &scale, &row, 1, stream->top);
    }
    return 1;
}

static void view_renew (search_t *self);

/*  The precise score of one row: the visible segment's record is in self->bytes if it was the last one read. */
static int rescore (search_t *self, found_t *found, found_t *last, err_t *err)
{
    int visible = resolve (self, found, err);
    if (visible <= 0)
        return visible;
    const seen_t *seen = &self->seen[found->seen];
    if (last->seen != found->seen || last->segment != found->segment) {
        content_key (&self->key, self->query->user, seen->id, seen->record.revision, found->segment);
        if (kv_get (self->view, CONTENT_VECTORS, str_span (&self->key), &self->bytes, err) < 0)
            return -1;
        *last = *found;
    }
    vectors_t vectors;
    if (content_vectors (str_span (&self->bytes), &vectors, err) < 0)
        return -1;
    if (found->index < vectors.rows && vectors.dims == self->query->dims)
        found->score = (double)scan_exact (&vectors, found->index, self->query->vector);
    return 1;
}

/*  Sorts the scan's best and compares the first of them precisely. */
static int rescore_top (search_t *self, top_t *top, err_t *err)
{
    top_finish (top);
    size_t count = 2 * self->query->limit > RESCORED ? 2 * self->query->limit : RESCORED;
    top_t precise = top_new (count);
    found_t last = { .seen = SIZE_MAX };
    int rc = 0;
    if (count > top->count)
        count = top->count;
    for (size_t i = 0; i < count && rc >= 0; i++) {
        found_t found = { .row = top->items[i].row, .score = (double)top->items[i].score };
        rc = rescore (self, &found, &last, err);
        if (rc == 1)
            top_push (&precise, found.row, (float)found.score);
    }
    top_finish (&precise);
    /* What is not visible leaves; what was not looked at stays behind. */
    if (precise.count)
        memcpy (top->items, precise.items, precise.count * sizeof *top->items);
    memmove (top->items + precise.count, top->items + count, (top->count - count) * sizeof *top->items);
    top->count -= count - precise.count;
    top_free (&precise);
    return rc < 0 ? -1 : 0;
}

/*  *is_dry: `top` had room for more. */
static int search_vectors (search_t *self, top_t *top, bool *is_dry, err_t *err)
{
    const content_query_t *query = self->query;
    vector_cache_t *cache = self->reader->content->cache;
    stream_t stream = { .top = top };
    vector_matrix_t *fill;
    int rc = 0;
    if (!query->vector || !query->dims)
        return 0;
    scan_query_init (&stream.query, query->vector, query->dims);
    if (uuid_is_null (query->document))
        rc = vector_cache_scan (cache, query->user, query->model, &stream.query, top);
    if (rc < 0 && (fill = vector_fill_begin (cache, query->user, query->model, query->dims))) {
        view_renew (self); /* the fill must see at least what was committed before it was announced */
        rc = each_vectors (self, take_into_cache, fill, err);
        vector_fill_end (cache, fill, rc == 0);
        if (rc < 0)
            goto out;
        rc = vector_cache_scan (cache, query->user, query->model, &stream.query, top);
    }
    if (rc <= 0)
        rc = each_vectors (self, take_into_scan, &stream, err);
    *is_dry = top->count < top->limit;
    if (rc >= 0)
        rc = rescore_top (self, top, err);
out:
    scan_query_free (&stream.query);
    return rc < 0 ? -1 : 0;
}

/*  --- by words --- */

static int ask_index (search_t *self, const terms_t *terms, const index_range_t *ranges, size_t count, top_t *top,
                      err_t *err)
{
    content_reader_t *reader = self->reader;
    int rc = index_search (reader->index, self->query->user, terms, ranges, count, top, err);
    if (rc < 0 && err->code == ERR_CORRUPT) {
        index_discard (reader->content->index_path);
        reader->lost_index = true;
    }
    return rc;
}

static int by_range (const void *a, const void *b)
{
    uint64_t x = ((const index_range_t *)a)->row, y = ((const index_range_t *)b)->row;
    return x < y ? -1 : x > y;
}

static int search_words (search_t *self, const terms_t *terms, top_t *top, err_t *err)
{
    const content_query_t *query = self->query;
    if (!terms->count)
        return 0;
    if (uuid_is_null (query->document))
        return ask_index (self, terms, NULL, 0, top, err);
    long seen = see_document (self, query->user, query->document, err);
    if (seen < 0)
        return -1;
    span_t parts = self->seen[seen].record.parts;
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
    int rc = 0;
    if (count)
        rc = ask_index (self, terms, ranges, count, top, err);
    free (ranges);
    return rc;
}

/*  Takes what is not visible out of the best of a ranking, until `wanted` are left in front; returns how many that are.
 *  -1: an error. */
static long sift (search_t *self, top_t *top, size_t wanted, err_t *err)
{
    size_t kept = 0, at = 0;
    for (; at < top->count && kept < wanted; at++) {
        found_t found = { .row = top->items[at].row };
        int visible = resolve (self, &found, err);
        if (visible < 0)
            return -1;
        if (visible)
            top->items[kept++] = top->items[at];
    }
    memmove (top->items + kept, top->items + at, (top->count - at) * sizeof *top->items);
    top->count -= at - kept;
    return (long)kept;
}

/*  The ranking by words, best first, with what is visible in front. Segments are in the index before their document is
 *  committed, and until they are removed: a long one about the very same thing may hold all the first places, so
 *  the net is cast wider until it has enough that is visible, or everything. */
static int rank_words (search_t *self, const terms_t *terms, size_t wide, top_t *words, bool *is_dry, err_t *err)
{
    size_t wanted = 2 * (size_t)self->query->limit;
    for (;; wide *= 4) {
        *words = top_new (wide);
        if (search_words (self, terms, words, err) < 0)
            return -1;
        top_finish (words);
        *is_dry = words->count < wide;
        long visible = sift (self, words, wanted, err);
        if (visible < 0)
            return -1;
        if (*is_dry || visible >= (long)self->query->limit)
            return 0;
        top_free (words);
    }
}

/*  --- together --- */

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

/*  Adds a ranking to the list; in a fusion its scores count relative to its best one. */
static size_t add_ranking (const top_t *top, bool is_fused, double weight, found_t *list, size_t count)
{
    double best = top->count ? (double)top->items[0].score : 0;
    for (size_t i = 0; i < top->count && (!is_fused || top->items[i].score > 0); i++) {
        double score = (double)top->items[i].score;
        list[count++] = (found_t){ .row = top->items[i].row, .score = is_fused ? weight * score / best : score };
    }
    return count;
}

/*  Both rankings in one list, best first. Of one ranking alone the scores stay as they are. */
static size_t fuse (const top_t *words, const top_t *vectors, search_mode_t mode, found_t *list)
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
    if (unique)
        qsort (list, unique, sizeof *list, by_score);
    return unique;
}

/*  Keeps the visible ones, up to the limit and what equals the last of them. */
static long keep_visible (search_t *self, found_t *list, size_t count, err_t *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept >= self->query->limit && list[i].score < list[kept - 1].score)
            break;
        int visible = resolve (self, &list[i], err);
        if (visible < 0)
            return -1;
        if (visible)
            list[kept++] = list[i];
    }
    return (long)kept;
}

/*  Stable, whatever the order of rows: score, then document, then chunk. */
static void order (const search_t *self, found_t *list, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        found_t item = list[i];
        size_t at = i;
        for (; at && list[at - 1].score == item.score; at--) {
            int id = uuid_compare (self->seen[list[at - 1].seen].id, self->seen[item.seen].id);
            if (id < 0 || (id == 0 && list[at - 1].chunk < item.chunk))
                break;
            list[at] = list[at - 1];
        }
        list[at] = item;
    }
}

static void read_place (span_t marks, uint32_t offset, content_place_t *place)
{
    *place = (content_place_t){ 0 };
    mark_t mark;
    for (size_t at = 0; mark_next (marks, &at, &mark) == 1 && mark.offset <= offset;) {
        switch (mark.kind) {
        case MARK_PAGE:
            place->page = mark.number;
            break;
        case MARK_HEADING:
            place->heading = mark.text;
            break;
        case MARK_SHEET:
            place->sheet = mark.text;
            break;
        case MARK_SLIDE:
            place->slide = mark.number;
            break;
        case MARK_TIME:
            place->time_ms = mark.number;
            place->has_time = true;
            break;
        case MARK_PATH:
            place->path = mark.text;
            break;
        case MARK_COUNT:
            break;
        }
    }
}

/*  Reads a visible segment's records; the spans live until the next call. */
static int read_segment (search_t *self, span_t user, const seen_t *seen, uint32_t number, content_segment_t *segment,
                         span_t *text, span_t *marks, err_t *err)
{
    content_key (&self->key, user, seen->id, seen->record.revision, number);
    span_t key = str_span (&self->key);
    int found = content_get (self->view, CONTENT_SEGMENTS, key, &content_segment_shape, segment, &self->bytes, err);
    if (found == 0)
        return err_set (err, ERR_CORRUPT, "a segment of a visible document is not there");
    if (found < 0 || content_get_text (self->view, key, segment->spans, text, &self->text, err) < 0)
        return -1;
    return content_get_flat (self->view, CONTENT_MARKS, key, marks, &self->marks, err) < 0 ? -1 : 0;
}

static void fill_hit (const seen_t *seen, uint32_t number, uint32_t first_chunk, uint32_t index,
                      const content_segment_t *segment, span_t text, span_t marks, content_hit_t *hit)
{
    chunk_span_t chunk = chunk_span_at (segment->spans, index);
    *hit = (content_hit_t){ .document = seen->id,
                            .filename = seen->record.filename,
                            .revision = seen->record.revision,
                            .segment = number,
                            .chunk = first_chunk + index,
                            .tokens = chunk.tokens,
                            .start = segment->text_offset + chunk.start,
                            .end = segment->text_offset + chunk.end,
                            .text = span (text.data + chunk.start, chunk.end - chunk.start) };
    read_place (marks, chunk.start, &hit->place);
}

static int show (search_t *self, const terms_t *terms, const found_t *list, size_t count, content_visit_fn *visit,
                 void *visitor, err_t *err)
{
    str_t snippet = STR_INIT;
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        const seen_t *seen = &self->seen[list[i].seen];
        content_segment_t segment;
        content_hit_t hit;
        span_t text, marks;
        rc = read_segment (self, self->query->user, seen, list[i].segment, &segment, &text, &marks, err);
        if (rc == 0 && list[i].index >= chunk_span_count (segment.spans))
            rc = err_set (err, ERR_CORRUPT, "a segment does not have the chunks that its document says");
        if (rc < 0)
            break;
        fill_hit (seen, list[i].segment, list[i].chunk - list[i].index, list[i].index, &segment, text, marks, &hit);
        hit.score = list[i].score;
        str_clear (&snippet);
        snippet_add (&snippet, hit.text, terms, self->reader->words);
        hit.snippet = str_span (&snippet);
        visit (visitor, &hit);
    }
    str_free (&snippet);
    return rc;
}

static void view_drop (search_t *self)
{
    for (size_t i = 0; i < self->seen_count; i++)
        str_free (&self->seen[i].bytes);
    self->seen_count = 0;
    kv_iter_destroy (&self->rows);
    kv_destroy (&self->view);
}

static void view_renew (search_t *self)
{
    view_drop (self);
    self->view = kv_rocks_view (self->reader->content->kv);
    self->rows = kv_iterate (self->view, CONTENT_ROWS);
}

/*  From here on the writer leaves in index, cache and database what the view shows. */
static void search_begin (search_t *self)
{
    content_reader_t *reader = self->reader;
    atomic_store (&reader->mark.since, atomic_load (&reader->content->turn));
    view_renew (self);
}

static void search_end (search_t *self)
{
    view_drop (self);
    atomic_store (&self->reader->mark.since, 0);
    free (self->seen);
    str_free (&self->key);
    str_free (&self->bytes);
    str_free (&self->text);
    str_free (&self->marks);
}

/*  One cast of the net: `wide` rows of each ranking. Returns how many of *list_p are visible, or -1; *is_dry when a
 *  wider net would bring no more. */
static long cast (search_t *self, const terms_t *terms, size_t wide, found_t **list_p, bool *is_dry, err_t *err)
{
    const content_query_t *query = self->query;
    top_t words = { 0 }, vectors = top_new (wide);
    bool no_more_words = true, no_more_vectors = true;
    long kept = -1;
    if (query->mode != SEARCH_TEXT && search_vectors (self, &vectors, &no_more_vectors, err) < 0)
        goto out;
    if (query->mode != SEARCH_VECTOR && rank_words (self, terms, wide, &words, &no_more_words, err) < 0)
        goto out;
    *is_dry = no_more_words && no_more_vectors;
    *list_p = realloc (*list_p, (words.count + vectors.count + 1) * sizeof **list_p);
    if (!*list_p)
        abort ();
    kept = keep_visible (self, *list_p, fuse (&words, &vectors, query->mode, *list_p), err);
out:
    top_free (&words);
    top_free (&vectors);
    return kept;
}

int content_search (content_reader_t *self, const content_query_t *query, content_visit_fn *visit, void *visitor,
                    err_t *err)
{
    search_t search = { .reader = self, .query = query };
    terms_t *terms = malloc (sizeof *terms);
    found_t *list = NULL;
    size_t wide = 4 * (size_t)query->limit > CANDIDATES ? 4 * (size_t)query->limit : CANDIDATES;
    bool is_dry = false;
    long kept = 0;
    if (!terms)
        abort ();
    terms_parse (terms, self->words, query->text);
    search_begin (&search);
    for (int i = 0; i <= WIDENINGS && kept >= 0 && kept < (long)query->limit && !is_dry; i++, wide *= 4)
        kept = cast (&search, terms, wide, &list, &is_dry, err);
    int rc = kept < 0 ? -1 : 0;
    if (kept > 0) {
        order (&search, list, (size_t)kept);
        size_t count = (size_t)kept < query->limit ? (size_t)kept : query->limit;
        rc = show (&search, terms, list, count, visit, visitor, err);
    }
    search_end (&search);
    free (list);
    free (terms);
    return rc;
}

int content_chunks (content_reader_t *self, span_t user, uuid_t document, uint64_t first, uint32_t limit,
                    content_visit_fn *visit, void *visitor, uint64_t *total, err_t *err)
{
    search_t search = { .reader = self };
    int rc = -1;
    search_begin (&search);
    long at = see_document (&search, user, document, err);
    if (at < 0)
        goto out;
    const seen_t *seen = &search.seen[at];
    if (!seen->record.revision) {
        err_set (err, ERR_NOT_FOUND, "the document has no chunks");
        goto out;
    }
    *total = seen->record.chunks;
    for (size_t i = 0; i < part_count (seen->record.parts) && limit; i++) {
        part_t part = part_at (seen->record.parts, i);
        content_segment_t segment;
        content_hit_t hit;
        span_t text, marks;
        if (first >= (uint64_t)part.first_chunk + part.chunks)
            continue;
        if (read_segment (&search, user, seen, part.segment, &segment, &text, &marks, err) < 0)
            goto out;
        if (chunk_span_count (segment.spans) != part.chunks) {
            err_set (err, ERR_CORRUPT, "a segment does not have the chunks that its document says");
            goto out;
        }
        for (; limit && first < (uint64_t)part.first_chunk + part.chunks; first++, limit--) {
            fill_hit (seen, part.segment, part.first_chunk, (uint32_t)(first - part.first_chunk), &segment, text, marks,
                      &hit);
            visit (visitor, &hit);
        }
    }
    rc = 0;
out:
    search_end (&search);
    return rc;
}
