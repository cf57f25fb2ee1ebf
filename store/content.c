#include "store/content.h"
#include "base/dir.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "store/content_private.h"
#include "store/records.h"
#include "wire/columns.h"

#include <stdio.h>
#include <stdlib.h>

/*  Columns by their place in a job's frames. */
enum { TEXT = 1, MARKS = 2, SPANS = 3, VECTORS = 4 };

static char *join (const char *dir, const char *name)
{
    char *path = NULL;
    if (asprintf (&path, "%s/%s", dir, name) < 0)
        abort ();
    return path;
}

static int open_index_once (content_t *self, err_t *err)
{
    char identity[UUID_TEXT];
    uint64_t next_row;
    uuid_text (self->state.identity, identity);
    self->index = index_open (self->index_path, identity, self->state.next_row, &next_row, err);
    return self->index ? content_index_catch_up (self, next_row, err) : -1;
}

/*  An index whose damage shows only when it is written is made anew: it holds nothing that the database does not. */
static int open_index (content_t *self, err_t *err)
{
    err_t why;
    if (open_index_once (self, &why) == 0)
        return 0;
    if (why.code != ERR_CORRUPT) {
        *err = why;
        return -1;
    }
    log_write (LOG_WARN, "index.damaged", NULL, "the text index is made anew: %s", why.message);
    index_close (&self->index);
    index_discard (self->index_path);
    return open_index_once (self, err);
}

content_t *content_open (const content_config_t *config, err_t *err)
{
    content_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    char *path = join (config->dir, "content");
    self->index_path = join (config->dir, "index.sqlite");
    self->checkpoint_path = join (config->dir, "checkpoint/content");
    self->cache = vector_cache_new (config->vector_memory_bytes);
    pthread_mutex_init (&self->readers_lock, NULL);
    atomic_init (&self->turn, 1);
    if (dir_make (config->dir, err) == 0 && dir_make (path, err) == 0)
        self->kv = content_records_open (path, &self->state, err);
    free (path);
    if (!self->kv || content_garbage_load (self, err) < 0 || open_index (self, err) < 0)
        content_close (&self);
    return self;
}

void content_close (content_t **self_p)
{
    content_t *self = *self_p;
    if (!self)
        return;
    content_forget_changes (self);
    content_garbage_free (self);
    index_close (&self->index);
    vector_cache_destroy (&self->cache);
    kv_destroy (&self->kv);
    free (self->written);
    free (self->index_changes);
    free (self->vector_changes);
    free (self->switches);
    pthread_mutex_destroy (&self->readers_lock);
    free (self->index_path);
    free (self->checkpoint_path);
    str_free (&self->key);
    free (self);
    *self_p = NULL;
}

content_stats_t content_stats (const content_t *self)
{
    content_stats_t stats = self->stats;
    stats.garbage = self->garbage_count;
    return stats;
}

/*  --- one segment --- */

static int check_columns (const content_change_t *change, vectors_t *vectors, err_t *err)
{
    span_t text = change->columns[TEXT], spans = change->columns[SPANS];
    mark_t mark;
    size_t at = 0;
    int more;
    if (!text.data || chunk_spans_check (spans, text.size, err) < 0)
        return text.data ? -1 : err_set (err, ERR_PROTOCOL, "a segment came without its text");
    while ((more = mark_next (change->columns[MARKS], &at, &mark)) == 1)
        ;
    if (more < 0)
        return err_set (err, ERR_PROTOCOL, "the marks of a segment are damaged");
    *vectors = (vectors_t){ 0 };
    if (!change->columns[VECTORS].data)
        return 0;
    if (vectors_read (change->columns[VECTORS], vectors, err) < 0)
        return -1;
    if (vectors->rows && vectors->rows != chunk_span_count (spans))
        return err_set (err, ERR_PROTOCOL, "a segment of %zu chunks came with %u vectors", chunk_span_count (spans),
                        vectors->rows);
    return 0;
}

/*  The segment that may be there under self->key: *row keeps its rows when the text and the chunks are the same; else
 *  its rows are dropped and *row is 0. Columns that may not come again are deleted. Damage is written over. */
