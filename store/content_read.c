/*  A query: a snapshot is taken; the best visible rows are found (content_rank.h); then, on the snapshot, rows become
 *  chunks with their text and place.
 */
#include "base/log.h"
#include "store/content.h"
#include "store/content_rank.h"
#include "store/kv_rocks.h"
#include "store/snippet.h"
#include "wire/columns.h"

#include <stdlib.h>

struct content_reader {
    content_t *content;
    index_reader_t *index;
    words_t *words;
    bool lost_index;
    reader_mark_t mark;
};

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

int content_reader_checkpoint (content_reader_t *self, err_t *err)
{
    return kv_rocks_checkpoint (self->content->kv, self->content->checkpoint_path, err);
}

bool content_reader_lost_index (const content_reader_t *self)
{
    return self->lost_index;
}

/*  From here on the writer leaves in index, cache and database what the view shows. */
static void begin (content_reader_t *self, content_view_t *view, span_t user)
{
    atomic_store (&self->mark.since, atomic_load (&self->content->turn));
    content_view_open (view, self->content->kv, user);
}

static void end (content_reader_t *self, content_view_t *view)
{
    content_view_close (view);
    atomic_store (&self->mark.since, 0);
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

static void fill_hit (const seen_t *seen, part_t part, uint32_t index, const content_segment_t *segment, span_t text,
                      span_t marks, content_hit_t *hit)
{
    chunk_span_t chunk = chunk_span_at (segment->spans, index);
    *hit = (content_hit_t){ .document = seen->id,
                            .filename = seen->record.filename,
                            .revision = seen->record.revision,
                            .segment = part.segment,
                            .chunk = part.first_chunk + index,
                            .tokens = chunk.tokens,
                            .start = segment->text_offset + chunk.start,
                            .end = segment->text_offset + chunk.end,
                            .text = span (text.data + chunk.start, chunk.end - chunk.start) };
    read_place (marks, chunk.start, &hit->place);
}

/*  Visits up to query->limit of the list. What cannot be read is told to the log and passed over. */
static int show (content_reader_t *self, content_view_t *view, const content_query_t *query, const terms_t *terms,
                 const found_t *list, size_t count, content_visit_fn *visit, void *visitor, err_t *err)
{
    str_t snippet = STR_INIT;
    int rc = 0;
    bool goes_on = true;
    for (size_t i = 0, shown = 0; i < count && shown < query->limit && rc == 0 && goes_on; i++) {
        const seen_t *seen = &view->seen[list[i].seen];
        part_t part = part_at (seen->record.parts, (size_t)part_find (seen->record.parts, list[i].segment));
        content_segment_t segment;
        content_hit_t hit;
        span_t text, marks;
        err_t why;
        if (content_view_segment (view, seen, part, &segment, &text, &marks, &why) == 0) {
            fill_hit (seen, part, list[i].index, &segment, text, marks, &hit);
            hit.score = list[i].score;
            str_clear (&snippet);
            snippet_add (&snippet, hit.text, terms, self->words);
            hit.snippet = str_span (&snippet);
            goes_on = visit (visitor, &hit);
            shown++;
        } else if (why.code == ERR_CORRUPT) {
            log_write (LOG_ERROR, "hit.damaged", NULL, "a chunk that was found cannot be shown: %s", why.message);
        } else {
            *err = why;
            rc = -1;
        }
    }
    str_free (&snippet);
    return rc;
}

int content_search (content_reader_t *self, const content_query_t *query, content_visit_fn *visit, void *visitor,
                    err_t *err)
{
    content_view_t view = { 0 };
    terms_t *terms = malloc (sizeof *terms);
    found_t *list = NULL;
    size_t count = 0;
    if (!terms)
        abort ();
    terms_parse (terms, self->words, query->text);
    begin (self, &view, query->user);
    rank_t ranking = { self->content, self->index, query, terms, &view, false };
    int rc = content_rank (&ranking, &list, &count, err);
    self->lost_index |= ranking.lost_index;
    if (rc == 0)
        rc = show (self, &view, query, terms, list, count, visit, visitor, err);
    end (self, &view);
    free (list);
    free (terms);
    return rc;
}

int content_chunks (content_reader_t *self, span_t user, uuid_t document, uint64_t first, uint32_t limit,
                    content_visit_fn *visit, void *visitor, uint64_t *total, err_t *err)
{
    content_view_t view = { 0 };
    bool goes_on = true;
    int rc = -1;
    begin (self, &view, user);
    long at = content_view_document (&view, document, err);
    if (at < 0)
        goto out;
    const seen_t *seen = &view.seen[at];
    if (!seen->record.revision) {
        err_set (err, seen->is_damaged ? ERR_CORRUPT : ERR_NOT_FOUND,
                 seen->is_damaged ? "the document's record is damaged: delete the document and add it again"
                                  : "the document has no chunks");
        goto out;
    }
    *total = seen->record.chunks;
    for (size_t i = 0; i < part_count (seen->record.parts) && limit && goes_on; i++) {
        part_t part = part_at (seen->record.parts, i);
        content_segment_t segment;
        content_hit_t hit;
        span_t text, marks;
        if (first >= (uint64_t)part.first_chunk + part.chunks)
            continue;
        if (content_view_segment (&view, seen, part, &segment, &text, &marks, err) < 0)
            goto out;
        for (; limit && goes_on && first < (uint64_t)part.first_chunk + part.chunks; first++, limit--) {
            fill_hit (seen, part, (uint32_t)(first - part.first_chunk), &segment, text, marks, &hit);
            goes_on = visit (visitor, &hit);
        }
    }
    rc = 0;
out:
    end (self, &view);
    return rc;
}
