/* link: content embedding */
#include "tests/unit/content_fixture.h"

static void chunks_are_numbered_over_all_segments_and_carry_their_place (void **state)
{
    fixture_t *self = *state;
    uuid_t id = uuid_new ();
    job_t first = job_segment (self, "ana", id, 1, 0, "zero\none"),
          second = job_segment (self, "ana", id, 1, 2, "two\n\nthree");
    mark_add (&first.marks, (mark_t){ 0, MARK_PAGE, 7, SPAN_EMPTY });
    mark_add (&first.marks, (mark_t){ 5, MARK_HEADING, 1, SPAN_LIT ("Top") });
    mark_add (&second.marks, (mark_t){ 0, MARK_PAGE, 8, SPAN_EMPTY });
    mark_add (&second.marks, (mark_t){ 0, MARK_PATH, 0, SPAN_LIT ("inner/file.txt") });
    mark_add (&second.marks, (mark_t){ 5, MARK_PAGE, 9, SPAN_EMPTY });
    second.job.text_offset = 1000;
    apply_job (self, second); /* order of arrival does not matter */
    apply_job (self, first);
    put_commit (self, "ana", id, 1, 3);
    err_code_t code;
    hits_t hits = chunks_of (self, "ana", id, 0, 10, &code);
    assert_int_equal (hits.count, 4);
    assert_int_equal (hits.total, 4);
    static const struct {
        const char *text, *heading, *path;
        unsigned start, page;
    } expected[] = {
        { "zero", "", "", 0, 7 },
        { "one", "Top", "", 5, 7 },
        { "two", "", "inner/file.txt", 1000, 8 },
        { "three", "", "inner/file.txt", 1005, 9 },
    };
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal (hits.items[i].chunk, i);
        assert_string_equal (hits.items[i].text, expected[i].text);
        assert_string_equal (hits.items[i].heading, expected[i].heading);
        assert_string_equal (hits.items[i].path, expected[i].path);
        assert_int_equal (hits.items[i].start, expected[i].start);
        assert_int_equal (hits.items[i].end, expected[i].start + strlen (expected[i].text));
        assert_int_equal (hits.items[i].page, expected[i].page);
    }
    hits_t found = search_for (self, "ana", "three", SEARCH_HYBRID);
    assert_int_equal (found.items[0].chunk, 3);
    assert_int_equal (found.items[0].page, 9);
    assert_int_equal (found.items[0].start, 1005);
    hits_t page = chunks_of (self, "ana", id, 1, 2, &code);
    assert_int_equal (page.count, 2);
    assert_string_equal (page.items[1].text, "two");
    assert_int_equal (chunks_of (self, "ana", id, 4, 2, &code).count, 0);
    assert_int_equal (code, ERR_NONE);
}

static void words_are_found_whatever_their_form_case_and_accents (void **state)
{
    fixture_t *self = *state;
    static const struct {
        const char *text, *query;
    } cases[] = {
        { "The committee was discussing several universities", "university committees discuss" },
        { "A educação pública nas universidades brasileiras não é um luxo", "educacao" },
        { "As avaliações que o governo fez para os alunos", "avaliação" },
        { "Reuniões do condomínio", "reuniao" },
        { "Crème brûlée", "creme BRULEE" },
        { "Straße nach Zürich", "strasse zurich" },
        { "東京都は日本の首都です", "日本" },
        { "Version 2.17 of libfoo3", "libfoo3" },
        { "ﬁle ＦＵＬＬＷＩＤＴＨ", "file fullwidth" },
        { "The Who: who are you", "who" },
    };
    enum { COUNT = sizeof cases / sizeof *cases };
    for (size_t i = 0; i < COUNT; i++)
        put_note (self, "ana", uuid_new (), 1, cases[i].text);
    for (size_t i = 0; i < COUNT; i++) {
        hits_t hits = search_for (self, "ana", cases[i].query, SEARCH_TEXT);
        if (hits.count < 1 || strcmp (hits.items[0].text, cases[i].text) != 0)
            fail_msg ("'%s' did not find '%s'", cases[i].query, cases[i].text);
        assert_non_null (strstr (hits.items[0].snippet, "<mark>"));
    }
}

static void any_text_is_a_query (void **state)
{
    fixture_t *self = *state;
    put_note (self, "ana", uuid_new (), 1, "plain words");
    static const char *const queries[] = {
        "",           " ",       "\"",         "'",        "AND OR NOT",    "NEAR(",
        "*",          "plain*",  "(plain",     "plain\"x", "-plain",        "^plain",
        "body:plain", "{a b}:c", "\xff\xfe",   "%s%n",     "'; DROP TABLE", "\x01\x02",
        "💣💥",         "plain\t", "ｐｌａｉｎ", "0:plain",  "plain:",        "̀",
        "\xC3\x28",   "a+b",     "\\",
    };
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
        for (int mode = SEARCH_HYBRID; mode <= SEARCH_VECTOR; mode++)
            search_for (self, "ana", queries[i], (search_mode_t)mode);
    str_t endless = STR_INIT;
    for (int i = 0; i < 20000; i++)
        str_format (&endless, "word%d ", i);
    str_text (&endless, "plain");
    search_for (self, "ana", endless.data, SEARCH_HYBRID);
    str_free (&endless);
    assert_int_equal (search_for (self, "ana", "body:plain", SEARCH_TEXT).count, 1);
}

