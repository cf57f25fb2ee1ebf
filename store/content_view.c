#include "store/content_view.h"
#include "base/log.h"
#include "store/kv_rocks.h"
#include "store/records.h"
#include "wire/columns.h"

#include <stdlib.h>

static void forget (content_view_t *self)
{
    for (size_t i = 0; i < self->seen_count; i++)
        str_free (&self->seen[i].bytes);
    self->seen_count = 0;
    if (self->slots)
        memset (self->slots, 0, self->slot_count * sizeof *self->slots);
    kv_iter_destroy (&self->rows);
    kv_destroy (&self->kv);
}

void content_view_open (content_view_t *self, kv_t *store, span_t user)
{
    forget (self);
    self->user = user;
    self->kv = kv_rocks_view (store);
    self->rows = kv_iterate (self->kv, CONTENT_ROWS);
}

void content_view_close (content_view_t *self)
{
    forget (self);
    free (self->seen);
    free (self->slots);
    str_free (&self->key);
    str_free (&self->bytes);
    str_free (&self->text);
    str_free (&self->marks);
    *self = (content_view_t){ 0 };
}

/*  True: it was damage, and is told; false: any other error. */
static bool is_damage (const err_t *err)
{
    if (err->code == ERR_CORRUPT)
        log_write (LOG_WARN, "content.damaged", NULL, "a search goes on without what is damaged: %s", err->message);
    return err->code == ERR_CORRUPT;
}

/*  --- documents --- */

/*  Where the id is, or where it would go. There is always a free slot. */
static uint32_t *slot_of (const content_view_t *self, uuid_t id)
{
    size_t at = uuid_hash (id) & (self->slot_count - 1);
    while (self->slots[at] && !uuid_eq (self->seen[self->slots[at] - 1].id, id))
        at = (at + 1) & (self->slot_count - 1);
    return &self->slots[at];
}

/*  Makes room for one more document, in the list and in its slots, of which at most half are taken. */
static void grow (content_view_t *self)
{
    if (self->seen_count < self->seen_room)
        return;
    self->seen_room = self->seen_room ? 2 * self->seen_room : 64;
    self->slot_count = 2 * self->seen_room;
    self->seen = realloc (self->seen, self->seen_room * sizeof *self->seen);
    free (self->slots);
    self->slots = calloc (self->slot_count, sizeof *self->slots);
    if (!self->seen || !self->slots)
        abort ();
    for (size_t i = 0; i < self->seen_count; i++)
        *slot_of (self, self->seen[i].id) = (uint32_t)i + 1;
}

static int read_document (content_view_t *self, uuid_t id, seen_t *seen, err_t *err)
{
    err_t why;
    seen->id = id;
    seen->record = (content_document_t){ 0 };
    record_key (&self->key, self->user, id);
    int found = content_get (self->kv, CONTENT_DOCUMENTS, str_span (&self->key), &content_document_shape, &seen->record,
                             &seen->bytes, &why);
    seen->is_damaged = found < 0 && is_damage (&why);
    if (found >= 0)
        return 0;
    seen->record = (content_document_t){ 0 };
    if (seen->is_damaged)
        return 0;
    *err = why;
    return -1;
}

long content_view_document (content_view_t *self, uuid_t id, err_t *err)
{
    grow (self);
    uint32_t *slot = slot_of (self, id);
    if (*slot)
        return (long)*slot - 1;
    seen_t *seen = &self->seen[self->seen_count];
    *seen = (seen_t){ 0 };
    if (read_document (self, id, seen, err) < 0) {
        str_free (&seen->bytes);
        return -1;
    }
    *slot = (uint32_t)++self->seen_count;
    return (long)*slot - 1;
}

