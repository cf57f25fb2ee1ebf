/*  requests.c: what gateways ask about single objects. Range questions are in listing.c. */
#include "base/hash.h"
#include "base/log.h"
#include "broker/core/state.h"
#include "store/blob.h"

#include <stdlib.h>

#define DEFAULT_PRIORITY 5u
#define IDEMPOTENCY_MS   (24u * 3600u * 1000u)
#define EXPIRE_SCAN      1000
#define RETRY_SCAN       1000u    /* failed tasks looked at in one turn */
#define PENDING_MAX      4000000u /* of one user; each costs the broker about 200 bytes of memory */

/*  Who asked, and how to answer. */
typedef struct {
    buf_t *route;
    uint64_t req;
    user_t *user;
    span_t idem_key, idem_hash;
} asker_t;

/*  All requests start with the same two fields; some have a key against doing things twice. */
static asker_t asker_of (core_t *self, const frames_t *in)
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

static void answer (core_t *self, const asker_t *asker, uint32_t status, span_t location, str_t *body)
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

static void refuse (core_t *self, const asker_t *asker, const err_t *err)
{
    core_reply_error (self, asker->route, asker->req, err);
}

/*  True when this Idempotency-Key was answered before; the answer is given again. */
static bool answered_before (core_t *self, const asker_t *asker)
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
        refuse (self, asker, &err);
    else if (found && !span_eq (first.request, asker->idem_hash)) {
        err_set (&err, ERR_IDEMPOTENCY_MISMATCH,
                 "this Idempotency-Key came before with another request; use a new key");
        refuse (self, asker, &err);
    } else if (found) {
        wire_reply_t reply = { .req = asker->req, .status = first.status, .location = first.location };
        core_reply (self, asker->route, &reply, first.body.size ? buf_copy (first.body) : NULL, NULL);
    }
    str_free (&bytes);
    return found != 0;
}

/*  First answers are kept for a day: a client that retries does so within minutes. A bounded walk, that goes on where
 *  the last one stopped; true when it came to the end. */
bool requests_expire (core_t *self)
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

static int get_document (core_t *self, user_t *user, uuid_t id, record_document_t *document, str_t *bytes, err_t *err)
{
    record_key (&self->key, user->name, id);
    int found =
        record_get (self->kv, FAMILY_DOCUMENTS, str_span (&self->key), &record_document_shape, document, bytes, err);
    return found == 0 ? err_set (err, ERR_NOT_FOUND, "there is no such document") : found == 1 ? 0 : -1;
}

static void put_document (core_t *self, user_t *user, uuid_t id, const record_document_t *document)
{
    record_key (&self->key, user->name, id);
    record_put (self->kv, FAMILY_DOCUMENTS, str_span (&self->key), &record_document_shape, document);
}

static int get_ended (core_t *self, user_t *user, uuid_t id, record_task_t *task, str_t *bytes, err_t *err)
{
    record_key (&self->key, user->name, id);
    int found = record_get (self->kv, FAMILY_TASKS, str_span (&self->key), &record_task_shape, task, bytes, err);
    return found == 0 ? err_set (err, ERR_NOT_FOUND, "there is no such task") : found == 1 ? 0 : -1;
}

/*  Appends the task, living or ended, as JSON. */
static int show_task (core_t *self, user_t *user, uuid_t id, str_t *out, err_t *err)
{
    task_t *task = task_find (self, user, id);
    if (task) {
        json_task_live (self, out, task);
        return 0;
    }
    record_task_t record;
    str_t bytes = STR_INIT;
    int rc = get_ended (self, user, id, &record, &bytes, err);
    if (rc == 0)
        json_task (out, id, user->name, &record, 0);
    str_free (&bytes);
    return rc;
}

static int check_new_work (core_t *self, const user_t *user, uint8_t priority, err_t *err)
{
    if (self->refuse == ERR_DISK_FULL)
        return err_set (err, ERR_DISK_FULL, "the disk is nearly full: free some space, then try again");
    if (self->refuse == ERR_DRAINING)
        return err_set (err, ERR_DRAINING, "the service is stopping; try again in a moment");
    if (priority > 10)
        return err_set (err, ERR_INVALID_VALUE, "priority is %u, it goes from 1 to 10", priority);
    if (user->pending >= PENDING_MAX)
        return err_set (err, ERR_QUEUE_FULL, "%llu tasks wait already; try again when some have ended",
                        (unsigned long long)user->pending);
    return 0;
}

