/*  The index is made from the database: at a start it gets what it lacks, be that a few rows or all of them. */
#include "base/failpoint.h"
#include "base/log.h"
#include "store/content_private.h"
#include "store/records.h"

#include <stdlib.h>

#define BATCH_BYTES (4u << 20)

typedef struct {
    content_t *content;
    str_t segment, text, key;
    size_t added; /* bytes of text since the last commit */
} catch_up_t;

static int find_rows (catch_up_t *self, uint64_t row, span_t record, content_rows_of_t *rows,
                      content_segment_t *segment, span_t *text, err_t *err)
{
    kv_t *kv = self->content->kv;
    if (content_decode (&content_rows_of_shape, record, rows, err) < 0)
        return -1;
    content_key (&self->key, rows->user, rows->document, rows->revision, rows->segment);
    span_t key = str_span (&self->key);
    int found = content_get (kv, CONTENT_SEGMENTS, key, &content_segment_shape, segment, &self->segment, err);
    if (found <= 0 || segment->row != row)
        return found < 0 ? -1 : 0;
    return content_get_text (kv, key, segment->spans, text, &self->text, err) < 0 ? -1 : 1;
}

/*  What a ROWS record stands for. 1; 0: its segment was written again or removed since, or is damaged: the others must
 *  be found all the same; -1. */
static int read_rows (catch_up_t *self, uint64_t row, span_t record, content_rows_of_t *rows,
                      content_segment_t *segment, span_t *text, err_t *err)
{
    err_t why;
    int found = find_rows (self, row, record, rows, segment, text, &why);
    if (found >= 0)
        return found;
    if (why.code != ERR_CORRUPT) {
        *err = why;
        return -1;
    }
    log_write (LOG_WARN, "index.left_out", NULL, "a damaged segment is left out of the index: %s", why.message);
    return 0;
}

/*  Adds the rows of one ROWS record. */
static int add_rows (catch_up_t *self, uint64_t row, span_t record, err_t *err)
{
    content_rows_of_t rows;
    content_segment_t segment;
    span_t text;
    int found = read_rows (self, row, record, &rows, &segment, &text, err);
    if (found <= 0)
        return found;
    self->added += text.size;
    return index_add (self->content->index, rows.user, row, text, segment.spans, err);
}

/*  True when the segment belongs to what search sees: its document lists its rows. */
static int is_visible (content_t *self, const content_rows_of_t *rows, err_t *err)
{
    content_document_t document;
    str_t key = STR_INIT, bytes = STR_INIT;
    record_key (&key, rows->user, rows->document);
    int found =
        content_get (self->kv, CONTENT_DOCUMENTS, str_span (&key), &content_document_shape, &document, &bytes, err);
    str_free (&key);
    str_free (&bytes);
    return found == 1 ? document.revision == rows->revision : found;
}

/*  Gives the segment of a ROWS record new rows, which are then added as all new ones are. */
static int move_rows (catch_up_t *self, uint64_t row, span_t record, err_t *err)
{
    content_t *content = self->content;
    content_rows_of_t rows;
    content_segment_t segment;
    span_t text;
    int found = read_rows (self, row, record, &rows, &segment, &text, err);
    if (found <= 0)
        return found;
    int visible = is_visible (content, &rows, err);
    if (visible)
        return visible < 0 ? -1 : add_rows (self, row, record, err);
    segment.row = content->state.next_row;
    content->state.next_row += rows.count ? rows.count : 1;
    content_put (content->kv, CONTENT_SEGMENTS, str_span (&self->key), &content_segment_shape, &segment);
    content_key_row (&content->key, row);
    kv_delete (content->kv, CONTENT_ROWS, str_span (&content->key));
    content_key_row (&content->key, segment.row);
    content_put (content->kv, CONTENT_ROWS, str_span (&content->key), &content_rows_of_shape, &rows);
    content_put (content->kv, CONTENT_META, span_str ("state"), &content_state_shape, &content->state);
    return 0;
}

/*  Rows that the index forgot, and the database did not. They come back under other numbers: FTS5 may file words of a
 *  row that was deleted, added and deleted again for ever (SQLite 3.40; tests/system/chaos/fts5_delete.py). */
static int take_back_removed (catch_up_t *self, const uint64_t *removed, size_t count, err_t *err)
{
    str_t key = STR_INIT, record = STR_INIT;
    int found = 0;
    for (size_t i = 0; i < count && found >= 0; i++) {
        content_key_row (&key, removed[i]);
        found = kv_get (self->content->kv, CONTENT_ROWS, str_span (&key), &record, err);
        if (found == 1)
            found = move_rows (self, removed[i], str_span (&record), err);
    }
    str_free (&key);
    str_free (&record);
    if (found < 0)
        return -1;
    return kv_pending (self->content->kv) ? kv_commit (self->content->kv, true, err) : 0;
}

static int add_from (catch_up_t *self, uint64_t row, err_t *err)
{
    str_t from = STR_INIT;
    kv_iter_t *it = kv_iterate (self->content->kv, CONTENT_ROWS);
    int rc = 0;
    content_key_row (&from, row);
    for (it->ops->seek (it, str_span (&from)); rc == 0 && it->ops->valid (it); it->ops->step (it, true)) {
        uint64_t at = record_key_u64 (it->ops->key (it));
        /* What is below `at` is complete: a crash between two commits goes on from there. */
        if (self->added > BATCH_BYTES) {
            rc = index_commit (self->content->index, at, err);
            self->added = 0;
        }
        if (rc == 0)
            rc = add_rows (self, at, it->ops->value (it), err);
    }
    if (rc == 0)
        rc = it->ops->check (it, err);
    kv_iter_destroy (&it);
    str_free (&from);
    return rc;
}

int content_index_catch_up (content_t *self, uint64_t next_row, err_t *err)
{
    catch_up_t catch_up = { .content = self };
    uint64_t *removed;
    size_t count;
    int rc = index_take_removed (self->index, &removed, &count, err);
    if (rc == 0)
        rc = take_back_removed (&catch_up, removed, count, err);
    uint64_t end = self->state.next_row;
    if (rc == 0 && next_row < end)
        log_write (LOG_INFO, "index.behind", NULL, "indexing rows %llu to %llu", (unsigned long long)next_row,
                   (unsigned long long)end);
    if (rc == 0 && next_row < end)
        rc = add_from (&catch_up, next_row, err);
    if (rc == 0 && (count || next_row < end)) {
        FAILPOINT (STORAGE_START);
        rc = index_commit (self->index, end, err);
    }
    free (removed);
    str_free (&catch_up.segment);
    str_free (&catch_up.text);
    str_free (&catch_up.key);
    return rc;
}
