/* link: storage PkgConfig::JANSSON Threads::Threads */
/*  The storage program's two loops in one process; the test is the broker of one and the gateway of the other. */
#include "tests/unit/content_fixture.h"

#include "stages/storage/answers.h"
#include "stages/storage/writer.h"
#include "wire/frames.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define EPOCH 77

typedef struct {
    char dir[64], intake[100], query[100], data[100], run[100];
    options_t *options;
    void *context, *pull, *push, *dealer;
    content_t *content;
    answers_t *answers;
    worker_t *worker;
    pthread_t thread;
    int rc;
    provider_t *provider;
    uint64_t number;
    frames_t in;
} storage_t;

static void *run_writer (void *argument)
{
    storage_t *self = argument;
    err_t err;
    self->rc = writer_run (self->worker, self->content, answers_trouble_fd (self->answers), &err);
    worker_destroy (&self->worker);
    return NULL;
}

/*  Waits for the next message that is no BEAT. */
static const wire_msg_t *hear (storage_t *self)
{
    err_t err;
    for (;;) {
        zmq_pollitem_t item = { self->pull, 0, ZMQ_POLLIN, 0 };
        assert_int_equal (zmq_poll (&item, 1, 20000), 1);
        assert_int_equal (frames_recv (self->pull, false, &self->in, &err), 1);
        if (self->in.msg.kind != WIRE_KIND_BEAT)
            return &self->in.msg;
    }
}

static void tell (storage_t *self, const wire_msg_t *msg, buf_t *const *payload, size_t count)
{
    err_t err;
    assert_int_equal (frames_send (self->push, NULL, msg, payload, count, &err), 0);
}

static int setup (void **state)
{
    storage_t *self = calloc (1, sizeof *self);
    err_t err = { 0 };
    static const option_t table[] = { WORKER_OPTIONS, { 0 } };
    snprintf (self->dir, sizeof self->dir, "/tmp/myelin-storage-XXXXXX");
    assert_non_null (mkdtemp (self->dir));
    snprintf (self->intake, sizeof self->intake, "ipc://%s/intake", self->dir);
    snprintf (self->query, sizeof self->query, "ipc://%s/query", self->dir);
    snprintf (self->data, sizeof self->data, "%s/data", self->dir);
    char *argv[] = { "storage", "--intake", self->intake, "--run", self->dir };
    self->options = options_new (table, 5, argv, &err);
    assert_non_null (self->options);
    self->context = zmq_ctx_new ();
    self->pull = frames_socket (self->context, ZMQ_PULL, 0, true, &err);
    self->push = frames_socket (self->context, ZMQ_PUSH, 0, true, &err);
    self->dealer = frames_socket (self->context, ZMQ_DEALER, 0, true, &err);
    assert_int_equal (zmq_bind (self->pull, self->intake), 0);
    content_config_t config = { self->data, 4u << 20 };
    self->content = content_open (&config, &err);
    self->answers = answers_start (self->context, self->content, self->query, "hash", &err);
    if (!self->answers)
        fail_msg ("%s", err.message);
    self->worker = worker_new (self->context, STAGE_STORAGE, WRITER_SLOTS, self->options, &err);
    assert_non_null (self->worker);
    self->provider = provider_new ("hash", &err);
    assert_int_equal (pthread_create (&self->thread, NULL, run_writer, self), 0);
    const wire_msg_t *hello = hear (self);
    assert_int_equal (hello->kind, WIRE_KIND_HELLO);
    char endpoint[256];
    snprintf (endpoint, sizeof endpoint, "%.*s", SPAN_ARG (hello->hello.endpoint));
    assert_int_equal (zmq_connect (self->push, endpoint), 0);
    assert_int_equal (zmq_connect (self->dealer, self->query), 0);
    tell (self, &(wire_msg_t){ .kind = WIRE_KIND_WELCOME, .welcome = { EPOCH, 1000 } }, NULL, 0);
    *state = self;
    return 0;
}

