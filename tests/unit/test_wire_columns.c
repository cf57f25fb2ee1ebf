#include "wire/columns.h"
#include "wire/vectors.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* link: wire */

static void marks_come_back_in_order (void **state)
{
    (void)state;
    str_t column = STR_INIT;
    mark_add (&column, (mark_t){ 0, MARK_PAGE, 1, SPAN_EMPTY });
    mark_add (&column, (mark_t){ 0, MARK_HEADING, 2, SPAN_LIT ("Part > Chapter") });
    mark_add (&column, (mark_t){ 70000, MARK_PATH, 0, SPAN_LIT ("a.zip!/b.txt") });
    size_t at = 0;
    mark_t mark;
    assert_int_equal (mark_next (str_span (&column), &at, &mark), 1);
    assert_int_equal (mark.kind, MARK_PAGE);
    assert_int_equal (mark.number, 1);
    assert_int_equal (mark_next (str_span (&column), &at, &mark), 1);
    assert_true (span_is (mark.text, "Part > Chapter"));
    assert_int_equal (mark_next (str_span (&column), &at, &mark), 1);
    assert_int_equal (mark.offset, 70000);
    assert_true (span_is (mark.text, "a.zip!/b.txt"));
    assert_int_equal (mark_next (str_span (&column), &at, &mark), 0);
    str_free (&column);
}

static void damaged_marks_are_noticed (void **state)
{
    (void)state;
    str_t column = STR_INIT;
    mark_add (&column, (mark_t){ 0, MARK_PATH, 0, SPAN_LIT ("path") });
    for (size_t size = 1; size < column.size; size++) {
        char *cut = malloc (size);
        memcpy (cut, column.data, size);
        size_t at = 0;
        mark_t mark;
        assert_int_equal (mark_next (span (cut, size), &at, &mark), -1);
        free (cut);
    }
    column.data[4] = MARK_COUNT;
    size_t at = 0;
    mark_t mark;
    assert_int_equal (mark_next (str_span (&column), &at, &mark), -1);
    column.data[4] = MARK_PATH;
    column.data[12] = (char)0xff; /* a size of 4 GB */
    at = 0;
    assert_int_equal (mark_next (str_span (&column), &at, &mark), -1);
    at = column.size + 5;
    assert_int_equal (mark_next (str_span (&column), &at, &mark), -1);
    str_free (&column);
}

static void spans_are_checked_against_their_text (void **state)
{
    (void)state;
    static const struct {
        chunk_span_t rows[2];
        int rc;
    } cases[] = {
        { { { 0, 10, 2 }, { 5, 20, 3 } }, 0 },   { { { 0, 10, 2 }, { 0, 20, 3 } }, 0 },
        { { { 5, 10, 2 }, { 0, 20, 3 } }, -1 },  { { { 0, 0, 2 }, { 5, 20, 3 } }, -1 },
        { { { 10, 5, 2 }, { 15, 20, 3 } }, -1 }, { { { 0, 10, 2 }, { 5, 21, 3 } }, -1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        str_t column = STR_INIT;
        chunk_span_add (&column, cases[i].rows[0]);
        chunk_span_add (&column, cases[i].rows[1]);
        assert_int_equal (chunk_span_count (str_span (&column)), 2);
        assert_int_equal (chunk_span_at (str_span (&column), 1).end, cases[i].rows[1].end);
        assert_int_equal (chunk_span_at (str_span (&column), 1).tokens, 3);
        err_t err = { 0 };
        assert_int_equal (chunk_spans_check (str_span (&column), 20, &err), cases[i].rc);
        assert_int_equal (chunk_spans_check (span (column.data, column.size - 1), 20, &err), -1);
        str_free (&column);
    }
}

static void vectors_come_back_from_any_alignment (void **state)
{
    (void)state;
    static const float values[12] = { 0, 0.5f, 1, 1.5f, 2, 2.5f, 3, 3.5f, 4, -4.5f, 5, 5.5f };
    buf_t *column = vectors_new (SPAN_LIT ("model"), 3, 4);
    vectors_set (column, 0, 1, values); /* piece by piece, as embed does */
    vectors_set (column, 1, 2, values + 4);
    size_t size = buf_size (column);
    char *moved = malloc (size + 1);
    memcpy (moved + 1, buf_bytes (column), size);
    vectors_t vectors;
    err_t err;
    assert_int_equal (vectors_read (span (moved + 1, size), &vectors, &err), 0);
    assert_int_equal (vectors.rows, 3);
    assert_int_equal (vectors.dims, 4);
    assert_true (span_is (vectors.model, "model"));
    for (uint32_t i = 0; i < 12; i++) {
        float value = (float)(vectors.high[i] * 256 + vectors.low[i]) * vectors_scale (&vectors, i / 4);
        assert_true (value > values[i] - 1e-4f && value < values[i] + 1e-4f);
    }
    free (moved);
    buf_unref (&column);
}

static void vectors_of_another_size_than_they_say_are_refused (void **state)
{
    (void)state;
    static const float values[4] = { 1, 2, 3, 4 };
    buf_t *column = vectors_new (SPAN_LIT ("model"), 2, 2);
    vectors_set (column, 0, 2, values);
    vectors_t vectors;
    err_t err;
    for (size_t size = 0; size < buf_size (column); size++) {
        assert_int_equal (vectors_read (span (buf_bytes (column), size), &vectors, &err), -1);
        assert_int_equal (err.code, ERR_PROTOCOL);
    }
    buf_bytes (column)[4] = 0x7f; /* rows */
    assert_int_equal (vectors_read (buf_span (column), &vectors, &err), -1);
    buf_bytes (column)[4] = 0;
    buf_bytes (column)[12] = (char)0xff; /* size of the name */
    assert_int_equal (vectors_read (buf_span (column), &vectors, &err), -1);
    buf_bytes (column)[12] = 0;
    buf_bytes (column)[0]++;
    assert_int_equal (vectors_read (buf_span (column), &vectors, &err), -1);
    assert_int_equal (err.code, ERR_NEWER_FORMAT);
    buf_unref (&column);
    column = vectors_new (SPAN_EMPTY, 0, 384); /* no rows is a column too */
    assert_int_equal (vectors_read (buf_span (column), &vectors, &err), 0);
    assert_int_equal (vectors.rows, 0);
    buf_unref (&column);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (marks_come_back_in_order),
        cmocka_unit_test (damaged_marks_are_noticed),
        cmocka_unit_test (spans_are_checked_against_their_text),
        cmocka_unit_test (vectors_come_back_from_any_alignment),
        cmocka_unit_test (vectors_of_another_size_than_they_say_are_refused),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
