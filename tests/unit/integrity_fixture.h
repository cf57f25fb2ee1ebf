/*  integrity_fixture.h: a small data directory with a document of each kind, into which damage is put that verify finds
 * and repair mends.
 */
#ifndef TESTS_UNIT_INTEGRITY_FIXTURE_H
#define TESTS_UNIT_INTEGRITY_FIXTURE_H

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
#define FIXTURE_DIR "/dev/shm" /* hundreds of databases are made: their syncs would take minutes */
#include "tests/unit/content_fixture.h"

#define USER SPAN_LIT ("ana")

/*  noted: completed, inline. filed: completed, in a file, two segments. waiting: pending. halfway: in processing, two
 *  segments behind its checkpoint. twice: failed, then cancelled, so that it has two tasks. */
typedef enum { NOTED, FILED, WAITING, HALFWAY, TWICE, DOCUMENTS } which_t;

static fixture_t *self;
static uuid_t documents[DOCUMENTS], tasks[DOCUMENTS], second_task;
static str_t bytes[DOCUMENTS];

/*  --- a small world --- */

static inline kv_t *open_broker (void)
{
    char path[128];
    err_t err = { 0 };
    snprintf (path, sizeof path, "%s/broker", self->dir);
    kv_t *kv = records_open (path, &err);
    if (!kv)
        fail_msg ("%s", err.message);
    return kv;
}

static inline void close_kv (kv_t *kv)
{
    err_t err;
    assert_int_equal (kv_commit (kv, true, &err), 0);
    kv_destroy (&kv);
}

static inline kv_t *open_content (void)
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

static inline void put_document (kv_t *kv, which_t which, uint64_t revision, uint32_t chunks)
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

static inline void put_task (kv_t *kv, which_t which, uuid_t id, uint64_t revision, task_status_t status)
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

static inline uint64_t all_bytes (void)
{
    uint64_t sum = 0;
    for (int i = 0; i < DOCUMENTS; i++)
        sum += bytes[i].size;
    return sum;
}

static inline void make_broker (void)
{
    kv_t *kv = open_broker ();
    str_t key = STR_INIT;
    record_user_t user = { .seq = 20,
                           .documents = DOCUMENTS,
                           .bytes = all_bytes (),
                           .completed = 2,
                           .failed = 1,
                           .cancelled = 1,
                           .processing_ms = 500 };
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
    record_key (&key, USER, tasks[TWICE]);
    record_put (kv, FAMILY_FAULTS, str_span (&key), &record_fault_shape, &(record_fault_t){ .attempts = 3 });
    record_key_bytes (&key, USER, SPAN_LIT ("0123456789abcdef0123456789abcdef"));
    record_put (kv, FAMILY_POISON, str_span (&key), &record_poison_shape, &(record_poison_t){ .at = 9 });
    put_task (kv, TWICE, second_task, 2, TASK_CANCELLED);
    record_key_pair (&key, USER, documents[TWICE], second_task);
    kv_put (kv, FAMILY_DOCUMENT_TASKS, str_span (&key), SPAN_EMPTY);
    str_free (&key);
    close_kv (kv);
}

static inline int make_world (void **state)
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

static inline int drop_world (void **state)
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

static inline void keep (void *listener, const finding_t *finding)
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

static inline report_t look (void)
{
    verify_config_t config = { .dir = self->dir };
    report_t report = { .tell = keep };
    err_t err = { 0 };
    found_count = 0;
    if (verify_run (&config, &report, &err) < 0)
        fail_msg ("%s", err.message);
    return report;
}

static inline void expect_well (const char *when)
{
    report_t report = look ();
    for (size_t i = 0; i < found_count; i++)
        print_message ("%s: %s\n", when, found[i].text);
    if (report.findings)
        fail_msg ("%s: %llu findings", when, (unsigned long long)report.findings);
}

static inline report_t mend (bool drop_lost)
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

static inline span_t document_key (which_t which)
{
    record_key (&key, USER, documents[which]);
    return str_span (&key);
}

static inline span_t task_key (which_t which)
{
    record_key (&key, USER, tasks[which]);
    return str_span (&key);
}

static inline span_t segment_key (which_t which, uint32_t segment)
{
    content_key (&key, USER, documents[which], 1, segment);
    return str_span (&key);
}

#define DAMAGE(name) static void name (kv_t *kv)

typedef struct {
    const char *name;
    damage_fn *damage;
    bool in_content;
    finding_kind_t kind;
    int lost; /* documents that are gone with it; -1: one comes back */
} case_t;

/*  Every case in a world of its own: found, told, mended; and no document is lost that need not be. */
static inline void run_cases (void **state, const case_t *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const case_t *one = &cases[i];
        drop_world (state);
        make_world (state);
        kv_t *kv = one->in_content ? open_content () : open_broker ();
        one->damage (kv);
        close_kv (kv);
        report_t report = look ();
        if (!report.by_kind[one->kind]) {
            expect_well (one->name);
            fail_msg ("%s was not found", one->name);
        }
        for (size_t f = 0; f < found_count; f++)
            if (!found[f].is_repairable)
                fail_msg ("%s: %s has no repair", one->name, found[f].text);
        report_t left = mend (false);
        if (left.findings)
            expect_well (one->name);
        assert_int_equal (left.findings, 0);
        if (left.documents != (uint64_t)(DOCUMENTS - one->lost))
            fail_msg ("%s: %llu documents are left", one->name, (unsigned long long)left.documents);
    }
}

#endif
