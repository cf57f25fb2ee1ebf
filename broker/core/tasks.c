/*  tasks.c: the lives of tasks, as lifecycle.h draws them, and what each step writes. */
#include "base/log.h"
#include "broker/core/state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static void key_id (core_t *self, const task_t *task)
{
    record_key (&self->key, task->user->name, task->id);
}

static void move_status (task_t *task, task_event_t event)
{
    task_status_t next;
    bool allowed = lifecycle_step ((task_status_t)task->status, event, &next);
    assert (allowed); /* callers have asked before */
    (void)allowed;
    user_t *user = task->user;
    if (task->status == TASK_PENDING)
        user->pending--;
    else if (task->status == TASK_PROCESSING)
        user->processing--;
    task->status = (uint8_t)next;
    if (next == TASK_PENDING)
        user->pending++;
    else if (next == TASK_PROCESSING)
        user->processing++;
    user->queue_changed = true;
}

task_t *task_find (core_t *self, const user_t *user, uuid_t id)
{
    task_t *task = map_get (&self->tasks, id);
    return task && task->user == user ? task : NULL;
}

void task_view (const core_t *self, const task_t *task, record_task_t *view)
{
    (void)self;
    const run_t *run = task->run;
    *view = (record_task_t){ .document = task->document,
                             .status = task->status,
                             .stage = task->stage,
                             .priority = task->priority,
                             .progress = task->progress,
                             .attempts = task->attempts,
                             .created_at = task->created_at,
                             .updated_at = task->updated_at,
                             .started_at = task->started_at,
                             .revision = task->revision };
    if (run) {
        view->segments = run->next + run->bad_parts;
        view->segments_done = run->stored;
        view->segments_failed = run->failed;
    }
}

void task_save (core_t *self, task_t *task)
{
    record_live_t live = { .document = task->document,
                           .priority = task->priority,
                           .front = task->front,
                           .progress = task->progress,
                           .stage = task->stage,
                           .attempts = task->attempts,
                           .order = task->order,
                           .created_at = task->created_at,
                           .updated_at = task->updated_at,
                           .started_at = task->started_at,
                           .revision = task->revision,
                           .history = task->history,
                           .committing = task->committing,
                           .last_seq = task->last_seq,
                           .last_event = task->last_event };
    key_id (self, task);
    record_put (self->kv, FAMILY_LIVE, str_span (&self->key), &record_live_shape, &live);
}

void task_committing (core_t *self, task_t *task)
{
    if (task->committing || BUG (LATE_CANCEL))
        return;
    task->committing = true;
    task_save (self, task);
}

static task_t *task_new (core_t *self, user_t *user, uuid_t id)
{
    task_t *task = calloc (1, sizeof *task);
    if (!task)
        abort ();
    unit_init (&task->extract, UNIT_EXTRACT, STAGE_EXTRACT);
    task->id = id;
    task->user = user;
    map_put (&self->tasks, task);
    return task;
}

void task_free (core_t *self, task_t *task)
{
    if (task->run)
        run_free (self, task->run);
    unit_leave (self, &task->extract);
    free (task);
}

/*  Out of memory and out of the live family; its `task` record says how it ended. */
static void task_leave (core_t *self, task_t *task)
{
    key_id (self, task);
    kv_delete (self->kv, FAMILY_LIVE, str_span (&self->key));
    if ((task->run ? task->run->checkpointed : task->started_at != 0) &&
        !BUG (OLD_CHECKPOINT)) /* without a run: of before a restart */
        kv_delete (self->kv, FAMILY_WORK, str_span (&self->key));
    map_remove (&self->tasks, task->id);
    task_free (self, task);
}

/*  A task whose content is known to end its parser fails before it begins. */
static void refuse_poison (core_t *self, task_t *task, span_t hash)
{
    err_t err;
    if (poison_known (self, task->user, hash, 0, &err))
        task_fail (self, task, span_str (err_name (err.code)), span_str (err.message));
}

