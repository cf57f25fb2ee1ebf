/*  The broker's records, family by family: each decodes, and what it names is there. */
#include "integrity/verify_private.h"

#include "base/hash.h"

#define LATE_ORDER (1ull << 40) /* of tasks whose place in the queue is not known: after all others */

static finding_t found_in (record_family_t family, finding_kind_t kind, span_t key, fix_t fix)
{
    return verify_finding (PLACE_BROKER, family, kind, key, fix);
}

/*  Decodes or reports. */
static bool decode (verify_t *self, record_family_t family, span_t key, fix_t fix, const codec_shape_t *shape,
                    span_t value, void *record)
{
    err_t err;
    if (codec_decode (shape, value, record, &err) == 0)
        return true;
    verify_bad (self, PLACE_BROKER, family, key, fix, &err);
    return false;
}

/*  Reports that a record should be there, and what it should be. */
static void report_absent (verify_t *self, record_family_t family, const str_t *key, span_t value, const char *text)
{
    finding_t finding = found_in (family, FINDING_INCOMPLETE, str_span (key), FIX_PUT);
    finding.value = value.size ? value : SPAN_EMPTY;
    report (self->report, &finding, "%s", text);
}

static void report_dangling (verify_t *self, record_family_t family, span_t key, const char *text)
{
    finding_t finding = found_in (family, FINDING_DANGLING, key, FIX_DELETE);
    report (self->report, &finding, "%s", text);
}

/*  --- what is the whole database's --- */

static void check_meta (verify_t *self)
{
    record_meta_t meta;
    span_t key = SPAN_LIT ("state");
    err_t err;
    int got = kv_get (self->broker, FAMILY_META, key, &self->value, &err);
    if (got == 1 && decode (self, FAMILY_META, key, FIX_DELETE, &record_meta_shape, str_span (&self->value), &meta) &&
        meta.format > RECORDS_FORMAT) {
        finding_t finding = found_in (FAMILY_META, FINDING_NEWER, key, FIX_NONE);
        report (self->report, &finding, "the data has format %u, this program reads up to %u", meta.format,
                RECORDS_FORMAT);
    }
    if (got == 0) { /* an epoch that is surely higher than any before: old results stay void */
        str_t value = STR_INIT, name = STR_INIT;
        str_add (&name, key);
        codec_encode (&record_meta_shape, &(record_meta_t){ RECORDS_FORMAT, 1ull << 32 }, &value);
        report_absent (self, FAMILY_META, &name, str_span (&value), "the state of the database is missing");
        str_free (&value);
        str_free (&name);
    }
    verify_walk (self, PLACE_BROKER, FAMILY_META, NULL, NULL);
}

/*  --- documents --- */

static void check_document (verify_t *self, void *context, span_t key, span_t value)
{
    span_t user, rest;
    record_document_t document;
    (void)context;
    if (!verify_key (self, PLACE_BROKER, FAMILY_DOCUMENTS, key, UUID_SIZE, &user, &rest) ||
        !decode (self, FAMILY_DOCUMENTS, key, FIX_DELETE, &record_document_shape, value, &document))
        return;
    self->report->documents++;
    uuid_t id = record_key_id (rest);
    finding_t finding = found_in (FAMILY_DOCUMENTS, FINDING_BAD_RECORD, key, FIX_DELETE);
    if (document.hash.size != HASH_SIZE) {
        report (self->report, &finding, "its content hash has %zu bytes", document.hash.size);
        return;
    }
    if (document.revision > document.revisions) {
        str_t put = STR_INIT;
        document.revisions = document.revision;
        codec_encode (&record_document_shape, &document, &put);
        finding.fix = FIX_PUT;
        finding.value = str_span (&put);
        report (self->report, &finding, "revision %llu is visible and was never given out",
                (unsigned long long)document.revision);
        str_free (&put);
    }
    record_key_bytes (&self->key, user, document.hash);
    if (!verify_has (self->broker, FAMILY_HASHES, str_span (&self->key)))
        report_absent (self, FAMILY_HASHES, &self->key, span (id.bytes, UUID_SIZE),
                       "a document is not filed under its content");
    verify_bytes (self, key, user, id, &document);
}

/*  The document that a record of another family names: false when it is not there. */
static bool has_document (verify_t *self, span_t user, uuid_t id)
{
    record_key (&self->other, user, id);
    return verify_has (self->broker, FAMILY_DOCUMENTS, str_span (&self->other));
}

