/* link: content embedding */
#include "tests/unit/content_fixture.h"

static void a_committed_document_is_found_by_the_very_next_query_in_every_mode (void **state)
{
    fixture_t *self = *state;
    uuid_t id = uuid_new ();
    content_change_t change = put_note (self, "ana", id, 1, "The quick brown fox\njumps over the lazy dog");
    assert_int_equal (change.rc, 0);
    assert_int_equal (change.chunks, 2);
    assert_int_equal (change.embeddings, 2);
    for (int mode = SEARCH_HYBRID; mode <= SEARCH_VECTOR; mode++) {
        hits_t hits = search_for (self, "ana", "lazy dogs", (search_mode_t)mode);
        assert_true (hits.count >= 1);
        assert_memory_equal (&hits.items[0].document, &id, sizeof id);
        assert_int_equal (hits.items[0].chunk, 1);
        assert_string_equal (hits.items[0].text, "jumps over the lazy dog");
        assert_string_equal (hits.items[0].filename, "note.txt");
    }
    /* The matrix in memory is there now; what comes later has to get into it. */
    uuid_t second = uuid_new ();
    put_note (self, "ana", second, 1, "Kangaroos and wallabies");
    hits_t hits = search_for (self, "ana", "wallabies", SEARCH_VECTOR);
    assert_memory_equal (&hits.items[0].document, &second, sizeof second);
}

static void a_segment_written_twice_leaves_one (void **state)
{
    fixture_t *self = *state;
    uuid_t id = uuid_new ();
    err_code_t code;
    put_segment (self, "ana", id, 1, 0, "alpha one\nalpha two");
    put_segment (self, "ana", id, 1, 0, "alpha one\nalpha two");
    put_segment (self, "ana", id, 1, 1, "alpha three");
    content_change_t change = put_commit (self, "ana", id, 1, 2);
    assert_int_equal (change.chunks, 3);
    assert_int_equal (change.embeddings, 3);
    assert_int_equal (chunks_of (self, "ana", id, 0, 60, &code).count, 3);
    assert_int_equal (search_for (self, "ana", "alpha", SEARCH_TEXT).count, 3);
    assert_int_equal (search_for (self, "ana", "alpha", SEARCH_VECTOR).count, 3);
}

static void a_segment_written_again_with_another_text_replaces_the_first (void **state)
{
    fixture_t *self = *state;
    uuid_t id = uuid_new ();
    put_segment (self, "ana", id, 1, 0, "alpha one\nalpha two");
    put_segment (self, "ana", id, 1, 0, "beta");
    put_commit (self, "ana", id, 1, 1);
    assert_int_equal (search_for (self, "ana", "alpha", SEARCH_TEXT).count, 0);
    assert_int_equal (search_for (self, "ana", "beta", SEARCH_TEXT).count, 1);
}

static void of_a_segment_that_comes_twice_in_a_batch_the_second_stays (void **state)
{
    fixture_t *self = *state;
    err_t err;
    uuid_t id = uuid_new ();
    job_t jobs[] = { job_segment (self, "ana", id, 1, 0, "alpha one\nalpha two"),
                     job_segment (self, "ana", id, 1, 0, "beta"), job_plain (JOB_COMMIT, "ana", id, 1) };
    content_change_t changes[3];
    for (int i = 0; i < 3; i++)
        changes[i] = job_change (&jobs[i]);
    assert_int_equal (content_apply (self->content, changes, 3, &err), 0);
    for (int restarted = 0; restarted < 2; restarted++) {
        assert_int_equal (search_for (self, "ana", "alpha", SEARCH_TEXT).count, 0);
        assert_int_equal (search_for (self, "ana", "beta", SEARCH_TEXT).count, 1);
        fixture_close (self);
        fixture_open (self);
    }
    for (int i = 0; i < 3; i++)
        job_clear (&jobs[i]);
}

static void nothing_is_visible_before_its_commit (void **state)
{
    fixture_t *self = *state;
    uuid_t id = uuid_new ();
    err_code_t code;
    put_segment (self, "ana", id, 1, 0, "secret plan");
    assert_int_equal (search_for (self, "ana", "secret", SEARCH_HYBRID).count, 0);
    assert_int_equal (chunks_of (self, "ana", id, 0, 10, &code).count, 0);
    assert_int_equal (code, ERR_NOT_FOUND);
    put_commit (self, "ana", id, 1, 1);
    assert_int_equal (search_for (self, "ana", "secret", SEARCH_HYBRID).count, 1);
}

