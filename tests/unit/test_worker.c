/*  A worker and a broker played by the test, in one thread: the worker is polled while the broker waits. */
#include "base/clock.h"
#include "stages/runtime/worker.h"
#include "wire/frames.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* link: runtime */

#define PATIENCE_MS 10000

static const option_t table[] = { WORKER_OPTIONS, { 0 } };

typedef struct {
    char dir[64];
    char intake_at[96];
    void *context;
    void *intake;
    void *push; /* to the worker; NULL until connect_worker */
    options_t *options;
    worker_t *worker;
    frames_t in;
    uuid_t id;
    char endpoint[160];
} play_t;

static void *bind_intake (play_t *self)
{
    err_t err;
    void *socket = frames_socket (self->context, ZMQ_PULL, 0, true, &err);
    assert_non_null (socket);
    assert_int_equal (zmq_bind (socket, self->intake_at), 0);
    return socket;
}

static void begin_stage (play_t *self, stage_t stage)
{
    *self = (play_t){ .dir = "/tmp/test-worker-XXXXXX" };
    assert_non_null (mkdtemp (self->dir));
    snprintf (self->intake_at, sizeof self->intake_at, "ipc://%s/intake", self->dir);
    self->context = zmq_ctx_new ();
    self->intake = bind_intake (self);
    char *argv[] = { "worker", "--intake", self->intake_at, "--run", self->dir, "--log-level", "error" };
    int exit_code;
    self->options = worker_options ("worker", table, "worker", 7, argv, &exit_code);
    assert_non_null (self->options);
    err_t err;
    self->worker = worker_new (self->context, stage, 4, self->options, &err);
    assert_non_null (self->worker);
}

/*  Polls the worker until the broker has a message; false after `patience_ms` without. */
static bool await (play_t *self, int patience_ms)
{
    err_t err;
    uint64_t until_ms = clock_mono_ms () + (uint64_t)patience_ms;
    while (frames_recv (self->intake, false, &self->in, &err) != 1) {
        uint64_t now_ms = clock_mono_ms ();
        if (now_ms >= until_ms)
            return false;
        zmq_pollitem_t item = { .socket = self->intake, .events = ZMQ_POLLIN };
        if (worker_poll (self->worker, &item, 1, (int)(until_ms - now_ms)) == -1)
            zmq_poll (&item, 1, (long)(until_ms - now_ms));
    }
    return true;
}

/*  The next message of `kind`; beats in between are skipped. */
static const wire_msg_t *expect (play_t *self, wire_kind_t kind)
{
    do
        assert_true (await (self, PATIENCE_MS));
    while (self->in.msg.kind != kind && (self->in.msg.kind == WIRE_KIND_BEAT || self->in.msg.kind == WIRE_KIND_HELLO));
    assert_int_equal (self->in.msg.kind, kind);
    return &self->in.msg;
}

static void say_payload (play_t *self, wire_msg_t msg, buf_t **payload, size_t count)
{
    err_t err;
    assert_int_equal (frames_send (self->push, NULL, &msg, payload, count, &err), 0);
}

static void say (play_t *self, wire_msg_t msg)
{
    say_payload (self, msg, NULL, 0);
}

#define SAY_WELCOME(self, epoch_, beat)                                                                                \
    say (self, (wire_msg_t){ .kind = WIRE_KIND_WELCOME, .welcome = { .epoch = epoch_, .beat_ms = beat } })
#define SAY_ACK(self, ...)    say (self, (wire_msg_t){ .kind = WIRE_KIND_ACK, .ack = { __VA_ARGS__ } })
#define SAY_CANCEL(self, ...) say (self, (wire_msg_t){ .kind = WIRE_KIND_CANCEL, .cancel = { __VA_ARGS__ } })

static void meet (play_t *self)
{
    const wire_hello_t *hello = &expect (self, WIRE_KIND_HELLO)->hello;
    self->id = hello->worker;
    snprintf (self->endpoint, sizeof self->endpoint, "%.*s", SPAN_ARG (hello->endpoint));
    err_t err;
    self->push = frames_socket (self->context, ZMQ_PUSH, 0, true, &err);
    assert_int_equal (zmq_connect (self->push, self->endpoint), 0);
    SAY_WELCOME (self, 7, 100);
    const wire_beat_t *beat = &expect (self, WIRE_KIND_BEAT)->beat;
    assert_int_equal (beat->epoch, 7);
}

static void begin (play_t *self)
{
    begin_stage (self, STAGE_CHUNK);
    meet (self);
}