static void check_hash (verify_t *self, void *context, span_t key, span_t value)
{
    span_t user, rest;
    record_document_t document;
    (void)context;
    if (!verify_key (self, PLACE_BROKER, FAMILY_HASHES, key, HASH_SIZE, &user, &rest))
        return;
    finding_t finding = found_in (FAMILY_HASHES, FINDING_BAD_RECORD, key, FIX_DELETE);
    if (value.size != UUID_SIZE) {
        report (self->report, &finding, "it names no document");
        return;
    }
    uuid_t id = record_key_id (value);
    record_key (&self->other, user, id);
    int got =
        verify_get (self, FAMILY_DOCUMENTS, str_span (&self->other), &record_document_shape, &document, &self->value);
    if (got == 1 && !span_eq (document.hash, rest))
        report_dangling (self, FAMILY_HASHES, key, "the document of this content has another");
    if (got == 0) { /* its bytes may be there: restoring is tried first */
        finding.kind = FINDING_DOCUMENT_LOST;
        finding.fix = FIX_RESTORE_DOCUMENT;
        finding.user = user;
        finding.document = id;
        report (self->report, &finding, "the record of this content's document is missing");
    }
}

static void check_blob (verify_t *self, void *context, span_t key, span_t value)
{
    span_t user, rest;
    (void)context;
    if (!verify_key (self, PLACE_BROKER, FAMILY_BLOBS, key, UUID_SIZE, &user, &rest))
        return;
    uuid_t id = record_key_id (rest);
    record_document_t document;
    int got = verify_get (self, FAMILY_DOCUMENTS, key, &record_document_shape, &document,
                          &self->value); /* has the same key */
    if (got == 1 && document.in_file)
        report_dangling (self, FAMILY_BLOBS, key, "the bytes of this document are in a file");
    if (got != 0)
        return;
    hash_t hash = hash_of (value);
    record_key_bytes (&self->key, user, span (hash.bytes, HASH_SIZE));
    got = kv_get (self->broker, FAMILY_HASHES, str_span (&self->key), &self->value, NULL);
    if (got == 1 && !span_eq (str_span (&self->value), rest))
        report_dangling (self, FAMILY_BLOBS, key, "another document has these bytes, and this one is not there");
    if (got != 0)
        return; /* the walk over that family reports it */
    finding_t finding = found_in (FAMILY_BLOBS, FINDING_DOCUMENT_LOST, key, FIX_RESTORE_DOCUMENT);
    finding.user = user;
    finding.document = id;
    report (self->report, &finding, "the record of the document of these bytes is missing");
}

/*  --- tasks --- */

static void put_live (str_t *out, const record_task_t *task)
{
    record_live_t live = { .document = task->document,
                           .priority = task->priority,
                           .attempts = task->attempts,
                           .order = LATE_ORDER,
                           .created_at = task->created_at,
                           .updated_at = task->updated_at,
                           .revision = task->revision };
    codec_encode (&record_live_shape, &live, out);
}

/*  A task that ended has its place in the index of those, and none among the living. */
static void check_end (verify_t *self, span_t user, uuid_t id, const record_task_t *task)
{
    record_key_ended (&self->key, user, task->status, id);
    if (!verify_has (self->broker, FAMILY_ENDED, str_span (&self->key)))
        report_absent (self, FAMILY_ENDED, &self->key, SPAN_EMPTY, "a task that ended is not listed");
}

static void check_task (verify_t *self, void *context, span_t key, span_t value)
{
    span_t user, rest;
    record_task_t task;
    record_document_t document;
    (void)context;
    if (!verify_key (self, PLACE_BROKER, FAMILY_TASKS, key, UUID_SIZE, &user, &rest) ||
        !decode (self, FAMILY_TASKS, key, FIX_DELETE, &record_task_shape, value, &task))
        return;
    self->report->tasks++;
    uuid_t id = record_key_id (rest);
    bool ended = lifecycle_ended ((task_status_t)task.status);
    if (task.status >= TASK_STATUS_COUNT || (!ended && task.status != TASK_PENDING)) {
        finding_t finding = found_in (FAMILY_TASKS, FINDING_BAD_RECORD, key, FIX_DELETE);
        report (self->report, &finding, "%u is no status", task.status);
        return;
    }
    record_key (&self->other, user, task.document);
    int got =
        verify_get (self, FAMILY_DOCUMENTS, str_span (&self->other), &record_document_shape, &document, &self->value);
    if (got == 0) {
        report_dangling (self, FAMILY_TASKS, key, "the document of this task is not there");
        return;
    }
    if (got == 1 && !uuid_eq (document.first_task, id)) {
        record_key_pair (&self->key, user, task.document, id);
        if (!verify_has (self->broker, FAMILY_DOCUMENT_TASKS, str_span (&self->key)))
            report_absent (self, FAMILY_DOCUMENT_TASKS, &self->key, SPAN_EMPTY,
                           "a task is not listed with its document");
    }
    if (ended) {
        check_end (self, user, id, &task);
    } else if (!verify_has (self->broker, FAMILY_LIVE, key)) {
        str_t put = STR_INIT, live_key = STR_INIT;
        put_live (&put, &task);
        str_add (&live_key, key);
        report_absent (self, FAMILY_LIVE, &live_key, str_span (&put), "a task that has not ended waits nowhere");
        str_free (&put);
        str_free (&live_key);
    }
}

