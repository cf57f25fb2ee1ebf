#include "base/utf8.h"
#include "stages/chunk/chunk.h"
#include "wire/columns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* link: chunking */

static const chunk_options_t usual = { CHUNK_TOKENS_DEFAULT, CHUNK_OVERLAP_DEFAULT };

/*  Chunks `text`, and checks what holds for any text: spans fit, chunks are whole characters without blanks at their
 *  ends, none is too long, and between neighbours nothing but blanks is lost. */
static str_t chunk (span_t text, span_t marks, const chunk_options_t *options)
{
    str_t spans = STR_INIT;
    err_t err;
    assert_int_equal (chunk_text (text, marks, options, &spans, &err), 0);
    assert_int_equal (chunk_spans_check (str_span (&spans), text.size, &err), 0);
    uint32_t covered = 0;
    for (size_t i = 0; i < chunk_span_count (str_span (&spans)); i++) {
        chunk_span_t row = chunk_span_at (str_span (&spans), i);
        assert_true (row.end > covered);
        for (uint32_t at = covered; at < row.start; at++)
            assert_true ((unsigned char)text.data[at] <= ' ' || (unsigned char)text.data[at] >= 0x80);
        assert_true ((unsigned char)text.data[row.start] > ' ' && (unsigned char)text.data[row.end - 1] > ' ');
        assert_true (row.tokens >= 1 && row.tokens <= options->tokens);
        if (utf8_is_valid (text))
            assert_true (utf8_is_valid (span (text.data + row.start, row.end - row.start)));
        covered = row.end;
    }
    return spans;
}

static span_t nth (span_t text, const str_t *spans, size_t index)
{
    chunk_span_t row = chunk_span_at (str_span (spans), index);
    return span (text.data + row.start, row.end - row.start);
}

static bool begins (span_t text, const char *with)
{
    return text.size >= strlen (with) && memcmp (text.data, with, strlen (with)) == 0;
}

static bool ends (span_t text, const char *with)
{
    return text.size >= strlen (with) && memcmp (text.data + text.size - strlen (with), with, strlen (with)) == 0;
}

static void repeat (str_t *out, const char *text, int times)
{
    for (int i = 0; i < times; i++)
        str_text (out, text);
}

static void text_without_words_has_no_chunks (void **state)
{
    (void)state;
    static const char *const texts[] = { "", " ", "\n\n \t\r\n", "\xc2\xa0\xe3\x80\x80\xe2\x80\xa8" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        str_t spans = chunk (span_str (texts[i]), SPAN_EMPTY, &usual);
        assert_int_equal (spans.size, 0);
        str_free (&spans);
    }
}

static void a_short_text_is_one_chunk_without_its_margins (void **state)
{
    (void)state;
    span_t text = SPAN_LIT ("\n  One. Two!\n\nThree?  \n");
    str_t spans = chunk (text, SPAN_EMPTY, &usual);
    assert_int_equal (chunk_span_count (str_span (&spans)), 1);
    assert_true (span_is (nth (text, &spans, 0), "One. Two!\n\nThree?"));
    str_free (&spans);
}

static void chunks_end_where_paragraphs_do_if_they_can (void **state)
{
    (void)state;
    str_t text = STR_INIT;
    for (int i = 0; i < 6; i++) {
        repeat (&text, "All of these are quite ordinary words. ", 10); /* 80 tokens */
        str_text (&text, "Here it ends.\n\n");
    }
    str_t spans = chunk (str_span (&text), SPAN_EMPTY, &usual);
    for (size_t i = 0; i < chunk_span_count (str_span (&spans)); i++)
        assert_true (ends (nth (str_span (&text), &spans, i), "Here it ends."));
    str_free (&spans);
    str_free (&text);
}

static void neighbours_share_whole_sentences_up_to_the_overlap (void **state)
{
    (void)state;
    str_t text = STR_INIT;
    for (int i = 0; i < 200; i++)
        str_format (&text, "Sentence number %d says so. ", i);
    str_t spans = chunk (str_span (&text), SPAN_EMPTY, &usual);
    size_t count = chunk_span_count (str_span (&spans));
    assert_true (count > 3);
    for (size_t i = 0; i + 1 < count; i++) {
        chunk_span_t row = chunk_span_at (str_span (&spans), i), next = chunk_span_at (str_span (&spans), i + 1);
        assert_true (next.start < row.end);
        assert_true (row.end - next.start < row.end - row.start);
        assert_true (begins (nth (str_span (&text), &spans, i + 1), "Sentence number"));
        assert_true (ends (nth (str_span (&text), &spans, i), "says so."));
    }
    str_free (&spans);
    spans = chunk (str_span (&text), SPAN_EMPTY, &(chunk_options_t){ 200, 0 });
    for (size_t i = 0; i + 1 < chunk_span_count (str_span (&spans)); i++)
        assert_true (chunk_span_at (str_span (&spans), i + 1).start > chunk_span_at (str_span (&spans), i).end);
    str_free (&spans);
    str_free (&text);
}

