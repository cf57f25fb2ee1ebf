#include "base/clock.h"
#include "base/failpoint.h"
#include "store/content_private.h"
#include "store/records.h"
#include "wire/columns.h"

#include <stdlib.h>

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

index_change_t *content_index_change (content_t *self)
{
    self->index_changes = content_grow (self->index_changes, self->index_change_count, &self->index_change_room,
                                        sizeof *self->index_changes);
    index_change_t *change = &self->index_changes[self->index_change_count++];
    *change = (index_change_t){ 0 };
    return change;
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

/*  A removal leaves the index before the database does, with a note for the next start: if the order were the other,
 * and the process ended in between, nobody would know any more what to remove. */
static int tell_index (content_t *self, bool remove, err_t *err)
{
    size_t told = 0;
    int rc = 0;
    for (size_t i = 0; i < self->index_change_count && rc == 0; i++) {
        const index_change_t *change = &self->index_changes[i];
        if (change->remove != remove)
            continue;
        told++;
        rc = (remove ? index_remove : index_add) (self->index, change->user, change->row, change->text, change->spans,
                                                  err);
    }
    if (rc == 0 && told && remove)
        rc = index_commit_removals (self->index, err);
    else if (rc == 0 && told && (rc = FAILPOINT_ERROR (STORAGE_INDEX_BEFORE, err)) == 0) {
        rc = index_commit (self->index, self->state.next_row, err);
        FAILPOINT (STORAGE_INDEX_AFTER);
    }
    if (rc < 0 && err->code == ERR_CORRUPT)
        index_discard (self->index_path); /* the next start makes it anew */
    return rc;
}

static bool has_removals (const content_t *self)
{
    bool has = false;
    for (size_t i = 0; i < self->index_change_count && !has; i++)
        has = self->index_changes[i].remove;
    return has;
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
    if (!kv_pending (self->kv))
        return 0;
    if (FAILPOINT_ERROR (STORAGE_SWITCH_BEFORE, err) == -1 || kv_commit (self->kv, sync, err) < 0)
        return -1;
    FAILPOINT (STORAGE_SWITCH_AFTER);
    return 0;
}

static int flush (content_t *self, bool sync, err_t *err)
{
    uint64_t start = clock_mono_us ();
    if (has_removals (self)) {
        sync = true; /* or a power cut would bring back what the index forgot for good */
        if (FAILPOINT_ERROR (STORAGE_REMOVALS_BEFORE, err) == -1 || tell_index (self, true, err) < 0)
            return -1;
        FAILPOINT (STORAGE_REMOVALS_AFTER);
    }
    uint64_t removed = clock_mono_us ();
    if (self->state_changed)
        content_put (self->kv, CONTENT_META, span_str ("state"), &content_state_shape, &self->state);
    self->state_changed = false;
    if (kv_pending (self->kv)) {
        if (FAILPOINT_ERROR (STORAGE_COMMIT_BEFORE, err) == -1 || kv_commit (self->kv, sync, err) < 0)
            return -1;
        FAILPOINT (STORAGE_COMMIT_AFTER);
    }
    uint64_t stored = clock_mono_us ();
    if (tell_index (self, false, err) < 0)
        return -1;
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
    self->stats.database_us += stored - removed + clock_mono_us () - told;
    self->stats.index_us += removed - start + indexed - stored;
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
