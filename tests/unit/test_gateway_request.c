/*  What a request says, before any route looks at it: targets, escapes, parameters and fields. */
#include "gateway/args.h"
#include "gateway/envelope.h"
#include "gateway/problem.h"
#include "gateway/request.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* link: gateway */

static void check_text (span_t got, const char *wanted)
{
    if (!span_is (got, wanted))
        fail_msg ("'%.*s' instead of '%s'", SPAN_ARG (got), wanted);
}

static void a_target_is_taken_apart_and_decoded (void **state)
{
    request_t request = { 0 };
    err_t err;
    assert_int_equal (request_target (&request, SPAN_LIT ("/api/v1/a%2Fb/?q=caf%C3%A9+noir&flag&x=1%2B1&&y="), &err),
                      0);
    assert_int_equal (request.segment_count, 3);
    check_text (request.segments[1], "v1");
    check_text (request.segments[2], "a/b");
    assert_int_equal (request.param_count, 4);
    check_text (request.params[0].name, "q");
    check_text (request.params[0].value, "café noir");
    check_text (request.params[1].name, "flag");
    check_text (request.params[1].value, "");
    check_text (request.params[2].value, "1+1");
    check_text (request.params[3].value, "");
    assert_int_equal (request_target (&request, SPAN_LIT ("/"), &err), 0);
    assert_int_equal (request.segment_count, 0);
    assert_int_equal (request_target (&request, SPAN_LIT ("/a+b//c"), &err), 0);
    assert_int_equal (request.segment_count, 3);
    check_text (request.segments[0], "a+b");
    check_text (request.segments[1], "");
    assert_int_equal (request_target (&request, SPAN_LIT ("/1/2/3/4/5/6/7/8/9/10"), &err), 0);
    assert_int_equal (request.segment_count, REQUEST_SEGMENTS);
    request_free (&request);
}

static void malformed_targets_are_refused (void **state)
{
    static const char *const bad[] = { "",     "a",      "?q=1",    "/%",      "/%4", "/%zz",     "/a%00b",
                                       "/%ff", "/?q=%f", "/?%c3=1", "/?a=%00", "*",   "http://x/" };
    request_t request = { 0 };
    err_t err;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal (request_target (&request, span_str (bad[i]), &err), -1);
        assert_int_equal (err.code, ERR_MALFORMED);
    }
    str_t many = STR_INIT;
    str_text (&many, "/?");
    for (int i = 0; i <= REQUEST_PARAMS; i++)
        str_text (&many, "a=1&");
    assert_int_equal (request_target (&request, str_span (&many), &err), -1);
    str_clear (&many);
    str_char (&many, '/');
    memset (str_grow (&many, 20000), 'a', 20000);
    assert_int_equal (request_target (&request, str_span (&many), &err), -1);
    str_free (&many);
    request_free (&request);
}

static void names_survive_encoding_and_decoding (void **state)
{
    char all[255];
    for (int i = 0; i < 255; i++)
        all[i] = (char)(i + 1);
    str_t encoded = STR_INIT;
    percent_encode (&encoded, span (all, sizeof all));
    assert_null (strpbrk (encoded.data, " \"'()*;\\\x80"));
    assert_int_equal (percent_decode (encoded.data, encoded.size, false), 255);
    assert_memory_equal (encoded.data, all, 255);
    str_free (&encoded);
}

static int text (uint32_t known, const char *name, const char *value, args_t *args)
{
    err_t err = { 0 };
    *args = (args_t){ 0 };
    int rc = args_text (args, known, span_str (name), span_str (value), &err);
    return rc == 0 ? 0 : (int)err.code;
}

static void parameters_are_read_by_their_type (void **state)
{
    args_t args;
    assert_int_equal (text (ARG_BIT (LIMIT), "limit", "200", &args), 0);
    assert_int_equal (args_number (&args, ARG_LIMIT, 0), 200);
    assert_int_equal (args_number (&args, ARG_WAIT, 7), 7);
    assert_int_equal (text (ARG_BIT (STATUSES), "status", "failed,pending,failed", &args), 0);
    assert_int_equal (args_number (&args, ARG_STATUSES, 0), 1 << 0 | 1 << 3);
    assert_int_equal (text (ARG_BIT (PRIORITIES), "priority", "1,10", &args), 0);
    assert_int_equal (args_number (&args, ARG_PRIORITIES, 0), 1 << 1 | 1 << 10);
    assert_int_equal (text (ARG_BIT (MODE), "mode", "vector", &args), 0);
    assert_int_equal (args_number (&args, ARG_MODE, 0), 2);
    assert_int_equal (text (ARG_BIT (AFTER), "created_after", "1970-01-01T00:00:01Z", &args), 0);
    assert_int_equal (args_number (&args, ARG_AFTER, 0), 1000);
    assert_int_equal (text (ARG_BIT (PROCESS), "process", "false", &args), 0);
    assert_true (args_has (&args, ARG_PROCESS));
    assert_int_equal (args_number (&args, ARG_PROCESS, 1), 0);
    assert_int_equal (text (ARG_BIT (DOCUMENT), "document_id", "01890a5d-ac96-774b-bcce-b302099a8057", &args), 0);
    assert_false (uuid_is_null (args_id (&args, ARG_DOCUMENT)));
    assert_true (uuid_is_null (args_id (&args, ARG_TASK)));
    assert_int_equal (text (ARG_BIT (CODES), "error_code", "timeout,io", &args), 0);
    check_text (args_span (&args, ARG_CODES), "timeout,io");
}

