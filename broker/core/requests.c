/*  requests.c: what gateways ask about single tasks and about the whole. Documents are in documents.c, the quarantine
 * in quarantine.c, range questions in listing.c.
 */
#include "broker/core/asking.h"

#include <stdlib.h>

#define REMOVALS_MAX 1000u /* deletions that wait for the end of their task */

static void location_of (str_t *out, uuid_t task)
{
    char text[UUID_TEXT];
    uuid_text (task, text);
    str_text (out, "/api/v1/document-processing/tasks/");
    str_text (out, text);
}

static void on_task_create (core_t *self, const asker_t *asker, const frames_t *in)
{
    const wire_task_create_t *msg = &in->msg.task_create;
    record_document_t document;
    str_t bytes = STR_INIT, body = STR_INIT, location = STR_INIT;
    err_t err;
    if (ask_answered_before (self, asker))
        return;
    if (ask_check_new_task (self, asker->user, msg->priority, &err) == -1 ||
        ask_document (self, asker->user, msg->document, &document, &bytes, &err) == -1) {
        ask_refuse (self, asker, &err);
        goto out;
    }
    task_create (self, asker->user, msg->task, &document, msg->document,
                 msg->priority ? msg->priority : DEFAULT_PRIORITY, msg->options, msg->force);
    ask_put_document (self, asker->user, msg->document, &document);
    if (ask_show_task (self, asker->user, msg->task, &body, &err) == -1) {
        ask_refuse (self, asker, &err);
        goto out;
    }
    location_of (&location, msg->task);
    ask_answer (self, asker, 202, str_span (&location), &body);
out:
    str_free (&bytes);
    str_free (&body);
    str_free (&location);
}

static void on_task_get (core_t *self, const asker_t *asker, const frames_t *in)
{
    str_t body = STR_INIT;
    err_t err;
    if (ask_show_task (self, asker->user, in->msg.task_get.task, &body, &err) == -1)
        ask_refuse (self, asker, &err);
    else
        ask_answer (self, asker, 200, SPAN_EMPTY, &body);
}

/*  The task if it lives; else the reason as an answer: not found, or a conflict with its end. */
static task_t *living (core_t *self, const asker_t *asker, uuid_t id, const char *doing)
{
    task_t *task = task_find (self, asker->user, id);
    if (task)
        return task;
    record_task_t record;
    str_t bytes = STR_INIT;
    err_t err;
    if (ask_task (self, asker->user, id, &record, &bytes, &err) == 0)
        err_set (&err, ERR_CONFLICT, "the task is %s and cannot be %s", task_status_name ((task_status_t)record.status),
                 doing);
    ask_refuse (self, asker, &err);
    str_free (&bytes);
    return NULL;
}

static void on_task_update (core_t *self, const asker_t *asker, const frames_t *in)
{
    const wire_task_update_t *msg = &in->msg.task_update;
    err_t err;
    if (msg->priority > 10) {
        err_set (&err, ERR_INVALID_VALUE, "priority is %u, it goes from 1 to 10", msg->priority);
        ask_refuse (self, asker, &err);
        return;
    }
    task_t *task = living (self, asker, msg->task, msg->cancel ? "cancelled" : "changed");
    if (!task)
        return;
    if (msg->cancel && task->committing) {
        err_set (&err, ERR_CONFLICT, "the task is being committed and ends in a moment");
        ask_refuse (self, asker, &err);
        return;
    }
    if (msg->priority)
        task_set_priority (self, task, msg->priority);
    if (msg->cancel)
        task_cancel (self, task, false);
    str_t body = STR_INIT;
    if (ask_show_task (self, asker->user, msg->task, &body, &err) == -1)
        ask_refuse (self, asker, &err);
    else
        ask_answer (self, asker, 200, SPAN_EMPTY, &body);
}

/*  Storage may have committed already, so it is too late to cancel: the deletion waits for the end, which is near. If
 *  the broker ends before that, nobody was promised anything. */