static void location_of (str_t *out, uuid_t task)
{
    char text[UUID_TEXT];
    uuid_text (task, text);
    str_text (out, "/api/v1/document-processing/tasks/");
    str_text (out, text);
}

/*  --- documents --- */

static void answer_pair (core_t *self, const asker_t *asker, uint32_t status, uuid_t document_id,
                         const record_document_t *document, uuid_t task)
{
    str_t body = STR_INIT;
    char location[128], text[UUID_TEXT];
    str_text (&body, "{\"document\":");
    json_document (self, &body, asker->user, document_id, document);
    str_key (&body, "task");
    if (uuid_is_null (task) || show_task (self, asker->user, task, &body, NULL) == -1)
        str_text (&body, "null");
    str_char (&body, '}');
    uuid_text (document_id, text);
    snprintf (location, sizeof location, "/api/v1/documents/%s", text);
    answer (self, asker, status, span_str (location), &body);
}

/*  The same bytes of the same owner are one document, whatever they are called. */
static void submit_known (core_t *self, const asker_t *asker, const wire_submit_t *msg, uuid_t id)
{
    record_document_t document;
    str_t bytes = STR_INIT;
    err_t err;
    if (get_document (self, asker->user, id, &document, &bytes, &err) == -1) {
        refuse (self, asker, &err);
        goto out;
    }
    bool usable = false; /* what is there answers the request: processed, or about to be */
    if (!uuid_is_null (document.task)) {
        task_t *live = task_find (self, asker->user, document.task);
        record_task_t last;
        str_t last_bytes = STR_INIT;
        usable = live || document.revision ||
                 (get_ended (self, asker->user, document.task, &last, &last_bytes, NULL) == 0 &&
                  last.status == TASK_COMPLETED);
        str_free (&last_bytes);
    }
    if (uuid_is_null (msg->task) || (usable && !msg->reprocess)) {
        answer_pair (self, asker, 200, id, &document, document.task);
        self->sync = true; /* the task that this answer speaks of may have come in the same turn */
        goto out;
    }
    task_create (self, asker->user, msg->task, &document, id, msg->priority ? msg->priority : DEFAULT_PRIORITY,
                 msg->options);
    put_document (self, asker->user, id, &document);
    answer_pair (self, asker, 201, id, &document, msg->task);
out:
    str_free (&bytes);
}

static void upload_path (const core_t *self, const asker_t *asker, span_t hash_bytes, str_t *path)
{
    hash_t hash;
    memcpy (hash.bytes, hash_bytes.data, HASH_SIZE);
    blob_path (path, self->config.data_dir, asker->user->name, hash);
}

/*  The file of an upload that came to nothing goes, unless a document of the same content has it. */
static void drop_upload (core_t *self, const asker_t *asker, const wire_submit_t *msg)
{
    if (!msg->in_file || msg->hash.size != HASH_SIZE)
        return;
    record_key_bytes (&self->key, asker->user->name, msg->hash);
    if (kv_get (self->kv, FAMILY_HASHES, str_span (&self->key), &self->value, NULL) != 0)
        return;
    str_t path = STR_INIT;
    upload_path (self, asker, msg->hash, &path);
    core_unlink (self, str_span (&path));
    str_free (&path);
}

