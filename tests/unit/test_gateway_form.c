/*  Forms, whole and in pieces of every size; and headers with parameters. */
#include "gateway/form.h"
#include "gateway/header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* link: gateway */

#define TYPE             "multipart/form-data; boundary=XX"
#define PART(rest, body) "--XX\r\nContent-Disposition: form-data; " rest "\r\n\r\n" body "\r\n"

/*  What was told of the form: "name[file name|type]=body;" for each part. */
static str_t told;

static int begin (void *owner, span_t name, const span_t *filename, span_t media_type, err_t *err)
{
    str_add (&told, name);
    if (filename)
        str_format (&told, "[%.*s|%.*s]", SPAN_ARG (*filename), SPAN_ARG (media_type));
    str_char (&told, '=');
    return 0;
}

static int data (void *owner, span_t bytes, err_t *err)
{
    assert_true (bytes.size > 0);
    str_add (&told, bytes);
    return owner ? err_set (err, ERR_DISK_FULL, "no") : 0;
}

static int end (void *owner, err_t *err)
{
    str_char (&told, ';');
    return 0;
}

static const form_ops_t ops = { begin, data, end };

/*  Reads it in pieces of `step` bytes: what was told, or the name of the error. */
static const char *read_form (const char *type, span_t body, size_t step)
{
    err_t err;
    str_clear (&told);
    str_text (&told, "");
    form_t *form = form_new (span_str (type), &ops, NULL, &err);
    if (!form)
        return err_name (err.code);
    int rc = 0;
    for (size_t at = 0; at < body.size && rc == 0; at += step) {
        size_t size = body.size - at < step ? body.size - at : step;
        char *piece = test_malloc (size); /* so that reading past it is seen */
        memcpy (piece, body.data + at, size);
        rc = form_feed (form, span (piece, size), &err);
        test_free (piece);
    }
    if (rc == 0)
        rc = form_end (form, &err);
    form_destroy (&form);
    str_char (&told, 0);
    return rc == 0 ? told.data : err_name (err.code);
}

typedef struct {
    const char *type, *body, *told;
} case_t;