static void end (play_t *self)
{
    frames_clear (&self->in);
    worker_destroy (&self->worker);
    options_destroy (&self->options);
    if (self->push)
        zmq_close (self->push);
    zmq_close (self->intake);
    zmq_ctx_term (self->context);
    unlink (self->intake_at + 6);
    assert_int_equal (rmdir (self->dir), 0); /* the worker took its socket away */
}

static void give (play_t *self, uint64_t number, const char *text)
{
    wire_msg_t msg = { .kind = WIRE_KIND_JOB,
                       .job = { .epoch = 7,
                                .number = number,
                                .task = { { 9 } },
                                .stage = STAGE_CHUNK,
                                .segment = 3,
                                .filename = SPAN_LIT ("notes.txt"),
                                .limit = 2,
                                .columns = COLUMN_TEXT } };
    buf_t *payload = buf_copy (span_str (text));
    say_payload (self, msg, &payload, 1);
    buf_unref (&payload);
}

static worker_job_t *take (play_t *self)
{
    worker_job_t *job;
    while (!(job = worker_take (self->worker)))
        assert_int_equal (worker_poll (self->worker, NULL, 0, PATIENCE_MS), 0);
    return job;
}

/*  Polls the worker until `done` or nothing came for good. */
static void poll_until (play_t *self, const bool *done)
{
    uint64_t until_ms = clock_mono_ms () + PATIENCE_MS;
    while (!*done && clock_mono_ms () < until_ms)
        worker_poll (self->worker, NULL, 0, 50);
    assert_true (*done);
}

/*  --- the tests --- */

static void hello_says_who_is_there_and_is_repeated_until_welcome (void **state)
{
    (void)state;
    play_t play;
    begin_stage (&play, STAGE_EMBED);
    const wire_hello_t *hello = &expect (&play, WIRE_KIND_HELLO)->hello;
    uuid_t id = hello->worker;
    assert_int_equal (hello->stage, STAGE_EMBED);
    assert_int_equal (hello->slots, 4);
    assert_int_equal (hello->pid, getpid ());
    assert_int_equal (hello->host.size, 36);
    assert_memory_equal (hello->endpoint.data, "ipc://", 6);
    assert_true (uuid_eq (expect (&play, WIRE_KIND_HELLO)->hello.worker, id));
    end (&play);
}

static void welcome_sets_epoch_and_rhythm (void **state)
{
    (void)state;
    play_t play;
    begin (&play);
    uint64_t start_ms = clock_mono_ms ();
    for (int i = 0; i < 3; i++) {
        const wire_beat_t *beat = &expect (&play, WIRE_KIND_BEAT)->beat;
        assert_int_equal (beat->epoch, 7);
        assert_int_equal (beat->running, 0);
        assert_true (uuid_eq (beat->worker, play.id));
    }
    assert_in_range (clock_mono_ms () - start_ms, 250, 2000);
    end (&play);
}

static void a_job_arrives_whole_and_its_result_carries_the_fences (void **state)
{
    (void)state;
    play_t play;
    begin (&play);
    give (&play, 11, "some text");
    worker_job_t *job = take (&play);
    assert_true (span_is (job->job.filename, "notes.txt"));
    assert_true (span_is (buf_span (job->columns[1]), "some text"));
    assert_null (job->columns[0]);
    assert_int_equal (job->limit, 2);

    worker_progress (play.worker, job, 42);
    const wire_beat_t *beat = &expect (&play, WIRE_KIND_BEAT)->beat;
    assert_int_equal (beat->running, 11);
    assert_int_equal (beat->progress, 42);

    buf_t *columns[COLUMN_COUNT] = { [3] = buf_copy (SPAN_LIT ("spans")) };
    worker_done (play.worker, job, &(wire_result_t){ .chunks = 5 }, columns);
    buf_unref (&columns[3]);
    const wire_result_t *result = &expect (&play, WIRE_KIND_RESULT)->result;
    assert_int_equal (result->epoch, 7);
    assert_int_equal (result->number, 11);
    assert_int_equal (result->segment, 3);
    assert_int_equal (result->task.bytes[0], 9);
    assert_int_equal (result->stage, STAGE_CHUNK);
    assert_int_equal (result->outcome, RESULT_DONE);
    assert_int_equal (result->chunks, 5);
    assert_int_equal (result->columns, COLUMN_SPANS);
    assert_true (result->cost_us > 0);
    assert_true (span_is (buf_span (play.in.payload[0]), "spans"));
    end (&play);
}

static void jobs_come_in_the_order_in_which_they_were_given (void **state)
{
    (void)state;
    play_t play;
    begin (&play);
    for (uint64_t i = 1; i <= 3; i++)
        give (&play, i, "x");
    for (uint64_t i = 1; i <= 3; i++)
        assert_int_equal (take (&play)->job.number, i);
    end (&play);
}

