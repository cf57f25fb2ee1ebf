/*  Damage in the content and in the text index. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/integrity_fixture.h"

#include <sqlite3.h>

/* link: integrity embedding sqlite3 */

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
    kv_put (kv, CONTENT_ROWS, str_span (&key), SPAN_LIT ("\1\4x"));
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
DAMAGE (dropped_in_work)
{
    content_document_t document = { .dropped_through = 1 };
    content_put (kv, CONTENT_DOCUMENTS, document_key (WAITING), &content_document_shape, &document);
}
DAMAGE (deleted_meanwhile)
{ /* the broker's records are older: it does not know that the document is gone */
    content_document_t document = { .dropped_through = UINT64_MAX };
    content_put (kv, CONTENT_DOCUMENTS, document_key (NOTED), &content_document_shape, &document);
    content_key_revision (&key, USER, documents[NOTED], UINT64_MAX);
    kv_put (kv, CONTENT_GARBAGE, str_span (&key), SPAN_LIT ("all"));
}

static const case_t cases[] = {
    { "content_state_lost", content_state_lost, true, FINDING_INCOMPLETE, 0 },
    { "bad_content_document", bad_content_document, true, FINDING_CONTENT_DAMAGED, 0 },
    { "lost_content_document", lost_content_document, true, FINDING_CONTENT_MISSING, 0 },
    { "bad_segment", bad_segment, true, FINDING_CONTENT_DAMAGED, 0 },
    { "lost_segment", lost_segment, true, FINDING_CONTENT_DAMAGED, 0 },
    { "lost_text", lost_text, true, FINDING_CONTENT_DAMAGED, 0 },
    { "short_text", short_text, true, FINDING_CONTENT_DAMAGED, 0 },
    { "bad_marks", bad_marks, true, FINDING_CONTENT_DAMAGED, 0 },
    { "bad_vectors", bad_vectors, true, FINDING_CONTENT_DAMAGED, 0 },
    { "lost_vectors", lost_vectors, true, FINDING_CONTENT_DAMAGED, 0 },
    { "text_of_nothing", text_of_nothing, true, FINDING_DANGLING, 0 },
    { "vectors_of_nothing", vectors_of_nothing, true, FINDING_DANGLING, 0 },
    { "lost_rows", lost_rows, true, FINDING_CONTENT_DAMAGED, 0 },
    { "bad_rows", bad_rows, true, FINDING_BAD_RECORD, 0 },
    { "rows_never_given_out", rows_never_given_out, true, FINDING_DANGLING, 0 },
    { "bad_garbage", bad_garbage, true, FINDING_BAD_KEY, 0 },
    { "forgotten_revision", forgotten_revision, true, FINDING_DANGLING, 0 },
    { "checkpoint_ahead", checkpoint_ahead, true, FINDING_CONTENT_MISSING, 0 },
    { "taken_for_deleted", taken_for_deleted, true, FINDING_CONTENT_DAMAGED, 0 },
    { "dropped_in_work", dropped_in_work, true, FINDING_CONTENT_DAMAGED, 0 },
    { "deleted_meanwhile", deleted_meanwhile, true, FINDING_CONTENT_DAMAGED, 0 },
};

static void each_damage_is_found_and_repaired (void **state)
{
    run_cases (state, cases, sizeof cases / sizeof *cases);
}

/*  As storage has it when a power cut took from the broker that it had been told to commit. */
static void what_was_dropped_of_a_cancelled_task_is_no_damage (void **state)
{
    (void)state;
    content_document_t document = { .dropped_through = 2 };
    kv_t *kv = open_content ();
    content_put (kv, CONTENT_DOCUMENTS, document_key (TWICE), &content_document_shape, &document);
    close_kv (kv);
    expect_well ("dropped");
    mend (false);
    assert_int_equal (found_count, 0);
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
        cmocka_unit_test_setup_teardown (each_damage_is_found_and_repaired, make_world, drop_world),
        cmocka_unit_test_setup_teardown (what_was_dropped_of_a_cancelled_task_is_no_damage, make_world, drop_world),
        cmocka_unit_test_setup_teardown (an_index_that_differs_is_made_anew, make_world, drop_world),
        cmocka_unit_test_setup_teardown (what_was_lost_is_searchable_again_when_it_was_processed, make_world,
                                         drop_world),
    };
    int rc = cmocka_run_group_tests (all, NULL, NULL);
    str_free (&key);
    return rc;
}
