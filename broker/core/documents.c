/*  documents.c: requests about documents: handing one in, its bytes, its end. */
#include "broker/core/asking.h"
#include "broker/core/limits.h"
#include "store/blob.h"

/*  `made`: where what the request made is to be found, a document or a task; empty: it made nothing. */
static void answer_pair (core_t *self, const asker_t *asker, span_t made, uuid_t document_id,
                         const record_document_t *document, uuid_t task)
{
    str_t body = STR_INIT;
    str_text (&body, "{\"document\":");
    json_document (self, &body, asker->user, document_id, document);
    str_key (&body, "task");
    if (uuid_is_null (task) || ask_show_task (self, asker->user, task, &body, NULL) == -1)
        str_text (&body, "null");
    str_char (&body, '}');
    ask_answer (self, asker, made.size ? 201 : 200, made, &body);
}

static void answer_made (core_t *self, const asker_t *asker, const char *path, uuid_t made, uuid_t document_id,
                         const record_document_t *document, uuid_t task)
{
    char location[128], text[UUID_TEXT];
    uuid_text (made, text);
    snprintf (location, sizeof location, "%s%s", path, text);
    answer_pair (self, asker, span_str (location), document_id, document, task);
}

/*  The same bytes of the same owner are one document, whatever they are called. When it is processed again it takes
 *  the name it came under this time: that is the one its owner knows it by now. */
static void submit_known (core_t *self, const asker_t *asker, const wire_submit_t *msg, uuid_t id)
{
    record_document_t document;
    str_t bytes = STR_INIT;
    err_t err;
    if (ask_document (self, asker->user, id, &document, &bytes, &err) == -1) {
        ask_refuse (self, asker, &err);
        goto out;
    }
    bool usable = false; /* what is there answers the request: processed, or about to be */
    if (!uuid_is_null (document.task)) {
        task_t *live = task_find (self, asker->user, document.task);
        record_task_t last;
        str_t last_bytes = STR_INIT;
        usable = live || document.revision ||
                 (ask_task (self, asker->user, document.task, &last, &last_bytes, NULL) == 0 &&
                  last.status == TASK_COMPLETED);
        str_free (&last_bytes);
    }
    if (uuid_is_null (msg->task) || (usable && !msg->reprocess)) {
        answer_pair (self, asker, SPAN_EMPTY, id, &document, document.task);
        self->sync = true; /* the task that this answer speaks of may have come in the same turn */
        goto out;
    }
    if (limits_check_task (self, asker->user, &err) == -1) {
        ask_refuse (self, asker, &err);
        goto out;
    }
    if (msg->filename.size)
        document.filename = msg->filename;
    if (msg->media_type.size)
        document.media_type = msg->media_type;
    task_create (self, asker->user, msg->task, &document, id, msg->priority ? msg->priority : DEFAULT_PRIORITY,
                 msg->options, msg->force);
    ask_put_document (self, asker->user, id, &document);
    answer_made (self, asker, "/api/v1/document-processing/tasks/", msg->task, id, &document, msg->task);
out:
    str_free (&bytes);
}

static void file_path (const core_t *self, span_t user, span_t hash_bytes, str_t *path)
{
    hash_t hash;
    memcpy (hash.bytes, hash_bytes.data, HASH_SIZE);
    blob_path (path, self->config.data_dir, user, hash);
}

/*  The file of this content goes, unless a document has it. */
static void drop_file (core_t *self, span_t user, span_t hash)
{
    record_key_bytes (&self->key, user, hash);
    if (kv_get (self->kv, FAMILY_HASHES, str_span (&self->key), &self->value, NULL) != 0)
        return;
    str_t path = STR_INIT;
    file_path (self, user, hash, &path);
    core_unlink (self, str_span (&path));
    str_free (&path);
}

/*  An upload that came to nothing. */
static void drop_upload (core_t *self, const asker_t *asker, const wire_submit_t *msg)
{
    if (msg->in_file && msg->hash.size == HASH_SIZE)
        drop_file (self, asker->user->name, msg->hash);
}

/*  What new bytes are held against, when they are there and when it is asked whether they may come. */
static int check_new (const core_t *self, const user_t *user, uint64_t bytes, bool makes_task, err_t *err)
{
    if (makes_task && limits_check_task (self, user, err) == -1)
        return -1;
    return limits_check_bytes (self, user, bytes, err);
}

static bool was_answered (core_t *self, const asker_t *asker, span_t idem_key)
{
    if (!idem_key.size)
        return false;
    record_key_bytes (&self->key, asker->user->name, idem_key);
    return kv_get (self->kv, FAMILY_IDEMPOTENCY, str_span (&self->key), &self->value, NULL) == 1;
}

