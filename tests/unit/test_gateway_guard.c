/*  Routes, and what is refused before any route is tried. */
#include "base/loopback.h"
#include "gateway/http_guard.h"
#include "gateway/http_listen.h"
#include "gateway/routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* link: gateway */

#define ID "01890a5d-ac96-774b-bcce-b302099a8057"

static const route_t *find (method_t method, const char *target, err_code_t *code, char allow[64])
{
    request_t request = { .method = method };
    str_t methods = STR_INIT;
    uuid_t id;
    err_t err = { 0 };
    assert_int_equal (request_target (&request, span_str (target), &err), 0);
    const route_t *route = route_find (&request, &id, &methods, &err);
    *code = err.code;
    snprintf (allow, 64, "%.*s", SPAN_ARG (str_span (&methods)));
    str_free (&methods);
    request_free (&request);
    return route;
}

static void every_route_is_found_by_its_own_path_only (void **state)
{
    err_code_t code;
    char allow[64];
    for (size_t i = 0; route_at (i); i++) {
        const route_t *route = route_at (i);
        char target[256] = "", longer[260];
        for (const char *c = route->path; *c; c++)
            if (*c == '{') {
                strcat (target, ID);
                c++;
            } else
                strncat (target, c, 1);
        assert_ptr_equal (find (route->method, target, &code, allow), route);
        snprintf (longer, sizeof longer, "%s/", target);
        assert_ptr_equal (find (route->method, longer, &code, allow), route);
        assert_null (find (METHOD_COUNT, target, &code, allow));
        assert_int_equal (code, ERR_METHOD_NOT_ALLOWED);
        assert_non_null (strstr (allow, method_name (route->method)));
        snprintf (longer, sizeof longer, "%s/x", target);
        assert_null (find (route->method, longer, &code, allow));
        snprintf (longer, sizeof longer, "%s//", target);
        assert_null (find (route->method, longer, &code, allow));
        assert_int_equal (code, ERR_NOT_FOUND);
        assert_int_equal (route->params & route->required & ~route->params, 0);
    }
    assert_null (find (METHOD_GET, "/api/v1/documents/no-id", &code, allow));
    assert_int_equal (code, ERR_NOT_FOUND);
    assert_null (find (METHOD_GET, "/", &code, allow));
    assert_null (find (METHOD_GET, "/api/v2/documents", &code, allow));
}

/*  Headers as "Name: value" lines, one after the other. */
static int verdict (const char *lines)
{
    http_guard_t guard = { 0 };
    err_t err = { 0 };
    while (*lines) {
        const char *end = strchrnul (lines, '\n'), *colon = strstr (lines, ": ");
        http_guard_header (&guard, span (lines, (size_t)(colon - lines)), span (colon + 2, (size_t)(end - colon - 2)));
        lines = *end ? end + 1 : end;
    }
    return http_guard_verdict (&guard, &err) == 0 ? 0 : (int)err.code;
}

static void framing_that_can_be_read_in_two_ways_is_refused (void **state)
{
    static const char *const good[] = {
        "Host: localhost",
        "host: 127.0.0.1:80\ncontent-length: 0",
        "Host: [::1]:80\nTransfer-Encoding: chunked",
        "Host: 127.9.9.9\nOrigin: http://localhost:3000\nContent-Length: 999999999999999999",
    };
    static const char *const malformed[] = {
        "Accept: x",
        "Host: localhost\nHost: localhost",
        "Host: localhost\nContent-Length: 1\nContent-Length: 1",
        "Host: localhost\nContent-Length: ",
        "Host: localhost\nContent-Length: -1",
        "Host: localhost\nContent-Length: 0x10",
        "Host: localhost\nContent-Length: 1,1",
        "Host: localhost\nContent-Length: 1000000000000000000000",
        "Host: localhost\nContent-Length: 1\nTransfer-Encoding: chunked",
        "Host: localhost\nTransfer-Encoding: identity",
        "Host: localhost\nTransfer-Encoding: gzip, chunked",
        "Host: localhost\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked",
        "Host: localhost\nContent-Length : 1",
        "Host: localhost\nX\tY: 1",
        "Host: localhost\nX\x7f: 1",
    };
    static const char *const forbidden[] = {
        "Host: example.org",
        "Host: localhost.example.org",
        "Host: 127.0.0.1.example.org",
        "Host: [::2]",
        "Host: [::1",
        "Host: :80",
        "Host: localhost\nOrigin: null",
        "Host: localhost\nOrigin: http://example.org",
        "Host: localhost\nOrigin: http://",
        "Host: localhost\nOrigin: file://localhost",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (verdict (good[i]) != 0)
            fail_msg ("%s", good[i]);
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
        if (verdict (malformed[i]) != ERR_MALFORMED)
            fail_msg ("%s", malformed[i]);
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
        if (verdict (forbidden[i]) != ERR_FORBIDDEN)
            fail_msg ("%s", forbidden[i]);
}

static void only_the_loopback_is_served (void **state)
{
    http_listen_t listen;
    err_t err;
    static const char *const bad[] = {
        "0.0.0.0:0",       "[::]:0",          "10.0.0.1:80",         "example.org:80", ":80",
        "127.0.0.1",       "127.0.0.1:",      "127.0.0.1:x",         "127.0.0.1:8o",   "",
        "127.0.0.1:65536", "127.0.0.1:65616", "127.0.0.1:4294967376"
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal (http_listen (&listen, bad[i], &err), -1);
        assert_int_equal (err.code, ERR_CONFIG);
    }
    static const char *const good[] = { "127.0.0.1:0", "localhost:0", "127.0.0.7:0" };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal (http_listen (&listen, good[i], &err), 0);
        assert_ptr_equal (strstr (listen.url, "http://127."), listen.url);
        assert_null (strstr (listen.url, ":0\0"));
        close (listen.fd);
    }
    assert_int_equal (loopback_endpoint ("x", "ipc:///tmp/x", &err), 0);
    assert_int_equal (loopback_endpoint ("x", "tcp://127.0.0.1:1", &err), 0);
    assert_int_equal (loopback_endpoint ("x", "tcp://[::1]:65535", &err), 0);
    assert_int_equal (loopback_endpoint ("x", "tcp://localhost:*", &err), 0);
    static const char *const remote[] = { "tcp://*:1",
                                          "tcp://0.0.0.0:1",
                                          "tcp://eth0:1",
                                          "udp://127.0.0.1:1",
                                          "x",
                                          "inproc://a",
                                          "ipc://",
                                          "tcp://127.0.0.1",
                                          "tcp://127.0.0.1:65536",
                                          "tcp://127.0.0.1:4294967297",
                                          "tcp://127.0.0.1:-1",
                                          "tcp://127.0.0.1:" };
    for (size_t i = 0; i < sizeof remote / sizeof remote[0]; i++)
        assert_int_equal (loopback_endpoint ("x", remote[i], &err), -1);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (every_route_is_found_by_its_own_path_only),
        cmocka_unit_test (framing_that_can_be_read_in_two_ways_is_refused),
        cmocka_unit_test (only_the_loopback_is_served),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
