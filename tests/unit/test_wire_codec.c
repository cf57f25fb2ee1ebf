#include "wire/messages.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* link: wire */

/*  Deterministic noise: the same values in every run. */
static uint64_t next (uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 16 ^ *state << 32;
}

static const char noise[] =
    "a text with \"quotes\", \x01\xff bytes and a long tail that is cut when printed ..........";

/*  Fills every field of the message with something else each time. */
static void fill (wire_msg_t *msg, wire_kind_t kind, uint64_t *state)
{
    memset (msg, 0, sizeof *msg);
    msg->kind = kind;
    const codec_shape_t *shape = wire_shape (kind);
    for (size_t i = 0; i < shape->field_count; i++) {
        char *member = (char *)&msg->hello + shape->fields[i].offset;
        uint64_t value = next (state);
        switch (shape->fields[i].type) {
        case CODEC_u8:
            *(uint8_t *)member = (uint8_t)value;
            break;
        case CODEC_u32:
            *(uint32_t *)(void *)member = (uint32_t)value;
            break;
        case CODEC_u64:
            *(uint64_t *)(void *)member = value;
            break;
        case CODEC_uuid:
            for (size_t k = 0; k < UUID_SIZE; k++)
                member[k] = (char)next (state);
            break;
        case CODEC_span:
            *(span_t *)(void *)member = span (noise + value % 8, value % (sizeof noise - 8));
            break;
        }
    }
}

static void assert_same (const wire_msg_t *a, const wire_msg_t *b)
{
    assert_int_equal (a->kind, b->kind);
    const codec_shape_t *shape = wire_shape (a->kind);
    static const size_t sizes[] = { [CODEC_u8] = 1, [CODEC_u32] = 4, [CODEC_u64] = 8, [CODEC_uuid] = UUID_SIZE };
    for (size_t i = 0; i < shape->field_count; i++) {
        const codec_field_t *field = &shape->fields[i];
        const char *x = (const char *)&a->hello + field->offset, *y = (const char *)&b->hello + field->offset;
        if (field->type == CODEC_span)
            assert_true (span_eq (*(const span_t *)(const void *)x, *(const span_t *)(const void *)y));
        else
            assert_memory_equal (x, y, sizes[field->type]);
    }
}

static void every_message_comes_back_as_it_went (void **unused)
{
    (void)unused;
    uint64_t state = 1;
    str_t frame = STR_INIT;
    for (int round = 0; round < 50; round++)
        for (int kind = 1; kind < WIRE_KIND_COUNT; kind++) {
            wire_msg_t sent, got;
            err_t err;
            fill (&sent, (wire_kind_t)kind, &state);
            str_clear (&frame);
            wire_encode (&sent, &frame);
            assert_int_equal (wire_decode (str_span (&frame), &got, &err), 0);
            assert_same (&sent, &got);
        }
    str_free (&frame);
}

static void a_message_cut_at_any_byte_is_an_error (void **unused)
{
    (void)unused;
    uint64_t state = 2;
    for (int kind = 1; kind < WIRE_KIND_COUNT; kind++) {
        wire_msg_t sent, got;
        fill (&sent, (wire_kind_t)kind, &state);
        str_t frame = STR_INIT;
        wire_encode (&sent, &frame);
        for (size_t size = 0; size < frame.size; size++) {
            char *cut = malloc (size ? size : 1); /* exactly as long, so that reading on is noticed */
            memcpy (cut, frame.data, size);
            err_t err = { 0 };
            assert_int_equal (wire_decode (span (cut, size), &got, &err), -1);
            assert_int_equal (err.code, ERR_PROTOCOL);
            free (cut);
        }
        str_char (&frame, 'x');
        err_t err = { 0 };
        assert_int_equal (wire_decode (str_span (&frame), &got, &err), -1);
        assert_int_equal (err.code, ERR_PROTOCOL);
        assert_non_null (strstr (err.message, "too many"));
        str_free (&frame);
    }
}