static int replace_existing (content_t *self, const content_change_t *change, uint64_t *row, err_t *err)
{
    str_t bytes = STR_INIT, text_bytes = STR_INIT;
    content_segment_t old;
    span_t text, key = str_span (&self->key);
    err_t why;
    int found = content_get (self->kv, CONTENT_SEGMENTS, key, &content_segment_shape, &old, &bytes, &why), rc = found;
    if (found == 1)
        rc = content_get_text (self->kv, key, old.spans, &text, &text_bytes, &why);
    *row = 0;
    if (rc == 0 && found == 1 && span_eq (text, change->columns[TEXT]) && span_eq (old.spans, change->columns[SPANS]))
        *row = old.row;
    else if (found == 1)
        content_drop_rows (self, change->job->user, &old, rc < 0 ? NULL : &text);
    if (found) {
        kv_delete (self->kv, CONTENT_MARKS, key);
        kv_delete (self->kv, CONTENT_VECTORS, key);
    }
    if (rc < 0 && why.code == ERR_CORRUPT) {
        log_write (LOG_WARN, "segment.damaged", NULL, "a damaged segment is written anew: %s", why.message);
        rc = 0;
    } else if (rc < 0) {
        *err = why;
    }
    str_free (&bytes);
    str_free (&text_bytes);
    return rc;
}

/*  Gives out rows, and says in the database and to the index whose they are. */
static uint64_t new_rows (content_t *self, const content_change_t *change, uint32_t count)
{
    const wire_job_t *job = change->job;
    uint64_t row = self->state.next_row;
    self->state.next_row += count ? count : 1; /* an empty segment has a number of its own too */
    self->state_changed = true;
    content_rows_of_t rows = { job->user, job->document, job->revision, job->segment, count };
    str_t key = STR_INIT;
    content_key_row (&key, row);
    content_put (self->kv, CONTENT_ROWS, str_span (&key), &content_rows_of_shape, &rows);
    str_free (&key);
    if (count) {
        index_change_t *out = content_index_change (self);
        *out = (index_change_t){ .user = job->user, .row = row };
        out->text = change->columns[TEXT];
        out->spans = change->columns[SPANS];
    }
    return row;
}

static void note_written (content_t *self, const wire_job_t *job, const content_segment_t *segment)
{
    written_t written = { job->document,       job->revision, job->segment, (uint32_t)chunk_span_count (segment->spans),
                          segment->embeddings, segment->row };
    for (size_t i = 0; i < self->written_count; i++) {
        written_t *there = &self->written[i];
        if (uuid_eq (there->document, job->document) && there->revision == job->revision &&
            there->segment == job->segment) {
            *there = written;
            return;
        }
    }
    self->written = content_grow (self->written, self->written_count, &self->written_room, sizeof *self->written);
    self->written[self->written_count++] = written;
}

static int write_segment (content_t *self, content_change_t *change, err_t *err)
{
    const wire_job_t *job = change->job;
    vectors_t vectors;
    uint64_t row;
    if (check_columns (change, &vectors, err) < 0)
        return -1;
    /* Written anew while its remains wait to be removed: those go first, or they would take this along. */
    if (self->garbage_count && content_garbage_clear (self, job->document, job->revision, err) < 0)
        return -1;
    content_key (&self->key, job->user, job->document, job->revision, job->segment);
    if (replace_existing (self, change, &row, err) < 0)
        return -1;
    uint32_t chunks = (uint32_t)chunk_span_count (change->columns[SPANS]);
    span_t key = str_span (&self->key);
    if (!row)
        row = new_rows (self, change, chunks);
    content_segment_t segment = { row, job->text_offset, vectors.rows, change->columns[SPANS] };
    content_put (self->kv, CONTENT_SEGMENTS, key, &content_segment_shape, &segment);
    content_put_flat (self->kv, CONTENT_TEXT, key, change->columns[TEXT]);
    if (change->columns[MARKS].size)
        content_put_flat (self->kv, CONTENT_MARKS, key, change->columns[MARKS]);
    if (vectors.rows) {
        kv_put (self->kv, CONTENT_VECTORS, key, change->columns[VECTORS]);
    }
    note_written (self, job, &segment);
    change->chunks = chunks;
    change->embeddings = vectors.rows;
    return 0;
}

/*  --- documents --- */

static int by_segment (const void *a, const void *b)
{
    uint32_t x = ((const written_t *)a)->segment, y = ((const written_t *)b)->segment;
    return x < y ? -1 : x > y;
}