static void snippets_mark_the_matches_and_escape_the_rest (void **state)
{
    fixture_t *self = *state;
    str_t text = STR_INIT;
    for (int i = 0; i < 40; i++)
        str_text (&text, "filler sentence without any meaning. ");
    str_text (&text, "<b>Zebras</b> & \"lions\" meet the zebra's friend. ");
    for (int i = 0; i < 40; i++)
        str_text (&text, "more filler to follow here. ");
    put_note (self, "ana", uuid_new (), 1, text.data);
    str_free (&text);
    hits_t hits = search_for (self, "ana", "zebra lion", SEARCH_TEXT);
    assert_int_equal (hits.count, 1);
    const char *snippet = hits.items[0].snippet;
    assert_non_null (strstr (snippet,
                             "&lt;b&gt;<mark>Zebras</mark>&lt;/b&gt; &amp; &quot;<mark>lions</mark>&quot; meet the "
                             "<mark>zebra</mark>&#39;s friend."));
    assert_true (strlen (snippet) < 400);
    assert_memory_equal (snippet, "…", 3);
}

static void a_query_can_be_kept_to_one_document (void **state)
{
    fixture_t *self = *state;
    uuid_t ids[5];
    for (int i = 0; i < 5; i++) {
        ids[i] = uuid_new ();
        put_note (self, "ana", ids[i], 1, "common ground\ncommon sense");
    }
    for (int mode = SEARCH_HYBRID; mode <= SEARCH_VECTOR; mode++) {
        hits_t hits = search_in (self, "ana", "common sense", (search_mode_t)mode, 10, ids[3]);
        assert_int_equal (hits.count, 2);
        for (size_t i = 0; i < hits.count; i++)
            assert_memory_equal (&hits.items[i].document, &ids[3], sizeof ids[3]);
        assert_string_equal (hits.items[0].text, "common sense");
    }
    assert_int_equal (search_in (self, "ana", "common", SEARCH_HYBRID, 10, uuid_new ()).count, 0);

    uuid_t late = uuid_new (); /* a segment that was tried again arrives after those behind it */
    for (uint32_t segment = 4; segment-- > 0;)
        apply_job (self, job_segment (self, "ana", late, 1, segment, "common waters"));
    put_commit (self, "ana", late, 1, 4);
    for (int mode = SEARCH_HYBRID; mode <= SEARCH_VECTOR; mode++)
        assert_int_equal (search_in (self, "ana", "common", (search_mode_t)mode, 10, late).count, 4);
}

static void equal_scores_are_ordered_by_document_and_chunk (void **state)
{
    fixture_t *self = *state;
    uuid_t ids[4];
    for (int i = 0; i < 4; i++)
        ids[i] = uuid_new ();
    for (int i = 3; i >= 0; i--) /* stored in the other order */
        put_note (self, "ana", ids[i], 1, "same words\nsame words");
    for (int mode = SEARCH_HYBRID; mode <= SEARCH_VECTOR; mode++)
        for (uint32_t limit = 1; limit <= 8; limit++) {
            hits_t hits = search_in (self, "ana", "same words", (search_mode_t)mode, limit, (uuid_t){ 0 });
            assert_int_equal (hits.count, limit);
            for (uint32_t i = 0; i < limit; i++) {
                assert_memory_equal (&hits.items[i].document, &ids[i / 2], sizeof ids[0]);
                assert_int_equal (hits.items[i].chunk, i % 2);
            }
        }
}

static void what_is_invisible_does_not_crowd_out_what_is_visible (void **state)
{
    fixture_t *self = *state;
    put_note (self, "ana", uuid_new (), 1, "needle in a haystack of other words");
    str_t text = STR_INIT;
    for (int i = 0; i < 250; i++)
        str_text (&text, "needle\n");
    uuid_t hidden = uuid_new ();
    for (uint32_t segment = 0; segment < 3; segment++)
        put_segment (self, "ana", hidden, 1, segment, text.data);
    str_free (&text);
    assert_int_equal (search_for (self, "ana", "needle", SEARCH_TEXT).count, 1);
    assert_int_equal (search_for (self, "ana", "needle", SEARCH_HYBRID).count, 1);
}

