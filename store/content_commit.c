#include "base/clock.h"
#include "base/log.h"
#include "store/content_private.h"
#include "store/records.h"
#include "wire/columns.h"

#include <stdlib.h>

#define INDEX_BATCH_BYTES (4u << 20)

void *content_grow (void *items, size_t count, size_t *room, size_t item_size)
{
    if (count < *room)
        return items;
    *room = *room ? 2 * *room : 16;
    items = realloc (items, *room * item_size);
    if (!items)
        abort ();
    return items;
}

void content_forget_changes (content_t *self)
{
    for (size_t i = 0; i < self->index_change_count; i++)
        str_free (&self->index_changes[i].own);
    for (size_t i = 0; i < self->vector_change_count; i++)
        str_free (&self->vector_changes[i].parts);
    for (size_t i = 0; i < self->switch_count; i++)
        str_free (&self->switches[i].record);
    self->index_change_count = self->vector_change_count = self->written_count = self->switch_count = 0;
}

static int tell_index (content_t *self, err_t *err)
{
    for (size_t i = 0; i < self->index_change_count; i++) {
        const index_change_t *change = &self->index_changes[i];
        int rc = (change->remove ? index_remove : index_add) (self->index, change->user, change->row, change->text,
                                                              change->spans, err);
        if (rc < 0)
            return -1;
    }
    return self->index_change_count ? index_commit (self->index, self->state.next_row, err) : 0;
}

/*  Tells the cache of rows that are in the database. */
static int tell_cache (content_t *self, const vector_change_t *change, err_t *err)
{
    if (!vector_cache_wants (self->cache, change->user))
        return 0;
    str_t bytes = STR_INIT;
    span_t parts = str_span (&change->parts);
    int rc = 0;
    for (size_t i = 0; i < part_count (parts) && rc == 0; i++) {
        part_t part = part_at (parts, i);
        vectors_t vectors;
        content_key (&self->key, change->user, change->document, change->revision, part.segment);
        int found = kv_get (self->kv, CONTENT_VECTORS, str_span (&self->key), &bytes, err);
        if (found < 0 || (found && content_vectors (str_span (&bytes), &vectors, err) < 0))
            rc = -1;
        else if (found)
            vector_cache_add (self->cache, change->user, part.row, &vectors);
    }
    str_free (&bytes);
    return rc;
}

static int tell_cache_all (content_t *self, err_t *err)
{
    for (size_t i = 0; i < self->index_change_count; i++) {
        const index_change_t *change = &self->index_changes[i];
        if (change->remove && vector_cache_wants (self->cache, change->user))
            vector_cache_remove (self->cache, change->user, change->row, chunk_span_count (change->spans));
    }
    for (size_t i = 0; i < self->vector_change_count; i++)
        if (tell_cache (self, &self->vector_changes[i], err) < 0)
            return -1;
    return 0;
}

/*  Documents with a visible revision get their new one. */
static int make_switches (content_t *self, bool sync, err_t *err)
{
    for (size_t i = 0; i < self->switch_count; i++) {
        const switch_t *change = &self->switches[i];
        record_key (&self->key, change->user, change->document);
        kv_put (self->kv, CONTENT_DOCUMENTS, str_span (&self->key), str_span (&change->record));
        content_garbage_add (self, change->user, change->document, change->old_revision, false);
    }
    return kv_commit (self->kv, sync, err);
}

static int flush (content_t *self, bool sync, err_t *err)
{
    uint64_t start = clock_mono_us ();
    if (self->state_changed)
        content_put (self->kv, CONTENT_META, span_str ("state"), &content_state_shape, &self->state);
    self->state_changed = false;
    if (kv_commit (self->kv, sync, err) < 0)
        return -1;
    uint64_t stored = clock_mono_us ();
    if (tell_index (self, err) < 0) {
        if (err->code == ERR_CORRUPT)
            index_discard (self->index_path); /* the next start makes it anew */
        return -1;
    }
    uint64_t indexed = clock_mono_us ();
    /* A matrix is told of the new revisions here, or is filled from a snapshot that shows them. */
    vector_cache_switch (self->cache, self->switch_count > 0);
    int rc = tell_cache_all (self, err);
    uint64_t told = clock_mono_us ();
    if (rc == 0)
        rc = make_switches (self, sync, err);
    vector_cache_switch (self->cache, false);
    if (rc < 0)
        return -1;
    self->stats.database_us += stored - start + clock_mono_us () - told;
    self->stats.index_us += indexed - stored;
    self->stats.vectors_us += told - indexed;
    return 0;
}

