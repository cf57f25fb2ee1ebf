#include "client/text.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* link: client */

static void fits (const char *text, size_t width, bool pad, const char *wanted)
{
    str_t out = STR_INIT;
    str_text (&out, "");
    text_fit (&out, span_str (text), width, pad);
    assert_string_equal (out.data ? out.data : "", wanted);
    str_free (&out);
}

static void texts_are_cut_and_filled_by_columns (void **state)
{
    fits ("short", 8, true, "short   ");
    fits ("short", 8, false, "short");
    fits ("exactly8", 8, true, "exactly8");
    fits ("a bit longer", 8, true, "a bit l…");
    fits ("über", 5, true, "über ");
    fits ("日本語のファイル", 7, true, "日本語…");
    fits ("日本語のファイル", 6, true, "日本… ");
}

static void nothing_a_terminal_obeys_passes (void **state)
{
    fits ("a\x1b[31mb\nc\td", 40, false, "a?[31mb?c?d");
    fits ("bad \xff\xfe bytes", 40, false, "bad \xEF\xBF\xBD\xEF\xBF\xBD bytes");
    fits ("\xC2\x9B"
          "31m",
          40, false, "?31m");                            /* CSI in one character */
    fits ("\xE2\x80\xAEgpj.exe", 40, false, "?gpj.exe"); /* right-to-left override */
    fits (TEXT_MARK_ON "x" TEXT_MARK_OFF, 40, false, "?x?");
}

static void wraps (const char *text, size_t indent, size_t width, size_t lines, const char *wanted)
{
    str_t out = STR_INIT;
    text_wrap (&out, span_str (text), indent, width, lines);
    assert_string_equal (out.data, wanted);
    str_free (&out);
}

static void texts_are_wrapped_at_blanks (void **state)
{
    wraps ("one two\n three", 2, 9, 9, "  one two\n  three\n");
    wraps ("one two three four", 0, 7, 2, "one two\nthree …\n");
    wraps ("", 2, 10, 3, "\n");
    wraps ("  \n ", 2, 10, 3, "\n");
    wraps ("日本語のファイル", 1, 7, 9, " 日本語\n のファ\n イル\n"); /* no blanks: broken anywhere */
    wraps ("a 日本語の bc", 0, 6, 9, "a\n日本語\nの bc\n");
    wraps ("日本", 4, 5, 9, "    日\n    本\n"); /* wider than the line */
    wraps ("日" TEXT_MARK_ON "本語の" TEXT_MARK_OFF "x", 0, 4, 1, "日" TEXT_MARK_ON "本" TEXT_MARK_OFF " …\n");
    wraps ("a " TEXT_MARK_ON "bc" TEXT_MARK_OFF, 0, 4, 3, "a " TEXT_MARK_ON "bc" TEXT_MARK_OFF "\n");
}

static void sizes_and_times (void **state)
{
    static const struct {
        uint64_t bytes;
        const char *wanted;
    } cases[] = {
        { 0, "0 B" },
        { 999, "999 B" },
        { 1000, "1.0 KB" },
        { 99940, "99.9 KB" },
        { 123456, "123 KB" },
        { 5000000, "5.0 MB" },
        { 7000000000000000, "7000 TB" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        str_t out = STR_INIT;
        text_size (&out, cases[i].bytes);
        assert_string_equal (out.data, cases[i].wanted);
        str_free (&out);
    }
    str_t out = STR_INIT;
    text_time (&out, "2024-05-06T07:08:09.123Z");
    assert_string_equal (out.data, "2024-05-06 07:08:09");
    str_clear (&out);
    text_time (&out, "");
    assert_string_equal (out.data, "-");
    str_free (&out);
}

int main (void)
{
    setlocale (LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (texts_are_cut_and_filled_by_columns),
        cmocka_unit_test (nothing_a_terminal_obeys_passes),
        cmocka_unit_test (texts_are_wrapped_at_blanks),
        cmocka_unit_test (sizes_and_times),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