static void bad_parameters_are_refused (void **state)
{
    static const struct {
        uint32_t known;
        const char *name, *value;
        err_code_t code;
    } bad[] = {
        { ARG_BIT (LIMIT), "limit", "0", ERR_INVALID_PARAMETER },
        { ARG_BIT (LIMIT), "limit", "201", ERR_INVALID_PARAMETER },
        { ARG_BIT (LIMIT), "limit", "", ERR_INVALID_PARAMETER },
        { ARG_BIT (LIMIT), "limit", " 1", ERR_INVALID_PARAMETER },
        { ARG_BIT (LIMIT), "limit", "-1", ERR_INVALID_PARAMETER },
        { ARG_BIT (LIMIT), "limit", "99999999999999999999999", ERR_INVALID_PARAMETER },
        { ARG_BIT (LIMIT), "Limit", "1", ERR_UNKNOWN_PARAMETER },
        { ARG_BIT (LIMIT), "", "1", ERR_UNKNOWN_PARAMETER },
        { 0, "limit", "1", ERR_UNKNOWN_PARAMETER },
        { ARG_BIT (DOCUMENT), "document_id", "01890a5d", ERR_INVALID_PARAMETER },
        { ARG_BIT (DOCUMENT), "document_id", "00000000-0000-0000-0000-000000000000", ERR_INVALID_PARAMETER },
        { ARG_BIT (STATUSES), "status", "", ERR_INVALID_PARAMETER },
        { ARG_BIT (STATUSES), "status", "pending,", ERR_INVALID_PARAMETER },
        { ARG_BIT (STATUSES), "status", ",pending", ERR_INVALID_PARAMETER },
        { ARG_BIT (STATUSES), "status", "Pending", ERR_INVALID_PARAMETER },
        { ARG_BIT (PRIORITIES), "priority", "0", ERR_INVALID_PARAMETER },
        { ARG_BIT (CODES), "error_code", "none", ERR_INVALID_PARAMETER },
        { ARG_BIT (CODES), "error_code", "timeout,nonsense", ERR_INVALID_PARAMETER },
        { ARG_BIT (MODE), "mode", "hybrid,text", ERR_INVALID_PARAMETER },
        { ARG_BIT (PROCESS), "process", "no", ERR_INVALID_PARAMETER },
        { ARG_BIT (QUERY), "q", "\xff", ERR_INVALID_PARAMETER },
        { ARG_BIT (OPTIONS), "options", "{}", ERR_INVALID_PARAMETER }, /* only ever a field */
    };
    args_t args;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (text (bad[i].known, bad[i].name, bad[i].value, &args) != (int)bad[i].code)
            fail_msg ("%s=%s", bad[i].name, bad[i].value);
    err_t err;
    args = (args_t){ 0 };
    assert_int_equal (args_text (&args, ARG_BIT (LIMIT), SPAN_LIT ("limit"), SPAN_LIT ("1"), &err), 0);
    assert_int_equal (args_text (&args, ARG_BIT (LIMIT), SPAN_LIT ("limit"), SPAN_LIT ("1"), &err), -1);
}

static int json (uint32_t known, const char *body, args_t *args, str_t *options)
{
    err_t err = { 0 };
    json_t *root = json_loads (body, JSON_DECODE_ANY, NULL);
    assert_non_null (root);
    *args = (args_t){ 0 };
    int rc = args_json (args, known, root, options, &err);
    json_decref (root);
    return rc == 0 ? 0 : (int)err.code;
}

