#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/str.h"
#include "base/utf8.h"
#include "base/uuid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* link: base */

static void json_is_always_valid (void **state)
{
    (void)state;
    static const struct {
        span_t in;
        const char *out;
    } cases[] = {
        { SPAN_LIT (""), "\"\"" },
        { SPAN_LIT ("plain"), "\"plain\"" },
        { SPAN_LIT ("a\"b\\c"), "\"a\\\"b\\\\c\"" },
        { SPAN_LIT ("\n\t\r\x01\x1f"), "\"\\n\\t\\r\\u0001\\u001f\"" },
        { SPAN_LIT ("\0"), "\"\\u0000\"" },
        { SPAN_LIT ("a\xc3\xa7\xc3\xa3o \xe6\xbc\xa2 \xf0\x9f\x91\x8d"),
          "\"a\xc3\xa7\xc3\xa3o \xe6\xbc\xa2 \xf0\x9f\x91\x8d\"" },
        { SPAN_LIT ("\xff|\xc3"), "\"\xef\xbf\xbd|\xef\xbf\xbd\"" },
        { SPAN_LIT ("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" }, /* a surrogate */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        str_t out = STR_INIT;
        str_json (&out, cases[i].in);
        assert_string_equal (out.data, cases[i].out);
        str_free (&out);
    }
}

static void objects_are_built_key_by_key (void **state)
{
    (void)state;
    str_t out = STR_INIT;
    str_char (&out, '{');
    str_key_str (&out, "a", SPAN_LIT ("x"));
    str_key_str (&out, "b", SPAN_EMPTY);
    str_key_u64 (&out, "c", UINT64_MAX);
    str_key (&out, "d");
    str_text (&out, "{");
    str_key_raw (&out, "e", SPAN_EMPTY);
    str_key_raw (&out, "f", SPAN_LIT ("[1]"));
    str_text (&out, "}");
    str_key_time (&out, "g", 0);
    str_key_time (&out, "h", 1715000000123);
    str_key (&out, "i");
    str_i64 (&out, INT64_MIN);
    str_char (&out, '}');
    assert_string_equal (out.data, "{\"a\":\"x\",\"b\":null,\"c\":18446744073709551615,\"d\":{\"e\":null,\"f\":[1]},"
                                   "\"g\":null,\"h\":\"2024-05-06T12:53:20.123Z\",\"i\":-9223372036854775808}");
    str_clear (&out);
    assert_string_equal (out.data, "");
    str_free (&out);
}

static void utf8_takes_only_what_is_well_formed (void **state)
{
    (void)state;
    static const struct {
        span_t text;
        size_t width;
    } cases[] = {
        { SPAN_LIT (""), 0 },
        { SPAN_LIT ("a"), 1 },
        { SPAN_LIT ("\0"), 1 },
        { SPAN_LIT ("\xc2\x80"), 2 },
        { SPAN_LIT ("\xe0\xa0\x80"), 3 },
        { SPAN_LIT ("\xef\xbf\xbf"), 3 },
        { SPAN_LIT ("\xf0\x90\x80\x80"), 4 },
        { SPAN_LIT ("\xf4\x8f\xbf\xbf"), 4 },
        { SPAN_LIT ("\x80"), 0 },             /* a tail alone */
        { SPAN_LIT ("\xc0\xaf"), 0 },         /* overlong */
        { SPAN_LIT ("\xe0\x9f\xbf"), 0 },     /* overlong */
        { SPAN_LIT ("\xed\xa0\x80"), 0 },     /* surrogate */
        { SPAN_LIT ("\xf0\x8f\xbf\xbf"), 0 }, /* overlong */
        { SPAN_LIT ("\xf4\x90\x80\x80"), 0 }, /* beyond U+10FFFF */
        { SPAN_LIT ("\xf5\x80\x80\x80"), 0 },
        { SPAN_LIT ("\xe6\xbc"), 0 }, /* cut short */
        { SPAN_LIT ("\xc3("), 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal (utf8_width (cases[i].text), cases[i].width);
        assert_int_equal (utf8_is_valid (cases[i].text), cases[i].width == cases[i].text.size);
    }
    span_t text = SPAN_LIT ("ab\xe6\xbc\xa2z");
    assert_int_equal (utf8_cut (text, 1), 1);
    assert_int_equal (utf8_cut (text, 3), 2);
    assert_int_equal (utf8_cut (text, 4), 2);
    assert_int_equal (utf8_cut (text, 5), 5);
    assert_int_equal (utf8_cut (text, 99), 6);
}

static void times_are_shown_and_read (void **state)
{
    (void)state;
    char text[CLOCK_RFC3339_SIZE];
    clock_rfc3339 (0, text);
    assert_string_equal (text, "1970-01-01T00:00:00.000Z");
    clock_rfc3339 (951827696789, text);
    assert_string_equal (text, "2000-02-29T12:34:56.789Z");
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } cases[] = {
        { "2000-02-29T12:34:56.789Z", 951827696789 },
        { "2000-02-29t12:34:56.789123z", 951827696789 },
        { "2000-02-29T12:34:56Z", 951827696000 },
        { "2000-02-29T14:34:56+02:00", 951827696000 },
        { "2000-02-29T09:04:56-03:30", 951827696000 },
        { "2000-02-29", 951782400000 },
        { "2000-13-01", -1 },
        { "2000-02-30", -1 },
        { "2001-02-29", -1 },
        { "2000-02-29T24:00:00Z", -1 },
        { "2000-02-29T12:34:56", -1 },
        { "2000-02-29T12:34:56Z ", -1 },
        { "yesterday", -1 },
        { "", -1 },
        { "1969-12-31", -1 },
        { "2000-02-29T12:34:56Zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", -1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t ms = 1;
        int rc = clock_parse (span_str (cases[i].text), &ms);
        assert_int_equal (rc, cases[i].ms == -1 ? -1 : 0);
        if (rc == 0)
            assert_int_equal (ms, cases[i].ms);
    }
}

static void ids_rise_and_are_version_7 (void **state)
{
    (void)state;
    uuid_t last = uuid_new ();
    for (int i = 0; i < 100000; i++) {
        uuid_t id = uuid_new ();
        assert_true (uuid_compare (id, last) > 0);
        assert_int_equal (id.bytes[6] >> 4, 7);
        assert_int_equal (id.bytes[8] >> 6, 2);
        last = id;
    }
    char text[UUID_TEXT];
    uuid_text (last, text);
    uuid_t parsed;
    assert_int_equal (uuid_parse (span_str (text), &parsed), 0);
    assert_true (uuid_eq (parsed, last));
    assert_int_equal (uuid_parse (SPAN_LIT ("0190163D-8694-739B-AEA5-966C26F8AD91"), &parsed), 0);
    uuid_text (parsed, text);
    assert_string_equal (text, "0190163d-8694-739b-aea5-966c26f8ad91");
    static const char *const bad[] = { "", "0190163d-8694-739b-aea5-966c26f8ad9",
                                       "0190163d-8694-739b-aea5-966c26f8ad911", "0190163d86-94-739b-aea5-966c26f8ad91",
                                       "0190163g-8694-739b-aea5-966c26f8ad91" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal (uuid_parse (span_str (bad[i]), &parsed), -1);
    assert_true (uuid_is_null ((uuid_t){ 0 }));
    assert_false (uuid_is_null (last));
}

static void error_codes_have_one_name_and_a_status (void **state)
{
    (void)state;
    for (int i = 1; i < ERR_COUNT; i++) {
        assert_int_equal (err_code (err_name ((err_code_t)i)), i);
        assert_in_range (err_status ((err_code_t)i), 400, 599);
        assert_true (strlen (err_title ((err_code_t)i)) > 5);
    }
    assert_int_equal (err_code ("no such"), ERR_INTERNAL);
    assert_string_equal (err_name (ERR_NONE), "none");
    assert_int_equal (err_status (ERR_NONE), 200);
    assert_int_equal (err_exit (&(err_t){ .code = ERR_CONFIG }), 2);
    assert_int_equal (err_exit (&(err_t){ .code = ERR_IO }), 1);
}

static void error_messages_are_good_utf8_without_control_characters (void **state)
{
    (void)state;
    err_t err;
    assert_int_equal (err_set (&err, ERR_IO, "cannot read '%s'", "a\n\x1b[31mb"), -1);
    assert_string_equal (err.message, "cannot read 'a??[31mb'");
    assert_int_equal (err_set (&err, ERR_IO, "cannot read 'caf\xe9'"), -1);
    assert_string_equal (err.message, "cannot read 'caf?'");
    char name[1001] = "";
    for (int i = 0; i < 500; i++)
        strcat (name, "\xc3\xa9");
    for (int before = 0; before < 2; before++) { /* too long: cut between characters */
        err_set (&err, ERR_IO, "%.*s%s", before, "x", name);
        assert_int_equal (strlen (err.message), before ? 511 : 510);
        assert_true (utf8_is_valid (span_str (err.message)));
    }
    assert_int_equal (err_set (NULL, ERR_IO, "nobody listens"), -1);
    assert_int_equal (err_set_errno (&err, ERR_IO, ENOSPC, "cannot write"), -1);
    assert_int_equal (err.code, ERR_DISK_FULL);
    assert_string_equal (err.message, "cannot write: No space left on device");
    assert_int_equal (err_set_errno (&err, ERR_IO, EACCES, "cannot write"), -1);
    assert_int_equal (err.code, ERR_IO);
    char huge[2000];
    memset (huge, 'h', sizeof huge);
    huge[sizeof huge - 1] = '\0';
    err_set_errno (&err, ERR_IO, EIO, "%s", huge);
    assert_true (strlen (err.message) < sizeof err.message);
}

static void count_free (void *hint)
{
    (*(int *)hint)++;
}

static void a_buffer_is_freed_with_its_last_reference (void **state)
{
    (void)state;
    int freed = 0;
    buf_t *buf = buf_wrap (SPAN_LIT ("bytes"), count_free, &freed), *again = buf_ref (buf);
    buf_unref (&buf);
    assert_null (buf);
    assert_int_equal (freed, 0);
    assert_true (span_is (buf_span (again), "bytes"));
    buf_unref (&again);
    assert_int_equal (freed, 1);
    buf_unref (&again);
    assert_null (buf_ref (NULL));
    assert_int_equal (buf_size (NULL), 0);
    buf_t *taken = buf_take (strdup ("mine"), 4);
    assert_int_equal (buf_size (taken), 4);
    buf_unref (&taken);
}

static void hashes_are_blake2b_however_they_are_fed (void **state)
{
    (void)state;
    char text[HASH_TEXT];
    hash_text (hash_of (SPAN_LIT ("abc")), text);
    assert_string_equal (text, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
    hasher_t hasher;
    hash_start (&hasher);
    hash_feed (&hasher, SPAN_LIT ("a"));
    hash_feed (&hasher, SPAN_EMPTY);
    hash_feed (&hasher, SPAN_LIT ("bc"));
    hash_t fed = hash_end (&hasher), whole = hash_of (SPAN_LIT ("abc"));
    assert_memory_equal (fed.bytes, whole.bytes, HASH_SIZE);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (json_is_always_valid),
        cmocka_unit_test (objects_are_built_key_by_key),
        cmocka_unit_test (utf8_takes_only_what_is_well_formed),
        cmocka_unit_test (times_are_shown_and_read),
        cmocka_unit_test (ids_rise_and_are_version_7),
        cmocka_unit_test (error_codes_have_one_name_and_a_status),
        cmocka_unit_test (error_messages_are_good_utf8_without_control_characters),
        cmocka_unit_test (a_buffer_is_freed_with_its_last_reference),
        cmocka_unit_test (hashes_are_blake2b_however_they_are_fed),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
