#include "broker/core/asking.h"
#include "base/log.h"
#include "broker/core/limits.h"

#include <stdlib.h>

#define IDEMPOTENCY_MS (24u * 3600u * 1000u)
#define EXPIRE_SCAN    1000

/*  All requests start with the same two fields; some have a key against doing things twice. */
asker_t ask_of (core_t *self, const frames_t *in)
{
    const wire_msg_t *msg = &in->msg;
    asker_t asker = { .route = in->route, .req = msg->task_get.req, .user = core_user (self, msg->task_get.user) };
    switch (msg->kind) {
    case WIRE_KIND_SUBMIT:
        asker.idem_key = msg->submit.idem_key;
        asker.idem_hash = msg->submit.idem_hash;
        break;
    case WIRE_KIND_TASK_CREATE:
        asker.idem_key = msg->task_create.idem_key;
        asker.idem_hash = msg->task_create.idem_hash;
        break;
    case WIRE_KIND_TASK_PROCESS:
        asker.idem_key = msg->task_process.idem_key;
        asker.idem_hash = msg->task_process.idem_hash;
        break;
    case WIRE_KIND_QUARANTINE_RETRY:
        asker.idem_key = msg->quarantine_retry.idem_key;
        asker.idem_hash = msg->quarantine_retry.idem_hash;
        break;
    default:
        break;
    }
    return asker;
}

/*  --- answers, first and repeated --- */

void ask_answer (core_t *self, const asker_t *asker, uint32_t status, span_t location, str_t *body)
{
    wire_reply_t reply = { .req = asker->req, .status = status, .location = location };
    if (asker->idem_key.size) {
        record_first_answer_t first = { .request = asker->idem_hash,
                                        .at = self->wall,
                                        .status = status,
                                        .location = location,
                                        .body = body ? str_span (body) : SPAN_EMPTY };
        record_key_bytes (&self->key, asker->user->name, asker->idem_key);
        record_put (self->kv, FAMILY_IDEMPOTENCY, str_span (&self->key), &record_first_answer_shape, &first);
        self->sync = true;
    }
    core_reply (self, asker->route, &reply, body ? core_str_buf (body) : NULL, NULL);
}

void ask_refuse (core_t *self, const asker_t *asker, const err_t *err)
{
    core_reply_error (self, asker->route, asker->req, err);
}

bool ask_answered_before (core_t *self, const asker_t *asker)
{
    if (!asker->idem_key.size)
        return false;
    record_first_answer_t first;
    str_t bytes = STR_INIT;
    record_key_bytes (&self->key, asker->user->name, asker->idem_key);
    err_t err;
    int found = record_get (self->kv, FAMILY_IDEMPOTENCY, str_span (&self->key), &record_first_answer_shape, &first,
                            &bytes, &err);
    if (found == -1)
        ask_refuse (self, asker, &err);
    else if (found && !span_eq (first.request, asker->idem_hash)) {
        err_set (&err, ERR_IDEMPOTENCY_MISMATCH,
                 "this Idempotency-Key came before with another request; use a new key");
        ask_refuse (self, asker, &err);
    } else if (found) {
        wire_reply_t reply = { .req = asker->req, .status = first.status, .location = first.location };
        core_reply (self, asker->route, &reply, first.body.size ? buf_copy (first.body) : NULL, NULL);
    }
    str_free (&bytes);
    return found != 0;
}

/*  First answers are kept for a day: a client that retries does so within minutes. A bounded walk, that goes on where
 *  the last one stopped; true when it came to the end. */
bool ask_expire (core_t *self)
{
    kv_iter_t *iter = kv_iterate (self->kv, FAMILY_IDEMPOTENCY);
    iter->ops->seek (iter, str_span (&self->expired_to));
    str_clear (&self->expired_to);
    for (int i = 0; i < EXPIRE_SCAN && iter->ops->valid (iter); i++, iter->ops->step (iter, true)) {
        record_first_answer_t first;
        span_t key = iter->ops->key (iter);
        if (codec_decode (&record_first_answer_shape, iter->ops->value (iter), &first, NULL) == -1 ||
            first.at + IDEMPOTENCY_MS < self->wall)
            kv_delete (self->kv, FAMILY_IDEMPOTENCY, key);
        str_clear (&self->expired_to);
        str_add (&self->expired_to, key);
    }
    bool end = !iter->ops->valid (iter);
    if (end)
        str_clear (&self->expired_to); /* from the start next time */
    kv_iter_destroy (&iter);
    return end;
}

/*  --- look-ups --- */

int ask_document (core_t *self, user_t *user, uuid_t id, record_document_t *document, str_t *bytes, err_t *err)
{
    record_key (&self->key, user->name, id);
    int found =
        record_get (self->kv, FAMILY_DOCUMENTS, str_span (&self->key), &record_document_shape, document, bytes, err);
    return found == 0 ? err_set (err, ERR_NOT_FOUND, "there is no such document") : found == 1 ? 0 : -1;
}

void ask_put_document (core_t *self, user_t *user, uuid_t id, const record_document_t *document)
{
    record_key (&self->key, user->name, id);
    record_put (self->kv, FAMILY_DOCUMENTS, str_span (&self->key), &record_document_shape, document);
}

int ask_task (core_t *self, user_t *user, uuid_t id, record_task_t *task, str_t *bytes, err_t *err)
{
    record_key (&self->key, user->name, id);
    int found = record_get (self->kv, FAMILY_TASKS, str_span (&self->key), &record_task_shape, task, bytes, err);
    return found == 0 ? err_set (err, ERR_NOT_FOUND, "there is no such task") : found == 1 ? 0 : -1;
}

int ask_show_task (core_t *self, user_t *user, uuid_t id, str_t *out, err_t *err)
{
    task_t *task = task_find (self, user, id);
    if (task) {
        json_task_live (self, out, task);
        return 0;
    }
    record_task_t record;
    str_t bytes = STR_INIT;
    int rc = ask_task (self, user, id, &record, &bytes, err);
    if (rc == 0) {
        json_task_open (out, id, user->name, &record, 0);
        if (record.status == TASK_FAILED) {
            str_key (out, "fault");
            faults_json (self, out, user, id, &record);
        }
        str_char (out, '}');
    }
    str_free (&bytes);
    return rc;
}

int ask_check_open (const core_t *self, uint8_t priority, err_t *err)
{
    if (self->refuse == ERR_DISK_FULL)
        return err_set (err, ERR_DISK_FULL, "the disk is nearly full: free some space, then try again");
    if (self->refuse == ERR_DRAINING)
        return err_set (err, ERR_DRAINING, "the service is stopping; try again in a moment");
    if (priority > 10)
        return err_set (err, ERR_INVALID_VALUE, "priority is %u, it goes from 1 to 10", priority);
    return 0;
}

int ask_check_new_task (core_t *self, user_t *user, uint8_t priority, err_t *err)
{
    if (ask_check_open (self, priority, err) == -1 || limits_check_disk (self, 0, err) == -1 ||
        limits_take_token (self, user, err) == -1 || limits_check_task (self, user, err) == -1)
        return -1;
    limits_use_disk (self, 0);
    return 0;
}