static void sentences_are_not_ended_by_initials_numbers_or_wrapped_lines (void **state)
{
    (void)state;
    /* Each of these is one sentence: wherever it is cut, a chunk begins with one. */
    static const char *const sentences[] = { "Mr. J. S. Bach paid", "So it costs 3.50 in all",
                                             "See approx. five of\nthem here", "So e.g. this or that one" };
    for (size_t i = 0; i < sizeof sentences / sizeof sentences[0]; i++) {
        str_t text = STR_INIT;
        for (int k = 0; k < 40; k++)
            str_format (&text, "%s. %s", sentences[i], k % 3 ? "" : "Another one is here now. ");
        str_t spans = chunk (str_span (&text), SPAN_EMPTY, &(chunk_options_t){ 40, 0 });
        assert_true (chunk_span_count (str_span (&spans)) > 5);
        for (size_t k = 0; k < chunk_span_count (str_span (&spans)); k++)
            if (!begins (nth (str_span (&text), &spans, k), "Another"))
                assert_true (begins (nth (str_span (&text), &spans, k), sentences[i]));
        str_free (&spans);
        str_free (&text);
    }
}

static str_t heading_at (size_t offset, const char *path, mark_kind_t kind, str_t marks)
{
    mark_add (&marks, (mark_t){ (uint32_t)offset, kind, 1, span_str (path) });
    return marks;
}

static void headings_and_files_are_not_crossed_unless_tiny (void **state)
{
    (void)state;
    str_t text = STR_INIT, marks = STR_INIT;
    marks = heading_at (0, "a.txt", MARK_PATH, marks);
    marks = heading_at (0, "Title", MARK_HEADING, marks);
    str_text (&text, "Title\n\n");
    marks = heading_at (text.size, "Title > One", MARK_HEADING, marks); /* the title alone is tiny */
    repeat (&text, "The first section has text. ", 8);
    marks = heading_at (text.size, "", MARK_PAGE, marks); /* pages are no borders */
    repeat (&text, "The first section has text. ", 2);
    marks = heading_at (text.size, "Title > Two", MARK_HEADING, marks);
    repeat (&text, "The second section has text. ", 8);
    marks = heading_at (text.size, "b.txt", MARK_PATH, marks);
    str_text (&text, "Tiny file.\n");
    marks = heading_at (text.size, "c.txt", MARK_PATH, marks);
    str_text (&text, "Last file.");
    str_t spans = chunk (str_span (&text), str_span (&marks), &usual);
    static const char *const starts[] = { "Title\n\nThe first", "The second", "Tiny file.", "Last file." };
    assert_int_equal (chunk_span_count (str_span (&spans)), 4);
    for (size_t i = 0; i < 4; i++)
        assert_true (begins (nth (str_span (&text), &spans, i), starts[i]));
    assert_true (ends (nth (str_span (&text), &spans, 0), "first section has text."));
    str_free (&spans);
    str_free (&marks);
    str_free (&text);
}