/*  The segments of the job's revision that are committed and not written again by the open batch. */
static int list_committed (content_t *self, const wire_job_t *job, written_t **list, size_t *count, size_t *room,
                           err_t *err)
{
    str_t prefix = STR_INIT;
    content_key_revision (&prefix, job->user, job->document, job->revision);
    kv_iter_t *it = kv_iterate (self->kv, CONTENT_SEGMENTS);
    int rc = 0;
    size_t pending = *count;
    for (it->ops->seek (it, str_span (&prefix)); it->ops->valid (it); it->ops->step (it, true)) {
        span_t key = it->ops->key (it);
        content_segment_t segment;
        if (key.size != prefix.size + 4 || memcmp (key.data, prefix.data, prefix.size) != 0)
            break;
        if ((rc = content_decode (&content_segment_shape, it->ops->value (it), &segment, err)) < 0)
            break;
        written_t item = { job->document,      job->revision, 0, (uint32_t)chunk_span_count (segment.spans),
                           segment.embeddings, segment.row };
        for (int i = 0; i < 4; i++)
            item.segment = item.segment << 8 | (unsigned char)key.data[prefix.size + i];
        size_t i = 0;
        while (i < pending && (*list)[i].segment != item.segment)
            i++;
        if (i < pending)
            continue;
        *list = content_grow (*list, *count, room, sizeof **list);
        (*list)[(*count)++] = item;
    }
    if (rc == 0)
        rc = it->ops->check (it, err);
    kv_iter_destroy (&it);
    str_free (&prefix);
    return rc;
}

/*  All segments of the job's revision, in order. Caller frees. */
static int list_segments (content_t *self, const wire_job_t *job, written_t **list, size_t *count, err_t *err)
{
    size_t room = 0;
    *list = NULL;
    *count = 0;
    for (size_t i = 0; i < self->written_count; i++) {
        const written_t *written = &self->written[i];
        if (!uuid_eq (written->document, job->document) || written->revision != job->revision)
            continue;
        *list = content_grow (*list, *count, &room, sizeof **list);
        (*list)[(*count)++] = *written;
    }
    bool is_whole = job->segments && *count == job->segments;
    if (!is_whole && list_committed (self, job, list, count, &room, err) < 0)
        return -1;
    if (*count)
        qsort (*list, *count, sizeof **list, by_segment);
    return 0;
}

static void note_vectors (content_t *self, const wire_job_t *job, span_t parts)
{
    self->vector_changes = content_grow (self->vector_changes, self->vector_change_count, &self->vector_change_room,
                                         sizeof *self->vector_changes);
    vector_change_t *change = &self->vector_changes[self->vector_change_count++];
    *change = (vector_change_t){ job->user, job->document, job->revision, STR_INIT };
    str_add (&change->parts, parts);
}

static void put_document (content_t *self, const wire_job_t *job, const content_document_t *document)
{
    record_key (&self->key, job->user, job->document);
    content_put (self->kv, CONTENT_DOCUMENTS, str_span (&self->key), &content_document_shape, document);
}

static void put_switch (content_t *self, const wire_job_t *job, uint64_t old_revision,
                        const content_document_t *document)
{
    self->switches = content_grow (self->switches, self->switch_count, &self->switch_room, sizeof *self->switches);
    switch_t *change = &self->switches[self->switch_count++];
    *change = (switch_t){ job->user, job->document, old_revision, STR_INIT };
    codec_encode (&content_document_shape, document, &change->record);
}

static int commit (content_t *self, content_change_t *change, const content_document_t *old, err_t *err)
{
    const wire_job_t *job = change->job;
    str_t parts = STR_INIT;
    written_t *list = NULL;
    size_t count = 0;
    int rc = -1;
    content_document_t document = { .revision = job->revision,
                                    .dropped_through = old->dropped_through,
                                    .filename = job->filename,
                                    .media_type = job->media_type };
    if (list_segments (self, job, &list, &count, err) < 0)
        goto out;
    for (size_t i = 0; i < count && (!job->segments || list[i].segment < job->segments); i++) {
        part_add (&parts, (part_t){ list[i].segment, document.chunks, list[i].chunks, list[i].row });
        document.chunks += list[i].chunks;
        document.embeddings += list[i].embeddings;
    }
    document.parts = str_span (&parts);
    note_vectors (self, job, document.parts);
    if (old->revision)
        put_switch (self, job, old->revision, &document);
    else
        put_document (self, job, &document);
    change->chunks = document.chunks;
    change->embeddings = document.embeddings;
    rc = 0;
out:
    free (list);
    str_free (&parts);
    return rc;
}