int content_flush (content_t *self, bool sync, err_t *err)
{
    int rc = self->is_broken ? -1 : flush (self, sync, &self->trouble);
    self->is_broken = rc < 0;
    if (rc < 0 && err)
        *err = self->trouble; /* whoever comes later is told of the first */
    atomic_fetch_add (&self->turn, 1);
    content_forget_changes (self);
    return rc;
}

/*  What a ROWS record stands for. 1; 0: its segment was written again or removed since; -1. */
static int read_rows (content_t *self, uint64_t row, span_t record, content_rows_of_t *rows, content_segment_t *segment,
                      str_t *bytes, span_t *text, str_t *text_bytes, err_t *err)
{
    if (content_decode (&content_rows_of_shape, record, rows, err) < 0)
        return -1;
    content_key (&self->key, rows->user, rows->document, rows->revision, rows->segment);
    int found =
        content_get (self->kv, CONTENT_SEGMENTS, str_span (&self->key), &content_segment_shape, segment, bytes, err);
    if (found <= 0 || segment->row != row)
        return found < 0 ? -1 : 0;
    if (content_get_flat (self->kv, CONTENT_TEXT, str_span (&self->key), text, text_bytes, err) < 0 ||
        chunk_spans_check (segment->spans, text->size, err) < 0)
        return -1;
    return 1;
}

/*  Adds the rows of one ROWS record. A segment that is damaged is left out: the others must be found all the same. */
static int index_rows (content_t *self, uint64_t row, span_t record, str_t *bytes, str_t *text_bytes, size_t *added,
                       err_t *err)
{
    content_rows_of_t rows;
    content_segment_t segment;
    span_t text;
    err_t why;
    int found = read_rows (self, row, record, &rows, &segment, bytes, &text, text_bytes, &why);
    if (found < 0 && why.code != ERR_CORRUPT && why.code != ERR_PROTOCOL) {
        *err = why;
        return -1;
    }
    if (found < 0)
        log_write (LOG_WARN, "damaged_left_out", NULL, "a damaged segment is left out of the index: %s", why.message);
    if (found <= 0)
        return 0;
    *added += text.size;
    return index_add (self->index, rows.user, row, text, segment.spans, err);
}

int content_index_from (content_t *self, uint64_t row, err_t *err)
{
    str_t bytes = STR_INIT, text = STR_INIT, from = STR_INIT;
    kv_iter_t *it = kv_iterate (self->kv, CONTENT_ROWS);
    int rc = -1;
    size_t added = 0;
    content_key_row (&from, row);
    for (it->ops->seek (it, str_span (&from)); it->ops->valid (it); it->ops->step (it, true)) {
        uint64_t at = 0;
        span_t key = it->ops->key (it);
        for (size_t i = 0; i < key.size; i++)
            at = at << 8 | (unsigned char)key.data[i];
        /* What is below `at` is complete: a crash between two commits goes on from there. */
        if (added > INDEX_BATCH_BYTES) {
            if (index_commit (self->index, at, err) < 0)
                goto out;
            added = 0;
        }
        if (index_rows (self, at, it->ops->value (it), &bytes, &text, &added, err) < 0)
            goto out;
    }
    if (it->ops->check (it, err) < 0)
        goto out;
    rc = index_commit (self->index, self->state.next_row, err);
out:
    kv_iter_destroy (&it);
    str_free (&bytes);
    str_free (&text);
    str_free (&from);
    return rc;
}
