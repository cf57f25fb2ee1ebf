/*  Each kind of damage is put into a small data directory, found by verify, and repaired. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/core/lifecycle.h"
#include "integrity/repair.h"
#include "integrity/verify.h"
#include "store/blob.h"
#include "store/content_records.h"
#include "store/records.h"
#include "tests/unit/content_fixture.h"

#include <sqlite3.h>
#include <sys/stat.h>

/* link: integrity embedding sqlite3 */

#define USER SPAN_LIT ("ana")

/*  noted: completed, inline. filed: completed, in a file, two segments. waiting: pending. halfway: in processing, two
 *  segments behind its checkpoint. twice: failed, then cancelled, so that it has two tasks. */
typedef enum { NOTED, FILED, WAITING, HALFWAY, TWICE, DOCUMENTS } which_t;

static fixture_t *self;
static uuid_t documents[DOCUMENTS], tasks[DOCUMENTS], second_task;
static str_t bytes[DOCUMENTS];

/*  --- a small world --- */

static kv_t *open_broker (void)
{
    char path[128];
    err_t err = { 0 };
    snprintf (path, sizeof path, "%s/broker", self->dir);
    kv_t *kv = records_open (path, &err);
    if (!kv)
        fail_msg ("%s", err.message);
    return kv;
}

static void close_kv (kv_t *kv)
{
    err_t err;
    assert_int_equal (kv_commit (kv, true, &err), 0);
    kv_destroy (&kv);
}

static kv_t *open_content (void)
{
    char path[128];
    err_t err = { 0 };
    content_state_t state;
    snprintf (path, sizeof path, "%s/content", self->dir);
    kv_t *kv = content_records_open (path, &state, &err);
    if (!kv)
        fail_msg ("%s", err.message);
    return kv;
}

static void put_document (kv_t *kv, which_t which, uint64_t revision, uint32_t chunks)
{
    str_t key = STR_INIT;
    err_t err;
    hash_t hash = hash_of (str_span (&bytes[which]));
    record_document_t document = { .filename = SPAN_LIT ("paper.txt"),
                                   .bytes = bytes[which].size,
                                   .hash = span (hash.bytes, HASH_SIZE),
                                   .in_file = which == FILED,
                                   .created_at = 1000,
                                   .updated_at = 2000,
                                   .task = which == TWICE ? second_task : tasks[which],
                                   .first_task = tasks[which],
                                   .revisions = which == TWICE ? 2 : 1,
                                   .revision = revision,
                                   .chunks = chunks };
    record_key (&key, USER, documents[which]);
    record_put (kv, FAMILY_DOCUMENTS, str_span (&key), &record_document_shape, &document);
    if (which != FILED)
        kv_put (kv, FAMILY_BLOBS, str_span (&key), str_span (&bytes[which]));
    record_key_bytes (&key, USER, document.hash);
    kv_put (kv, FAMILY_HASHES, str_span (&key), span (documents[which].bytes, UUID_SIZE));
    str_free (&key);
    if (which != FILED)
        return;
    blob_writer_t *writer = blob_writer_new (self->dir, 0, &err);
    assert_int_equal (blob_writer_add (writer, str_span (&bytes[which]), &err), 0);
    blob_writer_hash (writer);
    assert_int_equal (blob_writer_commit (writer, USER, &err), 0);
    blob_writer_destroy (&writer);
}

static void put_task (kv_t *kv, which_t which, uuid_t id, uint64_t revision, task_status_t status)
{
    str_t key = STR_INIT;
    bool lives = !lifecycle_ended (status);
    record_task_t task = { .document = documents[which],
                           .status = (uint8_t)(lives ? TASK_PENDING : status),
                           .priority = 5,
                           .created_at = 1000,
                           .revision = revision,
                           .processing_ms = status == TASK_COMPLETED ? 250 : 0 };
    record_live_t live = { .document = documents[which],
                           .priority = 5,
                           .order = (1u << 30) + which,
                           .created_at = 1000,
                           .started_at = status == TASK_PROCESSING ? 1500 : 0,
                           .revision = revision,
                           .last_seq = 7 };
    record_key (&key, USER, id);
    record_put (kv, FAMILY_TASKS, str_span (&key), &record_task_shape, &task);
    if (lives)
        record_put (kv, FAMILY_LIVE, str_span (&key), &record_live_shape, &live);
    record_key_number (&key, USER, id, revision << 32);
    kv_put (kv, FAMILY_HISTORY, str_span (&key), SPAN_LIT ("{\"event\":\"created\"}\n"));
    record_key_ended (&key, USER, (uint8_t)status, id);
    if (!lives)
        kv_put (kv, FAMILY_ENDED, str_span (&key), SPAN_EMPTY);
    str_free (&key);
}