void task_create (core_t *self, user_t *user, uuid_t id, record_document_t *document, uuid_t document_id,
                  uint8_t priority, span_t options, bool force)
{
    record_task_t record = { .document = document_id,
                             .status = TASK_PENDING,
                             .priority = priority,
                             .created_at = self->wall,
                             .updated_at = self->wall,
                             .revision = ++document->revisions,
                             .options = options };
    record_key (&self->key, user->name, id);
    record_put (self->kv, FAMILY_TASKS, str_span (&self->key), &record_task_shape, &record);
    if (uuid_is_null (document->first_task))
        document->first_task = id;
    else {
        record_key_pair (&self->key, user->name, document_id, id);
        kv_put (self->kv, FAMILY_DOCUMENT_TASKS, str_span (&self->key), SPAN_EMPTY);
    }
    document->task = id;
    document->updated_at = self->wall;

    if (self->fresh_count == self->fresh_room) {
        self->fresh_room = self->fresh_room ? self->fresh_room * 2 : 256;
        self->fresh = realloc (self->fresh, self->fresh_room * sizeof *self->fresh);
        if (!self->fresh)
            abort ();
    }
    self->fresh[self->fresh_count++] = id;
    task_t *task = task_new (self, user, id);
    task->document = document_id;
    task->order = self->next_order++;
    task->created_at = task->updated_at = self->wall;
    task->revision = record.revision;
    task->priority = priority;
    task->status = TASK_PENDING;
    user->pending++;
    unit_ready (self, &task->extract);
    events_task (self, task, FEED_CREATED);
    task_save (self, task);
    self->sync = true;
    if (!force)
        refuse_poison (self, task, document->hash);
}

/*  --- changes while it lives --- */

static void rerank (core_t *self, task_t *task)
{
    unit_rerank (self, &task->extract);
    run_t *run = task->run;
    if (!run)
        return;
    unit_rerank (self, &run->commit);
    for (uint32_t i = 0; i < run->next - run->first; i++)
        unit_rerank (self, &run->segments[i]->unit);
}

/*  A change of the key takes units out of the queues under the old one first: both steps are in unit_rerank, so the
 *  change itself happens between them. */
static void requeue (core_t *self, task_t *task, uint64_t order, bool front, uint8_t priority)
{
    /* ready_remove finds a node by its own stored key, so changing the task's fields first is safe. */
    task->order = order;
    task->front = front;
    task->priority = priority;
    if (task->status != TASK_PENDING || !poison_awaits (self, task)) /* or it would seem to have come after that */
        task->updated_at = self->wall;
    rerank (self, task);
    events_task (self, task, FEED_PROGRESS);
    task_save (self, task);
    self->sync = true;
}

void task_set_priority (core_t *self, task_t *task, uint8_t priority)
{
    requeue (self, task, task->order, task->front, priority);
}

void task_to_front (core_t *self, task_t *task)
{
    requeue (self, task, --self->front_order, true, task->priority);
}

void task_watch (core_t *self, task_t *task, bool on)
{
    task->watched = on;
    rerank (self, task);
}

static int load_resume (core_t *self, run_t *run, err_t *err)
{
    record_resume_t resume;
    str_t bytes = STR_INIT;
    key_id (self, run->task);
    int found = record_get (self->kv, FAMILY_WORK, str_span (&self->key), &record_resume_shape, &resume, &bytes, err);
    run->checkpointed = found == 1;
    if (found == 1 && (resume.revision == run->task->revision || BUG (OLD_CHECKPOINT)))
        run_load (self, run, &resume);
    str_free (&bytes);
    return found == -1 ? -1 : 0;
}

