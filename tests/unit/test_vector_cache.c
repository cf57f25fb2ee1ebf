/* link: content */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/vector_cache.h"

#include <stdio.h>

#define DIMS        8u
#define ROWS        1024u /* of a block */
#define BLOCK_BYTES (ROWS * (8 + 4 + DIMS))

static const span_t ana = { "ana", 3 }, model = { "model", 5 };

/*  Rows that are all alike, and a query that is like them. */
typedef struct {
    vector_cache_t *cache;
    buf_t *column;
    vectors_t vectors;
    scan_query_t query;
} fixture_t;

static int setup (void **state)
{
    static fixture_t self;
    static float values[ROWS * DIMS];
    err_t err;
    for (size_t i = 0; i < ROWS * DIMS; i++)
        values[i] = 0.35f;
    self.column = vectors_new (model, ROWS, DIMS);
    vectors_set (self.column, 0, ROWS, values);
    assert_int_equal (vectors_read (buf_span (self.column), &self.vectors, &err), 0);
    scan_query_init (&self.query, values, DIMS);
    self.cache = vector_cache_new (3 * BLOCK_BYTES);
    *state = &self;
    return 0;
}

static int teardown (void **state)
{
    fixture_t *self = *state;
    vector_cache_destroy (&self->cache);
    scan_query_free (&self->query);
    buf_unref (&self->column);
    return 0;
}

/*  Asks for more rows than there are; -1 and 0 as vector_cache_scan, else 1 + how many there were. */
static int count_rows (fixture_t *self, span_t user)
{
    top_t top = top_new (8 * ROWS);
    int rc = vector_cache_scan (self->cache, user, model, &self->query, &top);
    int count = (int)top.count;
    top_free (&top);
    return rc == 1 ? 1 + count : rc;
}

static vector_matrix_t *begin (fixture_t *self, span_t user)
{
    return vector_fill_begin (self->cache, user, model, DIMS);
}

static void what_changes_during_a_fill_is_in_it (void **state)
{
    fixture_t *self = *state;
    assert_int_equal (count_rows (self, ana), -1);
    vector_matrix_t *fill = begin (self, ana);
    vector_cache_add (self->cache, ana, 5000, &self->vectors);
    vector_cache_remove (self->cache, ana, 1, 24);
    assert_true (vector_fill_add (self->cache, fill, 1, &self->vectors));
    vector_fill_end (self->cache, fill, true);
    assert_int_equal (count_rows (self, ana), 1 + (int)(2 * ROWS) - 24);
    assert_int_equal (vector_cache_bytes (self->cache), 2 * BLOCK_BYTES);
}

static void a_matrix_doomed_right_after_its_fill_leaves_nothing_that_waits_to_be_filled (void **state)
{
    fixture_t *self = *state;
    assert_int_equal (count_rows (self, ana), -1);
    vector_matrix_t *fill = begin (self, ana);
    assert_true (vector_fill_add (self->cache, fill, 1, &self->vectors));
    vector_fill_end (self->cache, fill, true);
    for (uint64_t i = 1; i <= 3; i++) /* the writer, before the reader asks again */
        vector_cache_add (self->cache, ana, 1 + i * ROWS, &self->vectors);
    assert_int_equal (count_rows (self, ana), -1);
    assert_false (vector_cache_wants (self->cache, ana));
    assert_int_equal (vector_cache_bytes (self->cache), 0);
}

static void changes_that_wait_count_and_too_many_end_the_fill (void **state)
{
    fixture_t *self = *state;
    vector_matrix_t *fill = begin (self, ana);
    for (uint64_t i = 0; i < 50; i++) {
        vector_cache_add (self->cache, ana, 1 + i * ROWS, &self->vectors);
        assert_true (vector_cache_bytes (self->cache) <= 3 * BLOCK_BYTES);
    }
    assert_false (vector_fill_add (self->cache, fill, 60 * ROWS, &self->vectors));
    vector_fill_end (self->cache, fill, true);
    assert_int_equal (vector_cache_bytes (self->cache), 0);
    assert_int_equal (count_rows (self, ana), -1);
    fill = begin (self, ana);
    for (uint64_t i = 0; i < 100000; i++)
        vector_cache_remove (self->cache, ana, i, 1);
    assert_true (vector_cache_bytes (self->cache) <= 3 * BLOCK_BYTES);
    vector_fill_end (self->cache, fill, true);
}

static void no_fill_begins_while_a_document_changes_its_revision (void **state)
{
    fixture_t *self = *state;
    vector_cache_switch (self->cache, true);
    assert_null (begin (self, ana));
    assert_int_equal (count_rows (self, ana), -1);
    vector_cache_switch (self->cache, false);
    vector_matrix_t *fill = begin (self, ana);
    vector_cache_switch (self->cache, true); /* one that is under way is told, and goes on */
    vector_cache_add (self->cache, ana, 1, &self->vectors);
    vector_cache_switch (self->cache, false);
    vector_fill_end (self->cache, fill, true);
    assert_int_equal (count_rows (self, ana), 1 + (int)ROWS);
}

static void users_whose_vectors_are_too_large_are_forgotten_in_the_end (void **state)
{
    fixture_t *self = *state;
    char name[16];
    for (int i = 0; i < 1500; i++) {
        snprintf (name, sizeof name, "user%d", i);
        vector_matrix_t *fill = begin (self, span_str (name));
        for (uint64_t at = 0; vector_fill_add (self->cache, fill, 1 + at, &self->vectors);)
            at += ROWS;
        vector_fill_end (self->cache, fill, true);
        assert_int_equal (count_rows (self, span_str (name)), 0);
    }
    assert_false (vector_cache_wants (self->cache, SPAN_LIT ("user0")));
    assert_true (vector_cache_wants (self->cache, SPAN_LIT ("user1499")));
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST (what_changes_during_a_fill_is_in_it),
        TEST (a_matrix_doomed_right_after_its_fill_leaves_nothing_that_waits_to_be_filled),
        TEST (changes_that_wait_count_and_too_many_end_the_fill),
        TEST (no_fill_begins_while_a_document_changes_its_revision),
        TEST (users_whose_vectors_are_too_large_are_forgotten_in_the_end),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
