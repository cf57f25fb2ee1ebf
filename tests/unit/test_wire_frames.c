#include "wire/frames.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <zmq.h>

/* link: wire */

typedef struct {
    void *context;
    void *a;
    void *b;
    frames_t in;
} pair_t;

static void open_pair (pair_t *self, int type_a, int type_b)
{
    *self = (pair_t){ .context = zmq_ctx_new () };
    err_t err;
    self->a = frames_socket (self->context, type_a, 0, true, &err);
    self->b = frames_socket (self->context, type_b, 0, true, &err);
    assert_int_equal (zmq_bind (self->b, "inproc://pair"), 0);
    assert_int_equal (zmq_connect (self->a, "inproc://pair"), 0);
}

static void close_pair (pair_t *self)
{
    frames_clear (&self->in);
    zmq_close (self->a);
    zmq_close (self->b);
    zmq_ctx_term (self->context);
}

static int receive (void *socket, bool router, frames_t *in, err_t *err)
{
    assert_int_equal (zmq_poll (&(zmq_pollitem_t){ .socket = socket, .events = ZMQ_POLLIN }, 1, 5000), 1);
    return frames_recv (socket, router, in, err);
}

static void payloads_travel_with_their_message (void **state)
{
    (void)state;
    pair_t pair;
    open_pair (&pair, ZMQ_PUSH, ZMQ_PULL);
    char big[5000];
    memset (big, 'b', sizeof big);
    buf_t *payload[] = { buf_copy (SPAN_LIT ("small")), buf_copy (span (big, sizeof big)), buf_copy (SPAN_EMPTY) };
    wire_msg_t msg = { .kind = WIRE_KIND_JOB,
                       .job = { .number = 5, .columns = COLUMN_TEXT | COLUMN_SPANS | COLUMN_MARKS } };
    err_t err;
    assert_int_equal (frames_send (pair.a, NULL, &msg, payload, 3, &err), 0);
    for (int i = 0; i < 3; i++)
        buf_unref (&payload[i]); /* the socket has references of its own */
    assert_int_equal (receive (pair.b, false, &pair.in, &err), 1);
    assert_int_equal (pair.in.msg.job.number, 5);
    buf_t *columns[COLUMN_COUNT];
    assert_int_equal (frames_columns (&pair.in, pair.in.msg.job.columns, columns, &err), 0);
    assert_null (columns[0]);
    assert_true (span_is (buf_span (columns[1]), "small"));
    assert_true (span_eq (buf_span (columns[2]), span (big, sizeof big)));
    assert_int_equal (buf_size (columns[3]), 0);
    assert_null (columns[4]);
    assert_int_equal (frames_columns (&pair.in, COLUMN_TEXT, columns, &err), -1);
    assert_int_equal (frames_columns (&pair.in, 15, columns, &err), -1);
    assert_int_equal (frames_columns (&pair.in, 0x80, columns, &err), -1);
    assert_int_equal (frames_recv (pair.b, false, &pair.in, &err), 0);
    close_pair (&pair);
}

static void a_router_answers_along_the_route (void **state)
{
    (void)state;
    pair_t pair;
    open_pair (&pair, ZMQ_DEALER, ZMQ_ROUTER);
    err_t err;
    wire_msg_t ask = { .kind = WIRE_KIND_HEALTH, .health = { .req = 3 } };
    assert_int_equal (frames_send (pair.a, NULL, &ask, NULL, 0, &err), 0);
    assert_int_equal (receive (pair.b, true, &pair.in, &err), 1);
    assert_true (buf_size (pair.in.route) > 0);
    wire_msg_t answer = { .kind = WIRE_KIND_REPLY, .reply = { .req = pair.in.msg.health.req, .status = 200 } };
    buf_t *body = buf_copy (SPAN_LIT ("{}"));
    assert_int_equal (frames_send (pair.b, pair.in.route, &answer, &body, 1, &err), 0);
    buf_unref (&body);
    assert_int_equal (receive (pair.a, false, &pair.in, &err), 1);
    assert_int_equal (pair.in.msg.reply.req, 3);
    assert_true (span_is (buf_span (pair.in.payload[0]), "{}"));
    buf_t *nobody = buf_copy (SPAN_LIT ("nobody"));
    assert_int_equal (frames_send (pair.b, nobody, &answer, NULL, 0, &err), -1);
    assert_int_equal (err.code, ERR_UNAVAILABLE);
    buf_unref (&nobody);
    close_pair (&pair);
}

static void malformed_messages_are_dropped_whole (void **state)
{
    (void)state;
    pair_t pair;
    open_pair (&pair, ZMQ_DEALER, ZMQ_ROUTER);
    err_t err;
    for (int i = 0; i < FRAMES_MAX + 4; i++)
        zmq_send (pair.a, "x", 1, ZMQ_SNDMORE);
    zmq_send (pair.a, "x", 1, 0);
    zmq_send (pair.a, "", 0, 0);
    zmq_send (pair.a, "{\"method\":\"GET\"}", 16, 0);
    wire_msg_t good = { .kind = WIRE_KIND_HEALTH, .health = { .req = 9 } };
    frames_send (pair.a, NULL, &good, NULL, 0, &err);
    for (int i = 0; i < 3; i++) {
        assert_int_equal (receive (pair.b, true, &pair.in, &err), -1);
        assert_int_equal (err.code, ERR_PROTOCOL);
        assert_null (pair.in.header);
    }
    assert_int_equal (receive (pair.b, true, &pair.in, &err), 1);
    assert_int_equal (pair.in.msg.health.req, 9);
    close_pair (&pair);
}

static void a_full_or_missing_peer_is_an_error_and_leaks_nothing (void **state)
{
    (void)state;
    void *context = zmq_ctx_new ();
    err_t err;
    void *push = frames_socket (context, ZMQ_PUSH, 0, true, &err);
    buf_t *payload = buf_new (4096);
    memset (buf_bytes (payload), 0, 4096);
    wire_msg_t msg = { .kind = WIRE_KIND_BYE };
    assert_int_equal (frames_send (push, NULL, &msg, &payload, 1, &err), -1);
    assert_int_equal (err.code, ERR_UNAVAILABLE);
    buf_unref (&payload);
    zmq_close (push);
    zmq_ctx_term (context);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (payloads_travel_with_their_message),
        cmocka_unit_test (a_router_answers_along_the_route),
        cmocka_unit_test (malformed_messages_are_dropped_whole),
        cmocka_unit_test (a_full_or_missing_peer_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