int task_start (core_t *self, task_t *task, err_t *err)
{
    bool again = task->status == TASK_PROCESSING;
    task->run = run_new (self, task);
    task->run->resumed = again;
    task->run->touched_storage = again || task->inherited; /* what it wrote before the crash is still there */
    if (again && load_resume (self, task->run, err) == -1)
        return -1;
    record_task_t record;
    key_id (self, task);
    int found =
        record_get (self->kv, FAMILY_TASKS, str_span (&self->key), &record_task_shape, &record, &self->value, err);
    if (found != 1)
        return found == 0 ? err_set (err, ERR_CORRUPT, "the record of the task is missing") : -1;
    str_add (&task->run->options, record.options);
    move_status (task, TASK_ON_START);
    task->updated_at = self->wall;
    if (!again)
        task->started_at = self->wall;
    if (!again || !task->history) /* of a history nothing of which was written yet, a crash took also the first line */
        events_note (self, task, &(note_t){ .event = "started", .at = task->started_at });
    if (!again) {
        if (task->history) /* there are lines of before, which would look as if nothing had been lost */
            events_flush (self, task);
        events_task (self, task, FEED_STARTED);
        task_save (self, task);
    }
    return 0;
}

/*  --- the end --- */

static void commit_document (core_t *self, task_t *task, const record_task_t *end)
{
    record_document_t document;
    str_t bytes = STR_INIT;
    err_t err;
    record_key (&self->key, task->user->name, task->document);
    int found =
        record_get (self->kv, FAMILY_DOCUMENTS, str_span (&self->key), &record_document_shape, &document, &bytes, &err);
    if (found == 1 && document.revision < task->revision) {
        document.revision = task->revision;
        document.processed_at = self->wall;
        document.updated_at = self->wall;
        document.chunks = end->chunks;
        if (task->run->media_type.size)
            document.media_type = str_span (&task->run->media_type);
        document.metadata = str_span (&task->run->metadata);
        record_put (self->kv, FAMILY_DOCUMENTS, str_span (&self->key), &record_document_shape, &document);
        poison_forget (self, task->user, document.hash);
    } else if (found == -1)
        log_write (LOG_ERROR, "record_unreadable", NULL, "%s", err.message);
    str_free (&bytes);
}

/*  Counts a task that ended, or (step -1) that is no longer among those. */
static void count_ended (user_t *user, const record_task_t *end, int step)
{
    uint64_t *counter = end->status == TASK_COMPLETED ? &user->record.completed
                        : end->status == TASK_FAILED  ? &user->record.failed
                                                      : &user->record.cancelled;
    *counter += (uint64_t)step + (BUG (MISCOUNT) && step > 0 && end->status == TASK_COMPLETED);
    if (end->status == TASK_COMPLETED)
        user->record.processing_ms += (uint64_t)step * end->processing_ms;
}

/*  `removed`: it goes altogether, and leaves no history. */
static void task_end (core_t *self, task_t *task, task_event_t event, span_t code, span_t message, bool removed)
{
    run_t *run = task->run;
    record_task_t end, before;
    task_view (self, task, &end);
    move_status (task, event);
    end.status = task->status;
    end.stage = task->stage;
    end.error_code = code;
    end.error_message = message;
    end.updated_at = end.completed_at = self->wall;
    str_t bytes = STR_INIT;
    key_id (self, task);
    if (run)
        end.options = str_span (&run->options);
    else if (record_get (self->kv, FAMILY_TASKS, str_span (&self->key), &record_task_shape, &before, &bytes, NULL) == 1)
        end.options = before.options;
    end.has_result = task->status != TASK_CANCELLED;
    if (task->started_at)
        end.processing_ms = self->wall > task->started_at ? self->wall - task->started_at : 0;
    if (run) {
        end.warnings = str_span (&run->warnings);
        end.partial = task->status == TASK_COMPLETED && run->failed > 0;
    }
    if (task->status == TASK_COMPLETED) {
        end.progress = 100;
        end.chunks = run->chunks;
        end.embeddings = run->embeddings;
        commit_document (self, task, &end);
    }
    key_id (self, task);
    record_put (self->kv, FAMILY_TASKS, str_span (&self->key), &record_task_shape, &end);
    record_key_ended (&self->key, task->user->name, task->status, task->id);
    kv_put (self->kv, FAMILY_ENDED, str_span (&self->key), SPAN_EMPTY);
    count_ended (task->user, &end, +1);
    core_user_dirty (self, task->user);
    if (task->status == TASK_FAILED)
        faults_put (self, task, code, message);

    const char *event_name = task_status_name ((task_status_t)task->status);
    if (!removed) {
        events_note (self, task, &(note_t){ .event = event_name, .code = code, .message = message });
        events_flush (self, task);
    }
    feed_event_t feed = task->status == TASK_COMPLETED ? FEED_COMPLETED
                        : task->status == TASK_FAILED  ? FEED_FAILED
                                                       : FEED_CANCELLED;
    events_publish (self, task->user, feed, task->id, &end);
    bool remains = run ? run->touched_storage : task->started_at != 0 || task->inherited;
    if (remains && task->status != TASK_COMPLETED && !BUG (REMAINS))
        purge_create (self, task->user, task->document, task->revision);
    self->sync = true;
    self->removals_met = self->removals_met || task->removing;
    str_free (&bytes);
    task_leave (self, task);
}