static void on_submit (core_t *self, const asker_t *asker, const frames_t *in)
{
    const wire_submit_t *msg = &in->msg.submit;
    user_t *user = asker->user;
    err_t err;
    if (answered_before (self, asker)) {
        drop_upload (self, asker, msg);
        return;
    }
    bool sane = msg->hash.size == HASH_SIZE && !uuid_is_null (msg->document) &&
                (msg->in_file ||
                 (in->payload_count == 1 && buf_size (in->payload[0]) == msg->bytes && msg->bytes <= BLOB_INLINE_MAX));
    if (!sane) {
        err_set (&err, ERR_PROTOCOL, "a submit without its bytes or its hash");
        refuse (self, asker, &err);
        return;
    }
    if (check_new_work (self, user, msg->priority, &err) == -1) {
        drop_upload (self, asker, msg);
        refuse (self, asker, &err);
        return;
    }
    record_key_bytes (&self->key, user->name, msg->hash);
    int found = kv_get (self->kv, FAMILY_HASHES, str_span (&self->key), &self->value, &err);
    if (found == -1) {
        refuse (self, asker, &err);
        return;
    }
    if (found && self->value.size == UUID_SIZE) {
        submit_known (self, asker, msg, record_key_id (str_span (&self->value)));
        return;
    }
    kv_put (self->kv, FAMILY_HASHES, str_span (&self->key), span (msg->document.bytes, UUID_SIZE));
    if (!msg->in_file) {
        record_key (&self->key, user->name, msg->document);
        kv_put (self->kv, FAMILY_BLOBS, str_span (&self->key), buf_span (in->payload[0]));
    } else { /* a document of the same content may have been deleted in this very turn */
        str_t path = STR_INIT;
        upload_path (self, asker, msg->hash, &path);
        core_keep_file (self, str_span (&path));
        str_free (&path);
    }
    record_document_t document = { .filename = msg->filename,
                                   .media_type = msg->media_type,
                                   .bytes = msg->bytes,
                                   .hash = msg->hash,
                                   .in_file = msg->in_file,
                                   .created_at = self->wall,
                                   .updated_at = self->wall };
    user->record.documents++;
    core_user_dirty (self, user);
    if (!uuid_is_null (msg->task))
        task_create (self, user, msg->task, &document, msg->document, msg->priority ? msg->priority : DEFAULT_PRIORITY,
                     msg->options);
    put_document (self, user, msg->document, &document);
    self->sync = true;
    answer_pair (self, asker, 201, msg->document, &document, msg->task);
}

static void on_document_get (core_t *self, const asker_t *asker, const frames_t *in)
{
    uuid_t id = in->msg.document_get.document;
    record_document_t document;
    str_t bytes = STR_INIT, body = STR_INIT;
    err_t err;
    if (get_document (self, asker->user, id, &document, &bytes, &err) == -1)
        refuse (self, asker, &err);
    else {
        json_document (self, &body, asker->user, id, &document);
        answer (self, asker, 200, SPAN_EMPTY, &body);
    }
    str_free (&bytes);
}

static void on_document_blob (core_t *self, const asker_t *asker, const frames_t *in)
{
    uuid_t id = in->msg.document_blob.document;
    record_document_t document;
    str_t bytes = STR_INIT, body = STR_INIT, path = STR_INIT, blob = STR_INIT;
    err_t err;
    if (get_document (self, asker->user, id, &document, &bytes, &err) == -1) {
        refuse (self, asker, &err);
        goto out;
    }
    wire_reply_t reply = { .req = asker->req, .status = 200 };
    if (document.in_file) {
        upload_path (self, asker, document.hash, &path);
        reply.path = str_span (&path);
    } else {
        record_key (&self->key, asker->user->name, id);
        int found = kv_get (self->kv, FAMILY_BLOBS, str_span (&self->key), &blob, &err);
        if (found == 0)
            err_set (&err, ERR_CORRUPT, "the bytes of the document are missing");
        if (found != 1) {
            refuse (self, asker, &err);
            goto out;
        }
    }
    json_document (self, &body, asker->user, id, &document);
    core_reply (self, asker->route, &reply, core_str_buf (&body), document.in_file ? NULL : core_str_buf (&blob));
out:
    str_free (&bytes);
    str_free (&body);
    str_free (&path);
    str_free (&blob);
}

/*  Ends and removes one task of a document that is being deleted. */
static void drop_task (core_t *self, user_t *user, uuid_t id)
{
    task_t *task = task_find (self, user, id);
    if (task) {
        task_cancel (self, task, true);
        return;
    }
    record_task_t record;
    str_t bytes = STR_INIT;
    if (get_ended (self, user, id, &record, &bytes, NULL) == 0)
        task_remove_ended (self, user, id, &record);
    str_free (&bytes);
}