static int teardown (void **state)
{
    storage_t *self = *state;
    tell (self, &(wire_msg_t){ .kind = WIRE_KIND_DRAIN, .drain = { EPOCH } }, NULL, 0);
    while (hear (self)->kind != WIRE_KIND_BYE)
        ;
    pthread_join (self->thread, NULL);
    assert_int_equal (self->rc, 0);
    answers_stop (&self->answers);
    content_close (&self->content);
    provider_destroy (&self->provider);
    frames_clear (&self->in);
    zmq_close (self->pull);
    zmq_close (self->push);
    zmq_close (self->dealer);
    zmq_ctx_term (self->context);
    options_destroy (&self->options);
    nftw (self->dir, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free (self);
    return 0;
}

static void send_job (storage_t *self, job_t job)
{
    wire_msg_t msg = { .kind = WIRE_KIND_JOB, .job = job.job };
    msg.job.epoch = EPOCH;
    msg.job.number = ++self->number;
    msg.job.stage = STAGE_STORAGE;
    buf_t *payload[3];
    size_t count = 0;
    if (job.job.action == JOB_SEGMENT) {
        msg.job.columns = COLUMN_TEXT | COLUMN_SPANS | COLUMN_VECTORS;
        payload[count++] = buf_copy (str_span (&job.text));
        payload[count++] = buf_copy (str_span (&job.spans));
        payload[count++] = buf_ref (job.vectors);
    }
    tell (self, &msg, payload, count);
    while (count)
        buf_unref (&payload[--count]);
    job_clear (&job);
}

static job_t note (storage_t *self, uuid_t id, const char *text)
{
    fixture_t fixture = { .provider = self->provider };
    job_t job = job_segment (&fixture, "ana", id, 1, 0, text);
    job.job.final = 1;
    job.job.segments = 1;
    return job;
}

/*  Waits for the result of job `number` and acknowledges it. */
static wire_result_t hear_result (storage_t *self, uint64_t number)
{
    const wire_msg_t *msg = hear (self);
    assert_int_equal (msg->kind, WIRE_KIND_RESULT);
    assert_int_equal (msg->result.number, number);
    wire_result_t result = msg->result;
    tell (self, &(wire_msg_t){ .kind = WIRE_KIND_ACK, .ack = { EPOCH, number, result.segment, 0 } }, NULL, 0);
    return result;
}

/*  Asks and waits for the reply; its body, or NULL. Caller decrefs. */
static json_t *ask (storage_t *self, wire_msg_t msg, uint32_t *status)
{
    err_t err;
    frames_t in = { 0 };
    msg.search.req = 4711;
    assert_int_equal (frames_send (self->dealer, NULL, &msg, NULL, 0, &err), 0);
    zmq_pollitem_t item = { self->dealer, 0, ZMQ_POLLIN, 0 };
    assert_int_equal (zmq_poll (&item, 1, 20000), 1);
    assert_int_equal (frames_recv (self->dealer, false, &in, &err), 1);
    assert_int_equal (in.msg.kind, WIRE_KIND_REPLY);
    assert_int_equal (in.msg.reply.req, 4711);
    *status = in.msg.reply.status;
    json_t *body = NULL;
    if (in.payload_count) {
        span_t text = buf_span (in.payload[0]);
        body = json_loadb (text.data, text.size, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null (body);
    } else {
        assert_true (in.msg.reply.code.size > 0);
    }
    frames_clear (&in);
    return body;
}

static wire_msg_t search (const char *text)
{
    return (wire_msg_t){ .kind = WIRE_KIND_SEARCH,
                         .search = { .user = SPAN_LIT ("ana"), .query = span_str (text), .limit = 10 } };
}

static void what_a_result_reports_is_found_by_the_next_query (void **state)
{
    storage_t *self = *state;
    uint32_t status;
    for (int i = 0; i < 20; i++) {
        char text[64], id_text[UUID_TEXT];
        uuid_t id = uuid_new ();
        uuid_text (id, id_text);
        snprintf (text, sizeof text, "document unique%d\nsecond line", i);
        send_job (self, note (self, id, text));
        wire_result_t result = hear_result (self, self->number);
        assert_int_equal (result.outcome, RESULT_DONE);
        assert_int_equal (result.chunks, 2);
        assert_int_equal (result.embeddings, 2);
        snprintf (text, sizeof text, "unique%d", i);
        json_t *body = ask (self, search (text), &status);
        assert_int_equal (status, 200);
        const json_t *hit = json_array_get (json_object_get (body, "hits"), 0);
        assert_string_equal (json_string_value (json_object_get (hit, "document_id")), id_text);
        assert_string_equal (json_string_value (json_object_get (hit, "filename")), "note.txt");
        assert_int_equal (json_integer_value (json_object_get (hit, "chunk")), 0);
        assert_true (json_is_real (json_object_get (hit, "score")) || json_is_integer (json_object_get (hit, "score")));
        assert_non_null (strstr (json_string_value (json_object_get (hit, "snippet")), "<mark>unique"));
        assert_true (json_is_number (json_object_get (body, "took_ms")));
        json_decref (body);
    }
}

static void many_jobs_are_answered_each_and_in_order (void **state)
{
    storage_t *self = *state;
    enum { JOBS = 60 };
    for (int i = 0; i < JOBS; i++)
        send_job (self, note (self, uuid_new (), "one of many"));
    for (uint64_t i = 1; i <= JOBS; i++)
        assert_int_equal (hear_result (self, i).outcome, RESULT_DONE);
}

static void a_bad_job_fails_with_a_code_that_is_not_tried_again (void **state)
{
    storage_t *self = *state;
    job_t job = note (self, uuid_new (), "short");
    str_clear (&job.text);
    str_text (&job.text, "s"); /* its chunk ends beyond */
    send_job (self, job);
    const wire_msg_t *msg = hear (self);
    assert_int_equal (msg->kind, WIRE_KIND_RESULT);
    assert_int_equal (msg->result.outcome, RESULT_FAILED);
    assert_true (span_is (msg->result.code, "protocol"));
    tell (self, &(wire_msg_t){ .kind = WIRE_KIND_ACK, .ack = { EPOCH, self->number, 0, 0 } }, NULL, 0);
}

static void chunks_come_in_pages (void **state)
{
    storage_t *self = *state;
    uint32_t status;
    uuid_t id = uuid_new ();
    send_job (self, note (self, id, "a\nb\nc\nd\ne"));
    assert_int_equal (hear_result (self, 1).chunks, 5);
    wire_msg_t msg = { .kind = WIRE_KIND_CHUNKS, .chunks = { .user = SPAN_LIT ("ana"), .document = id, .limit = 2 } };
    static const char *const cursors[] = { "2", "4", NULL };
    for (int i = 0; i < 3; i++) {
        msg.chunks.cursor = (uint64_t)i * 2;
        json_t *body = ask (self, msg, &status);
        assert_int_equal (status, 200);
        assert_int_equal (json_array_size (json_object_get (body, "items")), i < 2 ? 2 : 1);
        const json_t *first = json_array_get (json_object_get (body, "items"), 0);
        assert_int_equal (json_integer_value (json_object_get (first, "index")), i * 2);
        if (cursors[i])
            assert_string_equal (json_string_value (json_object_get (body, "next_cursor")), cursors[i]);
        else
            assert_true (json_is_null (json_object_get (body, "next_cursor")));
        json_decref (body);
    }
    msg.chunks.document = uuid_new ();
    assert_null (ask (self, msg, &status));
    assert_int_equal (status, 404);
}

/*  Whatever their length: a reply that is longer than a message may be would cost the gateway its connection. */
static void pages_are_bounded_in_bytes_and_nothing_is_left_out (void **state)
{
    enum { LINES = 60, LINE = 200000 };
    storage_t *self = *state;
    uint32_t status;
    uuid_t id = uuid_new ();
    char *text = malloc (LINES * (LINE + 1) + 1);
    for (int i = 0; i < LINES; i++) {
        memset (text + i * (LINE + 1), '\t', LINE);
        memcpy (text + i * (LINE + 1), "word", 4);
        text[i * (LINE + 1) + LINE] = '\n';
    }
    text[LINES * (LINE + 1)] = 0;
    send_job (self, note (self, id, text));
    free (text);
    assert_int_equal (hear_result (self, 1).chunks, LINES);
    wire_msg_t msg = { .kind = WIRE_KIND_CHUNKS,
                       .chunks = { .user = SPAN_LIT ("ana"), .document = id, .limit = LINES } };
    uint64_t seen = 0;
    int pages = 0;
    for (const char *cursor = "0"; cursor; pages++) {
        msg.chunks.cursor = strtoull (cursor, NULL, 10);
        json_t *body = ask (self, msg, &status);
        assert_int_equal (status, 200);
        const json_t *items = json_object_get (body, "items");
        assert_in_range (json_array_size (items), 1, 30); /* each is 400 KB as JSON */
        const json_t *first = json_array_get (items, 0);
        assert_int_equal (json_integer_value (json_object_get (first, "index")), seen);
        seen += json_array_size (items);
        static char next[24];
        const char *said = json_string_value (json_object_get (body, "next_cursor"));
        cursor = said ? strcpy (next, said) : NULL;
        json_decref (body);
    }
    assert_int_equal (seen, LINES);
    assert_true (pages > 1);
    json_t *body = ask (self, search ("word"), &status);
    const json_t *hit = json_array_get (json_object_get (body, "hits"), 0);
    assert_in_range (json_string_length (json_object_get (hit, "text")), 4, 64 << 10);
    json_decref (body);
}

static void foreign_and_malformed_frames_are_dropped_and_the_next_query_answered (void **state)
{
    storage_t *self = *state;
    uint32_t status;
    static const char noise[] = "GET / HTTP/1.1\r\n\r\n";
    zmq_send (self->dealer, noise, sizeof noise, 0);
    zmq_send (self->dealer, "", 0, 0);
    zmq_send (self->dealer, "\x01\xff", 2, 0);
    for (int i = 0; i < 30; i++)
        zmq_send (self->dealer, "x", 1, i < 29 ? ZMQ_SNDMORE : 0);
    wire_msg_t foreign = { .kind = WIRE_KIND_DRAIN };
    err_t err;
    assert_int_equal (frames_send (self->dealer, NULL, &foreign, NULL, 0, &err), 0);
    json_t *body = ask (self, (wire_msg_t){ .kind = WIRE_KIND_HEALTH }, &status);
    assert_int_equal (status, 200);
    assert_int_equal (json_object_size (body), 0);
    json_decref (body);
    wire_msg_t odd = search ("anything");
    odd.search.mode = 9;
    assert_null (ask (self, odd, &status));
    assert_int_equal (status, 400);
}

int main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST (what_a_result_reports_is_found_by_the_next_query),
        TEST (many_jobs_are_answered_each_and_in_order),
        TEST (a_bad_job_fails_with_a_code_that_is_not_tried_again),
        TEST (chunks_come_in_pages),
        TEST (pages_are_bounded_in_bytes_and_nothing_is_left_out),
        TEST (foreign_and_malformed_frames_are_dropped_and_the_next_query_answered),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