void task_complete (core_t *self, task_t *task)
{
    task_end (self, task, TASK_ON_COMPLETE, SPAN_EMPTY, SPAN_EMPTY, false);
}

void task_fail (core_t *self, task_t *task, span_t code, span_t message)
{
    /* The texts may lie in the run, which ends here. */
    str_t code_copy = STR_INIT, message_copy = STR_INIT;
    str_add (&code_copy, code);
    str_add (&message_copy, message);
    task_end (self, task, TASK_ON_FAIL, str_span (&code_copy), str_span (&message_copy), false);
    str_free (&code_copy);
    str_free (&message_copy);
}

void task_remove_ended (core_t *self, user_t *user, uuid_t id, const record_task_t *record)
{
    count_ended (user, record, -1);
    core_user_dirty (self, user);
    if (record->status == TASK_FAILED)
        faults_drop (self, user, id);
    events_publish (self, user, FEED_DELETED, id, record);
    record_key_ended (&self->key, user->name, record->status, id);
    kv_delete (self->kv, FAMILY_ENDED, str_span (&self->key));
    record_key_pair (&self->key, user->name, record->document, id);
    kv_delete (self->kv, FAMILY_DOCUMENT_TASKS, str_span (&self->key));
    record_key (&self->key, user->name, id);
    kv_delete (self->kv, FAMILY_TASKS, str_span (&self->key));
    record_key (&self->key, user->name, id);
    kv_delete_prefix (self->kv, FAMILY_HISTORY, str_span (&self->key)); /* lines of this very turn, too */
    self->sync = true;
}

void task_cancel (core_t *self, task_t *task, bool remove)
{
    user_t *user = task->user;
    uuid_t id = task->id;
    task_end (self, task, TASK_ON_CANCEL, span_str (err_name (ERR_CANCELLED)),
              SPAN_LIT ("It was cancelled on request."), remove);
    if (!remove)
        return;
    record_task_t record;
    str_t bytes = STR_INIT;
    record_key (&self->key, user->name, id);
    if (record_get (self->kv, FAMILY_TASKS, str_span (&self->key), &record_task_shape, &record, &bytes, NULL) == 1)
        task_remove_ended (self, user, id, &record);
    str_free (&bytes);
}

