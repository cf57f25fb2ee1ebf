#include "base/buf.h"
#include "extract_fixture.h"
#include "stages/extract/charset.h"
#include "stages/extract/plain.h"

/* link: extract archive */

#define ALL(text) span (text, sizeof (text) - 1)

typedef struct {
    const char *what;
    span_t bytes;
    const char *declared;
    const char *expected; /* NULL: no text */
} charset_case_t;

static const charset_case_t charset_cases[] = {
    { "ASCII", SPAN_LIT ("plain"), "", "plain" },
    { "UTF-8", SPAN_LIT ("na\xc3\xafve"), "", "na\xc3\xafve" },
    { "UTF-8 with a mark", SPAN_LIT ("\xef\xbb\xbfna\xc3\xafve"), "", "na\xc3\xafve" },
    { "UTF-8 cut inside a character", SPAN_LIT ("na\xc3\xafve \xc3"), "", "na\xc3\xafve " },
    { "UTF-16LE with a mark", SPAN_LIT ("\xff\xfeh\0i\0"), "", "hi" },
    { "UTF-16BE with a mark", SPAN_LIT ("\xfe\xff\0h\0i"), "", "hi" },
    { "UTF-16LE bare", SPAN_LIT ("h\0e\0l\0l\0o\0 \0y\0o\0u\0"), "", "hello you" },
    { "UTF-16BE bare", SPAN_LIT ("\0h\0e\0l\0l\0o\0 \0y\0o\0u"), "", "hello you" },
    { "UTF-32LE with a mark", SPAN_LIT ("\xff\xfe\0\0h\0\0\0i\0\0\0"), "", "hi" },
    { "UTF-32BE bare", SPAN_LIT ("\0\0\0h\0\0\0i\0\0\0 \0\0\0y\0\0\0o"), "", "hi yo" },
    { "declared", SPAN_LIT ("\xe9t\xe9"), "iso-8859-1", "\xc3\xa9t\xc3\xa9" },
    { "declared unknown", SPAN_LIT ("ete"), "no-such-charset", "ete" },
    { "declared UTF-8, a lie",
      SPAN_LIT ("Caf\xe9 au lait, cr\xe8me br\xfbl\xe9"
                "e et d\xe9j\xe0 vu"),
      "utf-8",
      "Caf\xc3\xa9 au lait, cr\xc3\xa8me br\xc3\xbbl\xc3\xa9"
      "e et d\xc3\xa9j\xc3\xa0 vu" },
    { "EBCDIC declared", SPAN_LIT ("\x88\x85\x93\x93\x96"), "ibm037", "hello" },
    { "ISO-2022-JP", SPAN_LIT ("\x1b$B$3$l$OF|K\\8l$G$9\x1b(B."), "",
      "\xe3\x81\x93\xe3\x82\x8c\xe3\x81\xaf\xe6\x97\xa5\xe6"
      "\x9c\xac\xe8\xaa\x9e\xe3\x81\xa7\xe3\x81\x99." },
    { "ASCII with a NUL", SPAN_LIT ("alpha\0beta gamma ascii text with one nul in it"), "",
      "alpha beta gamma ascii text with one nul in it" },
    { "ASCII with NULs as separators", SPAN_LIT ("one\0two\0three\0four\0"), "", "one two three four " },
    { "ASCII with more NULs at its end than text", SPAN_LIT ("a line\n\0\0\0\0\0\0\0\0\0\0\0\0\0"), "",
      "a line\n             " },
    { "UTF-16BE Han, bare", SPAN_LIT ("\x4e\x2d\x65\x87\x00\x20\x6c\x49\x5b\x57\x00\x20\x8b\xed\x8a\x00"), "",
      "\xe4\xb8\xad\xe6\x96\x87 \xe6\xb1\x89\xe5\xad\x97 \xe8\xaf\xad\xe8\xa8\x80" },
    { "binary", SPAN_LIT ("\x00\x01\x02\x03\x04\x05\x06\x07\x00\x10\xff\xfe\x80"), "", NULL },
    { "empty", SPAN_LIT (""), "", "" },
};

static void encodings_are_found_and_decoded (void **state)
{
    for (size_t i = 0; i < sizeof charset_cases / sizeof *charset_cases; i++) {
        const charset_case_t *row = &charset_cases[i];
        charset_t charset;
        str_t text = STR_INIT;
        err_t err;
        int rc = charset_find (row->bytes, span_str (row->declared), &charset);
        if (!row->expected) {
            assert_int_equal (rc, -1);
            continue;
        }
        if (rc || charset_to_utf8 (row->bytes, &charset, &text, &err) || !span_is (str_span (&text), row->expected))
            fail_msg ("%s: %d, '%.*s' by %s", row->what, rc, SPAN_ARG (str_span (&text)), charset.name);
        str_free (&text);
    }
}

