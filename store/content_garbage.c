/*  What nobody sees any more is removed in bounded steps, between the jobs: a document of a thousand segments must not
 *  hold up the others. The list is durable, so that a restart goes on.
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

static void note_removal (content_t *self, span_t user, uint64_t row, span_t text, span_t spans)
{
    for (size_t i = 0; i < self->index_change_count; i++)
        if (self->index_changes[i].row == row) { /* the open batch added it: the index need not hear of it at all */
            self->index_changes[i] = self->index_changes[--self->index_change_count];
            return;
        }
    index_change_t *change = content_index_change (self);
    *change = (index_change_t){ .remove = true, .row = row };
    str_add (&change->own, user);
    str_add (&change->own, text);
    str_add (&change->own, spans);
    change->user = span (change->own.data, user.size);
    change->text = span (change->own.data + user.size, text.size);
    change->spans = span (change->own.data + user.size + text.size, spans.size);
}

void content_drop_rows (content_t *self, span_t user, const content_segment_t *segment, const span_t *text)
{
    str_t key = STR_INIT;
    content_key_row (&key, segment->row);
    kv_delete (self->kv, CONTENT_ROWS, str_span (&key));
    str_free (&key);
    if (text && segment->spans.size)
        note_removal (self, user, segment->row, *text, segment->spans);
}

/*  Deletes all records of the segment that `key` names. What is damaged goes too: nobody sees it any more, and it must
 *  not come in the way of the rest. */
static int remove_segment (content_t *self, span_t user, span_t key, span_t record, size_t *bytes, err_t *err)
{
    str_t text_bytes = STR_INIT;
    content_segment_t segment;
    span_t text = SPAN_EMPTY;
    err_t why;
    int there = kv_get (self->kv, CONTENT_SEGMENTS, key, &text_bytes, err);
    if (there <= 0) { /* by now: another item of the list covers it, too */
        str_free (&text_bytes);
        return there;
    }
    int known = content_decode (&content_segment_shape, record, &segment, &why);
    int rc = known < 0 ? -1 : content_get_text (self->kv, key, segment.spans, &text, &text_bytes, &why);
    if (rc < 0 && why.code != ERR_CORRUPT) {
        *err = why;
        goto out;
    }
    if (rc < 0)
        log_write (LOG_WARN, "garbage.damaged", NULL, "a damaged segment is removed: %s", why.message);
    if (known == 0)
        content_drop_rows (self, user, &segment, rc < 0 ? NULL : &text);
    kv_delete (self->kv, CONTENT_TEXT, key);
    kv_delete (self->kv, CONTENT_MARKS, key);
    kv_delete (self->kv, CONTENT_VECTORS, key);
    kv_delete (self->kv, CONTENT_SEGMENTS, key);
    *bytes += text.size + 1;
    rc = 0;
out:
    str_free (&text_bytes);
    return rc;
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
        else if (remove_segment (self, user, key, it->ops->value (it), bytes, err) < 0)
            rc = -1;
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

/*  Takes what is gone off the list. */
static void forget_gone (content_t *self)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->garbage_count; i++)
        if (self->garbage[i].is_gone)
            str_free (&self->garbage[i].user);
        else
            self->garbage[kept++] = self->garbage[i];
    self->garbage_count = kept;
}

int content_tidy (content_t *self, err_t *err)
{
    size_t bytes = 0, steps = 0;
    int more = 0;
    for (size_t i = 0; i < self->garbage_count && more == 0; i++) {
        garbage_t *item = &self->garbage[i];
        err_t why;
        if (item->is_unreadable)
            continue;
        if (!is_unseen (self, item)) {
            more = 2;
        } else if (steps++ == STEP_COUNT || bytes > STEP_BYTES) {
            more = 1;
        } else {
            int rc = remove_some (self, item, &bytes, &why);
            item->is_gone = rc == 1;
            item->is_unreadable = rc < 0;
            more = rc == 0;
        }
        if (item->is_unreadable && err_class (why.code) != ERR_GIVEUP) {
            *err = why;
            return -1;
        }
        if (item->is_unreadable) /* it must not come in the way of the rest */
            log_write (LOG_ERROR, "garbage.unreadable", NULL, "what was deleted stays until the next start: %s",
                       why.message);
    }
    /* A power cut may bring it back, to be removed again: no sync for that. */
    if (steps && content_flush (self, false, err) < 0)
        return -1;
    forget_gone (self);
    return more;
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
        self->garbage[i].is_gone = rc == 1;
        forget_gone (self);
    }
    return 0;
}