static void a_new_revision_replaces_the_old_one_in_one_step (void **state)
{
    fixture_t *self = *state;
    uuid_t id = uuid_new ();
    err_code_t code;
    put_note (self, "ana", id, 1, "old apples\nold pears");
    assert_int_equal (search_for (self, "ana", "apples", SEARCH_VECTOR).count, 2); /* fills the matrix */
    put_segment (self, "ana", id, 2, 0, "new apples");
    assert_string_equal (search_for (self, "ana", "apples", SEARCH_TEXT).items[0].text, "old apples");
    put_commit (self, "ana", id, 2, 1);
    for (int tidied = 0; tidied < 2; tidied++) {
        for (int mode = SEARCH_HYBRID; mode <= SEARCH_VECTOR; mode++) {
            hits_t hits = search_for (self, "ana", "apples pears", (search_mode_t)mode);
            assert_int_equal (hits.count, 1);
            assert_string_equal (hits.items[0].text, "new apples");
        }
        hits_t chunks = chunks_of (self, "ana", id, 0, 10, &code);
        assert_int_equal (chunks.count, 1);
        assert_int_equal (chunks.items[0].revision, 2);
        tidy_up (self);
    }
}

static void what_is_older_than_the_visible_revision_is_taken_and_ignored (void **state)
{
    fixture_t *self = *state;
    uuid_t id = uuid_new ();
    put_note (self, "ana", id, 5, "fifth");
    assert_int_equal (put_note (self, "ana", id, 4, "fourth").rc, 0);
    assert_int_equal (put_commit (self, "ana", id, 4, 1).rc, 0);
    assert_int_equal (search_for (self, "ana", "fourth", SEARCH_TEXT).count, 0);
    assert_int_equal (search_for (self, "ana", "fifth", SEARCH_TEXT).count, 1);
}

static void a_commit_that_comes_again_is_answered_with_the_same_counts (void **state)
{
    fixture_t *self = *state;
    uuid_t id = uuid_new ();
    put_segment (self, "ana", id, 1, 0, "one\ntwo");
    put_segment (self, "ana", id, 1, 2, "three"); /* segment 1 failed */
    for (int i = 0; i < 2; i++) {
        content_change_t change = put_commit (self, "ana", id, 1, 3);
        assert_int_equal (change.rc, 0);
        assert_int_equal (change.chunks, 3);
        assert_int_equal (change.embeddings, 3);
    }
    assert_int_equal (put_segment (self, "ana", id, 1, 0, "one\ntwo").chunks, 2);
}

static void a_dropped_revision_is_gone_but_never_the_visible_one (void **state)
{
    fixture_t *self = *state;
    uuid_t id = uuid_new ();
    put_note (self, "ana", id, 1, "visible");
    put_segment (self, "ana", id, 2, 0, "half done");
    apply_job (self, job_plain (JOB_DROP_REVISION, "ana", id, 2));
    apply_job (self, job_plain (JOB_DROP_REVISION, "ana", id, 1));
    tidy_up (self);
    assert_int_equal (search_for (self, "ana", "visible", SEARCH_HYBRID).count, 1);
    /* The same number may be used again at once, before or after its remains are removed. */
    put_segment (self, "ana", id, 3, 0, "third");
    apply_job (self, job_plain (JOB_DROP_REVISION, "ana", id, 3));
    put_segment (self, "ana", id, 3, 0, "third again");
    tidy_up (self);
    assert_int_equal (put_commit (self, "ana", id, 3, 1).chunks, 1);
    tidy_up (self);
    assert_string_equal (search_for (self, "ana", "third", SEARCH_TEXT).items[0].text, "third again");
}