static void put_pending (str_t *out, const record_live_t *live)
{
    record_task_t task = { .document = live->document,
                           .status = TASK_PENDING,
                           .priority = live->priority,
                           .attempts = live->attempts,
                           .created_at = live->created_at,
                           .updated_at = live->updated_at,
                           .revision = live->revision };
    codec_encode (&record_task_shape, &task, out);
}

static void check_live (verify_t *self, void *context, span_t key, span_t value)
{
    span_t user, rest;
    record_live_t live;
    record_task_t task;
    (void)context;
    if (!verify_key (self, PLACE_BROKER, FAMILY_LIVE, key, UUID_SIZE, &user, &rest) ||
        !decode (self, FAMILY_LIVE, key, FIX_DELETE, &record_live_shape, value, &live))
        return;
    if (!has_document (self, user, live.document)) {
        report_dangling (self, FAMILY_LIVE, key, "the document of this task is not there");
        return;
    }
    int got = verify_get (self, FAMILY_TASKS, key, &record_task_shape, &task, &self->value);
    if (got == 0) {
        str_t put = STR_INIT, task_key = STR_INIT;
        put_pending (&put, &live);
        str_add (&task_key, key);
        report_absent (self, FAMILY_TASKS, &task_key, str_span (&put), "the record of a task that waits is missing");
        str_free (&put);
        str_free (&task_key);
    } else if (got == 1 && lifecycle_ended ((task_status_t)task.status))
        report_dangling (self, FAMILY_LIVE, key, "a task that ended is among those that have not");
    else if (got == 1 && (task.revision != live.revision || !uuid_eq (task.document, live.document)))
        report_dangling (self, FAMILY_LIVE, key, "it does not fit the record of its task");
}

static void check_ended (verify_t *self, void *context, span_t key, span_t value)
{
    span_t user, rest;
    record_task_t task;
    (void)context;
    (void)value;
    if (!verify_key (self, PLACE_BROKER, FAMILY_ENDED, key, 1 + UUID_SIZE, &user, &rest))
        return;
    record_key (&self->key, user, record_key_id (span (rest.data + 1, UUID_SIZE)));
    int got = verify_get (self, FAMILY_TASKS, str_span (&self->key), &record_task_shape, &task, &self->value);
    if (got == 0 || (got == 1 && task.status != (unsigned char)rest.data[0]))
        report_dangling (self, FAMILY_ENDED, key, got ? "the task did not end like this" : "there is no such task");
}

static void check_pair (verify_t *self, void *context, span_t key, span_t value)
{
    span_t user, rest;
    record_task_t task;
    (void)context;
    (void)value;
    if (!verify_key (self, PLACE_BROKER, FAMILY_DOCUMENT_TASKS, key, 2 * UUID_SIZE, &user, &rest))
        return;
    record_key (&self->key, user, record_key_id (span (rest.data + UUID_SIZE, UUID_SIZE)));
    int got = verify_get (self, FAMILY_TASKS, str_span (&self->key), &record_task_shape, &task, &self->value);
    if (got == 0 || (got == 1 && !uuid_eq (task.document, record_key_id (rest))))
        report_dangling (self, FAMILY_DOCUMENT_TASKS, key,
                         got ? "the task is another document's" : "there is no such task");
}

/*  Histories of a task follow each other: each task is looked up once. */
typedef struct {
    str_t task;
    bool is_there;
} last_task_t;

static void check_history (verify_t *self, void *context, span_t key, span_t value)
{
    last_task_t *last = context;
    span_t user, rest;
    if (!verify_key (self, PLACE_BROKER, FAMILY_HISTORY, key, UUID_SIZE + 8, &user, &rest))
        return;
    span_t task = span (key.data, key.size - 8);
    if (!span_eq (task, str_span (&last->task))) {
        str_clear (&last->task);
        str_add (&last->task, task);
        last->is_there = verify_has (self->broker, FAMILY_TASKS, task);
    }
    if (!last->is_there)
        report_dangling (self, FAMILY_HISTORY, key, "the task of this history is not there");
    else if (value.size < 3 || value.data[0] != '{' || value.data[value.size - 1] != '\n') {
        finding_t finding = found_in (FAMILY_HISTORY, FINDING_BAD_RECORD, key, FIX_DELETE);
        report (self->report, &finding, "the history is damaged");
    }
}