static void make_broker (void)
{
    kv_t *kv = open_broker ();
    str_t key = STR_INIT;
    record_user_t user = {
        .seq = 20, .documents = DOCUMENTS, .completed = 2, .failed = 1, .cancelled = 1, .processing_ms = 500
    };
    record_resume_t resume = { .revision = 1, .segments = 2, .cursor = SPAN_LIT ("here") };
    record_put (kv, FAMILY_META, SPAN_LIT ("state"), &record_meta_shape, &(record_meta_t){ RECORDS_FORMAT, 3 });
    record_key_user (&key, USER);
    record_put (kv, FAMILY_USERS, str_span (&key), &record_user_shape, &user);
    put_document (kv, NOTED, 1, 2);
    put_task (kv, NOTED, tasks[NOTED], 1, TASK_COMPLETED);
    put_document (kv, FILED, 1, 3);
    put_task (kv, FILED, tasks[FILED], 1, TASK_COMPLETED);
    put_document (kv, WAITING, 0, 0);
    put_task (kv, WAITING, tasks[WAITING], 1, TASK_PENDING);
    put_document (kv, HALFWAY, 0, 0);
    put_task (kv, HALFWAY, tasks[HALFWAY], 1, TASK_PROCESSING);
    record_key (&key, USER, tasks[HALFWAY]);
    record_put (kv, FAMILY_WORK, str_span (&key), &record_resume_shape, &resume);
    put_document (kv, TWICE, 0, 0);
    put_task (kv, TWICE, tasks[TWICE], 1, TASK_FAILED);
    put_task (kv, TWICE, second_task, 2, TASK_CANCELLED);
    record_key_pair (&key, USER, documents[TWICE], second_task);
    kv_put (kv, FAMILY_DOCUMENT_TASKS, str_span (&key), SPAN_EMPTY);
    str_free (&key);
    close_kv (kv);
}

static int make_world (void **state)
{
    fixture_setup (state);
    self = *state;
    for (int i = 0; i < DOCUMENTS; i++) {
        documents[i] = uuid_new ();
        tasks[i] = uuid_new ();
        str_clear (&bytes[i]);
        str_format (&bytes[i], "the bytes of document %d", i);
    }
    second_task = uuid_new ();
    put_note (self, "ana", documents[NOTED], 1, "silver herring\nsalted almonds");
    put_segment (self, "ana", documents[FILED], 1, 0, "copper kettles\nbrass lamps");
    put_segment (self, "ana", documents[FILED], 1, 1, "painted tiles");
    put_commit (self, "ana", documents[FILED], 1, 2);
    put_segment (self, "ana", documents[HALFWAY], 1, 0, "first half");
    put_segment (self, "ana", documents[HALFWAY], 1, 1, "second half");
    fixture_close (self);
    make_broker ();
    return 0;
}

static int drop_world (void **state)
{
    for (int i = 0; i < DOCUMENTS; i++)
        str_free (&bytes[i]);
    return fixture_teardown (state);
}

/*  --- looking --- */

static struct {
    bool is_repairable;
    char text[1024];
} found[64];
static size_t found_count;

static void keep (void *listener, const finding_t *finding)
{
    (void)listener;
    if (found_count == 64)
        return;
    str_t text = STR_INIT;
    finding_text (finding, &text);
    found[found_count].is_repairable = finding->is_note || finding->fix != FIX_NONE;
    snprintf (found[found_count].text, sizeof found[0].text, "%s", text.data);
    found_count++;
    str_free (&text);
}

