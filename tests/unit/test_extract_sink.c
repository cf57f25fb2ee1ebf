#include "base/utf8.h"
#include "extract_fixture.h"

/* link: extract archive */

static sink_t *open_sink (got_t *got, const limits_t *limits)
{
    sink_config_t config = sink_config (got, limits);
    return sink_new (&config);
}

static void pour_lines (sink_t *sink, const char *word, size_t bytes)
{
    char line[64];
    for (size_t at = 0, n = 0; at < bytes; n++) {
        int size = snprintf (line, sizeof line, "%s number %zu of many lines\n", word, n);
        sink_text (sink, span (line, (size_t)size));
        at += (size_t)size;
    }
}

static void text_becomes_nfc_across_pieces (void **state)
{
    got_t got = { .count = 0 };
    sink_t *sink = open_sink (&got, NULL);
    sink_text (sink, SPAN_LIT ("cafe"));
    sink_text (sink, SPAN_LIT ("\xcc\x81 e"));
    sink_text (sink, SPAN_LIT ("\xcc\x82 \xe1\x84\x92\xe1\x85\xa1")); /* Hangul in two pieces of one syllable */
    sink_text (sink, SPAN_LIT ("\xe1\x86\xab"));
    sink_end (sink);
    assert_string_equal (got.all.data, "caf\xc3\xa9 \xc3\xaa \xed\x95\x9c");
    sink_destroy (&sink);
    got_free (&got);
}

static void text_is_repaired (void **state)
{
    got_t got = { .count = 0 };
    sink_t *sink = open_sink (&got, NULL);
    sink_text (sink, SPAN_LIT ("a\xff"
                               "b\r"));
    sink_text (sink, SPAN_LIT ("\nc\rd\0\x01"
                               "e\xef\xbb\xbf"
                               "f\fg"));
    sink_end (sink);
    assert_string_equal (got.all.data, "a\xef\xbf\xbd"
                                       "b\nc\ndef\ng");
    sink_destroy (&sink);
    got_free (&got);
}

static void long_text_is_cut_at_lines_and_nothing_is_lost (void **state)
{
    got_t got = { .count = 0 };
    str_t expected = STR_INIT;
    sink_t *sink = open_sink (&got, NULL);
    pour_lines (sink, "word", 1000 * 1000);
    for (size_t at = 0, n = 0; at < 1000 * 1000; n++) {
        size_t before = expected.size;
        str_format (&expected, "word number %zu of many lines\n", n);
        at += expected.size - before;
    }
    sink_end (sink);
    assert_int_equal (got.count, 4);
    for (size_t i = 0; i + 1 < got.count; i++) {
        assert_in_range (got.segments[i].text.size, SEGMENT_BYTES * 3 / 4, SEGMENT_BYTES);
        assert_int_equal (got.segments[i].text.data[got.segments[i].text.size - 1], '\n');
        assert_int_equal (got.segments[i].number, i);
    }
    expected.data[--expected.size] = 0; /* the last line end goes */
    assert_string_equal (got.all.data, expected.data);
    sink_destroy (&sink);
    got_free (&got);
    str_free (&expected);
}

static void text_without_blanks_is_cut_between_characters (void **state)
{
    got_t got = { .count = 0 };
    sink_t *sink = open_sink (&got, NULL);
    for (int i = 0; i < 200000; i++)
        sink_text (sink, SPAN_LIT ("\xe5\xad\x97"));
    sink_end (sink);
    assert_int_equal (got.all.size, 600000);
    for (size_t i = 0; i < got.count; i++)
        assert_true (utf8_is_valid (str_span (&got.segments[i].text)));
    sink_destroy (&sink);
    got_free (&got);
}