static void unknown_kinds_and_versions_are_refused (void **unused)
{
    (void)unused;
    wire_msg_t msg = { .kind = WIRE_KIND_CANCEL, .cancel = { 1, 2 } }, got;
    str_t frame = STR_INIT;
    wire_encode (&msg, &frame);
    err_t err;
    for (int kind = 0; kind < 256; kind++)
        if (kind == 0 || kind >= WIRE_KIND_COUNT) {
            frame.data[1] = (char)kind;
            assert_int_equal (wire_decode (str_span (&frame), &got, &err), -1);
            assert_int_equal (err.code, ERR_PROTOCOL);
        }
    frame.data[1] = WIRE_KIND_CANCEL;
    frame.data[0] = WIRE_VERSION + 1;
    assert_int_equal (wire_decode (str_span (&frame), &got, &err), -1);
    assert_int_equal (err.code, ERR_NEWER_FORMAT);
    frame.data[0] = 0;
    assert_int_equal (wire_decode (str_span (&frame), &got, &err), -1);
    assert_int_equal (err.code, ERR_PROTOCOL);
    assert_null (wire_shape (WIRE_NONE));
    assert_null (wire_shape (WIRE_KIND_COUNT));
    str_free (&frame);
}

static void random_bytes_never_crash_the_decoder (void **unused)
{
    (void)unused;
    uint64_t state = 3;
    for (int round = 0; round < 100000; round++) {
        size_t size = next (&state) % 120;
        char *bytes = malloc (size ? size : 1);
        for (size_t i = 0; i < size; i++)
            bytes[i] = (char)(next (&state) >> (round & 1 ? 0 : 60)); /* half of them small numbers */
        if (size > 1) {
            bytes[0] = WIRE_VERSION;
            bytes[1] = (char)(next (&state) % (WIRE_KIND_COUNT + 2));
        }
        wire_msg_t got;
        err_t err;
        if (wire_decode (span (bytes, size), &got, &err) == 0) { /* then it is the one encoding of what it says */
            str_t again = STR_INIT;
            wire_encode (&got, &again);
            assert_true (span_eq (str_span (&again), span (bytes, size)));
            str_free (&again);
        }
        free (bytes);
    }
}

static void printing_shows_fields_and_escapes_texts (void **unused)
{
    (void)unused;
    wire_msg_t msg = { .kind = WIRE_KIND_SEARCH, .search = { .req = 7, .query = SPAN_LIT ("a\n\"\xff"), .limit = 10 } };
    str_t out = STR_INIT;
    wire_print (&msg, &out);
    assert_non_null (strstr (out.data, "search {req=7 "));
    assert_non_null (strstr (out.data, "query=\"a\\x0a\\x22\\xff\""));
    assert_non_null (strstr (out.data, "limit=10"));
    str_free (&out);
    uint64_t state = 4;
    for (int kind = 1; kind < WIRE_KIND_COUNT; kind++) {
        fill (&msg, (wire_kind_t)kind, &state);
        wire_print (&msg, &out);
    }
    for (size_t i = 0; i < out.size; i++)
        assert_true ((unsigned char)out.data[i] >= 0x20);
    str_free (&out);
}

static void stages_have_names (void **unused)
{
    (void)unused;
    for (int i = 0; i < STAGE_COUNT; i++) {
        stage_t stage;
        assert_int_equal (stage_parse (span_str (stage_name ((stage_t)i)), &stage), 0);
        assert_int_equal (stage, i);
    }
    stage_t stage;
    assert_int_equal (stage_parse (SPAN_LIT ("extrac"), &stage), -1);
    assert_int_equal (stage_parse (SPAN_EMPTY, &stage), -1);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (every_message_comes_back_as_it_went),
        cmocka_unit_test (a_message_cut_at_any_byte_is_an_error),
        cmocka_unit_test (unknown_kinds_and_versions_are_refused),
        cmocka_unit_test (random_bytes_never_crash_the_decoder),
        cmocka_unit_test (printing_shows_fields_and_escapes_texts),
        cmocka_unit_test (stages_have_names),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