static report_t look (void)
{
    verify_config_t config = { .dir = self->dir };
    report_t report = { .tell = keep };
    err_t err = { 0 };
    found_count = 0;
    if (verify_run (&config, &report, &err) < 0)
        fail_msg ("%s", err.message);
    return report;
}

static void expect_well (const char *when)
{
    report_t report = look ();
    for (size_t i = 0; i < found_count; i++)
        print_message ("%s: %s\n", when, found[i].text);
    if (report.findings)
        fail_msg ("%s: %llu findings", when, (unsigned long long)report.findings);
}

static report_t mend (bool drop_lost)
{
    repair_config_t config = { self->dir, drop_lost };
    report_t done = { .tell = keep }, left = { 0 };
    err_t err = { 0 };
    found_count = 0;
    if (repair_run (&config, &done, &left, &err) < 0)
        fail_msg ("%s", err.message);
    return left;
}

/*  --- damage --- */

typedef void damage_fn (kv_t *kv);

static str_t key = STR_INIT;

static span_t document_key (which_t which)
{
    record_key (&key, USER, documents[which]);
    return str_span (&key);
}

static span_t task_key (which_t which)
{
    record_key (&key, USER, tasks[which]);
    return str_span (&key);
}

static span_t segment_key (which_t which, uint32_t segment)
{
    content_key (&key, USER, documents[which], 1, segment);
    return str_span (&key);
}

#define DAMAGE(name) static void name (kv_t *kv)

