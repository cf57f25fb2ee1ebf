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

/*  What a ROWS record stands for. 1; 0: its segment was written again or removed since; -1. */
static int read_rows (catch_up_t *self, uint64_t row, span_t record, content_rows_of_t *rows,
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

/*  Adds the rows of one ROWS record. A segment that is damaged is left out: the others must be found all the same. */
static int add_rows (catch_up_t *self, uint64_t row, span_t record, err_t *err)
{
    content_rows_of_t rows;
    content_segment_t segment;
    span_t text;
    err_t why;
    int found = read_rows (self, row, record, &rows, &segment, &text, &why);
    if (found < 0 && why.code != ERR_CORRUPT) {
        *err = why;
        return -1;
    }
    if (found < 0)
        log_write (LOG_WARN, "index.left_out", NULL, "a damaged segment is left out of the index: %s", why.message);
    if (found <= 0)
        return 0;
    self->added += text.size;
    return index_add (self->content->index, rows.user, row, text, segment.spans, err);
}

/*  Rows that the index forgot, and the database did not. */
static int add_removed (catch_up_t *self, const uint64_t *rows, size_t count, err_t *err)
{
    str_t key = STR_INIT, record = STR_INIT;
    int found = 0;
    for (size_t i = 0; i < count && found >= 0; i++) {
        content_key_row (&key, rows[i]);
        found = kv_get (self->content->kv, CONTENT_ROWS, str_span (&key), &record, err);
        if (found == 1)
            found = add_rows (self, rows[i], str_span (&record), err);
    }
    str_free (&key);
    str_free (&record);
    return found < 0 ? -1 : 0;
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
    uint64_t *removed, end = self->state.next_row;
    size_t count;
    int rc = index_take_removed (self->index, &removed, &count, err);
    if (rc == 0 && next_row < end)
        log_write (LOG_INFO, "index.behind", NULL, "indexing rows %llu to %llu", (unsigned long long)next_row,
                   (unsigned long long)end);
    if (rc == 0)
        rc = add_removed (&catch_up, removed, count, err);
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
