/*  Damage in the broker's records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/integrity_fixture.h"

/* link: integrity embedding */

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
DAMAGE (fault_of_nothing)
{
    record_put (kv, FAMILY_FAULTS, task_key (NOTED), &record_fault_shape, &(record_fault_t){ .attempts = 1 });
}
DAMAGE (bad_poison)
{
    record_key_bytes (&key, USER, SPAN_LIT ("0123456789abcdef0123456789abcdef"));
    kv_put (kv, FAMILY_POISON, str_span (&key), SPAN_LIT ("\1\11z"));
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

static const case_t cases[] = {
    { "state_lost", state_lost, false, FINDING_INCOMPLETE, 0 },
    { "foreign_key", foreign_key, false, FINDING_BAD_KEY, 0 },
    { "wrong_partition", wrong_partition, false, FINDING_BAD_KEY, 0 },
    { "bad_document", bad_document, false, FINDING_BAD_RECORD, 0 },
    { "bad_filed_document", bad_filed_document, false, FINDING_BAD_RECORD, 0 },
    { "lost_document", lost_document, false, FINDING_DOCUMENT_LOST, 0 },
    { "unfiled_document", unfiled_document, false, FINDING_INCOMPLETE, 0 },
    { "hash_of_nothing", hash_of_nothing, false, FINDING_DOCUMENT_LOST, 0 },
    { "never_given_out", never_given_out, false, FINDING_BAD_RECORD, 0 },
    { "bad_task", bad_task, false, FINDING_BAD_RECORD, 0 },
    { "lost_task", lost_task, false, FINDING_INCOMPLETE, 0 },
    { "lost_live", lost_live, false, FINDING_INCOMPLETE, 0 },
    { "bad_live", bad_live, false, FINDING_BAD_RECORD, 0 },
    { "live_after_its_end", live_after_its_end, false, FINDING_DANGLING, 0 },
    { "unlisted_end", unlisted_end, false, FINDING_INCOMPLETE, 0 },
    { "end_of_nothing", end_of_nothing, false, FINDING_DANGLING, 0 },
    { "another_end", another_end, false, FINDING_DANGLING, 0 },
    { "unlisted_task", unlisted_task, false, FINDING_INCOMPLETE, 0 },
    { "pair_of_nothing", pair_of_nothing, false, FINDING_DANGLING, 0 },
    { "task_of_nothing", task_of_nothing, false, FINDING_DANGLING, 0 },
    { "history_of_nothing", history_of_nothing, false, FINDING_DANGLING, 0 },
    { "bad_history", bad_history, false, FINDING_BAD_RECORD, 0 },
    { "work_of_nothing", work_of_nothing, false, FINDING_DANGLING, 0 },
    { "fault_of_nothing", fault_of_nothing, false, FINDING_DANGLING, 0 },
    { "bad_poison", bad_poison, false, FINDING_BAD_RECORD, 0 },
    { "bad_purge", bad_purge, false, FINDING_BAD_KEY, 0 },
    { "bad_answer", bad_answer, false, FINDING_BAD_RECORD, 0 },
    { "bytes_of_nothing", bytes_of_nothing, false, FINDING_DOCUMENT_LOST, -1 },
    { "inline_and_in_a_file", inline_and_in_a_file, false, FINDING_DANGLING, 0 },
    { "miscounted", miscounted, false, FINDING_WRONG_COUNT, 0 },
    { "seq_fell", seq_fell, false, FINDING_WRONG_COUNT, 0 },
    { "lost_user", lost_user, false, FINDING_WRONG_COUNT, 0 },
    { "bad_user", bad_user, false, FINDING_BAD_RECORD, 0 },
    { "came_later", came_later, false, FINDING_CONTENT_UNKNOWN, 1 },
    { "completed_later", completed_later, false, FINDING_WRONG_COUNT, 0 },
    { "chunks_miscounted", chunks_miscounted, false, FINDING_WRONG_COUNT, 0 },
    { "work_of_nobody", work_of_nobody, false, FINDING_DANGLING, 0 },
};

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
    run_cases (state, cases, sizeof cases / sizeof *cases);
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
        report_t left = mend (false);
        assert_int_equal (left.by_kind[kind], 1);
        assert_int_equal (left.documents, DOCUMENTS);
        assert_int_equal (mend (true).findings, 0);
        assert_int_equal (look ().documents, DOCUMENTS - 1);
    }
}

int main (void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test_setup_teardown (an_undamaged_world_is_well, make_world, drop_world),
        cmocka_unit_test_setup_teardown (each_damage_is_found_and_repaired, make_world, drop_world),
        cmocka_unit_test_setup_teardown (bytes_that_are_gone_are_not_repaired_unless_asked, make_world, drop_world),
    };
    int rc = cmocka_run_group_tests (all, NULL, NULL);
    str_free (&key);
    return rc;
}