static void wait_for_end (core_t *self, const asker_t *asker, const frames_t *in, task_t *task)
{
    err_t err;
    if (self->removals.count < REMOVALS_MAX) {
        task->removing = true;
        core_question (self, &self->removals, in);
        return;
    }
    err_set (&err, ERR_CONFLICT, "the task is being committed and ends in a moment; then it can be removed");
    ask_refuse (self, asker, &err);
}

/*  What came to wait before the task's end, and what has come since: it may be processed again already. */
void requests_remove_some (core_t *self)
{
    if (!self->removals_due)
        return;
    self->removals_due = false;
    for (size_t i = 0; i < self->removals.count;) {
        const question_t *question = &self->removals.items[i];
        asker_t asker = ask_of (self, &question->in);
        uuid_t id = question->in.msg.task_delete.task;
        task_t *task = task_find (self, asker.user, id);
        record_task_t record;
        str_t bytes = STR_INIT;
        if (task && task->committing) {
            task->removing = true;
            i++;
            continue;
        }
        if (task)
            task_cancel (self, task, true);
        else if (ask_task (self, asker.user, id, &record, &bytes, NULL) == 0)
            task_remove_ended (self, asker.user, id, &record);
        ask_answer (self, &asker, 204, SPAN_EMPTY, NULL); /* whoever removed it: it is gone */
        core_question_done (&self->removals, i);
        str_free (&bytes);
    }
}

static void on_task_delete (core_t *self, const asker_t *asker, const frames_t *in)
{
    uuid_t id = in->msg.task_delete.task;
    record_task_t record;
    str_t bytes = STR_INIT;
    err_t err;
    task_t *task = task_find (self, asker->user, id);
    if (task && task->committing) {
        wait_for_end (self, asker, in, task);
        return;
    }
    if (task)
        task_cancel (self, task, true);
    else if (ask_task (self, asker->user, id, &record, &bytes, &err) == 0)
        task_remove_ended (self, asker->user, id, &record);
    else {
        ask_refuse (self, asker, &err);
        goto out;
    }
    ask_answer (self, asker, 204, SPAN_EMPTY, NULL);
out:
    str_free (&bytes);
}

static void on_task_process (core_t *self, const asker_t *asker, const frames_t *in)
{
    uuid_t id = in->msg.task_process.task;
    str_t body = STR_INIT, location = STR_INIT;
    err_t err;
    if (ask_answered_before (self, asker))
        return;
    task_t *task = task_find (self, asker->user, id);
    task_status_t next;
    if (task && !lifecycle_step ((task_status_t)task->status, TASK_ON_HURRY, &next)) {
        err_set (&err, ERR_CONFLICT, "the task is %s already", task_status_name ((task_status_t)task->status));
        goto fail;
    }
    if (task)
        task_to_front (self, task);
    else if (ask_check_new_task (self, asker->user, DEFAULT_PRIORITY, &err) == -1 ||
             task_replay (self, asker->user, id, in->msg.task_process.force, &err) == -1)
        goto fail;
    if (ask_show_task (self, asker->user, id, &body, &err) == -1)
        goto fail;
    location_of (&location, id);
    ask_answer (self, asker, 202, str_span (&location), &body);
    str_free (&location);
    return;
fail:
    ask_refuse (self, asker, &err);
    str_free (&body);
}

static void on_task_result (core_t *self, const asker_t *asker, const frames_t *in)
{
    uuid_t id = in->msg.task_result.task;
    record_task_t record;
    str_t bytes = STR_INIT, body = STR_INIT;
    err_t err;
    task_t *task = task_find (self, asker->user, id);
    if (task)
        err_set (&err, ERR_CONFLICT, "the task is %s: there is no result yet",
                 task_status_name ((task_status_t)task->status));
    else if (ask_task (self, asker->user, id, &record, &bytes, &err) == 0) {
        if (record.has_result) {
            json_result (&body, id, &record);
            ask_answer (self, asker, 200, SPAN_EMPTY, &body);
            goto out;
        }
        err_set (&err, ERR_CONFLICT, "the task was cancelled: there is no result");
    }
    ask_refuse (self, asker, &err);
out:
    str_free (&bytes);
}