static void texts_of_every_script_are_cut_into_chunks_of_the_asked_size (void **state)
{
    (void)state;
    static const struct {
        const char *what;
        const char *text;
        int times;
    } cases[] = {
        { "Chinese with stops", "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心。", 200 },
        { "Chinese without stops", "人人生而自由在尊严和权利上一律平等", 300 },
        { "Japanese", "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。", 200 },
        { "Thai without blanks", "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ", 100 },
        { "Korean", "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. ", 200 },
        { "Arabic", "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق؟ ", 200 },
        { "Hindi", "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता प्राप्त है। ", 200 },
        { "one word", "abcdefghij", 2000 },
        { "letters with marks", "e\xcc\x81", 5000 },
        { "nothing but marks", "\xcc\x81", 20000 },
        { "punctuation", "-", 20000 },
        { "emoji", "\xf0\x9f\x91\x8d", 3000 },
        { "lines", "key = value 12345\n", 1000 },
        { "wrapped prose without stops", "some words that never end and go\non and on over many lines\n", 300 },
        { "bytes that are no UTF-8", "\xff\xfe\x80 \xc3", 3000 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        str_t text = STR_INIT;
        repeat (&text, cases[i].text, cases[i].times);
        str_t spans = chunk (str_span (&text), SPAN_EMPTY, &usual);
        size_t count = chunk_span_count (str_span (&spans));
        if (count < 2)
            fail_msg ("%s: %zu chunks", cases[i].what, count);
        uint64_t tokens = 0;
        for (size_t k = 0; k < count; k++)
            tokens += chunk_span_at (str_span (&spans), k).tokens;
        if (tokens / count < usual.tokens / 2)
            fail_msg ("%s: %zu chunks of %llu tokens", cases[i].what, count, (unsigned long long)(tokens / count));
        str_free (&spans);
        str_free (&text);
    }
}

static void the_same_text_gives_the_same_chunks (void **state)
{
    (void)state;
    str_t text = STR_INIT;
    for (int i = 0; i < 3000; i++)
        str_format (&text, "w%d%s", i * 7919 % 1000, i % 13 ? " " : i % 5 ? ". " : "\n\n");
    str_t one = chunk (str_span (&text), SPAN_EMPTY, &usual), two = chunk (str_span (&text), SPAN_EMPTY, &usual);
    assert_true (span_eq (str_span (&one), str_span (&two)));
    str_free (&one);
    str_free (&two);
    str_free (&text);
}

static void any_sizes_and_any_bytes_are_survived (void **state)
{
    (void)state;
    uint64_t seed = 5;
    static const char *const pieces[] = { "word",     " ",    "\n", "\n\n", ". ",
                                          "!",        "漢字", "。", "ไทย",  "\xf0\x9f\x98\x80",
                                          "\xcc\x81", "...",  "(",  "\")",  "a.b",
                                          "\xff",     "12",   "\t", "؟ ",   "longerword" };
    for (int round = 0; round < 400; round++) {
        str_t text = STR_INIT, marks = STR_INIT;
        for (int i = 0; i < 400; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            if ((seed >> 40) % 50 == 0)
                mark_add (&marks,
                          (mark_t){ (uint32_t)text.size, (mark_kind_t)((seed >> 50) % MARK_COUNT), 1, SPAN_EMPTY });
            str_text (&text, pieces[(seed >> 33) % (sizeof pieces / sizeof pieces[0])]);
        }
        uint32_t tokens = CHUNK_TOKENS_MIN + (uint32_t)(seed >> 35) % 60;
        chunk_options_t options = { tokens, (uint32_t)(seed >> 45) % (tokens / 2 + 1) };
        str_t spans = STR_INIT;
        err_t err;
        assert_int_equal (chunk_options_check (&options, &err), 0);
        assert_int_equal (chunk_text (str_span (&text), str_span (&marks), &options, &spans, &err), 0);
        assert_int_equal (chunk_spans_check (str_span (&spans), text.size, &err), 0);
        for (size_t i = 0; i < chunk_span_count (str_span (&spans)); i++)
            assert_true (chunk_span_at (str_span (&spans), i).tokens <= tokens);
        str_free (&spans);
        str_free (&marks);
        str_free (&text);
    }
}

static void damaged_marks_and_impossible_sizes_are_errors (void **state)
{
    (void)state;
    str_t marks = STR_INIT, spans = STR_INIT;
    err_t err = { 0 };
    mark_add (&marks, (mark_t){ 5, MARK_HEADING, 1, SPAN_LIT ("H") });
    assert_int_equal (chunk_text (SPAN_LIT ("text"), str_span (&marks), &usual, &spans, &err), -1);
    assert_int_equal (err.code, ERR_PROTOCOL);
    assert_int_equal (chunk_text (SPAN_LIT ("longer text"), span (marks.data, 5), &usual, &spans, &err), -1);
    mark_add (&marks, (mark_t){ 2, MARK_HEADING, 1, SPAN_LIT ("before") });
    assert_int_equal (chunk_text (SPAN_LIT ("longer text"), str_span (&marks), &usual, &spans, &err), -1);
    str_free (&marks);
    str_free (&spans);
    assert_int_equal (chunk_options_check (&(chunk_options_t){ 7, 0 }, &err), -1);
    assert_int_equal (chunk_options_check (&(chunk_options_t){ 100, 51 }, &err), -1);
    assert_int_equal (err.code, ERR_CONFIG);
    assert_int_equal (chunk_options_check (&usual, &err), 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (text_without_words_has_no_chunks),
        cmocka_unit_test (a_short_text_is_one_chunk_without_its_margins),
        cmocka_unit_test (chunks_end_where_paragraphs_do_if_they_can),
        cmocka_unit_test (neighbours_share_whole_sentences_up_to_the_overlap),
        cmocka_unit_test (sentences_are_not_ended_by_initials_numbers_or_wrapped_lines),
        cmocka_unit_test (headings_and_files_are_not_crossed_unless_tiny),
        cmocka_unit_test (texts_of_every_script_are_cut_into_chunks_of_the_asked_size),
        cmocka_unit_test (the_same_text_gives_the_same_chunks),
        cmocka_unit_test (any_sizes_and_any_bytes_are_survived),
        cmocka_unit_test (damaged_marks_and_impossible_sizes_are_errors),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