static void an_encoding_shows_wherever_the_first_accent_is (void **state)
{
    static const struct {
        const char *accents, *expected;
    } rows[] = { { "Caf\xe9 au lait, cr\xe8me br\xfbl\xe9 et d\xe9j\xe0 vu\n", "Caf\xc3\xa9 au lait" },
                 { "Caf\xc3\xa9 au lait\n", "Caf\xc3\xa9 au lait" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        str_t log = STR_INIT, text = STR_INIT;
        while (log.size < 1500 * 1000)
            str_format (&log, "line %zu of a log\n", log.size);
        str_text (&log, rows[i].accents);
        charset_t charset;
        err_t err;
        assert_int_equal (charset_find (str_span (&log), SPAN_EMPTY, &charset), 0);
        assert_int_equal (charset_to_utf8 (str_span (&log), &charset, &text, &err), 0);
        if (!strstr (text.data, rows[i].expected))
            fail_msg ("row %zu is read as %s", i, charset.name);
        str_free (&log);
        str_free (&text);
    }
}

static void a_charset_is_read_from_a_media_type (void **state)
{
    assert_true (span_is (charset_of_media_type (SPAN_LIT ("text/plain; charset=utf-8")), "utf-8"));
    assert_true (span_is (charset_of_media_type (SPAN_LIT ("text/plain;CHARSET=\"ibm500\"")), "ibm500"));
    assert_true (span_is (charset_of_media_type (SPAN_LIT ("text/plain; charset=")), ""));
    assert_int_equal (charset_of_media_type (SPAN_LIT ("text/plain")).size, 0);
}

/*  The plain way; *same tells whether no byte was copied. The caller frees the text. */
static buf_t *plain (span_t bytes, const char *name, const char *type, bool *same)
{
    buf_t *blob = buf_copy (bytes), *text = NULL;
    const char *detected;
    if (!extract_plain (blob, span_str (name), span_str (type), &text, &detected))
        text = NULL;
    if (same)
        *same = text == blob;
    buf_unref (&blob);
    return text;
}

static void a_note_is_passed_on_uncopied (void **state)
{
    bool same;
    buf_t *text = plain (ALL ("A note.\n\nS\xc3\xa3o Paulo\n"), "note.txt", "text/plain", &same);
    assert_true (same);
    buf_unref (&text);
}

static void line_ends_marks_and_accents_are_put_right (void **state)
{
    static const struct {
        span_t bytes;
        const char *expected;
    } rows[] = {
        { SPAN_LIT ("a\r\nb\rc\n"), "a\nb\nc\n" },
        { SPAN_LIT ("\xef\xbb\xbf"
                    "bom"),
          "bom" },
        { SPAN_LIT ("e\xcc\x81t\r\n"), "\xc3\xa9t\n" },
        { SPAN_LIT ("\xe2\x84\xab"), "\xc3\x85" }, /* the unit Angstrom is the letter */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_t *text = plain (rows[i].bytes, "note", "", NULL);
        assert_non_null (text);
        assert_true (span_is (buf_span (text), rows[i].expected));
        buf_unref (&text);
    }
}

static void what_is_not_plain_goes_to_a_parser (void **state)
{
    static const struct {
        span_t bytes;
        const char *name, *type;
    } rows[] = {
        { SPAN_LIT ("# Title"), "a.md", "" },
        { SPAN_LIT ("# Title"), "a", "text/markdown" },
        { SPAN_LIT ("<p>hi"), "a.txt", "" },
        { SPAN_LIT ("hi"), "a.html", "" },
        { SPAN_LIT ("hi"), "a", "text/plain; charset=utf-16" },
        { SPAN_LIT ("hi"), "a", "application/pdf" },
        { SPAN_LIT ("%PDF-1.4"), "a.txt", "text/plain" },
        { SPAN_LIT ("{\\rtf1 hi}"), "a.txt", "" },
        { SPAN_LIT ("!<arch>\nhi"), "a", "" },
        { SPAN_LIT ("caf\xe9"), "a.txt", "" },
        { SPAN_LIT ("nul\0"), "a.txt", "" },
        { SPAN_LIT ("\x1b$B$3"), "a.txt", "" },
        { SPAN_LIT (""), "a.txt", "" },
        { SPAN_LIT ("\xef\xbb\xbf"), "a.txt", "" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (plain (rows[i].bytes, rows[i].name, rows[i].type, NULL))
            fail_msg ("row %zu was taken for plain text", i);
}

static void plain_segments_end_at_lines (void **state)
{
    str_t text = STR_INIT;
    while (text.size < 700000)
        str_format (&text, "line %zu\n", text.size);
    size_t at = 0, count = 0;
    while (at < text.size) {
        size_t end = plain_cut (str_span (&text), at);
        assert_in_range (end, at + 1, at + SEGMENT_BYTES);
        assert_int_equal (text.data[end - 1], '\n');
        at = end;
        count++;
    }
    assert_int_equal (count, 3);
    str_free (&text);
}

static void parser_and_plain_way_agree (void **state)
{
    static const span_t texts[] = { SPAN_LIT ("one\r\ntwo"), SPAN_LIT ("e\xcc\x81"), SPAN_LIT ("a \xef\xbb\xbf b") };
    for (size_t i = 0; i < 2; i++) {
        got_t got = { .count = 0 };
        buf_t *text = plain (texts[i], "a.txt", "", NULL);
        assert_true (span_is (buf_span (text), text_of (&got, texts[i], "a.txt")));
        buf_unref (&text);
        got_free (&got);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (encodings_are_found_and_decoded),
        cmocka_unit_test (an_encoding_shows_wherever_the_first_accent_is),
        cmocka_unit_test (a_charset_is_read_from_a_media_type),
        cmocka_unit_test (a_note_is_passed_on_uncopied),
        cmocka_unit_test (line_ends_marks_and_accents_are_put_right),
        cmocka_unit_test (what_is_not_plain_goes_to_a_parser),
        cmocka_unit_test (plain_segments_end_at_lines),
        cmocka_unit_test (parser_and_plain_way_agree),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