DAMAGE (state_lost)
{
    kv_delete (kv, FAMILY_META, SPAN_LIT ("state"));
}
DAMAGE (foreign_key)
{
    kv_put (kv, FAMILY_TASKS, SPAN_LIT ("\1\2"), SPAN_LIT ("x"));
}
DAMAGE (wrong_partition)
{
    document_key (NOTED);
    key.data[0] ^= 1;
    kv_put (kv, FAMILY_LIVE, str_span (&key), SPAN_LIT ("x"));
}
DAMAGE (bad_document)
{
    kv_put (kv, FAMILY_DOCUMENTS, document_key (NOTED), SPAN_LIT ("\1\3x"));
}
DAMAGE (bad_filed_document)
{
    kv_put (kv, FAMILY_DOCUMENTS, document_key (FILED), SPAN_LIT ("\1\3x"));
}
DAMAGE (lost_document)
{
    kv_delete (kv, FAMILY_DOCUMENTS, document_key (WAITING));
}
DAMAGE (unfiled_document)
{
    hash_t hash = hash_of (str_span (&bytes[NOTED]));
    record_key_bytes (&key, USER, span (hash.bytes, HASH_SIZE));
    kv_delete (kv, FAMILY_HASHES, str_span (&key));
}
DAMAGE (hash_of_nothing)
{
    record_key_bytes (&key, USER, SPAN_LIT ("0123456789abcdef0123456789abcdef"));
    kv_put (kv, FAMILY_HASHES, str_span (&key), span (second_task.bytes, UUID_SIZE));
}
DAMAGE (never_given_out)
{
    record_document_t document;
    str_t value = STR_INIT;
    err_t err;
    record_get (kv, FAMILY_DOCUMENTS, document_key (NOTED), &record_document_shape, &document, &value, &err);
    document.revisions = 0;
    record_put (kv, FAMILY_DOCUMENTS, str_span (&key), &record_document_shape, &document);
    str_free (&value);
}
DAMAGE (bad_task)
{
    kv_put (kv, FAMILY_TASKS, task_key (NOTED), SPAN_LIT ("\1\4"));
}
DAMAGE (lost_task)
{
    kv_delete (kv, FAMILY_TASKS, task_key (WAITING));
}
DAMAGE (lost_live)
{
    kv_delete (kv, FAMILY_LIVE, task_key (WAITING));
}
DAMAGE (bad_live)
{
    kv_put (kv, FAMILY_LIVE, task_key (HALFWAY), SPAN_LIT ("\1\5"));
}
DAMAGE (live_after_its_end)
{
    record_live_t live = { .document = documents[NOTED], .priority = 5, .revision = 1 };
    record_put (kv, FAMILY_LIVE, task_key (NOTED), &record_live_shape, &live);
}
DAMAGE (unlisted_end)
{
    record_key_ended (&key, USER, TASK_FAILED, tasks[TWICE]);
    kv_delete (kv, FAMILY_ENDED, str_span (&key));
}
DAMAGE (end_of_nothing)
{
    record_key_ended (&key, USER, TASK_FAILED, documents[NOTED]);
    kv_put (kv, FAMILY_ENDED, str_span (&key), SPAN_EMPTY);
}
DAMAGE (another_end)
{
    record_key_ended (&key, USER, TASK_COMPLETED, tasks[TWICE]);
    kv_put (kv, FAMILY_ENDED, str_span (&key), SPAN_EMPTY);
}
DAMAGE (unlisted_task)
{
    record_key_pair (&key, USER, documents[TWICE], second_task);
    kv_delete (kv, FAMILY_DOCUMENT_TASKS, str_span (&key));
}
DAMAGE (pair_of_nothing)
{
    record_key_pair (&key, USER, documents[TWICE], documents[NOTED]);
    kv_put (kv, FAMILY_DOCUMENT_TASKS, str_span (&key), SPAN_EMPTY);
}
DAMAGE (task_of_nothing)
{
    record_task_t task = { .document = second_task, .status = TASK_FAILED };
    record_put (kv, FAMILY_TASKS, document_key (NOTED), &record_task_shape, &task);
}
DAMAGE (history_of_nothing)
{
    record_key_number (&key, USER, documents[NOTED], 1);
    kv_put (kv, FAMILY_HISTORY, str_span (&key), SPAN_LIT ("{}\n"));
}
DAMAGE (bad_history)
{
    record_key_number (&key, USER, tasks[NOTED], 1ull << 32);
    kv_put (kv, FAMILY_HISTORY, str_span (&key), SPAN_LIT ("xyz"));
}
DAMAGE (work_of_nothing)
{
    record_resume_t resume = { .revision = 1 };
    record_put (kv, FAMILY_WORK, task_key (NOTED), &record_resume_shape, &resume);
}
DAMAGE (bad_purge)
{
    kv_put (kv, FAMILY_PURGES, document_key (NOTED), SPAN_EMPTY);
}
DAMAGE (bad_answer)
{
    record_key_bytes (&key, USER, SPAN_LIT ("a key"));
    kv_put (kv, FAMILY_IDEMPOTENCY, str_span (&key), SPAN_LIT ("\1\7z"));
}
DAMAGE (bytes_of_nothing)
{
    kv_put (kv, FAMILY_BLOBS, task_key (NOTED), SPAN_LIT ("bytes of a lost document"));
}
DAMAGE (inline_and_in_a_file)
{
    kv_put (kv, FAMILY_BLOBS, document_key (FILED), SPAN_LIT ("again"));
}
DAMAGE (miscounted)
{
    record_user_t user = { .seq = 20, .documents = 4, .completed = 3, .failed = 1, .cancelled = 1, .processing_ms = 1 };
    record_key_user (&key, USER);
    record_put (kv, FAMILY_USERS, str_span (&key), &record_user_shape, &user);
}
DAMAGE (seq_fell)
{
    record_user_t user = {
        .seq = 3, .documents = DOCUMENTS, .completed = 2, .failed = 1, .cancelled = 1, .processing_ms = 500
    };
    record_key_user (&key, USER);
    record_put (kv, FAMILY_USERS, str_span (&key), &record_user_shape, &user);
}
DAMAGE (lost_user)
{
    record_key_user (&key, USER);
    kv_delete (kv, FAMILY_USERS, str_span (&key));
}
DAMAGE (bad_user)
{
    record_key_user (&key, USER);
    kv_put (kv, FAMILY_USERS, str_span (&key), SPAN_LIT ("\1\2"));
}
DAMAGE (inline_bytes_lost)
{
    kv_delete (kv, FAMILY_BLOBS, document_key (NOTED));
}
DAMAGE (inline_bytes_changed)
{
    kv_put (kv, FAMILY_BLOBS, document_key (NOTED), SPAN_LIT ("the bytes of document 9"));
}
DAMAGE (inline_bytes_short)
{
    kv_put (kv, FAMILY_BLOBS, document_key (NOTED), SPAN_LIT ("the"));
}

