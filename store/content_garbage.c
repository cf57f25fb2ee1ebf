/*  What nobody sees any more is removed in bounded steps, between the jobs: a document of a thousand segments must not
 *  hold up the others. The list is durable, so that a restart goes on. A crash between the database's commit and the
 *  index's leaves rows in the index that belong to nothing; readers pass over them.
 */
#include "base/log.h"
#include "store/content_private.h"
#include "store/records.h"
#include "wire/columns.h"

#include <stdlib.h>

#define STEP_BYTES (256u << 10)
#define STEP_COUNT 64u

static void remember (content_t *self, span_t user, uuid_t document, uint64_t revision, bool is_all, uint64_t stamp)
{
    self->garbage = content_grow (self->garbage, self->garbage_count, &self->garbage_room, sizeof *self->garbage);
    garbage_t *item = &self->garbage[self->garbage_count++];
    *item = (garbage_t){ .document = document, .revision = revision, .is_all = is_all, .stamp = stamp };
    str_add (&item->user, user);
}

int content_garbage_load (content_t *self, err_t *err)
{
    kv_iter_t *it = kv_iterate (self->kv, CONTENT_GARBAGE);
    for (it->ops->seek (it, SPAN_EMPTY); it->ops->valid (it); it->ops->step (it, true)) {
        span_t user, rest;
        if (record_key_parse (it->ops->key (it), &user, &rest) == 0 && rest.size == UUID_SIZE + 8)
            remember (self, user, record_key_id (rest),
                      record_key_u64 (span (rest.data + UUID_SIZE, rest.size - UUID_SIZE)),
                      span_is (it->ops->value (it), "all"), 0);
    }
    int rc = it->ops->check (it, err);
    kv_iter_destroy (&it);
    return rc;
}

void content_garbage_add (content_t *self, span_t user, uuid_t document, uint64_t revision, bool is_all)
{
    content_key_revision (&self->key, user, document, revision);
    kv_put (self->kv, CONTENT_GARBAGE, str_span (&self->key), is_all ? span_str ("all") : SPAN_EMPTY);
    remember (self, user, document, revision, is_all, atomic_load (&self->turn));
}

/*  No query that runs began when it could still be seen. */
static bool is_unseen (content_t *self, const garbage_t *garbage)
{
    bool unseen = true;
    pthread_mutex_lock (&self->readers_lock);
    for (const reader_mark_t *mark = self->readers; mark && unseen; mark = mark->next) {
        uint64_t since = atomic_load (&mark->since);
        unseen = since == 0 || since > garbage->stamp;
    }
    pthread_mutex_unlock (&self->readers_lock);
    return unseen;
}

void content_garbage_free (content_t *self)
{
    for (size_t i = 0; i < self->garbage_count; i++)
        str_free (&self->garbage[i].user);
    free (self->garbage);
}

/*  Notes the rows of a segment for the index: what stands there. 0, or -1 when its records are damaged. */
static int note_removal (content_t *self, span_t user, span_t key, const content_segment_t *segment, size_t *bytes,
                         err_t *err)
{
    str_t text_bytes = STR_INIT;
    span_t text;
    int rc = -1, found = content_get_flat (self->kv, CONTENT_TEXT, key, &text, &text_bytes, err);
    if (found < 0 || (found && chunk_spans_check (segment->spans, text.size, err) < 0))
        goto out;
    rc = 0;
    if (!found || !segment->spans.size)
        goto out;
    self->index_changes = content_grow (self->index_changes, self->index_change_count, &self->index_change_room,
                                        sizeof *self->index_changes);
    index_change_t *change = &self->index_changes[self->index_change_count++];
    *change = (index_change_t){ .remove = true, .row = segment->row };
    str_add (&change->own, user);
    str_add (&change->own, text);
    str_add (&change->own, segment->spans);
    change->user = span (change->own.data, user.size);
    change->text = span (change->own.data + user.size, text.size);
    change->spans = span (change->own.data + user.size + text.size, segment->spans.size);
    *bytes += text.size;
out:
    str_free (&text_bytes);
    return rc;
}

/*  Deletes all records of the segment that `key` names. What is damaged goes too, and leaves its rows in the index,
 * where readers pass over them: nobody sees it any more, and it must not come in the way of the rest. */
