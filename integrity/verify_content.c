/*  The content's documents, rows and garbage. Segments are in verify_segments.c. */
#include "integrity/verify_private.h"

#include "wire/columns.h"

static void check_state (verify_t *self)
{
    content_state_t state;
    span_t key = SPAN_LIT ("state");
    err_t err;
    int got = kv_get (self->content, CONTENT_META, key, &self->value, &err);
    if (got == 1 && content_decode (&content_state_shape, str_span (&self->value), &state, &err) < 0)
        verify_bad (self, PLACE_CONTENT, CONTENT_META, key, FIX_DELETE, &err);
    else if (got == 1 && state.format > CONTENT_FORMAT) {
        finding_t finding = verify_finding (PLACE_CONTENT, CONTENT_META, FINDING_NEWER, key, FIX_NONE);
        report (self->report, &finding, "the content has format %u, this program reads up to %u", state.format,
                CONTENT_FORMAT);
    } else if (got == 0) {
        kv_iter_t *it = kv_iterate (self->content, CONTENT_ROWS); /* rows that are given out are not given out again */
        str_t value = STR_INIT;
        state = (content_state_t){ CONTENT_FORMAT, uuid_new (), 1 };
        it->ops->seek_for_prev (it, SPAN_LIT ("\xff\xff\xff\xff\xff\xff\xff\xff"));
        if (it->ops->valid (it) && it->ops->key (it).size == 8)
            state.next_row = record_key_u64 (it->ops->key (it)) + (1u << 20);
        codec_encode (&content_state_shape, &state, &value);
        finding_t finding = verify_finding (PLACE_CONTENT, CONTENT_META, FINDING_INCOMPLETE, key, FIX_PUT);
        finding.value = str_span (&value);
        report (self->report, &finding, "the state of the content is missing");
        str_free (&value);
        kv_iter_destroy (&it);
    }
    verify_walk (self, PLACE_CONTENT, CONTENT_META, NULL, NULL);
}

static void report_damaged (verify_t *self, span_t key, span_t user, uuid_t id, const char *text)
{
    finding_t finding = verify_finding (PLACE_CONTENT, CONTENT_DOCUMENTS, FINDING_CONTENT_DAMAGED, key, FIX_FORGET);
    finding.user = user;
    finding.document = id;
    report (self->report, &finding, "%s", text);
}

/*  What is wrong with the parts of a visible revision; NULL: nothing. */
static const char *check_parts (verify_t *self, span_t user, uuid_t id, const content_document_t *document)
{
    uint32_t chunks = 0, embeddings = 0;
    long before = -1;
    for (size_t i = 0; i < part_count (document->parts); i++) {
        part_t part = part_at (document->parts, i);
        content_segment_t segment;
        if ((long)part.segment <= before || part.first_chunk != chunks)
            return "its list of segments is out of order";
        content_key (&self->key, user, id, document->revision, part.segment);
        int got = verify_get_content (self, CONTENT_SEGMENTS, str_span (&self->key), &content_segment_shape, &segment,
                                      &self->value);
        if (got == 0)
            return "a segment of it is missing";
        if (got < 0)
            return "a segment of it is damaged";
        if (segment.row != part.row || chunk_span_count (segment.spans) != part.chunks)
            return "a segment of it is not the one that was committed";
        before = part.segment;
        chunks += part.chunks;
        embeddings += segment.embeddings;
    }
    return chunks != document->chunks || embeddings != document->embeddings ? "its chunks or embeddings are miscounted"
                                                                            : NULL;
}

static void check_document (verify_t *self, void *context, span_t key, span_t value)
{
    span_t user, rest;
    content_document_t document;
    err_t err;
    (void)context;
    if (!verify_key (self, PLACE_CONTENT, CONTENT_DOCUMENTS, key, UUID_SIZE, &user, &rest))
        return;
    uuid_t id = record_key_id (rest);
    if (content_decode (&content_document_shape, value, &document, &err) < 0) {
        if (err.code == ERR_NEWER_FORMAT)
            verify_bad (self, PLACE_CONTENT, CONTENT_DOCUMENTS, key, FIX_NONE, &err);
        else
            report_damaged (self, key, user, id, err.message);
        return;
    }
    if (document.parts.size % PART_SIZE != 0 || (!document.revision && document.parts.size)) {
        report_damaged (self, key, user, id, "its list of segments is damaged");
        return;
    }
    const char *wrong = document.revision ? check_parts (self, user, id, &document) : NULL;
    if (wrong)
        report_damaged (self, key, user, id, wrong);
}

/*  Rows are numbers given out once, in order. */
typedef struct {
    uint64_t next, end; /* first row that may come; those from `end` on were never given out */
    bool knows_end;
} rows_t;

static const char *check_row_of (verify_t *self, uint64_t row, const content_rows_of_t *rows)
{
    content_segment_t segment;
    content_key (&self->key, rows->user, rows->document, rows->revision, rows->segment);
    int got = verify_get_content (self, CONTENT_SEGMENTS, str_span (&self->key), &content_segment_shape, &segment,
                                  &self->value);
    if (got == 0)
        return "the segment of these rows is not there";
    if (got == 1 && segment.row != row)
        return "the segment of these rows has others";
    return got == 1 && chunk_span_count (segment.spans) != rows->count ? "the segment has not so many chunks" : NULL;
}

static void check_rows (verify_t *self, void *context, span_t key, span_t value)
{
    rows_t *all = context;
    content_rows_of_t rows;
    err_t err;
    finding_t finding = verify_finding (PLACE_CONTENT, CONTENT_ROWS, FINDING_BAD_KEY, key, FIX_DELETE);
    if (key.size != 8) {
        report (self->report, &finding, "the key is damaged");
        return;
    }
    if (content_decode (&content_rows_of_shape, value, &rows, &err) < 0) {
        verify_bad (self, PLACE_CONTENT, CONTENT_ROWS, key, FIX_DELETE, &err);
        return;
    }
    uint64_t row = record_key_u64 (key), end = row + (rows.count ? rows.count : 1);
    const char *wrong = row < all->next                                   ? "these rows overlap those before"
                        : all->knows_end && (end > all->end || end < row) ? "these rows were never given out"
                                                                          : check_row_of (self, row, &rows);
    finding.kind = FINDING_DANGLING;
    if (wrong)
        report (self->report, &finding, "%s", wrong);
    else
        all->next = end;
}

static void check_garbage (verify_t *self, void *context, span_t key, span_t value)
{
    span_t user, rest;
    (void)context;
    if (!verify_key (self, PLACE_CONTENT, CONTENT_GARBAGE, key, UUID_SIZE + 8, &user, &rest))
        return;
    if (value.size && !span_is (value, "all")) {
        finding_t finding = verify_finding (PLACE_CONTENT, CONTENT_GARBAGE, FINDING_BAD_RECORD, key, FIX_DELETE);
        report (self->report, &finding, "it says neither what nor how much is to be removed");
    }
}

void verify_content (verify_t *self)
{
    content_state_t state;
    rows_t rows = { 0 };
    check_state (self);
    rows.knows_end =
        verify_get_content (self, CONTENT_META, SPAN_LIT ("state"), &content_state_shape, &state, &self->value) == 1;
    rows.end = rows.knows_end ? state.next_row : 0;
    verify_walk (self, PLACE_CONTENT, CONTENT_DOCUMENTS, check_document, NULL);
    verify_walk (self, PLACE_CONTENT, CONTENT_ROWS, check_rows, &rows);
    verify_walk (self, PLACE_CONTENT, CONTENT_GARBAGE, check_garbage, NULL);
}
