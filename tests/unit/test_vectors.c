/* link: content m */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/vectors.h"

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

static buf_t *column (uint32_t rows, uint32_t dims, float **values)
{
    buf_t *buf = vectors_new (SPAN_LIT ("model-x"), rows, dims, values);
    for (uint32_t i = 0; i < rows; i++)
        fill (*values + (size_t)i * dims, dims);
    return buf;
}

static stored_vectors_t store (const buf_t *buf, str_t *record)
{
    vectors_t vectors;
    stored_vectors_t stored;
    err_t err;
    assert_int_equal (vectors_read (buf_span (buf), &vectors, &err), 0);
    stored_vectors_write (&vectors, record);
    assert_int_equal (stored_vectors_read (str_span (record), &stored, &err), 0);
    return stored;
}

static void stored_rows_are_precise (void **state)
{
    static const uint32_t all_dims[] = { 1, 31, 32, 33, 384, 1000 };
    for (size_t d = 0; d < sizeof all_dims / sizeof *all_dims; d++) {
        uint32_t dims = all_dims[d];
        str_t record = STR_INIT;
        float *rows, *query = calloc (dims, sizeof *query);
        buf_t *buf = column (20, dims, &rows);
        stored_vectors_t stored = store (buf, &record);
        assert_int_equal (stored.rows, 20);
        assert_int_equal (stored.dims, dims);
        assert_true (span_is (stored.model, "model-x"));
        fill (query, dims);
        for (uint32_t i = 0; i < 20; i++)
            assert_true (fabsf (stored_vectors_exact (&stored, i, query) -
                                inner (rows + (size_t)i * dims, query, dims)) < 1e-4f);
        buf_unref (&buf);
        str_free (&record);
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
            for (int which = 0; vectors_dot_of (which); which++)
                assert_int_equal (vectors_dot_of (which) (a, b, dims), expected);
            expected += a[dims] * b[dims];
        }
    }
}

static void the_scan_and_a_precise_look_at_its_best_find_the_true_nearest (void **state)
{
    enum { ROWS = 3000, DIMS = 384, QUERIES = 20, TOP = 10, NET = 40 };
    str_t record = STR_INIT;
    float *rows, query[DIMS];
    buf_t *buf = column (ROWS, DIMS, &rows);
    stored_vectors_t stored = store (buf, &record);
    float *scales = malloc (ROWS * sizeof *scales);
    uint64_t *numbers = malloc (ROWS * sizeof *numbers);
    for (uint32_t i = 0; i < ROWS; i++) {
        scales[i] = stored_vectors_scale (&stored, i);
        numbers[i] = i;
    }
    for (int q = 0; q < QUERIES; q++) {
        fill (query, DIMS);
        scan_query_t scan;
        top_t net = top_new (NET), precise = top_new (TOP), truth = top_new (TOP);
        scan_query_init (&scan, query, DIMS);
        vectors_scan (&scan, stored.high, scales, numbers, ROWS, &net);
        for (size_t i = 0; i < net.count; i++)
            top_push (&precise, net.items[i].row, stored_vectors_exact (&stored, (uint32_t)net.items[i].row, query));
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
    str_free (&record);
}

static void rows_of_zeros_and_of_no_numbers_are_like_nothing (void **state)
{
    str_t record = STR_INIT;
    float *rows, query[4] = { 1, 0, 0, 0 };
    buf_t *buf = vectors_new (SPAN_LIT ("m"), 3, 4, &rows);
    memset (rows, 0, 12 * sizeof *rows);
    rows[4] = NAN;
    rows[8] = INFINITY;
    stored_vectors_t stored = store (buf, &record);
    for (uint32_t i = 0; i < 3; i++)
        assert_true (stored_vectors_exact (&stored, i, query) == 0);
    buf_unref (&buf);
    str_free (&record);
}

static void a_damaged_record_is_refused_at_every_length (void **state)
{
    str_t record = STR_INIT;
    float *rows;
    buf_t *buf = column (2, 8, &rows);
    stored_vectors_t stored = store (buf, &record);
    err_t err;
    for (size_t size = 0; size < record.size; size++)
        assert_int_equal (stored_vectors_read (span (record.data, size), &stored, &err), -1);
    record.data[0]++;
    assert_int_equal (stored_vectors_read (str_span (&record), &stored, &err), -1);
    assert_int_equal (err.code, ERR_NEWER_FORMAT);
    buf_unref (&buf);
    str_free (&record);
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
        cmocka_unit_test (a_damaged_record_is_refused_at_every_length),
        cmocka_unit_test (the_top_keeps_the_best_and_prefers_lower_rows),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
