#include "stages/embed/fold.h"
#include "stages/embed/spans.h"
#include "wire/columns.h"
#include "wire/vectors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* link: embedding m */

#define DIMS 384

static int make (void **state)
{
    err_t err;
    *state = provider_new ("hash", &err);
    return *state ? 0 : -1;
}

static int drop (void **state)
{
    provider_destroy ((provider_t **)state);
    return 0;
}

static void embed (void **state, const char *text, float row[DIMS])
{
    err_t err;
    span_t one = span_str (text);
    assert_int_equal (provider_embed (*state, &one, 1, row, &err), 0);
}

static float likeness (void **state, const char *a, const char *b)
{
    float x[DIMS], y[DIMS], dot = 0;
    embed (state, a, x);
    embed (state, b, y);
    for (int i = 0; i < DIMS; i++)
        dot += x[i] * y[i];
    return dot;
}

static void unknown_providers_are_refused_by_name (void **state)
{
    (void)state;
    err_t err;
    assert_null (provider_new ("telepathy", &err));
    assert_int_equal (err.code, ERR_CONFIG);
    assert_non_null (strstr (err.message, "telepathy"));
    assert_non_null (strstr (err.message, "hash"));
}

static void rows_have_length_one_or_are_zero (void **state)
{
    static const struct {
        const char *text;
        float length;
    } cases[] = { { "a", 1 },       { "some ordinary words", 1 },
                  { "漢字", 1 },    { "ação", 1 },
                  { "", 0 },        { " .,;!", 0 },
                  { "\xff\xfe", 0 } };
    assert_int_equal (provider_dims (*state), DIMS);
    assert_true (provider_model (*state).size > 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        float row[DIMS], square = 0;
        embed (state, cases[i].text, row);
        for (int k = 0; k < DIMS; k++)
            square += row[k] * row[k];
        assert_true (fabsf (sqrtf (square) - cases[i].length) < 1e-5f);
    }
}

static void case_accents_and_punctuation_make_no_difference (void **state)
{
    static const char *const same[][2] = {
        { "A Ação RÁPIDA", "a acao, rapida!" },
        { "Straße", "strase" },
        { "\xef\xac\x81le" /* fi ligature: its first letter */, "\xef\xac\x81LE" },
        { "e\xcc\x81t\xc3\xa9", "ete" },
        { "МОСКВА", "москва" },
        { "Ｆｕｌｌ", "full" },
    };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        assert_true (likeness (state, same[i][0], same[i][1]) > 0.9999f);
}

static void shared_words_and_stems_bring_texts_near (void **state)
{
    const char *about = "The committee approved the annual budget for public libraries.";
    float related = likeness (state, about, "budgets of libraries were approved");
    float strange = likeness (state, about, "volcanoes erupt under glaciers");
    assert_true (related > strange + 0.2f);
    assert_true (likeness (state, "東京都の図書館", "図書館") > likeness (state, "東京都の図書館", "火山") + 0.2f);
}

static void characters_make_a_pair_only_where_they_stand_side_by_side (void **state)
{
    float glued[DIMS], apart[DIMS], pair[DIMS];
    embed (state, "漢abc字", glued);
    embed (state, "漢 abc 字", apart);
    embed (state, "漢字abc", pair);
    assert_memory_equal (glued, apart, sizeof glued);
    assert_memory_not_equal (glued, pair, sizeof glued);
}

static void rows_are_the_same_in_every_process (void **state)
{
    /* Stored vectors must fit those of later versions: when this fails the model needs another name. */
    float row[DIMS];
    embed (state, "The quick brown fox jumps over the lazy dog. À bientôt, 東京!", row);
    uint32_t most = 0;
    int filled = 0;
    double sum = 0;
    for (uint32_t i = 0; i < DIMS; i++) {
        filled += row[i] != 0;
        sum += (double)row[i] * (i + 1);
        if (fabsf (row[i]) > fabsf (row[most]))
            most = i;
    }
    assert_int_equal (filled, 43);
    assert_int_equal (most, 29);
    assert_true (fabs (sum - 338.4165) < 1e-3);
}