static void every_segment_starts_with_the_marks_that_hold (void **state)
{
    got_t got = { .count = 0 };
    sink_t *sink = open_sink (&got, NULL);
    sink_path (sink, SPAN_LIT ("a.zip!/b.pdf"));
    sink_page (sink, 7);
    sink_heading (sink, 1, SPAN_LIT ("Part  one"));
    sink_heading (sink, 3, SPAN_LIT ("Deep"));
    pour_lines (sink, "word", SEGMENT_BYTES + 1000);
    sink_page (sink, 8);
    sink_text (sink, SPAN_LIT ("eighth page"));
    sink_end (sink);
    assert_int_equal (got.count, 2);
    for (size_t i = 0; i < 2; i++) {
        const char *start = i ? "word" : "word number 0";
        assert_mark_before (&got.segments[i], start, MARK_PATH, 0, "a.zip!/b.pdf");
        assert_mark_before (&got.segments[i], start, MARK_PAGE, 7, "");
        assert_mark_before (&got.segments[i], start, MARK_HEADING, 3, "Part one > Deep");
    }
    assert_mark_before (&got.segments[1], "eighth", MARK_PAGE, 8, "");
    sink_destroy (&sink);
    got_free (&got);
}

static void headings_end_those_below_and_paths_end_all (void **state)
{
    got_t got = { .count = 0 };
    sink_t *sink = open_sink (&got, NULL);
    sink_heading (sink, 1, SPAN_LIT ("A"));
    sink_heading (sink, 2, SPAN_LIT ("B"));
    sink_text (sink, SPAN_LIT ("one"));
    sink_heading (sink, 1, SPAN_LIT ("C"));
    sink_text (sink, SPAN_LIT ("two"));
    sink_path (sink, SPAN_LIT ("other"));
    sink_newlines (sink, 1);
    sink_text (sink, SPAN_LIT ("three"));
    sink_end (sink);
    assert_string_equal (got.all.data, "one\n\ntwo\nthree");
    assert_mark_before (&got.segments[0], "one", MARK_HEADING, 2, "A > B");
    assert_mark_before (&got.segments[0], "two", MARK_HEADING, 1, "C");
    assert_mark_before (&got.segments[0], "three", MARK_HEADING, 0, "");
    sink_destroy (&sink);
    got_free (&got);
}

/*  Pages of 50 KB, and one of 700 KB in the middle; starts at the page that the sink's base says. */
static void pour_pages (sink_t *sink)
{
    int first = 1;
    sscanf (sink_base (sink).data, "page=%d", &first);
    for (int page = first; page <= 8; page++) {
        char unit[32];
        snprintf (unit, sizeof unit, "page=%d", page);
        if (sink_unit (sink, unit, span_str (unit))) {
            sink_page (sink, (uint32_t)page);
            pour_lines (sink, unit, page == 4 ? 700 * 1000 : 50 * 1000);
            if (page == 5)
                sink_bad (sink, ERR_DAMAGED_DOCUMENT, span_str (unit), "half of it is missing");
        }
        place_t next = sink_place (sink, "page=%d", page + 1);
        sink_border (sink, &next);
    }
    sink_end (sink);
}

static void a_run_that_goes_on_after_any_segment_gives_the_same_rest (void **state)
{
    got_t whole = { .count = 0 };
    sink_t *sink = open_sink (&whole, NULL);
    pour_pages (sink);
    uint32_t bad = sink_bad_count (sink);
    sink_destroy (&sink);
    assert_in_range (whole.count, 5, SEGMENTS_MAX);
    uint64_t offset = 0;
    for (size_t i = 0; i + 1 < whole.count; i++) {
        offset += whole.segments[i].text.size;
        got_t rest = { .count = 0 };
        sink_config_t config = sink_config (&rest, NULL);
        config.cursor = str_span (&whole.segments[i].cursor);
        config.first_segment = (uint32_t)i + 1;
        config.text_offset = offset;
        sink = sink_new (&config);
        pour_pages (sink);
        assert_int_equal (sink_bad_count (sink), bad);
        assert_same_rest (&rest, &whole, i + 1);
        sink_destroy (&sink);
        got_free (&rest);
    }
    got_free (&whole);
}

static void a_unit_to_skip_is_skipped_and_counted (void **state)
{
    got_t got = { .count = 0 };
    sink_config_t config = sink_config (&got, NULL);
    config.skip = SPAN_LIT ("page=1\npage=4\n");
    sink_t *sink = sink_new (&config);
    pour_pages (sink);
    assert_int_equal (sink_bad_count (sink), 3);
    assert_null (strstr (got.all.data, "page=1 "));
    assert_null (strstr (got.all.data, "page=4 "));
    assert_non_null (strstr (got.all.data, "page=8 "));
    sink_destroy (&sink);
    got_free (&got);
}