static void check_work (verify_t *self, void *context, span_t key, span_t value)
{
    span_t user, rest;
    record_resume_t resume;
    (void)context;
    if (verify_key (self, PLACE_BROKER, FAMILY_WORK, key, UUID_SIZE, &user, &rest) &&
        decode (self, FAMILY_WORK, key, FIX_DELETE, &record_resume_shape, value, &resume) &&
        !verify_has (self->broker, FAMILY_LIVE, key))
        report_dangling (self, FAMILY_WORK, key, "the task of this checkpoint is not there, or has ended");
}

/*  --- the rest --- */

static void check_purge (verify_t *self, void *context, span_t key, span_t value)
{
    span_t user, rest;
    (void)context;
    (void)value;
    verify_key (self, PLACE_BROKER, FAMILY_PURGES, key, UUID_SIZE + 8, &user, &rest);
}

static void check_answer (verify_t *self, void *context, span_t key, span_t value)
{
    span_t user, rest;
    record_first_answer_t first;
    (void)context;
    if (verify_key (self, PLACE_BROKER, FAMILY_IDEMPOTENCY, key, SIZE_MAX, &user, &rest))
        decode (self, FAMILY_IDEMPOTENCY, key, FIX_DELETE, &record_first_answer_shape, value, &first);
}

static void check_fault (verify_t *self, void *context, span_t key, span_t value)
{
    span_t user, rest;
    record_fault_t fault;
    record_task_t task;
    (void)context;
    if (!verify_key (self, PLACE_BROKER, FAMILY_FAULTS, key, UUID_SIZE, &user, &rest) ||
        !decode (self, FAMILY_FAULTS, key, FIX_DELETE, &record_fault_shape, value, &fault))
        return;
    int got = verify_get (self, FAMILY_TASKS, key, &record_task_shape, &task, &self->value);
    if (got == 0 || (got == 1 && task.status != TASK_FAILED))
        report_dangling (self, FAMILY_FAULTS, key, got ? "the task has not failed" : "there is no such task");
}

static void check_poison (verify_t *self, void *context, span_t key, span_t value)
{
    span_t user, rest;
    record_poison_t poison;
    (void)context;
    if (verify_key (self, PLACE_BROKER, FAMILY_POISON, key, HASH_SIZE, &user, &rest))
        decode (self, FAMILY_POISON, key, FIX_DELETE, &record_poison_shape, value, &poison);
}

/*  Families without a check of their own are read, so that their checksums are compared. META and USERS have more. */
static verify_record_fn *const checks[FAMILY_COUNT] = {
    [FAMILY_DOCUMENTS] = check_document, [FAMILY_TASKS] = check_task,         [FAMILY_LIVE] = check_live,
    [FAMILY_ENDED] = check_ended,        [FAMILY_HASHES] = check_hash,        [FAMILY_DOCUMENT_TASKS] = check_pair,
    [FAMILY_BLOBS] = check_blob,         [FAMILY_WORK] = check_work,          [FAMILY_PURGES] = check_purge,
    [FAMILY_HISTORY] = check_history,    [FAMILY_IDEMPOTENCY] = check_answer, [FAMILY_FAULTS] = check_fault,
    [FAMILY_POISON] = check_poison,
};

/*  Documents first, and where they are listed: one that is restored from there keeps its tasks. */
static const record_family_t first[] = { FAMILY_DOCUMENTS, FAMILY_HASHES, FAMILY_BLOBS };
#define FIRST_COUNT (sizeof first / sizeof *first)

static bool is_rest (unsigned family)
{
    for (size_t i = 0; i < FIRST_COUNT; i++)
        if (first[i] == family)
            return false;
    return family != FAMILY_META && family != FAMILY_USERS;
}

void verify_broker (verify_t *self)
{
    last_task_t last = { 0 };
    check_meta (self);
    for (size_t i = 0; i < FIRST_COUNT; i++)
        verify_walk (self, PLACE_BROKER, first[i], checks[first[i]], NULL);
    for (unsigned family = 0; family < FAMILY_COUNT; family++)
        if (is_rest (family))
            verify_walk (self, PLACE_BROKER, family, checks[family], &last);
    str_free (&last.task);
}