static int drop_document (content_t *self, const wire_job_t *job, const content_document_t *old)
{
    content_document_t document = { .dropped_through = job->revision ? job->revision : UINT64_MAX };
    if (document.dropped_through < old->revision)
        document.dropped_through = old->revision;
    if (document.dropped_through < old->dropped_through)
        document.dropped_through = old->dropped_through;
    put_document (self, job, &document);
    content_garbage_add (self, job->user, job->document, document.dropped_through, true);
    return 0;
}

/*  The visible revision goes: it is one of a task that did not complete, and there was none before it. */
static void drop_visible (content_t *self, const wire_job_t *job, const content_document_t *old)
{
    content_document_t document = { .dropped_through =
                                        job->revision > old->dropped_through ? job->revision : old->dropped_through };
    put_document (self, job, &document);
    content_garbage_add (self, job->user, job->document, job->revision, false);
}

/*  What the visible revision holds, for a job that came again after its commit. */
static void answer_again (content_change_t *change, const content_document_t *document)
{
    const wire_job_t *job = change->job;
    change->chunks = document->chunks;
    change->embeddings = document->embeddings;
    if (job->action == JOB_SEGMENT && !job->final) {
        long at = part_find (document->parts, job->segment);
        change->chunks = change->embeddings = at < 0 ? 0 : part_at (document->parts, (size_t)at).chunks;
    }
}

/*  The open batch switches this document: what comes next about it has to see that. */
static bool is_switching (const content_t *self, uuid_t document)
{
    for (size_t i = 0; i < self->switch_count; i++)
        if (uuid_eq (self->switches[i].document, document))
            return true;
    return false;
}

static int apply (content_t *self, content_change_t *change, str_t *bytes, err_t *err)
{
    const wire_job_t *job = change->job;
    content_document_t old = { 0 };
    if (job->user.size == 0 || job->user.size > 255)
        return err_set (err, ERR_INVALID_VALUE, "a user id has 1 to 255 bytes, not %zu", job->user.size);
    if (is_switching (self, job->document) && content_flush (self, true, err) < 0)
        return -1;
    record_key (&self->key, job->user, job->document);
    if (content_get (self->kv, CONTENT_DOCUMENTS, str_span (&self->key), &content_document_shape, &old, bytes, err) <
        0) {
        if (job->action != JOB_DROP_DOCUMENT || (err && err->code != ERR_CORRUPT))
            return -1;
        old = (content_document_t){ .dropped_through = UINT64_MAX }; /* deleting it is the way out of its damage */
    }
    bool is_late = job->revision <= old.dropped_through || job->revision < old.revision;
    bool is_visible = job->revision == old.revision;
    switch ((job_action_t)job->action) {
    case JOB_SEGMENT:
    case JOB_COMMIT:
        if (is_late)
            return 0;
        if (is_visible) {
            answer_again (change, &old);
            return 0;
        }
        if (job->action == JOB_SEGMENT && write_segment (self, change, err) < 0)
            return -1;
        return job->action == JOB_COMMIT || job->final ? commit (self, change, &old, err) : 0;
    case JOB_DROP_REVISION:
        if (is_visible && job->revision && job->final)
            drop_visible (self, job, &old);
        else if (!is_visible && job->revision)
            content_garbage_add (self, job->user, job->document, job->revision, false);
        return 0;
    case JOB_DROP_DOCUMENT:
        return drop_document (self, job, &old);
    }
    return err_set (err, ERR_PROTOCOL, "there is no storage action %u", job->action);
}

int content_apply (content_t *self, content_change_t *changes, size_t count, err_t *err)
{
    str_t bytes = STR_INIT;
    if (FAILPOINT_ERROR (STORAGE_APPLY, err) == -1)
        return -1;
    for (size_t i = 0; i < count; i++) {
        content_change_t *change = &changes[i];
        change->chunks = change->embeddings = 0;
        change->rc = apply (self, change, &bytes, &change->err);
    }
    int rc = content_flush (self, true, err);
    str_free (&bytes);
    return rc;
}