int task_replay (core_t *self, user_t *user, uuid_t id, bool force, err_t *err)
{
    record_task_t record;
    record_document_t document;
    str_t task_bytes = STR_INIT, document_bytes = STR_INIT;
    int rc = -1;
    task_status_t next;
    record_key (&self->key, user->name, id);
    int found =
        record_get (self->kv, FAMILY_TASKS, str_span (&self->key), &record_task_shape, &record, &task_bytes, err);
    if (found == 1 && !lifecycle_step ((task_status_t)record.status, TASK_ON_REPLAY, &next)) {
        err_set (err, ERR_CONFLICT, "the task is %s", task_status_name ((task_status_t)record.status));
        goto out;
    }
    if (found == 1) {
        record_key (&self->key, user->name, record.document);
        found = record_get (self->kv, FAMILY_DOCUMENTS, str_span (&self->key), &record_document_shape, &document,
                            &document_bytes, err);
    }
    if (found == 0)
        err_set (err, ERR_NOT_FOUND, "there is no such task, or its document is gone");
    if (found != 1 || (!force && poison_known (self, user, document.hash, 0, err)))
        goto out;
    count_ended (user, &record, -1);
    core_user_dirty (self, user);
    if (record.status == TASK_FAILED)
        faults_drop (self, user, id);
    record_key_ended (&self->key, user->name, record.status, id);
    kv_delete (self->kv, FAMILY_ENDED, str_span (&self->key));

    task_t *task = task_new (self, user, id);
    task->document = record.document;
    task->order = self->next_order++;
    task->created_at = record.created_at;
    task->updated_at = self->wall;
    task->revision = ++document.revisions;
    task->priority = record.priority;
    task->attempts = record.attempts;
    task->status = TASK_PENDING;
    user->pending++;
    document.updated_at = self->wall;
    record_key (&self->key, user->name, record.document);
    record_put (self->kv, FAMILY_DOCUMENTS, str_span (&self->key), &record_document_shape, &document);
    record_task_t again = { .document = record.document,
                            .status = TASK_PENDING,
                            .priority = record.priority,
                            .attempts = record.attempts,
                            .created_at = record.created_at,
                            .updated_at = self->wall,
                            .revision = task->revision,
                            .options = record.options };
    record_key (&self->key, user->name, id);
    record_put (self->kv, FAMILY_TASKS, str_span (&self->key), &record_task_shape, &again);
    unit_ready (self, &task->extract);
    events_note (self, task, &(note_t){ .event = "replayed" });
    events_task (self, task, FEED_RETRYING);
    task_save (self, task);
    self->sync = true;
    rc = 0;
out:
    str_free (&task_bytes);
    str_free (&document_bytes);
    return rc;
}

/*  --- start-up --- */

static int load_one (core_t *self, span_t key, span_t value, err_t *err)
{
    record_live_t live;
    span_t name, rest;
    if (codec_decode (&record_live_shape, value, &live, err) == -1)
        return -1;
    if (record_key_parse (key, &name, &rest) == -1 || rest.size != UUID_SIZE)
        return err_set (err, ERR_CORRUPT, "a key of the live family is damaged");
    user_t *user = core_user (self, name);
    task_t *task = task_new (self, user, record_key_id (rest));
    task->document = live.document;
    task->order = live.order;
    task->front = live.front;
    task->created_at = live.created_at;
    task->updated_at = live.updated_at;
    task->started_at = live.started_at;
    task->revision = live.revision;
    task->attempts = live.attempts;
    task->history = live.history;
    task->committing = live.committing;
    task->inherited = true;
    task->priority = live.priority;
    task->progress = live.progress;
    task->stage = live.stage;
    task->status = live.started_at ? TASK_PROCESSING : TASK_PENDING;
    task->last_event = live.last_event;
    task->last_seq = live.last_seq;
    if (task->status == TASK_PENDING)
        user->pending++;
    else
        user->processing++;
    if (task->front) {
        if (task->order < self->front_order)
            self->front_order = task->order;
    } else if (task->order >= self->next_order)
        self->next_order = task->order + 1;
    unit_ready (self, &task->extract);
    return 0;
}

int task_load_all (core_t *self, err_t *err)
{
    kv_iter_t *iter = kv_iterate (self->kv, FAMILY_LIVE);
    int rc = 0;
    for (iter->ops->seek (iter, SPAN_EMPTY); rc == 0 && iter->ops->valid (iter); iter->ops->step (iter, true))
        rc = load_one (self, iter->ops->key (iter), iter->ops->value (iter), err);
    if (rc == 0)
        rc = iter->ops->check (iter, err);
    kv_iter_destroy (&iter);
    return rc;
}