static void on_document_delete (core_t *self, const asker_t *asker, const frames_t *in)
{
    uuid_t id = in->msg.document_delete.document;
    user_t *user = asker->user;
    record_document_t document;
    str_t bytes = STR_INIT, prefix = STR_INIT;
    err_t err;
    if (get_document (self, user, id, &document, &bytes, &err) == -1) {
        refuse (self, asker, &err);
        goto out;
    }
    if (!uuid_is_null (document.first_task))
        drop_task (self, user, document.first_task);
    if (!uuid_is_null (document.task))
        drop_task (self, user, document.task); /* may have come in this turn: the iterator would not see it */
    record_key (&prefix, user->name, id);
    kv_iter_t *iter = kv_iterate (self->kv, FAMILY_DOCUMENT_TASKS);
    for (iter->ops->seek (iter, str_span (&prefix)); iter->ops->valid (iter); iter->ops->step (iter, true)) {
        span_t key = iter->ops->key (iter);
        if (key.size != prefix.size + UUID_SIZE || memcmp (key.data, prefix.data, prefix.size) != 0)
            break;
        drop_task (self, user, record_key_id (span (key.data + prefix.size, UUID_SIZE)));
    }
    kv_iter_destroy (&iter);
    record_key_bytes (&self->key, user->name, document.hash);
    kv_delete (self->kv, FAMILY_HASHES, str_span (&self->key));
    if (document.in_file) {
        str_t path = STR_INIT;
        upload_path (self, asker, document.hash, &path);
        core_unlink (self, str_span (&path));
        str_free (&path);
    }
    record_key (&self->key, user->name, id);
    if (!document.in_file)
        kv_delete (self->kv, FAMILY_BLOBS, str_span (&self->key));
    kv_delete (self->kv, FAMILY_DOCUMENTS, str_span (&self->key));
    user->record.documents--;
    core_user_dirty (self, user);
    purge_t *purge = purge_create (self, user, id, 0);
    purge->route = buf_ref (asker->route); /* the answer comes when search no longer finds it */
    purge->req = asker->req;
out:
    str_free (&bytes);
    str_free (&prefix);
}

/*  --- tasks --- */

static void on_task_create (core_t *self, const asker_t *asker, const frames_t *in)
{
    const wire_task_create_t *msg = &in->msg.task_create;
    record_document_t document;
    str_t bytes = STR_INIT, body = STR_INIT, location = STR_INIT;
    err_t err;
    if (answered_before (self, asker))
        return;
    if (check_new_work (self, asker->user, msg->priority, &err) == -1 ||
        get_document (self, asker->user, msg->document, &document, &bytes, &err) == -1) {
        refuse (self, asker, &err);
        goto out;
    }
    task_t *task = task_create (self, asker->user, msg->task, &document, msg->document,
                                msg->priority ? msg->priority : DEFAULT_PRIORITY, msg->options);
    put_document (self, asker->user, msg->document, &document);
    json_task_live (self, &body, task);
    location_of (&location, msg->task);
    answer (self, asker, 202, str_span (&location), &body);
out:
    str_free (&bytes);
    str_free (&location);
}

static void on_task_get (core_t *self, const asker_t *asker, const frames_t *in)
{
    str_t body = STR_INIT;
    err_t err;
    if (show_task (self, asker->user, in->msg.task_get.task, &body, &err) == -1)
        refuse (self, asker, &err);
    else
        answer (self, asker, 200, SPAN_EMPTY, &body);
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
    if (get_ended (self, asker->user, id, &record, &bytes, &err) == 0)
        err_set (&err, ERR_CONFLICT, "the task is %s and cannot be %s", task_status_name ((task_status_t)record.status),
                 doing);
    refuse (self, asker, &err);
    str_free (&bytes);
    return NULL;
}

static void on_task_update (core_t *self, const asker_t *asker, const frames_t *in)
{
    const wire_task_update_t *msg = &in->msg.task_update;
    err_t err;
    if (msg->priority > 10) {
        err_set (&err, ERR_INVALID_VALUE, "priority is %u, it goes from 1 to 10", msg->priority);
        refuse (self, asker, &err);
        return;
    }
    task_t *task = living (self, asker, msg->task, msg->cancel ? "cancelled" : "changed");
    if (!task)
        return;
    if (msg->cancel && task->committing) {
        err_set (&err, ERR_CONFLICT, "the task is being committed and ends in a moment");
        refuse (self, asker, &err);
        return;
    }
    if (msg->priority)
        task_set_priority (self, task, msg->priority);
    if (msg->cancel)
        task_cancel (self, task, false);
    str_t body = STR_INIT;
    if (show_task (self, asker->user, msg->task, &body, &err) == -1)
        refuse (self, asker, &err);
    else
        answer (self, asker, 200, SPAN_EMPTY, &body);
}