/*  A book about the very same thing, whose document is not committed yet. */
static void what_is_in_processing_takes_no_place_and_no_score (void **state)
{
    fixture_t *self = *state;
    uuid_t book = uuid_new (), note = uuid_new ();
    put_note (self, "ana", note, 1, "the honey of the bees, and many other things that were said that day");
    double alone = search_for (self, "ana", "honey", SEARCH_HYBRID).items[0].score;
    char text[16 * 256];
    for (uint32_t segment = 0; segment < 30; segment++) {
        text[0] = 0;
        for (int i = 0; i < 250; i++)
            strcat (text, "honey honey\n");
        put_segment (self, "ana", book, 1, segment, text);
    }
    static const search_mode_t modes[] = { SEARCH_TEXT, SEARCH_HYBRID };
    for (size_t i = 0; i < 2; i++) {
        hits_t hits = search_for (self, "ana", "honey", modes[i]);
        assert_int_equal (hits.count, 1);
        assert_true (uuid_eq (hits.items[0].document, note));
    }
    assert_true (search_for (self, "ana", "honey", SEARCH_HYBRID).items[0].score > 0.99 * alone);

    put_commit (self, "ana", book, 1, 30);
    assert_true (uuid_eq (search_for (self, "ana", "honey", SEARCH_VECTOR).items[0].document, book));
    apply_job (self, job_plain (JOB_DROP_DOCUMENT, "ana", book, 0)); /* in memory until it is tidied */
    hits_t hits = search_for (self, "ana", "honey", SEARCH_VECTOR);
    assert_int_equal (hits.count, 1);
    assert_true (uuid_eq (hits.items[0].document, note));
}

static void vectors_that_do_not_fit_in_memory_are_found_all_the_same (void **state)
{
    fixture_t *self = *state;
    char text[200];
    hits_t expected, small;
    uuid_t ids[300];
    for (int i = 0; i < 300; i++) {
        ids[i] = uuid_new ();
        snprintf (text, sizeof text, "record %d\nabout %d and %d\nitem %d of many\nline\nmore", i, i * 7, i * 13,
                  i % 17);
        put_note (self, "ana", ids[i], 1, text);
    }
    expected = search_for (self, "ana", "about 91 and 169", SEARCH_VECTOR);
    fixture_close (self);
    self->vector_memory = 100; /* not even one block */
    fixture_open (self);
    small = search_for (self, "ana", "about 91 and 169", SEARCH_VECTOR);
    assert_int_equal (small.count, expected.count);
    for (size_t i = 0; i < small.count; i++) {
        assert_string_equal (small.items[i].text, expected.items[i].text);
        assert_true (small.items[i].score == expected.items[i].score);
    }
    fixture_close (self);
    self->vector_memory = 500000; /* one block: one user at a time */
    fixture_open (self);
    put_note (self, "bob", uuid_new (), 1, "about 91 and 169");
    for (int i = 0; i < 3; i++) { /* each takes the memory from the other, and both change meanwhile */
        assert_int_equal (search_for (self, "bob", "about 91 and 169", SEARCH_VECTOR).count, 1 + i);
        assert_string_equal (search_for (self, "ana", "about 91 and 169", SEARCH_VECTOR).items[0].text,
                             expected.items[0].text);
        put_note (self, "bob", uuid_new (), 1, "about 91 and 169");
        apply_job (self, job_plain (JOB_DROP_DOCUMENT, "ana", ids[i], 0));
    }
}

static void vectors_of_another_model_are_not_compared (void **state)
{
    fixture_t *self = *state;
    put_note (self, "ana", uuid_new (), 1, "same model");
    job_t job = job_segment (self, "ana", uuid_new (), 1, 0, "other model");
    buf_unref (&job.vectors);
    float rows[384];
    assert_int_equal (provider_dims (self->provider), 384);
    job.vectors = vectors_new (SPAN_LIT ("another"), 1, 384);
    for (uint32_t i = 0; i < provider_dims (self->provider); i++)
        rows[i] = 0.05f;
    vectors_set (job.vectors, 0, 1, rows);
    job.job.final = 1;
    apply_job (self, job);
    assert_int_equal (search_for (self, "ana", "model", SEARCH_VECTOR).count, 1);
    assert_int_equal (search_for (self, "ana", "model", SEARCH_TEXT).count, 2);
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST (chunks_are_numbered_over_all_segments_and_carry_their_place),
        TEST (words_are_found_whatever_their_form_case_and_accents),
        TEST (any_text_is_a_query),
        TEST (snippets_mark_the_matches_and_escape_the_rest),
        TEST (a_query_can_be_kept_to_one_document),
        TEST (equal_scores_are_ordered_by_document_and_chunk),
        TEST (what_is_invisible_does_not_crowd_out_what_is_visible),
        TEST (what_is_in_processing_takes_no_place_and_no_score),
        TEST (vectors_that_do_not_fit_in_memory_are_found_all_the_same),
        TEST (vectors_of_another_model_are_not_compared),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