static void fields_are_typed_and_null_means_not_given (void **state)
{
    const uint32_t known = ARG_BIT (PRIORITY) | ARG_BIT (OPTIONS) | ARG_BIT (DOCUMENT) | ARG_BIT (PROCESS);
    args_t args;
    str_t options = STR_INIT;
    assert_int_equal (json (known, "{\"priority\":3,\"options\":{\"a\": [1, 2]},\"process\":true}", &args, &options),
                      0);
    assert_int_equal (args_number (&args, ARG_PRIORITY, 0), 3);
    assert_int_equal (args_number (&args, ARG_PROCESS, 0), 1);
    check_text (str_span (&options), "{\"a\":[1,2]}");
    assert_int_equal (json (known, "{\"priority\":null}", &args, &options), 0);
    assert_false (args_has (&args, ARG_PRIORITY));
    err_t err;
    assert_int_equal (args_require (&args, ARG_BIT (DOCUMENT), ERR_INVALID_VALUE, &err), -1);
    check_text (span_str (err.message), "'document_id' is required");
    static const char *const bad[] = { "{\"priority\":\"3\"}", "{\"priority\":3.0}",     "{\"priority\":11}",
                                       "{\"priority\":-1}",    "{\"process\":1}",        "{\"options\":[]}",
                                       "{\"document_id\":1}",  "{\"document_id\":\"x\"}" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal (json (known, bad[i], &args, &options), ERR_INVALID_VALUE);
    assert_int_equal (json (known, "{\"colour\":1}", &args, &options), ERR_UNKNOWN_FIELD);
    assert_int_equal (json (known, "[]", &args, &options), ERR_MALFORMED);
    assert_int_equal (json (known, "3", &args, &options), ERR_MALFORMED);
    str_free (&options);
}

static int envelope (request_t *request, const char *text_, json_t **root, json_t **body)
{
    err_t err = { 0 };
    *root = json_loads (text_, JSON_DECODE_ANY, NULL);
    assert_non_null (*root);
    request_clear (request);
    int rc = envelope_read (*root, request, body, &err);
    return rc == 0 ? 0 : (int)err.code;
}

static void an_envelope_is_the_same_request_as_http_would_make (void **state)
{
    request_t request = { 0 };
    json_t *root, *body;
    assert_int_equal (envelope (&request,
                                "{\"method\":\"POST\",\"path\":\"/a/b/?x=1\",\"query\":{\"n\":5,\"t\":\"é\",\"b\":true,"
                                "\"gone\":null},\"body\":{\"k\":1},\"token\":null,"
                                "\"headers\":{\"x-FILENAME\":\"a.txt\",\"Other\":\"y\"}}",
                                &root, &body),
                      0);
    assert_int_equal (request.method, METHOD_POST);
    assert_int_equal (request.segment_count, 2);
    assert_int_equal (request.param_count, 4);
    check_text (request.params[1].name, "n");
    check_text (request.params[1].value, "5");
    check_text (request.params[2].value, "é");
    check_text (request.params[3].value, "true");
    check_text (request.headers[HEADER_FILENAME], "a.txt");
    assert_true (json_is_object (body));
    json_decref (root);
    static const char *const bad[] = {
        "1",
        "[]",
        "{}",
        "{\"method\":\"GET\"}",
        "{\"path\":\"/\"}",
        "{\"method\":\"GET\",\"path\":5}",
        "{\"method\":\"GET\",\"path\":\"x\"}",
        "{\"method\":\"GET\",\"path\":\"/\",\"more\":1}",
        "{\"method\":\"GET\",\"path\":\"/\",\"query\":\"a=1\"}",
        "{\"method\":\"GET\",\"path\":\"/\",\"query\":{\"a\":[1]}}",
        "{\"method\":\"GET\",\"path\":\"/\",\"query\":{\"a\":1.5}}",
        "{\"method\":\"GET\",\"path\":\"/\",\"headers\":{\"a\":1}}",
        "{\"method\":\"GET\",\"path\":\"/\",\"token\":1}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal (envelope (&request, bad[i], &root, &body), ERR_MALFORMED);
        json_decref (root);
    }
    request_free (&request);
}

static void a_reply_is_one_json_object (void **state)
{
    buf_t *body = buf_copy (SPAN_LIT ("{\"a\":1}"));
    reply_t reply = { .status = 202, .media_type = "application/json", .is_json = true, .body = body, .fd = -1 };
    reply_header (&reply, "Location", SPAN_LIT ("/a\"b"));
    reply_header (&reply, "Allow", SPAN_EMPTY); /* left out */
    str_t out = STR_INIT;
    envelope_write (&reply, &out);
    check_text (str_span (&out), "{\"status\":202,\"headers\":{\"Content-Type\":\"application/json\",\"Location\":"
                                 "\"/a\\\"b\"},\"body\":{\"a\":1}}");
    str_clear (&out);
    envelope_write (&(reply_t){ .status = 204, .fd = -1 }, &out);
    check_text (str_span (&out), "{\"status\":204,\"headers\":{},\"body\":null}");
    str_free (&out);
    buf_unref (&body);
}

static void a_missing_object_and_another_users_are_the_same_problem (void **state)
{
    str_t one = STR_INIT, other = STR_INIT;
    problem_write (&one, ERR_NOT_FOUND, 0, SPAN_LIT ("it is bob's"));
    problem_write (&other, ERR_NOT_FOUND, 0, SPAN_EMPTY);
    assert_true (span_eq (str_span (&one), str_span (&other)));
    str_free (&one);
    str_free (&other);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_target_is_taken_apart_and_decoded),
        cmocka_unit_test (malformed_targets_are_refused),
        cmocka_unit_test (names_survive_encoding_and_decoding),
        cmocka_unit_test (parameters_are_read_by_their_type),
        cmocka_unit_test (bad_parameters_are_refused),
        cmocka_unit_test (fields_are_typed_and_null_means_not_given),
        cmocka_unit_test (an_envelope_is_the_same_request_as_http_would_make),
        cmocka_unit_test (a_reply_is_one_json_object),
        cmocka_unit_test (a_missing_object_and_another_users_are_the_same_problem),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