void documents_admit (core_t *self, const asker_t *asker, const frames_t *in)
{
    const wire_admit_t *msg = &in->msg.admit;
    err_t err;
    if (!was_answered (self, asker, msg->idem_key) &&
        (ask_check_open (self, DEFAULT_PRIORITY, &err) == -1 || limits_check_disk (self, msg->bytes, &err) == -1 ||
         limits_take_token (self, asker->user, &err) == -1 ||
         check_new (self, asker->user, msg->bytes, msg->makes_task, &err) == -1))
        ask_refuse (self, asker, &err);
    else
        ask_answer (self, asker, 204, SPAN_EMPTY, NULL);
}

void core_file_found (core_t *self, span_t user, hash_t hash)
{
    drop_file (self, user, span (hash.bytes, HASH_SIZE));
}

void documents_submit (core_t *self, const asker_t *asker, const frames_t *in)
{
    const wire_submit_t *msg = &in->msg.submit;
    user_t *user = asker->user;
    err_t err;
    if (ask_answered_before (self, asker)) {
        drop_upload (self, asker, msg);
        return;
    }
    bool sane = msg->hash.size == HASH_SIZE && !uuid_is_null (msg->document) &&
                (msg->in_file ||
                 (in->payload_count == 1 && buf_size (in->payload[0]) == msg->bytes && msg->bytes <= BLOB_INLINE_MAX));
    if (!sane) {
        err_set (&err, ERR_PROTOCOL, "a submit without its bytes or its hash");
        ask_refuse (self, asker, &err);
        return;
    }
    uint64_t inlined = msg->in_file ? 0 : msg->bytes; /* a file is on the disk already */
    if (ask_check_open (self, msg->priority, &err) == -1 || limits_check_disk (self, inlined, &err) == -1 ||
        (!msg->admitted && limits_take_token (self, user, &err) == -1)) {
        drop_upload (self, asker, msg);
        ask_refuse (self, asker, &err);
        return;
    }
    record_key_bytes (&self->key, user->name, msg->hash);
    int found = kv_get (self->kv, FAMILY_HASHES, str_span (&self->key), &self->value, &err);
    if (found == -1) {
        ask_refuse (self, asker, &err);
        return;
    }
    if (found && self->value.size == UUID_SIZE) {
        submit_known (self, asker, msg, record_key_id (str_span (&self->value)));
        return;
    }
    if (check_new (self, user, msg->bytes, !uuid_is_null (msg->task), &err) == -1) {
        drop_upload (self, asker, msg);
        ask_refuse (self, asker, &err);
        return;
    }
    limits_use_disk (self, inlined);
    record_key_bytes (&self->key, user->name, msg->hash);
    kv_put (self->kv, FAMILY_HASHES, str_span (&self->key), span (msg->document.bytes, UUID_SIZE));
    if (!msg->in_file) {
        record_key (&self->key, user->name, msg->document);
        kv_put (self->kv, FAMILY_BLOBS, str_span (&self->key), buf_span (in->payload[0]));
    } else { /* a document of the same content may have been deleted in this very turn */
        str_t path = STR_INIT;
        file_path (self, asker->user->name, msg->hash, &path);
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
    user->record.bytes += msg->bytes;
    core_user_dirty (self, user);
    if (!uuid_is_null (msg->task))
        task_create (self, user, msg->task, &document, msg->document, msg->priority ? msg->priority : DEFAULT_PRIORITY,
                     msg->options, msg->force);
    ask_put_document (self, user, msg->document, &document);
    self->sync = true;
    answer_made (self, asker, "/api/v1/documents/", msg->document, msg->document, &document, msg->task);
}

void documents_get (core_t *self, const asker_t *asker, const frames_t *in)
{
    uuid_t id = in->msg.document_get.document;
    record_document_t document;
    str_t bytes = STR_INIT, body = STR_INIT;
    err_t err;
    if (ask_document (self, asker->user, id, &document, &bytes, &err) == -1)
        ask_refuse (self, asker, &err);
    else {
        json_document (self, &body, asker->user, id, &document);
        ask_answer (self, asker, 200, SPAN_EMPTY, &body);
    }
    str_free (&bytes);
}

void documents_blob (core_t *self, const asker_t *asker, const frames_t *in)
{
    uuid_t id = in->msg.document_blob.document;
    record_document_t document;
    str_t bytes = STR_INIT, body = STR_INIT, path = STR_INIT, blob = STR_INIT;
    err_t err;
    if (ask_document (self, asker->user, id, &document, &bytes, &err) == -1) {
        ask_refuse (self, asker, &err);
        goto out;
    }
    wire_reply_t reply = { .req = asker->req, .status = 200 };
    if (document.in_file) {
        file_path (self, asker->user->name, document.hash, &path);
        reply.path = str_span (&path);
    } else {
        record_key (&self->key, asker->user->name, id);
        int found = kv_get (self->kv, FAMILY_BLOBS, str_span (&self->key), &blob, &err);
        if (found == 0)
            err_set (&err, ERR_CORRUPT, "the bytes of the document are missing");
        if (found != 1) {
            ask_refuse (self, asker, &err);
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
    if (ask_task (self, user, id, &record, &bytes, NULL) == 0)
        task_remove_ended (self, user, id, &record);
    str_free (&bytes);
}

void documents_delete (core_t *self, const asker_t *asker, const frames_t *in)
{
    uuid_t id = in->msg.document_delete.document;
    user_t *user = asker->user;
    record_document_t document;
    str_t bytes = STR_INIT, prefix = STR_INIT;
    err_t err;
    if (ask_document (self, user, id, &document, &bytes, &err) == -1) {
        ask_refuse (self, asker, &err);
        goto out;
    }
    if (!uuid_is_null (document.first_task))
        drop_task (self, user, document.first_task);
    if (!uuid_is_null (document.task))
        drop_task (self, user, document.task);
    record_key (&prefix, user->name, id);
    kv_iter_t *iter = kv_iterate (self->kv, FAMILY_DOCUMENT_TASKS);
    for (iter->ops->seek (iter, str_span (&prefix)); iter->ops->valid (iter); iter->ops->step (iter, true)) {
        span_t key = iter->ops->key (iter);
        if (key.size != prefix.size + UUID_SIZE || memcmp (key.data, prefix.data, prefix.size) != 0)
            break;
        drop_task (self, user, record_key_id (span (key.data + prefix.size, UUID_SIZE)));
    }
    kv_iter_destroy (&iter);
    for (size_t i = 0; i < self->fresh_count; i++) { /* of this turn: the iterator does not see them yet */
        const task_t *task = task_find (self, user, self->fresh[i]);
        record_task_t ended;
        str_t ended_bytes = STR_INIT;
        if (task ? uuid_eq (task->document, id)
                 : ask_task (self, user, self->fresh[i], &ended, &ended_bytes, NULL) == 0 &&
                       uuid_eq (ended.document, id))
            drop_task (self, user, self->fresh[i]);
        str_free (&ended_bytes);
    }
    record_key_bytes (&self->key, user->name, document.hash);
    kv_delete (self->kv, FAMILY_HASHES, str_span (&self->key));
    if (document.in_file) {
        str_t path = STR_INIT;
        file_path (self, asker->user->name, document.hash, &path);
        core_unlink (self, str_span (&path));
        str_free (&path);
    }
    record_key (&self->key, user->name, id);
    if (!document.in_file)
        kv_delete (self->kv, FAMILY_BLOBS, str_span (&self->key));
    kv_delete (self->kv, FAMILY_DOCUMENTS, str_span (&self->key));
    user->record.documents--;
    user->record.bytes -= BUG (BYTES_KEPT) ? 0 : document.bytes;
    core_user_dirty (self, user);
    purge_t *purge = purge_create (self, user, id, 0);
    purge->route = buf_ref (asker->route); /* the answer comes when search no longer finds it */
    purge->req = asker->req;
out:
    str_free (&bytes);
    str_free (&prefix);
}

int core_process_again (core_t *self, span_t name, uuid_t id, uint64_t used, uuid_t task, err_t *err)
{
    user_t *user = core_user (self, name);
    record_document_t document;
    str_t bytes = STR_INIT, options = STR_INIT, last_bytes = STR_INIT;
    record_task_t last;
    int rc = -1;
    if (ask_document (self, user, id, &document, &bytes, err) == -1)
        goto out;
    document.revision = 0;
    document.chunks = 0;
    document.processed_at = 0;
    if (document.revisions < used)
        document.revisions = used;
    if (!uuid_is_null (document.task) && !task_find (self, user, document.task) &&
        ask_task (self, user, document.task, &last, &last_bytes, NULL) == 0)
        str_add (&options, last.options); /* as it was asked for */
    if (uuid_is_null (document.task) || !task_find (self, user, document.task))
        task_create (self, user, task, &document, id, DEFAULT_PRIORITY, str_span (&options),
                     true); /* it was completed before: it ended no parser then */
    ask_put_document (self, user, id, &document);
    self->sync = true;
    rc = 0;
out:
    str_free (&bytes);
    str_free (&options);
    str_free (&last_bytes);
    return rc;
}