static void a_result_without_ack_is_sent_again_and_one_with_is_not (void **state)
{
    (void)state;
    play_t play;
    begin (&play);
    give (&play, 1, "one");
    give (&play, 2, "two");
    worker_done (play.worker, take (&play), NULL, NULL);
    worker_done (play.worker, take (&play), NULL, NULL);
    assert_int_equal (expect (&play, WIRE_KIND_RESULT)->result.number, 1);
    assert_int_equal (expect (&play, WIRE_KIND_RESULT)->result.number, 2);
    SAY_ACK (&play, .epoch = 7, .number = 1, .segment = 3);
    assert_int_equal (expect (&play, WIRE_KIND_RESULT)->result.number, 2);
    SAY_ACK (&play, .epoch = 7, .number = 2, .segment = 3);
    end (&play);
}

static void parts_are_kept_each_for_itself_and_ack_raises_the_limit (void **state)
{
    (void)state;
    play_t play;
    begin_stage (&play, STAGE_EXTRACT);
    meet (&play);
    say (&play,
         (wire_msg_t){ .kind = WIRE_KIND_JOB, .job = { .epoch = 7, .number = 1, .stage = STAGE_EXTRACT, .limit = 2 } });
    worker_job_t *job = take (&play);
    buf_t *text = buf_copy (SPAN_LIT ("text"));
    buf_t *columns[COLUMN_COUNT] = { [1] = text };
    worker_part (play.worker, job, &(wire_result_t){ .segment = 0, .cursor = SPAN_LIT ("p1") }, columns);
    worker_part (play.worker, job, &(wire_result_t){ .segment = 1, .cursor = SPAN_LIT ("p2") }, columns);
    buf_unref (&text);
    for (uint32_t i = 0; i < 2; i++) {
        const wire_result_t *part = &expect (&play, WIRE_KIND_RESULT)->result;
        assert_int_equal (part->outcome, RESULT_PART);
        assert_int_equal (part->segment, i);
        assert_true (span_is (part->cursor, i ? "p2" : "p1"));
    }
    SAY_ACK (&play, .epoch = 7, .number = 1, .segment = 0, .limit = 9);
    while (job->limit != 9)
        assert_int_equal (worker_poll (play.worker, NULL, 0, PATIENCE_MS), 0);
    err_t err;
    err_set (&err, ERR_DAMAGED_DOCUMENT, "page 3 is damaged");
    worker_fail (play.worker, job, &err);
    const wire_result_t *failed = &expect (&play, WIRE_KIND_RESULT)->result;
    assert_int_equal (failed->outcome, RESULT_FAILED);
    assert_int_equal (failed->segment, 2); /* no part's number */
    assert_true (span_is (failed->code, "damaged_document"));
    assert_true (span_is (failed->message, "page 3 is damaged"));
    end (&play);
}

static void cancel_answers_for_a_waiting_job_and_marks_a_running_one (void **state)
{
    (void)state;
    play_t play;
    begin (&play);
    give (&play, 1, "one");
    give (&play, 2, "two");
    worker_job_t *job = take (&play);
    SAY_CANCEL (&play, .epoch = 7, .number = 2);
    const wire_result_t *result = &expect (&play, WIRE_KIND_RESULT)->result;
    assert_int_equal (result->number, 2);
    assert_int_equal (result->outcome, RESULT_FAILED);
    assert_true (span_is (result->code, "cancelled"));
    assert_false (job->cancelled);
    SAY_CANCEL (&play, .epoch = 7, .number = 1);
    poll_until (&play, &job->cancelled);
    err_t err;
    err_set (&err, ERR_CANCELLED, "stopped");
    worker_fail (play.worker, job, &err);
    assert_int_equal (expect (&play, WIRE_KIND_RESULT)->result.number, 1);
    assert_null (worker_take (play.worker));
    end (&play);
}

static void another_epoch_voids_jobs_and_results_of_the_one_before (void **state)
{
    (void)state;
    play_t play;
    begin (&play);
    for (uint64_t i = 1; i <= 3; i++)
        give (&play, i, "x");
    worker_done (play.worker, take (&play), NULL, NULL); /* 1: a kept result */
    assert_int_equal (expect (&play, WIRE_KIND_RESULT)->result.number, 1);
    worker_job_t *job = take (&play); /* 2: running, 3: waiting */
    SAY_WELCOME (&play, 8, 100);
    poll_until (&play, &job->cancelled);
    assert_null (worker_take (play.worker));
    worker_done (play.worker, job, NULL, NULL);  /* says nothing */
    give (&play, 4, "of epoch 7 still");         /* dropped */
    uint64_t until_ms = clock_mono_ms () + 5500; /* as long as it would take to send a kept result again */
    while (clock_mono_ms () < until_ms && await (&play, 200)) {
        assert_int_equal (play.in.msg.kind, WIRE_KIND_BEAT);
        assert_int_equal (play.in.msg.beat.running, 0);
    }
    assert_null (worker_take (play.worker));
    end (&play);
}

