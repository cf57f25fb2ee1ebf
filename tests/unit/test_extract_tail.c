/*  The end of what a parser says on stderr, and how it is shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "stages/extract/tail.h"

#include <stdlib.h>
#include <unistd.h>

/* link: extract */

static void shows (span_t bytes, const char *expected)
{
    tail_t *tail = calloc (1, sizeof *tail);
    str_t text = STR_INIT;
    assert_non_null (tail);
    tail->fd = -1;
    tail_add (tail, bytes);
    tail_text (tail, &text);
    assert_string_equal (text.data, expected);
    str_free (&text);
    free (tail);
}

static void what_a_terminal_would_obey_is_escaped (void **state)
{
    (void)state;
    shows (SPAN_LIT ("Out of memory\n\tat page 7"), "Out of memory\n\tat page 7");
    shows (SPAN_LIT ("\x1b[31mred\x1b[0m\r\a"), "\\x1b[31mred\\x1b[0m\\x0d\\x07");
    shows (SPAN_LIT ("\x7f \xc2\x9b"
                     "31m \xc2\x80 \xc2\xa0"),
           "\\x7f \\xc2\\x9b31m \\xc2\\x80 \xc2\xa0");
    shows (SPAN_LIT ("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"),
           "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
    shows (SPAN_LIT ("\xff\xfe \xc3 \xe2\x82"), "\\xff\\xfe \\xc3 \\xe2\\x82");
    shows (span ("a\0b", 3), "a\\x00b");
}

static void the_end_is_kept_and_bounded_whatever_comes (void **state)
{
    (void)state;
    tail_t *tail = calloc (1, sizeof *tail);
    assert_non_null (tail);
    tail->fd = -1;
    unsigned seed = 7;
    for (int round = 0; round < 300; round++) {
        char bytes[9000];
        str_t text = STR_INIT;
        size_t size = (size_t)(rand_r (&seed) % (int)sizeof bytes);
        for (size_t i = 0; i < size; i++)
            bytes[i] = (char)(round % 3 ? rand_r (&seed) : 'a' + (int)(i % 26));
        tail_add (tail, span (bytes, size));
        tail_add (tail, SPAN_LIT ("the last words"));
        tail_text (tail, &text);
        assert_true (text.size <= TAIL_MAX && utf8_is_valid (str_span (&text)));
        assert_string_equal (text.data + text.size - 14, "the last words");
        for (size_t i = 0; i < text.size; i++)
            assert_true ((unsigned char)text.data[i] >= 0x20 || text.data[i] == '\n' || text.data[i] == '\t');
        str_free (&text);
    }
    tail_clear (tail);
    str_t none = STR_INIT;
    tail_text (tail, &none);
    assert_int_equal (none.size, 0);
    free (tail);
}

static void whoever_writes_never_waits (void **state)
{
    (void)state;
    tail_t *tail = calloc (1, sizeof *tail);
    assert_non_null (tail);
    tail->fd = -1;
    err_t err;
    int out = tail_open (tail, &err);
    assert_true (out >= 0);
    char block[4096];
    memset (block, 'x', sizeof block);
    while (write (out, block, sizeof block) > 0) /* until the pipe is full: then it says so instead of waiting */
        ;
    tail_read (tail);
    assert_int_equal (tail->size, TAIL_MAX);
    while (write (out, "end", 3) < 0)
        tail_read (tail);
    close (out);
    while (tail->fd >= 0)
        tail_read (tail);
    assert_memory_equal (tail->bytes + TAIL_MAX - 4, "xend", 4);
    tail_close (tail);
    free (tail);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (what_a_terminal_would_obey_is_escaped),
        cmocka_unit_test (the_end_is_kept_and_bounded_whatever_comes),
        cmocka_unit_test (whoever_writes_never_waits),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