int content_view_resolve (content_view_t *self, found_t *found, err_t *err)
{
    content_rows_of_t rows;
    err_t why;
    content_key_row (&self->key, found->row);
    self->rows->ops->seek_for_prev (self->rows, str_span (&self->key));
    if (!self->rows->ops->valid (self->rows))
        return self->rows->ops->check (self->rows, err);
    uint64_t first = record_key_u64 (self->rows->ops->key (self->rows));
    if (content_decode (&content_rows_of_shape, self->rows->ops->value (self->rows), &rows, &why) < 0) {
        if (is_damage (&why))
            return 0;
        *err = why;
        return -1;
    }
    if (found->row - first >= rows.count || !span_eq (rows.user, self->user))
        return 0;
    long seen = content_view_document (self, rows.document, err);
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

/*  --- segments --- */

int content_view_segment (content_view_t *self, const seen_t *seen, part_t part, content_segment_t *segment,
                          span_t *text, span_t *marks, err_t *err)
{
    content_key (&self->key, self->user, seen->id, seen->record.revision, part.segment);
    span_t key = str_span (&self->key);
    int found = content_get (self->kv, CONTENT_SEGMENTS, key, &content_segment_shape, segment, &self->bytes, err);
    if (found == 0)
        return err_set (err, ERR_CORRUPT, "a segment of a visible document is not there");
    if (found < 0 || content_get_text (self->kv, key, segment->spans, text, &self->text, err) < 0)
        return -1;
    if (chunk_span_count (segment->spans) != part.chunks)
        return err_set (err, ERR_CORRUPT, "a stored segment has %zu chunks, and its document says %u",
                        chunk_span_count (segment->spans), part.chunks);
    return content_get_flat (self->kv, CONTENT_MARKS, key, marks, &self->marks, err) < 0 ? -1 : 0;
}

int content_view_vectors (content_view_t *self, const seen_t *seen, uint32_t segment, vectors_t *vectors, err_t *err)
{
    err_t why;
    content_key (&self->key, self->user, seen->id, seen->record.revision, segment);
    int found = kv_get (self->kv, CONTENT_VECTORS, str_span (&self->key), &self->bytes, &why);
    if (found == 1 && content_vectors (str_span (&self->bytes), vectors, &why) < 0)
        found = -1;
    if (found >= 0 || is_damage (&why))
        return found > 0;
    *err = why;
    return -1;
}

int content_view_each_vectors (content_view_t *self, uuid_t document, content_vectors_fn *take, void *context,
                               err_t *err)
{
    str_t prefix = STR_INIT;
    if (uuid_is_null (document))
        record_key_user (&prefix, self->user);
    else
        record_key (&prefix, self->user, document);
    kv_iter_t *it = kv_iterate (self->kv, CONTENT_VECTORS);
    size_t user_size = 3 + self->user.size;
    seen_t seen = { 0 };
    bool has_seen = false, goes_on = true;
    int rc = 0;
    for (it->ops->seek (it, str_span (&prefix)); goes_on && it->ops->valid (it); it->ops->step (it, true)) {
        span_t key = it->ops->key (it);
        vectors_t vectors;
        err_t why;
        if (key.size != user_size + UUID_SIZE + 12 || memcmp (key.data, prefix.data, prefix.size) != 0)
            break;
        uuid_t id = record_key_id (span (key.data + user_size, UUID_SIZE));
        if ((!has_seen || !uuid_eq (seen.id, id)) && (rc = read_document (self, id, &seen, err)) < 0)
            break;
        has_seen = true;
        uint32_t segment = 0;
        for (size_t i = key.size - 4; i < key.size; i++)
            segment = segment << 8 | (unsigned char)key.data[i];
        uint64_t revision = record_key_u64 (span (key.data + user_size + UUID_SIZE, 8));
        long part = seen.record.revision == revision ? part_find (seen.record.parts, segment) : -1;
        if (part < 0)
            continue;
        if (content_vectors (it->ops->value (it), &vectors, &why) == 0) {
            goes_on = take (context, part_at (seen.record.parts, (size_t)part).row, &vectors);
        } else if (!is_damage (&why)) {
            *err = why;
            rc = -1;
            break;
        }
    }
    if (rc == 0)
        rc = it->ops->check (it, err);
    kv_iter_destroy (&it);
    str_free (&seen.bytes);
    str_free (&prefix);
    return rc;
}