static void what_shared_a_segment_with_a_skipped_unit_is_given_out_once (void **state)
{
    got_t whole = { .count = 0 };
    sink_t *sink = open_sink (&whole, NULL);
    pour_pages (sink);
    sink_destroy (&sink);
    size_t shared = 0; /* the segment with page 3 and the beginning of page 4 */
    uint64_t offset = 0;
    while (!strstr (whole.segments[shared].text.data, "page=4 "))
        offset += whole.segments[shared++].text.size;
    assert_non_null (strstr (whole.segments[shared].text.data, "page=3 "));

    got_t rest = { .count = 0 }, again = { .count = 0 };
    sink_config_t config = sink_config (&rest, NULL);
    config.cursor = str_span (&whole.segments[shared].cursor);
    config.first_segment = (uint32_t)shared + 1;
    config.text_offset = offset + whole.segments[shared].text.size;
    config.skip = SPAN_LIT ("page=4\n"); /* it died there */
    sink = sink_new (&config);
    pour_pages (sink);
    sink_destroy (&sink);
    assert_null (strstr (rest.all.data, "page=3 "));
    assert_null (strstr (rest.all.data, "page=4 "));
    assert_int_equal (strncmp (rest.all.data, "page=5 number 0", 15), 0);
    assert_int_equal (rest.segments[0].number, shared + 1);

    /* Whoever goes on there does not meet the page again. */
    config = sink_config (&again, NULL);
    config.cursor = str_span (&rest.segments[0].cursor);
    config.first_segment = (uint32_t)shared + 2;
    sink = sink_new (&config);
    pour_pages (sink);
    sink_destroy (&sink);
    assert_same_rest (&again, &rest, 1);
    got_free (&whole);
    got_free (&rest);
    got_free (&again);
}

static void dense_headings_end_a_segment_before_its_marks_outgrow_a_record (void **state)
{
    got_t got = { .count = 0 };
    sink_t *sink = open_sink (&got, NULL);
    char title[180];
    memset (title, 'x', sizeof title);
    for (unsigned level = 1; level < 9; level++)
        sink_heading (sink, level, span (title, sizeof title));
    for (int i = 0; i < 2000; i++) { /* 3 MB of marks, 10 KB of text */
        char name[16];
        snprintf (name, sizeof name, "n%d", i);
        sink_heading (sink, 9, span_str (name));
        sink_text (sink, span_str (name));
    }
    sink_end (sink); /* the fixture checks each segment */
    assert_in_range (got.count, 2, SEGMENTS_MAX);
    assert_non_null (strstr (got.all.data, "n1999"));
    sink_destroy (&sink);
    got_free (&got);
}

static int count_step (void *self, uint32_t permille, span_t unit, span_t where)
{
    ++*(unsigned *)self;
    assert_int_equal (permille, 0);
    return 0;
}

static void ignore_meta (void *self, meta_key_t key, span_t value)
{
}

static void a_nested_document_gives_signs_of_life_and_no_progress (void **state)
{
    unsigned steps = 0;
    sink_config_t config = sink_config (NULL, NULL);
    config.out = (sink_out_t){ &steps, NULL, NULL, ignore_meta, count_step };
    sink_t *sink = sink_new (&config);
    sink_nest (sink, 1);
    sink_progress (sink, 1, 2);
    sink_progress (sink, 2, 2);
    assert_int_equal (steps, 2);
    sink_destroy (&sink);
}

static void text_beyond_the_limit_is_cut_with_a_warning (void **state)
{
    limits_t limits = LIMITS_DEFAULT;
    limits.text_bytes = MIB;
    got_t got = { .count = 0 };
    sink_t *sink = open_sink (&got, &limits);
    pour_lines (sink, "word", 3 * MIB);
    assert_true (sink_stopped (sink));
    sink_end (sink);
    assert_int_equal (got.all.size, MIB);
    assert_non_null (strstr (got.warnings.data, "too_large@"));
    sink_destroy (&sink);
    got_free (&got);
}