DAMAGE (content_state_lost)
{
    kv_delete (kv, CONTENT_META, SPAN_LIT ("state"));
}
DAMAGE (bad_content_document)
{
    kv_put (kv, CONTENT_DOCUMENTS, document_key (NOTED), SPAN_LIT ("\1\2x"));
}
DAMAGE (lost_content_document)
{
    kv_delete (kv, CONTENT_DOCUMENTS, document_key (NOTED));
}
DAMAGE (bad_segment)
{
    kv_put (kv, CONTENT_SEGMENTS, segment_key (FILED, 1), SPAN_LIT ("\1\3x"));
}
DAMAGE (lost_segment)
{
    kv_delete (kv, CONTENT_SEGMENTS, segment_key (FILED, 1));
}
DAMAGE (lost_text)
{
    kv_delete (kv, CONTENT_TEXT, segment_key (FILED, 0));
}
DAMAGE (short_text)
{
    kv_put (kv, CONTENT_TEXT, segment_key (FILED, 0), SPAN_LIT ("\1cop"));
}
DAMAGE (bad_marks)
{
    kv_put (kv, CONTENT_MARKS, segment_key (FILED, 0), SPAN_LIT ("\1xxxx"));
}
DAMAGE (bad_vectors)
{
    kv_put (kv, CONTENT_VECTORS, segment_key (FILED, 0), SPAN_LIT ("\1xxxx"));
}
DAMAGE (lost_vectors)
{
    kv_delete (kv, CONTENT_VECTORS, segment_key (NOTED, 0));
}
DAMAGE (text_of_nothing)
{
    kv_put (kv, CONTENT_TEXT, segment_key (WAITING, 5), SPAN_LIT ("\1text"));
}
DAMAGE (vectors_of_nothing)
{
    kv_put (kv, CONTENT_VECTORS, segment_key (WAITING, 5), SPAN_LIT ("\1text"));
}
DAMAGE (lost_rows)
{
    content_key_row (&key, 1);
    kv_delete (kv, CONTENT_ROWS, str_span (&key));
}
DAMAGE (bad_rows)
{
    content_key_row (&key, 1);
    kv_put (kv, CONTENT_ROWS, str_span (&key), SPAN_LIT ("xx"));
}
DAMAGE (rows_never_given_out)
{
    content_rows_of_t rows = { USER, documents[NOTED], 1, 0, 2 };
    content_key_row (&key, 5000);
    content_put (kv, CONTENT_ROWS, str_span (&key), &content_rows_of_shape, &rows);
}
DAMAGE (bad_garbage)
{
    kv_put (kv, CONTENT_GARBAGE, document_key (NOTED), SPAN_EMPTY);
}
DAMAGE (forgotten_revision)
{
    content_document_t document;
    str_t value = STR_INIT;
    err_t err;
    content_get (kv, CONTENT_DOCUMENTS, document_key (NOTED), &content_document_shape, &document, &value, &err);
    document.dropped_through = 5; /* of another document: HALFWAY's segments are then old ones */
    document.revision = 0;
    document.parts = SPAN_EMPTY;
    document.chunks = document.embeddings = 0;
    content_put (kv, CONTENT_DOCUMENTS, document_key (HALFWAY), &content_document_shape, &document);
    str_free (&value);
}
DAMAGE (checkpoint_ahead)
{
    content_segment_t segment;
    str_t value = STR_INIT;
    err_t err;
    content_get (kv, CONTENT_SEGMENTS, segment_key (HALFWAY, 1), &content_segment_shape, &segment, &value, &err);
    kv_delete (kv, CONTENT_SEGMENTS, str_span (&key));
    kv_delete (kv, CONTENT_TEXT, str_span (&key));
    kv_delete (kv, CONTENT_VECTORS, str_span (&key));
    content_key_row (&key, segment.row);
    kv_delete (kv, CONTENT_ROWS, str_span (&key));
    str_free (&value);
}
DAMAGE (taken_for_deleted)
{
    content_document_t document = { .dropped_through = UINT64_MAX };
    content_put (kv, CONTENT_DOCUMENTS, document_key (WAITING), &content_document_shape, &document);
}
DAMAGE (deleted_meanwhile)
{ /* the broker's records are older: it does not know that the document is gone */
    content_document_t document = { .dropped_through = UINT64_MAX };
    content_put (kv, CONTENT_DOCUMENTS, document_key (NOTED), &content_document_shape, &document);
    content_key_revision (&key, USER, documents[NOTED], UINT64_MAX);
    kv_put (kv, CONTENT_GARBAGE, str_span (&key), SPAN_LIT ("all"));
}