static void on_task_delete (core_t *self, const asker_t *asker, const frames_t *in)
{
    uuid_t id = in->msg.task_delete.task;
    record_task_t record;
    str_t bytes = STR_INIT;
    err_t err;
    task_t *task = task_find (self, asker->user, id);
    if (task && task->committing) {
        err_set (&err, ERR_CONFLICT, "the task is being committed and ends in a moment; then it can be removed");
        refuse (self, asker, &err);
        return;
    }
    if (task)
        task_cancel (self, task, true);
    else if (get_ended (self, asker->user, id, &record, &bytes, &err) == 0)
        task_remove_ended (self, asker->user, id, &record);
    else {
        refuse (self, asker, &err);
        goto out;
    }
    answer (self, asker, 204, SPAN_EMPTY, NULL);
out:
    str_free (&bytes);
}

static void on_task_process (core_t *self, const asker_t *asker, const frames_t *in)
{
    uuid_t id = in->msg.task_process.task;
    str_t body = STR_INIT, location = STR_INIT;
    err_t err;
    if (answered_before (self, asker))
        return;
    task_t *task = task_find (self, asker->user, id);
    task_status_t next;
    if (task && !lifecycle_step ((task_status_t)task->status, TASK_ON_HURRY, &next)) {
        err_set (&err, ERR_CONFLICT, "the task is %s already", task_status_name ((task_status_t)task->status));
        goto fail;
    }
    if (task)
        task_to_front (self, task);
    else if (check_new_work (self, asker->user, DEFAULT_PRIORITY, &err) == -1 ||
             task_replay (self, asker->user, id, &err) == -1)
        goto fail;
    if (show_task (self, asker->user, id, &body, &err) == -1)
        goto fail;
    location_of (&location, id);
    answer (self, asker, 202, str_span (&location), &body);
    str_free (&location);
    return;
fail:
    refuse (self, asker, &err);
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
    else if (get_ended (self, asker->user, id, &record, &bytes, &err) == 0) {
        if (record.has_result) {
            json_result (&body, id, &record);
            answer (self, asker, 200, SPAN_EMPTY, &body);
            goto out;
        }
        err_set (&err, ERR_CONFLICT, "the task was cancelled: there is no result");
    }
    refuse (self, asker, &err);
out:
    str_free (&bytes);
}

static bool in_list (span_t list, span_t word)
{
    while (list.size) {
        const char *comma = memchr (list.data, ',', list.size);
        size_t size = comma ? (size_t)(comma - list.data) : list.size;
        if (span_eq (span (list.data, size), word))
            return true;
        size_t used = comma ? size + 1 : size;
        list = span (list.data + used, list.size - used);
    }
    return false;
}

/*  Replays the task if it is failed and the filter takes it; says whether it did. */
static bool retry_one (core_t *self, const asker_t *asker, const wire_quarantine_retry_t *filter, uuid_t id)
{
    record_task_t record;
    str_t bytes = STR_INIT;
    bool taken = get_ended (self, asker->user, id, &record, &bytes, NULL) == 0 && record.status == TASK_FAILED &&
                 (uuid_is_null (filter->document) || uuid_eq (filter->document, record.document)) &&
                 (!filter->error_codes.size || in_list (filter->error_codes, record.error_code)) &&
                 task_replay (self, asker->user, id, NULL) == 0;
    str_free (&bytes);
    return taken;
}

static void retry_answer (core_t *self, const asker_t *asker, uint64_t retried)
{
    str_t body = STR_INIT;
    str_char (&body, '{');
    str_key_u64 (&body, "retried", retried);
    str_char (&body, '}');
    answer (self, asker, 202, SPAN_EMPTY, &body);
}