static void warnings_beyond_the_limit_are_only_counted (void **state)
{
    got_t got = { .count = 0 };
    sink_t *sink = open_sink (&got, NULL);
    for (int i = 0; i < 250; i++)
        sink_bad (sink, ERR_DAMAGED_DOCUMENT, SPAN_LIT ("x"), "entry %d", i);
    sink_end (sink);
    size_t lines = 0;
    for (const char *at = got.warnings.data; *at; at++)
        lines += *at == '\n';
    assert_int_equal (lines, 101);
    assert_int_equal (sink_bad_count (sink), 250);
    sink_destroy (&sink);
    got_free (&got);
}

static void warnings_and_units_are_told_in_good_utf8 (void **state)
{
    got_t got = { .count = 0 };
    str_t message = STR_INIT;
    while (message.size < 1000)
        str_text (&message, "\xe5\xad\x97");
    sink_t *sink = open_sink (&got, NULL);
    sink_unit (sink, "page=1", SPAN_LIT ("caf\xe9"));
    for (int size = 0; size < 3; size++) /* cut wherever in a character */
        sink_bad (sink, ERR_DAMAGED_DOCUMENT, SPAN_LIT ("caf\xe9"), "%.*s%s", size, "xx", message.data);
    sink_warn (sink, ERR_DAMAGED_DOCUMENT, SPAN_LIT ("x"), "a\xff z");
    sink_end (sink); /* the fixture checks each */
    assert_non_null (strstr (got.warnings.data, "damaged_document@caf\xef\xbf\xbd\n"));
    sink_destroy (&sink);
    got_free (&got);
    str_free (&message);
}

static void blank_text_is_no_segment (void **state)
{
    got_t got = { .count = 0 };
    sink_t *sink = open_sink (&got, NULL);
    sink_page (sink, 1);
    sink_text (sink, SPAN_LIT (" \n\t\n "));
    place_t next = sink_place (sink, "page=2");
    sink_close (sink, &next);
    sink_end (sink);
    assert_int_equal (got.count, 0);
    sink_destroy (&sink);
    got_free (&got);
}

static void what_is_cleaned_away_is_no_text_and_has_no_mark (void **state)
{
    static const span_t nothings[] = { SPAN_LIT ("\xef\xbb\xbf"), SPAN_LIT ("\x02"), SPAN_LIT ("\f"),
                                       SPAN_LIT ("\xe2\x80\xa8") };
    for (size_t i = 0; i < sizeof nothings / sizeof *nothings; i++) {
        got_t got = { .count = 0 };
        sink_t *sink = open_sink (&got, NULL);
        sink_text (sink, nothings[i]);
        assert_int_equal (sink_poured (sink), 0);
        sink_text (sink, SPAN_LIT ("abc"));
        sink_heading (sink, 3, SPAN_LIT ("B"));
        sink_text (sink, nothings[i]);
        sink_end (sink);
        assert_string_equal (got.all.data, "abc");
        assert_int_equal (got.segments[0].marks.size, 0);
        sink_destroy (&sink);
        got_free (&got);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (text_becomes_nfc_across_pieces),
        cmocka_unit_test (text_is_repaired),
        cmocka_unit_test (long_text_is_cut_at_lines_and_nothing_is_lost),
        cmocka_unit_test (text_without_blanks_is_cut_between_characters),
        cmocka_unit_test (every_segment_starts_with_the_marks_that_hold),
        cmocka_unit_test (headings_end_those_below_and_paths_end_all),
        cmocka_unit_test (a_run_that_goes_on_after_any_segment_gives_the_same_rest),
        cmocka_unit_test (a_unit_to_skip_is_skipped_and_counted),
        cmocka_unit_test (what_shared_a_segment_with_a_skipped_unit_is_given_out_once),
        cmocka_unit_test (dense_headings_end_a_segment_before_its_marks_outgrow_a_record),
        cmocka_unit_test (a_nested_document_gives_signs_of_life_and_no_progress),
        cmocka_unit_test (text_beyond_the_limit_is_cut_with_a_warning),
        cmocka_unit_test (warnings_beyond_the_limit_are_only_counted),
        cmocka_unit_test (warnings_and_units_are_told_in_good_utf8),
        cmocka_unit_test (blank_text_is_no_segment),
        cmocka_unit_test (what_is_cleaned_away_is_no_text_and_has_no_mark),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