/*  The broker's records of a document go, as if it had come after they were copied. */
static void forget_document (kv_t *kv, which_t which)
{
    hash_t hash = hash_of (str_span (&bytes[which]));
    record_user_t user = {
        .seq = 20, .documents = 4, .completed = 1, .failed = 1, .cancelled = 1, .processing_ms = 250
    };
    kv_delete (kv, FAMILY_DOCUMENTS, document_key (which));
    kv_delete (kv, FAMILY_BLOBS, document_key (which));
    kv_delete (kv, FAMILY_TASKS, task_key (which));
    record_key_number (&key, USER, tasks[which], 1ull << 32);
    kv_delete (kv, FAMILY_HISTORY, str_span (&key));
    record_key_ended (&key, USER, TASK_COMPLETED, tasks[which]);
    kv_delete (kv, FAMILY_ENDED, str_span (&key));
    record_key_bytes (&key, USER, span (hash.bytes, HASH_SIZE));
    kv_delete (kv, FAMILY_HASHES, str_span (&key));
    record_key_user (&key, USER);
    record_put (kv, FAMILY_USERS, str_span (&key), &record_user_shape, &user);
}
DAMAGE (came_later)
{
    forget_document (kv, NOTED);
}
DAMAGE (completed_later)
{
    put_document (kv, NOTED, 0, 0);
}
DAMAGE (chunks_miscounted)
{
    put_document (kv, NOTED, 1, 77);
}
DAMAGE (work_of_nobody)
{
    kv_delete (kv, FAMILY_LIVE, task_key (HALFWAY));
    kv_delete (kv, FAMILY_WORK, task_key (HALFWAY));
    put_task (kv, HALFWAY, tasks[HALFWAY], 1, TASK_FAILED);
    record_user_t user = {
        .seq = 20, .documents = 5, .completed = 2, .failed = 2, .cancelled = 1, .processing_ms = 500
    };
    record_key_user (&key, USER);
    record_put (kv, FAMILY_USERS, str_span (&key), &record_user_shape, &user);
}

#define BROKER(name, kind)                                                                                             \
    {                                                                                                                  \
#name, name, false, FINDING_##kind                                                                             \
    }
#define CONTENT(name, kind)                                                                                            \
    {                                                                                                                  \
#name, name, true, FINDING_##kind                                                                              \
    }