static void remove_segment (content_t *self, span_t user, span_t key, span_t record, size_t *bytes)
{
    content_segment_t segment;
    err_t err;
    bool known = content_decode (&content_segment_shape, record, &segment, &err) == 0;
    if (!known || note_removal (self, user, key, &segment, bytes, &err) < 0)
        log_write (LOG_WARN, "damaged_removed", NULL, "a damaged segment is removed: %s", err.message);
    kv_delete (self->kv, CONTENT_TEXT, key);
    kv_delete (self->kv, CONTENT_MARKS, key);
    kv_delete (self->kv, CONTENT_VECTORS, key);
    kv_delete (self->kv, CONTENT_SEGMENTS, key);
    *bytes += 1;
    if (!known)
        return;
    str_t row = STR_INIT;
    content_key_row (&row, segment.row);
    kv_delete (self->kv, CONTENT_ROWS, str_span (&row));
    str_free (&row);
}

/*  Removes segments until *bytes is past the step. 1: all of it is gone. */
static int remove_some (content_t *self, const garbage_t *garbage, size_t *bytes, err_t *err)
{
    span_t user = str_span (&garbage->user);
    str_t prefix = STR_INIT;
    if (garbage->is_all)
        record_key (&prefix, user, garbage->document);
    else
        content_key_revision (&prefix, user, garbage->document, garbage->revision);
    size_t revision_at = 3 + user.size + UUID_SIZE;
    kv_iter_t *it = kv_iterate (self->kv, CONTENT_SEGMENTS);
    int rc = 1;
    for (it->ops->seek (it, str_span (&prefix)); rc == 1 && it->ops->valid (it); it->ops->step (it, true)) {
        span_t key = it->ops->key (it);
        if (key.size != revision_at + 12 || memcmp (key.data, prefix.data, prefix.size) != 0 ||
            record_key_u64 (span (key.data + revision_at, 8)) > garbage->revision)
            break;
        if (*bytes > STEP_BYTES)
            rc = 0;
        else
            remove_segment (self, user, key, it->ops->value (it), bytes);
    }
    if (rc >= 0 && it->ops->check (it, err) < 0)
        rc = -1;
    if (rc == 1) {
        content_key_revision (&self->key, user, garbage->document, garbage->revision);
        kv_delete (self->kv, CONTENT_GARBAGE, str_span (&self->key));
    }
    kv_iter_destroy (&it);
    str_free (&prefix);
    return rc;
}

static void forget (content_t *self, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++)
        str_free (&self->garbage[i].user);
    self->garbage_count -= count;
    if (count)
        memmove (self->garbage + first, self->garbage + first + count,
                 (self->garbage_count - first) * sizeof *self->garbage);
}

int content_tidy (content_t *self, err_t *err)
{
    size_t bytes = 0, done = 0;
    bool is_seen = false;
    while (done < self->garbage_count && done < STEP_COUNT && bytes <= STEP_BYTES) {
        if ((is_seen = !is_unseen (self, &self->garbage[done])))
            break;
        int rc = remove_some (self, &self->garbage[done], &bytes, err);
        if (rc < 0)
            return -1;
        if (rc == 0)
            break;
        done++;
    }
    /* A power cut may bring it back, to be removed again; but not what the index, which may have been synced since, no
     * longer has: its counters would fall twice. */
    if (bytes + done > 0 && content_flush (self, self->index_change_count > 0, err) < 0)
        return -1;
    forget (self, 0, done);
    return self->garbage_count == 0 ? 0 : is_seen ? 2 : 1;
}

int content_garbage_clear (content_t *self, uuid_t document, uint64_t revision, err_t *err)
{
    for (size_t i = 0; i < self->garbage_count;) {
        if (!uuid_eq (self->garbage[i].document, document) || self->garbage[i].is_all ||
            self->garbage[i].revision != revision) {
            i++;
            continue;
        }
        /* What the open batch has of it must be in the database to be found. (A flush may move the list.) */
        size_t bytes = 0;
        int rc = content_flush (self, true, err);
        if (rc == 0)
            rc = remove_some (self, &self->garbage[i], &bytes, err);
        if (rc < 0 || content_flush (self, true, err) < 0)
            return -1;
        if (rc == 1)
            forget (self, i, 1);
    }
    return 0;
}
