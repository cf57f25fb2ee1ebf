/* link: content m */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/index.h"
#include "wire/columns.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

typedef struct {
    char dir[64], path[80];
    index_writer_t *writer;
    index_reader_t *reader;
    words_t *words;
    uint64_t next_row;
} fixture_t;

static int setup (void **state)
{
    fixture_t *self = calloc (1, sizeof *self);
    err_t err;
    uint64_t next_row;
    snprintf (self->dir, sizeof self->dir, "/tmp/myelin-index-XXXXXX");
    assert_non_null (mkdtemp (self->dir));
    snprintf (self->path, sizeof self->path, "%s/index", self->dir);
    self->writer = index_open (self->path, "one", UINT64_MAX, &next_row, &err);
    assert_non_null (self->writer);
    assert_int_equal (next_row, 1);
    self->reader = index_reader_new (self->path, &err);
    assert_non_null (self->reader);
    self->words = words_new ();
    self->next_row = 1;
    *state = self;
    return 0;
}

static int remove_one (const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    return remove (path);
}

static int teardown (void **state)
{
    fixture_t *self = *state;
    index_reader_destroy (&self->reader);
    index_close (&self->writer);
    words_destroy (&self->words);
    nftw (self->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free (self);
    return 0;
}

static span_t whole (const char *text, str_t *spans)
{
    str_clear (spans);
    chunk_span_add (spans, (chunk_span_t){ 0, (uint32_t)strlen (text), 0 });
    return span_str (text);
}

/*  One row; returns its number. */
static uint64_t add (fixture_t *self, const char *user, const char *text)
{
    str_t spans = STR_INIT;
    err_t err;
    span_t bytes = whole (text, &spans);
    assert_int_equal (index_add (self->writer, span_str (user), self->next_row, bytes, str_span (&spans), &err), 0);
    str_free (&spans);
    return self->next_row++;
}

static void take_out (fixture_t *self, const char *user, uint64_t row, const char *text)
{
    str_t spans = STR_INIT;
    err_t err;
    span_t bytes = whole (text, &spans);
    assert_int_equal (index_remove (self->writer, span_str (user), row, bytes, str_span (&spans), &err), 0);
    str_free (&spans);
}

static void commit (fixture_t *self)
{
    err_t err;
    assert_int_equal (index_commit (self->writer, self->next_row, &err), 0);
}

static top_t find_in (fixture_t *self, const char *user, const char *query, const index_range_t *ranges, size_t count)
{
    top_t top = top_new (10);
    terms_t *terms = malloc (sizeof *terms);
    err_t err = { 0 };
    terms_parse (terms, self->words, span_str (query));
    if (index_search (self->reader, span_str (user), terms, ranges, count, &top, &err) < 0)
        fail_msg ("%s", err.message);
    top_finish (&top);
    free (terms);
    return top;
}

/*  The best row, 0 for none, and how many there are. */
static uint64_t best (fixture_t *self, const char *user, const char *query, size_t *count)
{
    top_t top = find_in (self, user, query, NULL, 0);
    uint64_t row = top.count ? top.items[0].row : 0;
    *count = top.count;
    top_free (&top);
    return row;
}

static void rows_are_seen_from_their_commit_on_and_not_before (void **state)
{
    fixture_t *self = *state;
    size_t count;
    uint64_t row = add (self, "ana", "visible later");
    best (self, "ana", "visible", &count);
    assert_int_equal (count, 0);
    commit (self);
    assert_int_equal (best (self, "ana", "visible", &count), row);
}

static void removed_rows_are_gone_and_the_others_stay (void **state)
{
    fixture_t *self = *state;
    err_t err;
    size_t count;
    uint64_t first = add (self, "ana", "apple pie"), second = add (self, "ana", "apple tart");
    commit (self);
    take_out (self, "ana", first, "apple pie");
    assert_int_equal (index_commit_removals (self->writer, &err), 0);
    assert_int_equal (best (self, "ana", "apple", &count), second);
    assert_int_equal (count, 1);
    best (self, "ana", "pie", &count);
    assert_int_equal (count, 0);
}

static void what_was_removed_last_is_known_until_it_is_taken (void **state)
{
    fixture_t *self = *state;
    err_t err;
    uint64_t first = add (self, "ana", "apple pie"), second = add (self, "ana", "apple tart"), next_row, *rows;
    size_t count;
    commit (self);
    take_out (self, "ana", first, "apple pie");
    assert_int_equal (index_commit_removals (self->writer, &err), 0);
    take_out (self, "ana", second, "apple tart");
    assert_int_equal (index_commit_removals (self->writer, &err), 0);
    for (int i = 0; i < 2; i++) { /* a process that ends before its commit did not take it */
        index_close (&self->writer);
        self->writer = index_open (self->path, "one", UINT64_MAX, &next_row, &err);
        assert_int_equal (index_take_removed (self->writer, &rows, &count, &err), 0);
        assert_int_equal (count, 1);
        assert_int_equal (rows[0], second);
        free (rows);
    }
    commit (self);
    assert_int_equal (index_take_removed (self->writer, &rows, &count, &err), 0);
    assert_int_equal (count, 0);
    free (rows);
}

static void each_user_has_lists_and_statistics_of_their_own (void **state)
{
    fixture_t *self = *state;
    size_t count;
    uint64_t row = add (self, "ana", "word of ana");
    add (self, "ana", "something else");
    add (self, "ana", "something different");
    commit (self);
    top_t before = find_in (self, "ana", "word", NULL, 0);
    for (int i = 0; i < 50; i++)
        add (self, "bob", "word word word");
    commit (self);
    top_t after = find_in (self, "ana", "word", NULL, 0);
    assert_int_equal (after.count, 1);
    assert_int_equal (after.items[0].row, row);
    assert_true (after.items[0].score == before.items[0].score);
    best (self, "carol", "word", &count);
    assert_int_equal (count, 0);
    top_free (&before);
    top_free (&after);
}

static void rare_words_and_repeated_words_weigh_more (void **state)
{
    fixture_t *self = *state;
    size_t count;
    uint64_t rare = add (self, "ana", "common zyzzyva");
    for (int i = 0; i < 20; i++)
        add (self, "ana", "common filler");
    uint64_t often = add (self, "ana", "common common common filler");
    commit (self);
    assert_int_equal (best (self, "ana", "common zyzzyva", &count), rare);
    assert_int_equal (best (self, "ana", "common", &count), often);
    assert_int_equal (count, 10);
}

static void a_word_whose_language_is_unsure_counts_once (void **state)
{
    fixture_t *self = *state;
    size_t count;
    /* "universities": two stems; in the first text both are there, in the second the English one. */
    uint64_t unsure = add (self, "ana", "universities alpha beta gamma delta epsilon zeta eta theta");
    add (self, "ana", "universities of the city and of the country that have this one");
    for (int i = 0; i < 8; i++)
        add (self, "ana", "something else");
    commit (self);
    top_t top = find_in (self, "ana", "universities", NULL, 0);
    assert_int_equal (top.count, 2);
    assert_true (fabsf (top.items[0].score - top.items[1].score) < 0.05f * top.items[0].score);
    top_free (&top);
    assert_int_equal (best (self, "ana", "universities alpha", &count), unsure);
}

static void a_search_can_be_kept_to_ranges_of_rows (void **state)
{
    fixture_t *self = *state;
    for (int i = 0; i < 30; i++)
        add (self, "ana", "every row");
    commit (self);
    const index_range_t ranges[] = { { 3, 2 }, { 10, 1 }, { 29, 100 } };
    top_t top = find_in (self, "ana", "row", ranges, 3);
    static const uint64_t expected[] = { 3, 4, 10, 29, 30 };
    assert_int_equal (top.count, 5);
    for (size_t i = 0; i < top.count; i++)
        assert_int_equal (top.items[i].row, expected[i]);
    top_free (&top);
}

static void what_was_not_committed_is_lost_with_the_writer (void **state)
{
    fixture_t *self = *state;
    err_t err;
    uint64_t next_row;
    add (self, "ana", "kept");
    commit (self);
    add (self, "ana", "lost");
    index_close (&self->writer);
    self->writer = index_open (self->path, "one", UINT64_MAX, &next_row, &err);
    assert_non_null (self->writer);
    assert_int_equal (next_row, 2);
    size_t count;
    best (self, "ana", "lost", &count);
    assert_int_equal (count, 0);
    assert_int_equal (best (self, "ana", "kept", &count), 1);
}

static void an_index_of_other_content_or_ahead_of_it_is_made_anew (void **state)
{
    fixture_t *self = *state;
    err_t err;
    uint64_t next_row;
    for (int i = 0; i < 5; i++)
        add (self, "ana", "text");
    commit (self);
    index_close (&self->writer);
    self->writer = index_open (self->path, "one", 6, &next_row, &err);
    assert_int_equal (next_row, 6);
    index_close (&self->writer);
    self->writer = index_open (self->path, "one", 4, &next_row, &err);
    assert_int_equal (next_row, 1);
    index_close (&self->writer);
    self->writer = index_open (self->path, "two", 6, &next_row, &err);
    assert_non_null (self->writer);
    assert_int_equal (next_row, 1);
}

/*  Making it anew may take hours: only what is damaged, or somebody else's, is thrown away. */
static void an_index_that_cannot_be_opened_now_is_kept (void **state)
{
    fixture_t *self = *state;
    err_t err;
    uint64_t next_row;
    for (int i = 0; i < 5; i++)
        add (self, "ana", "text");
    commit (self);
    index_close (&self->writer);
    struct rlimit before, none;
    getrlimit (RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 3; /* descriptors that are open stay so; there is no further one */
    setrlimit (RLIMIT_NOFILE, &none);
    assert_null (index_open (self->path, "one", 6, &next_row, &err));
    setrlimit (RLIMIT_NOFILE, &before);
    assert_int_equal (err.code, ERR_IO);
    self->writer = index_open (self->path, "one", 6, &next_row, &err);
    assert_non_null (self->writer);
    assert_int_equal (next_row, 6);
}

static void a_file_that_cannot_be_made_is_an_error (void **state)
{
    err_t err;
    uint64_t next_row;
    assert_null (index_open ("/proc/no/index", "one", 1, &next_row, &err));
    assert_int_equal (err.code, ERR_IO);
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST (rows_are_seen_from_their_commit_on_and_not_before),
        TEST (removed_rows_are_gone_and_the_others_stay),
        TEST (what_was_removed_last_is_known_until_it_is_taken),
        TEST (each_user_has_lists_and_statistics_of_their_own),
        TEST (rare_words_and_repeated_words_weigh_more),
        TEST (a_word_whose_language_is_unsure_counts_once),
        TEST (a_search_can_be_kept_to_ranges_of_rows),
        TEST (what_was_not_committed_is_lost_with_the_writer),
        TEST (an_index_of_other_content_or_ahead_of_it_is_made_anew),
        TEST (an_index_that_cannot_be_opened_now_is_kept),
        TEST (a_file_that_cannot_be_made_is_an_error),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