static const struct {
    const char *name;
    damage_fn *damage;
    bool in_content;
    finding_kind_t kind;
} cases[] = {
    BROKER (state_lost, INCOMPLETE),
    BROKER (foreign_key, BAD_KEY),
    BROKER (wrong_partition, BAD_KEY),
    BROKER (bad_document, BAD_RECORD),
    BROKER (bad_filed_document, BAD_RECORD),
    BROKER (lost_document, DOCUMENT_LOST),
    BROKER (unfiled_document, INCOMPLETE),
    BROKER (hash_of_nothing, DOCUMENT_LOST),
    BROKER (never_given_out, BAD_RECORD),
    BROKER (bad_task, BAD_RECORD),
    BROKER (lost_task, INCOMPLETE),
    BROKER (lost_live, INCOMPLETE),
    BROKER (bad_live, BAD_RECORD),
    BROKER (live_after_its_end, DANGLING),
    BROKER (unlisted_end, INCOMPLETE),
    BROKER (end_of_nothing, DANGLING),
    BROKER (another_end, DANGLING),
    BROKER (unlisted_task, INCOMPLETE),
    BROKER (pair_of_nothing, DANGLING),
    BROKER (task_of_nothing, DANGLING),
    BROKER (history_of_nothing, DANGLING),
    BROKER (bad_history, BAD_RECORD),
    BROKER (work_of_nothing, DANGLING),
    BROKER (bad_purge, BAD_KEY),
    BROKER (bad_answer, BAD_RECORD),
    BROKER (bytes_of_nothing, DOCUMENT_LOST),
    BROKER (inline_and_in_a_file, DANGLING),
    BROKER (miscounted, WRONG_COUNT),
    BROKER (seq_fell, WRONG_COUNT),
    BROKER (lost_user, WRONG_COUNT),
    BROKER (bad_user, BAD_RECORD),
    BROKER (came_later, CONTENT_UNKNOWN),
    BROKER (completed_later, WRONG_COUNT),
    BROKER (chunks_miscounted, WRONG_COUNT),
    BROKER (work_of_nobody, DANGLING),
    CONTENT (content_state_lost, INCOMPLETE),
    CONTENT (bad_content_document, CONTENT_DAMAGED),
    CONTENT (lost_content_document, CONTENT_MISSING),
    CONTENT (bad_segment, CONTENT_DAMAGED),
    CONTENT (lost_segment, CONTENT_DAMAGED),
    CONTENT (lost_text, CONTENT_DAMAGED),
    CONTENT (short_text, CONTENT_DAMAGED),
    CONTENT (bad_marks, CONTENT_DAMAGED),
    CONTENT (bad_vectors, CONTENT_DAMAGED),
    CONTENT (lost_vectors, CONTENT_DAMAGED),
    CONTENT (text_of_nothing, DANGLING),
    CONTENT (vectors_of_nothing, DANGLING),
    CONTENT (lost_rows, CONTENT_DAMAGED),
    CONTENT (bad_rows, BAD_RECORD),
    CONTENT (rows_never_given_out, DANGLING),
    CONTENT (bad_garbage, BAD_KEY),
    CONTENT (forgotten_revision, DANGLING),
    CONTENT (checkpoint_ahead, CONTENT_MISSING),
    CONTENT (taken_for_deleted, CONTENT_DAMAGED),
    CONTENT (deleted_meanwhile, CONTENT_MISSING),
};
#define CASES (sizeof cases / sizeof *cases)

static void inflict (size_t at)
{
    kv_t *kv = cases[at].in_content ? open_content () : open_broker ();
    cases[at].damage (kv);
    close_kv (kv);
}

/*  Every document but those that the damage took for good is there, or is queued. */
static void expect_documents (uint64_t least)
{
    report_t report = look ();
    if (report.documents < least)
        fail_msg ("of %d documents %llu are left", DOCUMENTS, (unsigned long long)report.documents);
}

static void an_undamaged_world_is_well (void **state)
{
    (void)state;
    expect_well ("undamaged");
    report_t report = look ();
    assert_int_equal (report.documents, DOCUMENTS);
    assert_int_equal (report.tasks, DOCUMENTS + 1);
    assert_int_equal (report.segments, 5);
    assert_int_equal (report.chunks, 7);
    assert_int_equal (report.vectors, 7);
    assert_int_equal (report.blobs, DOCUMENTS);
    mend (false);
    assert_int_equal (found_count, 0); /* nothing was repaired */
    expect_well ("after a repair of nothing");
}