static const case_t cases[] = {
    { TYPE, PART ("name=\"a\"", "1") PART ("name=\"file\"; filename=\"b.txt\"", "two\r\nlines") "--XX--\r\n",
      "a=1;file[b.txt|]=two\r\nlines;" },
    /* boundaries: anywhere, quoted, of one character, with blanks behind; what looks like one is none */
    { "multipart/form-data; boundary=XX; charset=utf-8", PART ("name=\"a\"", "1") "--XX--", "a=1;" },
    { "Multipart/Form-Data; Boundary=\"XX\"", PART ("name=\"a\"", "1") "--XX--", "a=1;" },
    { "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b--", "a=1;" },
    { "multipart/form-data; boundary=\"a b;c\"",
      "--a b;c\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--a b;c--", "a=1;" },
    { TYPE, "--XX \t\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--XX--", "a=1;" },
    { TYPE, PART ("name=a", "\r\n--X\r\n-XX\r--XX\n--XX \r\n\r\n--Xx--") "--XX--",
      "a=\r\n--X\r\n-XX\r--XX\n--XX \r\n\r\n--Xx--;" },
    { TYPE, PART ("name=a", "\r\n") PART ("name=b", "--XX--") "--XX--", "a=\r\n;b=;" },
    /* what is before and behind is nobody's */
    { TYPE, "This is a form.\r\n--X\r\n\r\n" PART ("name=a", "1") "--XX--\r\nThe end.\r\n--XX\r\nnothing", "a=1;" },
    { TYPE, "\r\n" PART ("name=a", "1") "--XX--", "a=1;" },
    /* parts without a body; of one kind of end or the other */
    { TYPE, PART ("name=a", "") PART ("name=b", "") "--XX--", "a=;b=;" },
    { TYPE, "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n--XX--", "a=;" },
    { TYPE, "--XX--", "" },
    /* names */
    { TYPE, PART ("name=file; filename=a.txt", "1") "--XX--", "file[a.txt|]=1;" },
    { TYPE, PART ("filename=\"a\"; name=\"file\"", "1") "--XX--", "file[a|]=1;" },
    { TYPE, PART ("name=\"file\"; filename=\"a\\\"b\\\\c;d\"", "1") "--XX--", "file[a\"b\\c;d|]=1;" },
    { TYPE, PART ("name=\"file\"; filename=\"C:\\dir\\a.txt\"", "1") "--XX--", "file[C:\\dir\\a.txt|]=1;" },
    { TYPE, PART ("name=\"file\"; filename=\"a%22b%2\"", "1") "--XX--", "file[a\"b%2|]=1;" },
    { TYPE, PART ("name=\"file\"; filename=\"old\"; filename*=UTF-8''n%C3%B6te%20%27.md", "1") "--XX--",
      "file[nöte '.md|]=1;" },
    { TYPE, PART ("name=\"file\"; filename*=utf-8'de'a%22", "1") "--XX--", "file[a\"|]=1;" },
    { TYPE, PART ("name=\"file\"; filename=\"\"", "") "--XX--", "file[|]=;" },
    { TYPE, PART ("NAME=a", "1") "--XX--", "a=1;" },
    /* other headers of a part */
    { TYPE,
      "--XX\r\ncontent-TYPE:text/plain\r\nX-Other: 1\r\nCONTENT-disposition: Form-Data; name=f; filename=g\r\n\r\n1"
      "\r\n--XX--",
      "f[g|text/plain]=1;" },
    { TYPE, PART ("name=a\r\nContent-Transfer-Encoding: binary", "1") "--XX--", "a=1;" },
    { TYPE, PART ("name=a\r\nContent-Transfer-Encoding: base64", "MQ==") "--XX--", "unsupported_body_type" },
    /* what is no form */
    { "multipart/form-data", "--XX--", "malformed" },
    { "multipart/form-data; boundary=", "----", "malformed" },
    { "multipart/form-data; boundary=a; boundary=b", "--a--", "malformed" },
    { "multipart/form-data; boundary=\"a", "--a--", "malformed" },
    { "multipart/form-data; boundary=12345678901234567890123456789012345678901234567890123456789012345678901", "",
      "malformed" },
    { TYPE, "", "malformed" },
    { TYPE, "no boundary", "malformed" },
    { TYPE, "--XX\r\n\r\n1\r\n--XX--", "malformed" },
    { TYPE, "--XX\r\nContent-Disposition: form-data\r\n\r\n1\r\n--XX--", "malformed" },
    { TYPE, PART ("name=\"\"", "1") "--XX--", "malformed" },
    { TYPE, "--XX\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n--XX--", "malformed" },
    { TYPE, PART ("name=a\r\nContent-Disposition: form-data; name=b", "1") "--XX--", "malformed" },
    { TYPE, PART ("name=a\r\nno colon", "1") "--XX--", "malformed" },
    { TYPE, PART ("name=a; name=b", "1") "--XX--", "malformed" },
    { TYPE, PART ("name=\"a", "1") "--XX--", "malformed" },
    { TYPE, PART ("name=a; filename*=latin1''%E9", "1") "--XX--", "malformed" },
    { TYPE, PART ("name=a; filename*=UTF-8''%E", "1") "--XX--", "malformed" },
    { TYPE, PART ("name=a; filename*=plain", "1") "--XX--", "malformed" },
    { TYPE, PART ("name=a", "1") "--XXX", "malformed" },
    { TYPE, PART ("name=a", "1\r\n--XXY\r\n") "--XX--", "malformed" },
};

static void forms_are_read_whatever_pieces_they_come_in (void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 1; step <= strlen (cases[i].body) + 1; step++) {
            const char *got = read_form (cases[i].type, span_str (cases[i].body), step);
            if (strcmp (got, cases[i].told) != 0)
                fail_msg ("case %zu in pieces of %zu: %s", i, step, got);
        }
}

/*  Up to its last boundary a form is never whole. */
static void a_form_that_is_cut_short_is_no_form (void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *last = strstr (cases[i].body, "--XX--");
        for (const char *at = cases[i].body; last && at < last + 5; at++) {
            span_t cut = span (cases[i].body, (size_t)(at - cases[i].body));
            const char *got = read_form (cases[i].type, cut, cut.size ? cut.size : 1);
            assert_true (strcmp (got, "malformed") == 0 || strcmp (got, "unsupported_body_type") == 0);
        }
    }
}