static void the_visible_revision_of_a_task_that_did_not_complete_can_be_dropped (void **state)
{
    fixture_t *self = *state;
    uuid_t id = uuid_new ();
    put_note (self, "ana", id, 1, "cancelled");
    job_t drop = job_plain (JOB_DROP_REVISION, "ana", id, 1);
    drop.job.final = 1;
    apply_job (self, drop);
    for (int mode = SEARCH_HYBRID; mode <= SEARCH_VECTOR; mode++)
        assert_int_equal (search_for (self, "ana", "cancelled", (search_mode_t)mode).count, 0);
    tidy_up (self);
    put_note (self, "ana", id, 1, "cancelled"); /* late */
    assert_int_equal (search_for (self, "ana", "cancelled", SEARCH_HYBRID).count, 0);
    put_note (self, "ana", id, 2, "processed again");
    apply_job (self, drop); /* once more, as after a crash */
    tidy_up (self);
    assert_int_equal (search_for (self, "ana", "processed", SEARCH_HYBRID).count, 1);
}

static void a_dropped_document_is_gone_at_once_and_late_jobs_do_not_bring_it_back (void **state)
{
    fixture_t *self = *state;
    uuid_t id = uuid_new ();
    err_code_t code;
    put_note (self, "ana", id, 3, "ephemeral words");
    assert_int_equal (search_for (self, "ana", "ephemeral", SEARCH_VECTOR).count, 1);
    apply_job (self, job_plain (JOB_DROP_DOCUMENT, "ana", id, 0));
    for (int mode = SEARCH_HYBRID; mode <= SEARCH_VECTOR; mode++)
        assert_int_equal (search_for (self, "ana", "ephemeral", (search_mode_t)mode).count, 0);
    chunks_of (self, "ana", id, 0, 10, &code);
    assert_int_equal (code, ERR_NOT_FOUND);
    assert_int_equal (put_note (self, "ana", id, 3, "ephemeral words").rc, 0);
    assert_int_equal (put_note (self, "ana", id, 4, "ephemeral words").rc, 0);
    tidy_up (self);
    assert_int_equal (search_for (self, "ana", "ephemeral", SEARCH_HYBRID).count, 0);
    assert_int_equal (content_stats (self->content).garbage, 0);
}

static void a_document_dropped_through_a_revision_may_come_back_with_a_later_one (void **state)
{
    fixture_t *self = *state;
    uuid_t id = uuid_new ();
    put_note (self, "ana", id, 3, "phoenix");
    apply_job (self, job_plain (JOB_DROP_DOCUMENT, "ana", id, 3));
    put_note (self, "ana", id, 3, "phoenix");
    assert_int_equal (search_for (self, "ana", "phoenix", SEARCH_HYBRID).count, 0);
    put_note (self, "ana", id, 4, "phoenix");
    tidy_up (self);
    assert_int_equal (search_for (self, "ana", "phoenix", SEARCH_HYBRID).count, 1);
}

static void a_batch_is_applied_in_order_and_a_bad_job_spoils_no_other (void **state)
{
    fixture_t *self = *state;
    uuid_t first = uuid_new (), second = uuid_new (), third = uuid_new ();
    job_t jobs[] = {
        job_segment (self, "ana", first, 1, 0, "batch alpha"),
        job_segment (self, "ana", first, 1, 1, "batch beta"),
        job_plain (JOB_COMMIT, "ana", first, 1),
        job_segment (self, "ana", second, 1, 0, "batch gamma"),
        job_segment (self, "ana", third, 1, 0, "batch delta"),
        job_plain (JOB_DROP_DOCUMENT, "ana", third, 1),
    };
    enum { COUNT = sizeof jobs / sizeof *jobs };
    content_change_t changes[COUNT];
    err_t err;
    jobs[2].job.segments = 2;
    jobs[4].job.final = 1;
    jobs[4].job.segments = 1;
    for (int i = 0; i < COUNT; i++)
        changes[i] = job_change (&jobs[i]);
    changes[3].columns[1].size = 3; /* its chunk ends beyond */
    assert_int_equal (content_apply (self->content, changes, COUNT, &err), 0);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal (changes[i].rc, i == 3 ? -1 : 0);
    assert_int_equal (changes[3].err.code, ERR_PROTOCOL);
    assert_int_equal (changes[2].chunks, 2);
    hits_t hits = search_for (self, "ana", "batch", SEARCH_HYBRID);
    assert_int_equal (hits.count, 2);
    for (int i = 0; i < COUNT; i++)
        job_clear (&jobs[i]);
}