static void each_damage_is_found_and_repaired (void **state)
{
    for (size_t i = 0; i < CASES; i++) {
        drop_world (state);
        make_world (state);
        inflict (i);
        report_t report = look ();
        if (!report.by_kind[cases[i].kind]) {
            expect_well (cases[i].name);
            fail_msg ("%s was not found", cases[i].name);
        }
        for (size_t f = 0; f < found_count; f++)
            if (!found[f].is_repairable)
                fail_msg ("%s: %s has no repair", cases[i].name, found[f].text);
        report_t left = mend (false);
        if (left.findings)
            expect_well (cases[i].name);
        assert_int_equal (left.findings, 0);
        expect_documents (cases[i].damage == came_later ? DOCUMENTS - 1 : DOCUMENTS);
        fixture_open (self); /* and storage starts on it */
        fixture_close (self);
    }
}

static void bytes_that_are_gone_are_not_repaired_unless_asked (void **state)
{
    damage_fn *const damages[] = { inline_bytes_lost, inline_bytes_changed, inline_bytes_short };
    for (size_t i = 0; i < 3; i++) {
        drop_world (state);
        make_world (state);
        kv_t *kv = open_broker ();
        damages[i](kv);
        close_kv (kv);
        finding_kind_t kind = i ? FINDING_BYTES_DAMAGED : FINDING_BYTES_MISSING;
        assert_int_equal (look ().by_kind[kind], 1);
        assert_int_equal (mend (false).by_kind[kind], 1);
        expect_documents (DOCUMENTS);
        assert_int_equal (mend (true).findings, 0);
        assert_int_equal (look ().documents, DOCUMENTS - 1);
    }
}

/*  The index is another file: rows go from it, or a word of it is filed under another row. */
static void run_sql (const char *sql)
{
    char path[128];
    sqlite3 *db;
    snprintf (path, sizeof path, "%s/index.sqlite", self->dir);
    assert_int_equal (sqlite3_open (path, &db), SQLITE_OK);
    if (sqlite3_exec (db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg ("%s", sqlite3_errmsg (db));
    sqlite3_close (db);
}

static void an_index_that_differs_is_made_anew (void **state)
{
    static const char *const damages[] = {
        "UPDATE users SET rows = rows + 1",
        "UPDATE users SET size = 0",
        "UPDATE meta SET identity = 'another'",
        "UPDATE meta SET next_row = 100000",
        "PRAGMA user_version = 7",
        "DELETE FROM chunks_data WHERE id > 10",
        "DROP TABLE meta",
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        drop_world (state);
        make_world (state);
        run_sql (damages[i]);
        if (look ().by_kind[FINDING_INDEX_DIFFERS] != 1)
            fail_msg ("not found: %s", damages[i]);
        assert_int_equal (mend (false).findings, 0);
        expect_well (damages[i]);
        fixture_open (self);
        assert_int_equal (search_for (self, "ana", "herring", SEARCH_TEXT).count, 1);
        fixture_close (self);
    }
}

static void what_was_lost_is_searchable_again_when_it_was_processed (void **state)
{
    (void)state;
    kv_t *kv = open_content ();
    deleted_meanwhile (kv);
    close_kv (kv);
    assert_int_equal (mend (false).findings, 0);
    fixture_open (self); /* the revision that the broker now asks for is not taken for an old one */
    put_note (self, "ana", documents[NOTED], 2, "silver herring");
    assert_int_equal (search_for (self, "ana", "herring", SEARCH_TEXT).count, 1);
    tidy_up (self);
    assert_int_equal (search_for (self, "ana", "herring", SEARCH_TEXT).count, 1);
    fixture_close (self);
}

int main (void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test_setup_teardown (an_undamaged_world_is_well, make_world, drop_world),
        cmocka_unit_test_setup_teardown (each_damage_is_found_and_repaired, make_world, drop_world),
        cmocka_unit_test_setup_teardown (bytes_that_are_gone_are_not_repaired_unless_asked, make_world, drop_world),
        cmocka_unit_test_setup_teardown (an_index_that_differs_is_made_anew, make_world, drop_world),
        cmocka_unit_test_setup_teardown (what_was_lost_is_searchable_again_when_it_was_processed, make_world,
                                         drop_world),
    };
    int rc = cmocka_run_group_tests (all, NULL, NULL);
    str_free (&key);
    return rc;
}
