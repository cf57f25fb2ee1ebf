/*  json.c: tasks, documents, results and queues as API.md shows them. */
#include "base/hash.h"
#include "broker/core/state.h"

static void key_uuid (str_t *out, const char *name, uuid_t id)
{
    char text[UUID_TEXT];
    if (uuid_is_null (id)) {
        str_key_raw (out, name, SPAN_EMPTY);
        return;
    }
    uuid_text (id, text);
    str_key_str (out, name, span (text, UUID_TEXT - 1));
}

span_t json_or_null (span_t text)
{
    return text.size ? text : SPAN_EMPTY;
}

void json_task_open (str_t *out, uuid_t id, span_t user, const record_task_t *view, uint64_t queue_position)
{
    task_status_t status = (task_status_t)view->status;
    bool begun = view->started_at != 0;
    str_char (out, '{');
    key_uuid (out, "id", id);
    key_uuid (out, "document_id", view->document);
    str_key_str (out, "user_id", user);
    str_key_str (out, "status", span_str (task_status_name (status)));
    str_key_str (out, "stage", begun ? span_str (stage_name ((stage_t)view->stage)) : SPAN_EMPTY);
    str_key_u64 (out, "priority", view->priority);
    str_key_u64 (out, "progress", view->progress);
    str_key_str (out, "error_message", json_or_null (view->error_message));
    str_key_str (out, "error_code", json_or_null (view->error_code));
    key_uuid (out, "result_document_id", status == TASK_COMPLETED ? view->document : (uuid_t){ { 0 } });
    str_key_u64 (out, "attempts", view->attempts);
    str_key (out, "queue_position");
    if (queue_position)
        str_u64 (out, queue_position);
    else
        str_text (out, "null");
    str_key (out, "segments");
    str_char (out, '{');
    str_key_u64 (out, "total", view->segments);
    str_key_u64 (out, "done", view->segments_done);
    str_key_u64 (out, "failed", view->segments_failed);
    str_char (out, '}');
    str_key_time (out, "created_at", view->created_at);
    str_key_time (out, "updated_at", view->updated_at);
    str_key_time (out, "started_at", view->started_at);
    str_key_time (out, "completed_at", view->completed_at);
}

void json_task (str_t *out, uuid_t id, span_t user, const record_task_t *view, uint64_t queue_position)
{
    json_task_open (out, id, user, view, queue_position);
    str_char (out, '}');
}

void json_task_live (const core_t *self, str_t *out, const task_t *task)
{
    record_task_t view;
    task_view (self, task, &view);
    uint64_t position = 0;
    if (task->status == TASK_PENDING && task->extract.where == AT_READY)
        position = unit_position (&task->extract) + 1u;
    json_task (out, task->id, task->user->name, &view, position);
}

/*  A document's status is that of its newest task; `stored` while it has none. */
static const char *document_status (core_t *self, user_t *user, const record_document_t *document)
{
    if (uuid_is_null (document->task))
        return "stored";
    task_t *task = task_find (self, user, document->task);
    if (task)
        return task_status_name ((task_status_t)task->status);
    record_task_t record;
    str_t key = STR_INIT, bytes = STR_INIT;
    record_key (&key, user->name, document->task);
    const char *status = "stored"; /* its task was removed */
    if (record_get (self->kv, FAMILY_TASKS, str_span (&key), &record_task_shape, &record, &bytes, NULL) == 1)
        status = task_status_name ((task_status_t)record.status);
    str_free (&key);
    str_free (&bytes);
    return status;
}

void json_document (core_t *self, str_t *out, user_t *user, uuid_t id, const record_document_t *document)
{
    char hash[2 * HASH_SIZE + 1] = "";
    if (document->hash.size == HASH_SIZE) {
        hash_t copy;
        memcpy (copy.bytes, document->hash.data, HASH_SIZE);
        hash_text (copy, hash);
    }
    str_char (out, '{');
    key_uuid (out, "id", id);
    str_key_str (out, "user_id", user->name);
    str_key_str (out, "filename", document->filename.size ? document->filename : SPAN_LIT (""));
    str_key_str (out, "media_type", json_or_null (document->media_type));
    str_key_u64 (out, "size_bytes", document->bytes);
    str_key_str (out, "content_hash", span_str (hash));
    str_key_str (out, "status", span_str (document_status (self, user, document)));
    key_uuid (out, "task_id", document->task);
    str_key_u64 (out, "chunks", document->chunks);
    str_key_raw (out, "metadata", document->metadata);
    str_key_time (out, "created_at", document->created_at);
    str_key_time (out, "updated_at", document->updated_at);
    str_key_time (out, "processed_at", document->processed_at);
    str_char (out, '}');
}

void json_result (str_t *out, uuid_t id, const record_task_t *view)
{
    str_char (out, '{');
    key_uuid (out, "task_id", id);
    key_uuid (out, "document_id", view->document);
    str_key_u64 (out, "chunks_created", view->chunks);
    str_key_u64 (out, "embeddings_generated", view->embeddings);
    str_key (out, "processing_time_seconds");
    str_format (out, "%llu.%03llu", (unsigned long long)view->processing_ms / 1000,
                (unsigned long long)view->processing_ms % 1000);
    const char *status = view->status != TASK_COMPLETED ? "failed" : view->partial ? "partial_success" : "success";
    str_key_str (out, "status", span_str (status));
    str_key_str (out, "error_message", json_or_null (view->error_message));
    str_key (out, "warnings");
    str_char (out, '[');
    str_add (out, view->warnings);
    str_text (out, "]}");
}

void json_queue (core_t *self, str_t *out, const user_t *user)
{
    user_t sum;
    if (!user) {
        metrics_sum (self, &sum);
        user = &sum;
    }
    const record_user_t *r = &user->record;
    uint64_t workers[STAGE_COUNT] = { 0 };
    for (core_worker_t *worker = self->workers; worker; worker = worker->next)
        workers[worker->stage]++;
    str_char (out, '{');
    str_key_u64 (out, "total_tasks", user->pending + user->processing + r->completed + r->failed + r->cancelled);
    str_key_u64 (out, "pending_tasks", user->pending);
    str_key_u64 (out, "processing_tasks", user->processing);
    str_key_u64 (out, "completed_tasks", r->completed);
    str_key_u64 (out, "failed_tasks", r->failed);
    str_key_u64 (out, "cancelled_tasks", r->cancelled);
    str_key (out, "average_processing_time");
    str_format (out, "%.3f", r->completed ? (double)r->processing_ms / 1000.0 / (double)r->completed : 0.0);
    str_key (out, "stages");
    str_char (out, '{');
    for (int i = 0; i < STAGE_COUNT; i++) {
        str_key (out, stage_name ((stage_t)i));
        str_char (out, '{');
        str_key_u64 (out, "ready", user->ready[i]);
        str_key_u64 (out, "running", user->running[i]);
        str_key_u64 (out, "workers", workers[i]);
        str_key (out, "done_per_second");
        str_format (out, "%.2f", user->done_per_second[i]);
        str_char (out, '}');
    }
    str_text (out, "}}");
}