/*  --- the whole --- */

static void on_queue_status (core_t *self, const asker_t *asker, const frames_t *in)
{
    str_t body = STR_INIT;
    json_queue (self, &body, in->msg.queue_status.all ? NULL : asker->user);
    ask_answer (self, asker, 200, SPAN_EMPTY, &body);
}

static void on_health (core_t *self, const asker_t *asker, const frames_t *in)
{
    str_t body = STR_INIT;
    uint64_t workers[STAGE_COUNT] = { 0 };
    for (core_worker_t *worker = self->workers; worker; worker = worker->next)
        workers[worker->stage]++;
    str_char (&body, '{');
    str_key_u64 (&body, "epoch", self->meta.epoch);
    str_key (&body, "workers");
    str_char (&body, '{');
    for (int i = 0; i < STAGE_COUNT; i++)
        str_key_u64 (&body, stage_name ((stage_t)i), workers[i]);
    str_char (&body, '}');
    str_key_raw (&body, "draining", self->refuse == ERR_DRAINING ? SPAN_LIT ("true") : SPAN_LIT ("false"));
    str_key_raw (&body, "disk_full", self->refuse == ERR_DISK_FULL ? SPAN_LIT ("true") : SPAN_LIT ("false"));
    str_key_u64 (&body, "active_tasks", self->active);
    str_key_u64 (&body, "memory_bytes", self->memory_bytes);
    str_key_u64 (&body, "stale_results", self->stale_results);
    str_key_u64 (&body, "lost_jobs", self->lost_jobs);
    str_char (&body, '}');
    ask_answer (self, asker, 200, SPAN_EMPTY, &body);
    (void)in;
}

static void on_metrics (core_t *self, const asker_t *asker, const frames_t *in)
{
    str_t body = STR_INIT;
    metrics_json (self, &body);
    ask_answer (self, asker, 200, SPAN_EMPTY, &body);
    (void)in;
}

static handler_fn *const handlers[WIRE_KIND_COUNT] = {
    [WIRE_KIND_ADMIT] = documents_admit,
    [WIRE_KIND_SUBMIT] = documents_submit,
    [WIRE_KIND_DOCUMENT_GET] = documents_get,
    [WIRE_KIND_DOCUMENT_BLOB] = documents_blob,
    [WIRE_KIND_DOCUMENT_DELETE] = documents_delete,
    [WIRE_KIND_TASK_CREATE] = on_task_create,
    [WIRE_KIND_TASK_GET] = on_task_get,
    [WIRE_KIND_TASK_UPDATE] = on_task_update,
    [WIRE_KIND_TASK_DELETE] = on_task_delete,
    [WIRE_KIND_TASK_PROCESS] = on_task_process,
    [WIRE_KIND_TASK_RESULT] = on_task_result,
    [WIRE_KIND_QUARANTINE_RETRY] = quarantine_retry,
    [WIRE_KIND_QUEUE_STATUS] = on_queue_status,
    [WIRE_KIND_HEALTH] = on_health,
    [WIRE_KIND_METRICS] = on_metrics,
};

int requests_input (core_t *self, const frames_t *in, err_t *err)
{
    const wire_msg_t *msg = &in->msg;
    handler_fn *handler = handlers[msg->kind];
    if (!handler || !in->route)
        return err_set (err, ERR_PROTOCOL, "a broker has no use for %s", wire_shape (msg->kind)->name);
    if (msg->task_get.user.size == 0 || msg->task_get.user.size > 128)
        return err_set (err, ERR_PROTOCOL, "a request with a user name of %zu bytes", msg->task_get.user.size);
    asker_t asker = ask_of (self, in);
    handler (self, &asker, in);
    return 0;
}