static void columns_that_do_not_fit_together_are_refused (void **state)
{
    fixture_t *self = *state;
    err_t err;
    job_t job = job_segment (self, "ana", uuid_new (), 1, 0, "one\ntwo");
    content_change_t change = job_change (&job);
    change.columns[1] = SPAN_EMPTY;
    assert_int_equal (content_apply (self->content, &change, 1, &err), 0);
    assert_int_equal (change.rc, -1);
    change = job_change (&job);
    change.columns[2] = SPAN_LIT ("no marks");
    assert_int_equal (content_apply (self->content, &change, 1, &err), 0);
    assert_int_equal (change.rc, -1);
    change = job_change (&job);
    change.columns[3].size -= 12; /* one chunk, two vectors */
    assert_int_equal (content_apply (self->content, &change, 1, &err), 0);
    assert_int_equal (change.rc, -1);
    job.job.user = SPAN_EMPTY;
    change = job_change (&job);
    assert_int_equal (content_apply (self->content, &change, 1, &err), 0);
    assert_int_equal (change.rc, -1);
    job_clear (&job);
}

static void an_empty_segment_and_a_segment_without_vectors_are_stored (void **state)
{
    fixture_t *self = *state;
    uuid_t id = uuid_new ();
    put_segment (self, "ana", id, 1, 0, "");
    job_t job = job_segment (self, "ana", id, 1, 1, "words alone");
    buf_unref (&job.vectors);
    apply_job (self, job);
    put_segment (self, "ana", id, 1, 2, "words and vectors");
    content_change_t change = put_commit (self, "ana", id, 1, 3);
    assert_int_equal (change.chunks, 2);
    assert_int_equal (change.embeddings, 1);
    assert_int_equal (search_for (self, "ana", "words", SEARCH_TEXT).count, 2);
    assert_int_equal (search_for (self, "ana", "words", SEARCH_VECTOR).count, 1);
}

static void a_user_sees_nothing_of_another (void **state)
{
    fixture_t *self = *state;
    uuid_t ana = uuid_new (), bob = uuid_new ();
    err_code_t code;
    put_note (self, "ana", ana, 1, "shared words of ana");
    put_note (self, "bob", bob, 1, "shared words of bob");
    put_note (self, "an", uuid_new (), 1, "shared words of an");
    for (int mode = SEARCH_HYBRID; mode <= SEARCH_VECTOR; mode++) {
        hits_t hits = search_for (self, "ana", "shared words", (search_mode_t)mode);
        assert_int_equal (hits.count, 1);
        assert_string_equal (hits.items[0].text, "shared words of ana");
    }
    assert_int_equal (search_in (self, "ana", "shared", SEARCH_HYBRID, 10, bob).count, 0);
    chunks_of (self, "ana", bob, 0, 10, &code);
    assert_int_equal (code, ERR_NOT_FOUND);
    assert_int_equal (search_for (self, "carol", "shared", SEARCH_HYBRID).count, 0);
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST (a_committed_document_is_found_by_the_very_next_query_in_every_mode),
        TEST (a_segment_written_twice_leaves_one),
        TEST (a_segment_written_again_with_another_text_replaces_the_first),
        TEST (of_a_segment_that_comes_twice_in_a_batch_the_second_stays),
        TEST (nothing_is_visible_before_its_commit),
        TEST (a_new_revision_replaces_the_old_one_in_one_step),
        TEST (what_is_older_than_the_visible_revision_is_taken_and_ignored),
        TEST (a_commit_that_comes_again_is_answered_with_the_same_counts),
        TEST (a_dropped_revision_is_gone_but_never_the_visible_one),
        TEST (the_visible_revision_of_a_task_that_did_not_complete_can_be_dropped),
        TEST (a_dropped_document_is_gone_at_once_and_late_jobs_do_not_bring_it_back),
        TEST (a_document_dropped_through_a_revision_may_come_back_with_a_later_one),
        TEST (a_batch_is_applied_in_order_and_a_bad_job_spoils_no_other),
        TEST (columns_that_do_not_fit_together_are_refused),
        TEST (an_empty_segment_and_a_segment_without_vectors_are_stored),
        TEST (a_user_sees_nothing_of_another),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