static void a_broker_that_comes_back_hears_a_beat_and_unsent_results (void **state)
{
    (void)state;
    play_t play;
    begin (&play);
    give (&play, 1, "x");
    worker_job_t *job = take (&play);
    zmq_close (play.intake);
    /* Beats fail from when the connection is seen gone; the result does too, and is kept. */
    uint64_t until_ms = clock_mono_ms () + 500;
    while (clock_mono_ms () < until_ms)
        worker_poll (play.worker, NULL, 0, 50);
    worker_done (play.worker, job, NULL, NULL);
    play.intake = bind_intake (&play);
    assert_true (await (&play, PATIENCE_MS));
    assert_int_equal (play.in.msg.kind, WIRE_KIND_BEAT);
    assert_int_equal (play.in.msg.beat.epoch, 7);
    assert_int_equal (expect (&play, WIRE_KIND_RESULT)->result.number, 1);
    end (&play);
}

static void drained_by (play_t *self, bool by_signal)
{
    give (self, 1, "one");
    give (self, 2, "two");
    worker_job_t *job = take (self);
    if (by_signal)
        kill (getpid (), SIGTERM);
    else
        say (self, (wire_msg_t){ .kind = WIRE_KIND_DRAIN, .drain = { .epoch = 7 } });
    for (int i = 0; i < 10; i++) /* it goes on while a job runs */
        assert_int_equal (worker_poll (self->worker, NULL, 0, 50), 0);
    assert_null (worker_take (self->worker)); /* the waiting one is left to the broker */
    worker_done (self->worker, job, NULL, NULL);
    assert_int_equal (expect (self, WIRE_KIND_RESULT)->result.number, 1);
    SAY_ACK (self, .epoch = 7, .number = 1, .segment = 3);
    uint64_t start_ms = clock_mono_ms ();
    while (worker_poll (self->worker, NULL, 0, PATIENCE_MS) == 0)
        assert_true (clock_mono_ms () < start_ms + PATIENCE_MS);
    worker_destroy (&self->worker);
    err_t err;
    do {
        zmq_poll (&(zmq_pollitem_t){ .socket = self->intake, .events = ZMQ_POLLIN }, 1, PATIENCE_MS);
        assert_int_equal (frames_recv (self->intake, false, &self->in, &err), 1);
    } while (self->in.msg.kind == WIRE_KIND_BEAT);
    assert_int_equal (self->in.msg.kind, WIRE_KIND_BYE);
    assert_true (uuid_eq (self->in.msg.bye.worker, self->id));
}

static void drain_ends_after_the_running_job_with_bye (void **state)
{
    (void)state;
    play_t play;
    begin (&play);
    drained_by (&play, false);
    end (&play);
}

static void sigterm_drains_too (void **state)
{
    (void)state;
    play_t play;
    begin (&play);
    drained_by (&play, true);
    end (&play);
}