static void a_batch_gives_what_its_texts_give_alone (void **state)
{
    span_t texts[] = { SPAN_LIT ("one text"), SPAN_LIT (""), SPAN_LIT ("another one") };
    float rows[3 * DIMS], alone[DIMS];
    err_t err;
    assert_int_equal (provider_embed (*state, texts, 3, rows, &err), 0);
    for (int i = 0; i < 3; i++) {
        embed (state, i == 1 ? "" : texts[i].data, alone);
        assert_memory_equal (rows + i * DIMS, alone, sizeof alone);
    }
}

static void each_chunk_of_a_segment_gets_its_row (void **state)
{
    span_t text = SPAN_LIT ("alpha beta. gamma delta.");
    str_t spans = STR_INIT;
    for (uint32_t i = 0; i < 100; i++)
        chunk_span_add (&spans, i < 99 ? (chunk_span_t){ 0, 11, 2 } : (chunk_span_t){ 12, 24, 2 });
    buf_t *column = NULL;
    uint32_t rows = 0;
    err_t err;
    assert_int_equal (embed_spans (*state, text, str_span (&spans), &column, &rows, &err), 0);
    assert_int_equal (rows, 100);
    vectors_t vectors;
    assert_int_equal (vectors_read (buf_span (column), &vectors, &err), 0);
    assert_int_equal (vectors.rows, 100);
    assert_true (span_eq (vectors.model, provider_model (*state)));
    float last[DIMS];
    embed (state, "gamma delta.", last);
    for (uint32_t i = 0, at = 99 * DIMS; i < DIMS; i++, at++) {
        float value = (float)(vectors.high[at] * 256 + vectors.low[at]) * vectors_scale (&vectors, 99);
        assert_true (fabsf (value - last[i]) < 1e-4f);
    }
    buf_unref (&column);

    spans.data[4] = (char)200; /* beyond the text */
    assert_int_equal (embed_spans (*state, text, str_span (&spans), &column, &rows, &err), -1);
    assert_int_equal (err.code, ERR_PROTOCOL);
    assert_int_equal (embed_spans (*state, SPAN_EMPTY, SPAN_EMPTY, &column, &rows, &err), 0);
    assert_int_equal (rows, 0);
    buf_unref (&column);
    str_free (&spans);
}

static void any_bytes_are_survived (void **state)
{
    uint64_t seed = 9;
    float row[DIMS];
    err_t err;
    for (int round = 0; round < 2000; round++) {
        size_t size = (size_t)(seed >> 40) % 300;
        char *bytes = malloc (size + 1);
        for (size_t i = 0; i < size; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = round & 1 ? (char)(seed >> 56) : "ab \xf0\x9f\x98\x80\xe6\xbc\xa2\xc3"[(seed >> 56) % 11];
        }
        span_t text = span (bytes, size);
        assert_int_equal (provider_embed (*state, &text, 1, row, &err), 0);
        for (int i = 0; i < DIMS; i++)
            assert_true (row[i] >= -1 && row[i] <= 1);
        free (bytes);
        seed++;
        seed = seed * 6364136223846793005u + 1442695040888963407u;
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (unknown_providers_are_refused_by_name),
        cmocka_unit_test (rows_have_length_one_or_are_zero),
        cmocka_unit_test (case_accents_and_punctuation_make_no_difference),
        cmocka_unit_test (shared_words_and_stems_bring_texts_near),
        cmocka_unit_test (characters_make_a_pair_only_where_they_stand_side_by_side),
        cmocka_unit_test (rows_are_the_same_in_every_process),
        cmocka_unit_test (a_batch_gives_what_its_texts_give_alone),
        cmocka_unit_test (each_chunk_of_a_segment_gets_its_row),
        cmocka_unit_test (any_bytes_are_survived),
    };
    return cmocka_run_group_tests (tests, make, drop);
}