/*  Any bytes do no harm, and the pieces make no difference. */
static void what_is_made_of_pieces_of_forms_is_read_the_same_way (void **state)
{
    static const char *const pieces[] = { "--XX",
                                          "\r\n",
                                          "--",
                                          "XX",
                                          "\r",
                                          "\n",
                                          "Content-Disposition: ",
                                          "form-data; name=",
                                          "\"",
                                          "a",
                                          "; filename=",
                                          ":",
                                          "\r\n\r\n",
                                          "\\",
                                          "%22",
                                          "--XX--",
                                          "\r\n--XX\r\n",
                                          "filename*=UTF-8''" };
    unsigned seed = 1;
    size_t whole = 0;
    for (int round = 0; round < 20000; round++) {
        str_t body = STR_INIT;
        str_text (&body, round % 2 ? "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n" : "");
        for (int i = 0; i < 12; i++) {
            seed = seed * 1103515245u + 12345u;
            str_text (&body, pieces[(seed >> 8) % (sizeof pieces / sizeof *pieces)]);
        }
        char *first = strdup (read_form (TYPE, str_span (&body), body.size));
        whole += strcmp (first, "malformed") != 0;
        assert_string_equal (read_form (TYPE, str_span (&body), 1), first);
        assert_string_equal (read_form (TYPE, str_span (&body), 1 + seed / 256 % 16), first);
        str_free (&body);
        free (first);
    }
    assert_true (whole > 1000);
}

static void heads_of_parts_are_bounded (void **state)
{
    str_t body = STR_INIT;
    str_text (&body, "--XX\r\n");
    for (int i = 0; i < 20000; i++)
        str_char (&body, 'x');
    assert_string_equal (read_form (TYPE, str_span (&body), 100), "malformed");
    str_free (&body);
}

static void what_an_op_says_ends_the_form (void **state)
{
    err_t err;
    str_clear (&told);
    form_t *form = form_new (SPAN_LIT (TYPE), &ops, &err /* not NULL: data fails */, &err);
    assert_int_equal (form_feed (form, SPAN_LIT (PART ("name=a", "1")), &err), -1);
    assert_int_equal (err.code, ERR_DISK_FULL);
    form_destroy (&form);
}

static void parameters_of_headers (void **state)
{
    static const struct {
        const char *header, *value; /* of parameter p; NULL: malformed, "-": none */
    } headers[] = {
        { "text/plain", "-" },
        { "text/plain; p=a", "a" },
        { "text/plain;q=\"; p=b\" ; P = \"a b\"", "a b" },
        { "text/plain; p=", "" },
        { "text/plain; p=\"\"; ", "" },
        { "text/plain;;p=a;", "a" },
        { "text/plain; p=a; p=b", NULL },
        { "text/plain; p", NULL },
        { "text/plain; p=\"a", NULL },
        { "text/plain; p=\"a\"b", NULL },
        { "text/plain; p=a b", NULL },
        { "text/plain; =a", NULL },
        { "", "-" },
    };
    str_t value = STR_INIT;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        const char *expected = headers[i].value;
        int found = header_param (span_str (headers[i].header), "p", &value);
        assert_int_equal (found, !expected ? -1 : *expected != '-');
        if (found == 1)
            assert_true (span_is (str_span (&value), expected));
    }
    assert_true (header_is (SPAN_LIT (" Text/Plain ;p=a"), "text/plain"));
    assert_false (header_is (SPAN_LIT ("text/plainer"), "text/plain"));
    str_free (&value);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (forms_are_read_whatever_pieces_they_come_in),
        cmocka_unit_test (a_form_that_is_cut_short_is_no_form),
        cmocka_unit_test (what_is_made_of_pieces_of_forms_is_read_the_same_way),
        cmocka_unit_test (heads_of_parts_are_bounded),
        cmocka_unit_test (what_an_op_says_ends_the_form),
        cmocka_unit_test (parameters_of_headers),
    };
    int failed = cmocka_run_group_tests (tests, NULL, NULL);
    str_free (&told);
    return failed;
}