static void on_quarantine_retry (core_t *self, const asker_t *asker, const frames_t *in)
{
    const wire_quarantine_retry_t *msg = &in->msg.quarantine_retry;
    err_t err;
    if (answered_before (self, asker))
        return;
    if (check_new_work (self, asker->user, DEFAULT_PRIORITY, &err) == -1)
        refuse (self, asker, &err);
    else if (uuid_is_null (msg->task))
        core_question (self, &self->retries, in); /* there may be many: some a turn */
    else if (retry_one (self, asker, msg, msg->task))
        retry_answer (self, asker, 1);
    else {
        err_set (&err, ERR_NOT_FOUND, "there is no such task in quarantine");
        refuse (self, asker, &err);
    }
}

/*  True when all failed tasks of the user were looked at. */
static bool retry_some (core_t *self, question_t *question, const asker_t *asker)
{
    str_t prefix = STR_INIT;
    record_key_user (&prefix, asker->user->name);
    str_char (&prefix, (char)TASK_FAILED);
    kv_iter_t *iter = kv_iterate (self->kv, FAMILY_ENDED);
    bool end = false;
    iter->ops->seek (iter, str_span (question->from.size ? &question->from : &prefix));
    for (uint32_t looked_at = 0; looked_at < RETRY_SCAN; looked_at++, iter->ops->step (iter, true)) {
        span_t key = iter->ops->valid (iter) ? iter->ops->key (iter) : SPAN_EMPTY;
        end = key.size != prefix.size + UUID_SIZE || memcmp (key.data, prefix.data, prefix.size) != 0 ||
              asker->user->pending >= PENDING_MAX;
        if (end)
            break;
        str_clear (&question->from);
        str_add (&question->from, key);
        question->number += retry_one (self, asker, &question->in.msg.quarantine_retry,
                                       record_key_id (span (key.data + prefix.size, UUID_SIZE)));
    }
    kv_iter_destroy (&iter);
    str_free (&prefix);
    return end;
}

void requests_retry (core_t *self)
{
    if (!self->retries.count)
        return;
    question_t *question = &self->retries.items[0];
    asker_t asker = asker_of (self, &question->in);
    if (!retry_some (self, question, &asker))
        return;
    retry_answer (self, &asker, question->number);
    core_questions_done (&self->retries, 1);
}

/*  --- the whole --- */

static void on_queue_status (core_t *self, const asker_t *asker, const frames_t *in)
{
    str_t body = STR_INIT;
    json_queue (self, &body, in->msg.queue_status.all ? NULL : asker->user);
    answer (self, asker, 200, SPAN_EMPTY, &body);
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
    answer (self, asker, 200, SPAN_EMPTY, &body);
    (void)in;
}

typedef void handler_fn (core_t *self, const asker_t *asker, const frames_t *in);

static handler_fn *const handlers[WIRE_KIND_COUNT] = {
    [WIRE_KIND_SUBMIT] = on_submit,
    [WIRE_KIND_DOCUMENT_GET] = on_document_get,
    [WIRE_KIND_DOCUMENT_BLOB] = on_document_blob,
    [WIRE_KIND_DOCUMENT_DELETE] = on_document_delete,
    [WIRE_KIND_TASK_CREATE] = on_task_create,
    [WIRE_KIND_TASK_GET] = on_task_get,
    [WIRE_KIND_TASK_UPDATE] = on_task_update,
    [WIRE_KIND_TASK_DELETE] = on_task_delete,
    [WIRE_KIND_TASK_PROCESS] = on_task_process,
    [WIRE_KIND_TASK_RESULT] = on_task_result,
    [WIRE_KIND_QUARANTINE_RETRY] = on_quarantine_retry,
    [WIRE_KIND_QUEUE_STATUS] = on_queue_status,
    [WIRE_KIND_HEALTH] = on_health,
};

int requests_input (core_t *self, const frames_t *in, err_t *err)
{
    const wire_msg_t *msg = &in->msg;
    handler_fn *handler = handlers[msg->kind];
    if (!handler || !in->route)
        return err_set (err, ERR_PROTOCOL, "a broker has no use for %s", wire_shape (msg->kind)->name);
    if (msg->task_get.user.size == 0 || msg->task_get.user.size > 128)
        return err_set (err, ERR_PROTOCOL, "a request with a user name of %zu bytes", msg->task_get.user.size);
    asker_t asker = asker_of (self, in);
    handler (self, &asker, in);
    return 0;
}
