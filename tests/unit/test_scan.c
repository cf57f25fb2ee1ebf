/* link: content m */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/scan.h"

#include <math.h>
#include <stdlib.h>

static uint64_t seed = 7;
static float uniform (void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (float)(seed >> 40) / (float)(1u << 24) - 0.5f;
}

static void fill (float *row, uint32_t dims)
{
    float sum = 0;
    for (uint32_t i = 0; i < dims; i++) {
        row[i] = uniform () + uniform () + uniform ();
        sum += row[i] * row[i];
    }
    for (uint32_t i = 0; i < dims; i++)
        row[i] /= sqrtf (sum);
}

static float inner (const float *a, const float *b, uint32_t dims)
{
    double sum = 0;
    for (uint32_t i = 0; i < dims; i++)
        sum += (double)a[i] * (double)b[i];
    return (float)sum;
}

/*  A column of random rows, which the caller frees as well. */
static buf_t *column (uint32_t rows, uint32_t dims, float **values)
{
    buf_t *buf = vectors_new (SPAN_LIT ("model-x"), rows, dims);
    *values = calloc ((size_t)rows * dims, sizeof **values);
    for (uint32_t i = 0; i < rows; i++)
        fill (*values + (size_t)i * dims, dims);
    vectors_set (buf, 0, rows, *values);
    return buf;
}

static vectors_t read_column (const buf_t *buf)
{
    vectors_t vectors;
    err_t err;
    assert_int_equal (vectors_read (buf_span (buf), &vectors, &err), 0);
    return vectors;
}

static void stored_rows_are_precise (void **state)
{
    static const uint32_t all_dims[] = { 1, 31, 32, 33, 384, 1000 };
    for (size_t d = 0; d < sizeof all_dims / sizeof *all_dims; d++) {
        uint32_t dims = all_dims[d];
        float *rows, *query = calloc (dims, sizeof *query);
        buf_t *buf = column (20, dims, &rows);
        vectors_t vectors = read_column (buf);
        assert_int_equal (vectors.rows, 20);
        assert_int_equal (vectors.dims, dims);
        assert_true (span_is (vectors.model, "model-x"));
        fill (query, dims);
        for (uint32_t i = 0; i < 20; i++)
            assert_true (fabsf (scan_exact (&vectors, i, query) - inner (rows + (size_t)i * dims, query, dims)) <
                         1e-4f);
        buf_unref (&buf);
        free (rows);
        free (query);
    }
}

static void every_instruction_set_gives_the_same_sum (void **state)
{
    enum { DIMS = 401 };
    int8_t a[DIMS], b[DIMS];
    for (int round = 0; round < 50; round++) {
        int32_t expected = 0;
        for (int i = 0; i < DIMS; i++) {
            a[i] = (int8_t)(round == 0 ? 127 : uniform () * 254);
            b[i] = (int8_t)(round == 0 ? -127 : uniform () * 254);
        }
        for (uint32_t dims = 0; dims < DIMS; dims++) {
            for (int which = 0; scan_dot_of (which); which++)
                assert_int_equal (scan_dot_of (which) (a, b, dims), expected);
            expected += a[dims] * b[dims];
        }
    }
}

static void the_scan_and_a_precise_look_at_its_best_find_the_true_nearest (void **state)
{
    enum { ROWS = 3000, DIMS = 384, QUERIES = 20, TOP = 10, NET = 40 };
    float *rows, query[DIMS];
    buf_t *buf = column (ROWS, DIMS, &rows);
    vectors_t vectors = read_column (buf);
    float *scales = malloc (ROWS * sizeof *scales);
    uint64_t *numbers = malloc (ROWS * sizeof *numbers);
    for (uint32_t i = 0; i < ROWS; i++) {
        scales[i] = vectors_scale (&vectors, i);
        numbers[i] = i;
    }
    for (int q = 0; q < QUERIES; q++) {
        fill (query, DIMS);
        scan_query_t scan;
        top_t net = top_new (NET), precise = top_new (TOP), truth = top_new (TOP);
        scan_query_init (&scan, query, DIMS);
        scan_rows (&scan, vectors.high, scales, numbers, ROWS, &net);
        for (size_t i = 0; i < net.count; i++)
            top_push (&precise, net.items[i].row, scan_exact (&vectors, (uint32_t)net.items[i].row, query));
        for (uint32_t i = 0; i < ROWS; i++)
            top_push (&truth, i, inner (rows + (size_t)i * DIMS, query, DIMS));
        top_finish (&precise);
        top_finish (&truth);
        for (size_t i = 0; i < TOP; i++)
            assert_int_equal (precise.items[i].row, truth.items[i].row);
        top_free (&net);
        top_free (&precise);
        top_free (&truth);
        scan_query_free (&scan);
    }
    free (scales);
    free (numbers);
    buf_unref (&buf);
    free (rows);
}

static void rows_of_zeros_and_of_no_numbers_are_like_nothing (void **state)
{
    static const float rows[12] = { [4] = NAN, [8] = INFINITY }, query[4] = { 1, 0, 0, 0 };
    buf_t *buf = vectors_new (SPAN_LIT ("m"), 3, 4);
    vectors_set (buf, 0, 3, rows);
    vectors_t vectors = read_column (buf);
    for (uint32_t i = 0; i < 3; i++)
        assert_true (scan_exact (&vectors, i, query) == 0);
    buf_unref (&buf);
}

static void the_top_keeps_the_best_and_prefers_lower_rows (void **state)
{
    top_t top = top_new (5);
    for (uint64_t i = 0; i < 1000; i++)
        top_push (&top, 999 - i, (float)((999 - i) % 100));
    top_finish (&top);
    assert_int_equal (top.count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal (top.items[i].row, 99 + 100 * i);
    top_free (&top);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (stored_rows_are_precise),
        cmocka_unit_test (every_instruction_set_gives_the_same_sum),
        cmocka_unit_test (the_scan_and_a_precise_look_at_its_best_find_the_true_nearest),
        cmocka_unit_test (rows_of_zeros_and_of_no_numbers_are_like_nothing),
        cmocka_unit_test (the_top_keeps_the_best_and_prefers_lower_rows),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