static void foreign_and_malformed_frames_are_dropped (void **state)
{
    (void)state;
    play_t play;
    begin (&play);
    const char *bad[] = { "", "x", "\x01\x06short", "GET / HTTP/1.1\r\n\r\n", "\xff\xff\xff\xff" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        zmq_send (play.push, bad[i], strlen (bad[i]), 0);
    for (int i = 0; i < 20; i++)
        zmq_send (play.push, "many", 4, ZMQ_SNDMORE);
    zmq_send (play.push, "frames", 6, 0);
    say (&play, (wire_msg_t){ .kind = WIRE_KIND_BYE }); /* none a broker says */
    /* Frames that do not match the mask, and a job of another stage: answered, since the broker waits for it. */
    say (&play,
         (wire_msg_t){ .kind = WIRE_KIND_JOB, .job = { .epoch = 7, .number = 1, .stage = STAGE_CHUNK, .columns = 2 } });
    say (&play, (wire_msg_t){ .kind = WIRE_KIND_JOB, .job = { .epoch = 7, .number = 2, .stage = STAGE_EMBED } });
    for (uint64_t i = 1; i <= 2; i++) {
        const wire_result_t *result = &expect (&play, WIRE_KIND_RESULT)->result;
        assert_int_equal (result->number, i);
        assert_true (span_is (result->code, "protocol"));
    }
    give (&play, 3, "good");
    give (&play, 3, "twice");
    assert_int_equal (take (&play)->job.number, 3);
    assert_null (worker_take (play.worker));
    end (&play);
}

static void a_run_directory_with_too_long_a_name_is_refused (void **state)
{
    (void)state;
    char dir[160];
    memset (dir, 'd', sizeof dir);
    memcpy (dir, "/tmp/", 5);
    dir[sizeof dir - 1] = '\0';
    char *argv[] = { "worker", "--intake", "ipc:///tmp/nobody", "--run", dir };
    int exit_code;
    options_t *options = worker_options ("worker", table, "worker", 5, argv, &exit_code);
    void *context = zmq_ctx_new ();
    err_t err;
    assert_null (worker_new (context, STAGE_CHUNK, 1, options, &err));
    assert_int_equal (err.code, ERR_CONFIG);
    assert_non_null (strstr (err.message, "107 bytes"));
    zmq_ctx_term (context);
    options_destroy (&options);
}

static int shout (void *self, const worker_job_t *job, wire_result_t *result, buf_t *columns[COLUMN_COUNT], err_t *err)
{
    (*(int *)self)++;
    span_t text = buf_span (job->columns[1]);
    if (span_is (text, "bad"))
        return err_set (err, ERR_TIMEOUT, "no");
    columns[3] = buf_copy (text);
    result->chunks = 1;
    return 0;
}

typedef struct {
    worker_t *worker;
    int calls;
} runner_t;

static void *run (void *arg)
{
    runner_t *self = arg;
    worker_run (self->worker, shout, &self->calls);
    worker_destroy (&self->worker);
    return NULL;
}

static void worker_run_answers_each_job_and_returns_when_drained (void **state)
{
    (void)state;
    play_t play;
    begin (&play);
    runner_t runner = { play.worker, 0 };
    pthread_t thread;
    assert_int_equal (pthread_create (&thread, NULL, run, &runner), 0);
    play.worker = NULL; /* the thread's now */
    int results = 0, failed = 0;
    for (uint64_t i = 1; i <= 100; i++)
        give (&play, i, i % 10 ? "good" : "bad");
    bool bye = false, drained = false;
    err_t err;
    while (!bye) {
        zmq_pollitem_t item = { .socket = play.intake, .events = ZMQ_POLLIN };
        assert_int_equal (zmq_poll (&item, 1, PATIENCE_MS), 1);
        assert_int_equal (frames_recv (play.intake, false, &play.in, &err), 1);
        bye = play.in.msg.kind == WIRE_KIND_BYE;
        if (play.in.msg.kind == WIRE_KIND_RESULT) {
            const wire_result_t result = play.in.msg.result;
            assert_int_equal (result.number, ++results);
            failed += result.outcome == RESULT_FAILED;
            SAY_ACK (&play, .epoch = 7, .number = result.number, .segment = result.segment);
        }
        if (results == 100 && !drained) {
            drained = true;
            say (&play, (wire_msg_t){ .kind = WIRE_KIND_DRAIN, .drain = { .epoch = 7 } });
        }
    }
    pthread_join (thread, NULL);
    assert_int_equal (results, 100);
    assert_int_equal (failed, 10);
    assert_int_equal (runner.calls, 100);
    end (&play);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (hello_says_who_is_there_and_is_repeated_until_welcome),
        cmocka_unit_test (welcome_sets_epoch_and_rhythm),
        cmocka_unit_test (a_job_arrives_whole_and_its_result_carries_the_fences),
        cmocka_unit_test (jobs_come_in_the_order_in_which_they_were_given),
        cmocka_unit_test (a_result_without_ack_is_sent_again_and_one_with_is_not),
        cmocka_unit_test (parts_are_kept_each_for_itself_and_ack_raises_the_limit),
        cmocka_unit_test (cancel_answers_for_a_waiting_job_and_marks_a_running_one),
        cmocka_unit_test (another_epoch_voids_jobs_and_results_of_the_one_before),
        cmocka_unit_test (a_broker_that_comes_back_hears_a_beat_and_unsent_results),
        cmocka_unit_test (drain_ends_after_the_running_job_with_bye),
        cmocka_unit_test (sigterm_drains_too),
        cmocka_unit_test (foreign_and_malformed_frames_are_dropped),
        cmocka_unit_test (a_run_directory_with_too_long_a_name_is_refused),
        cmocka_unit_test (worker_run_answers_each_job_and_returns_when_drained),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
