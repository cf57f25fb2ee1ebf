#include "base/clock.h"
#include "client/libmyelin/myelin.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

/* link: libmyelin base Threads::Threads */

/*  A gateway that answers request after request with what its script says, and then publishes what it says. */
typedef struct {
    const char *expects; /* must occur in the request */
    const char *reply;   /* NULL: no answer */
    const char *events[6];
    bool events_first; /* before the answer, to a subscriber that is heard */
} step_t;

typedef struct {
    void *context, *router, *pub;
    char req_address[64], pub_address[64];
    const step_t *steps;
    const char *noise; /* published all the time while nobody asks; NULL: nothing */
    pthread_t thread;
    const char *wrong; /* what a request lacked */
    myelin_t *client;
} world_t;

#define TASK(status, progress)                                                                                         \
    "{\"id\":\"t1\",\"document_id\":\"d1\",\"user_id\":\"local\",\"status\":\"" status                                 \
    "\",\"stage\":null,\"priority\":5,\"progress\":" #progress ",\"error_code\":null,\"error_message\":null}"
#define REPLY(status, body) "{\"status\":" #status ",\"headers\":{},\"body\":" body "}"
#define EVENT(seq, name, status, progress)                                                                             \
    "{\"seq\":" #seq ",\"event\":\"" name "\",\"at\":\"\",\"task\":" TASK (status, progress) "}"
#define REPLAY(seq, name, status, progress)                                                                            \
    "{\"seq\":" #seq ",\"event\":\"" name "\",\"at\":\"\",\"replay\":true,\"task\":" TASK (status, progress) "}"

static void publish (world_t *self, const char *event)
{
    zmq_send (self->pub, "task.local.t1", 13, ZMQ_SNDMORE);
    zmq_send (self->pub, event, strlen (event), 0);
}

static void publish_step (world_t *self, const step_t *step)
{
    for (size_t i = 0; i < 6 && step->events[i]; i++)
        publish (self, step->events[i]);
}

static void wait_for_request (world_t *self)
{
    zmq_pollitem_t item = { self->router, 0, ZMQ_POLLIN, 0 };
    while (zmq_poll (&item, 1, self->noise ? 10 : -1) == 0)
        publish (self, self->noise);
}

static void *serve (void *arg)
{
    world_t *self = arg;
    for (const step_t *step = self->steps; step->expects; step++) {
        char route[64], request[4096], topic[64];
        wait_for_request (self);
        int route_size = zmq_recv (self->router, route, sizeof route, 0), size = 0, more;
        size_t more_size = sizeof more;
        int frames = 0;
        do {
            char frame[4096];
            int got = zmq_recv (self->router, frame, sizeof frame - 1, 0);
            if (frames++ == 1) { /* after the empty one */
                memcpy (request, frame, (size_t)got);
                size = got;
            }
            zmq_getsockopt (self->router, ZMQ_RCVMORE, &more, &more_size);
        } while (more);
        request[size] = 0;
        if (!strstr (request, step->expects) && !self->wrong)
            self->wrong = step->expects;
        if (step->events_first) {
            zmq_recv (self->pub, topic, sizeof topic, 0);
            publish_step (self, step);
        }
        if (step->reply) {
            zmq_send (self->router, route, (size_t)route_size, ZMQ_SNDMORE);
            zmq_send (self->router, "", 0, ZMQ_SNDMORE);
            zmq_send (self->router, step->reply, strlen (step->reply), 0);
        }
        if (!step->events_first)
            publish_step (self, step);
    }
    return NULL;
}

static void begin_with_noise (world_t *self, const step_t *steps, const char *noise)
{
    memset (self, 0, sizeof *self);
    self->noise = noise;
    self->context = zmq_ctx_new ();
    self->router = zmq_socket (self->context, ZMQ_ROUTER);
    self->pub = zmq_socket (self->context, ZMQ_XPUB);
    size_t size = sizeof self->req_address;
    assert_int_equal (zmq_bind (self->router, "tcp://127.0.0.1:*"), 0);
    zmq_getsockopt (self->router, ZMQ_LAST_ENDPOINT, self->req_address, &size);
    size = sizeof self->pub_address;
    assert_int_equal (zmq_bind (self->pub, "tcp://127.0.0.1:*"), 0);
    zmq_getsockopt (self->pub, ZMQ_LAST_ENDPOINT, self->pub_address, &size);
    self->steps = steps;
    self->client = myelin_new (self->req_address, self->pub_address);
    assert_non_null (self->client);
    pthread_create (&self->thread, NULL, serve, self);
}

static void begin (world_t *self, const step_t *steps)
{
    begin_with_noise (self, steps, NULL);
}

static void end (world_t *self)
{
    pthread_join (self->thread, NULL);
    myelin_destroy (&self->client);
    assert_null (self->client);
    int zero = 0;
    zmq_setsockopt (self->router, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt (self->pub, ZMQ_LINGER, &zero, sizeof zero);
    zmq_close (self->router);
    zmq_close (self->pub);
    zmq_ctx_term (self->context);
    if (self->wrong)
        fail_msg ("a request lacked: %s", self->wrong);
}

static void a_submit_gives_the_task (void **state)
{
    static const step_t steps[] = {
        { "\"X-Filename\":\"n%C3%A4me%20%25.txt\"",
          REPLY (201, "{\"document\":{},\"task\":" TASK ("pending", 0) "}"),
          { 0 },
          false },
        { "\"token\":\"secret\"", REPLY (200, TASK ("completed", 100)), { 0 }, false },
        { 0 },
    };
    world_t world;
    begin (&world, steps);
    myelin_task_t task;
    assert_int_equal (myelin_submit (world.client, "näme %.txt", "bytes", 5, 7, &task), 0);
    assert_string_equal (task.id, "t1");
    assert_string_equal (task.document_id, "d1");
    assert_string_equal (task.status, "pending");
    assert_string_equal (task.error_code, "");
    assert_false (myelin_is_final (&task));
    myelin_set_token (world.client, "secret");
    assert_int_equal (myelin_task (world.client, "t1", &task), 0);
    assert_true (myelin_is_final (&task));
    assert_int_equal (task.progress, 100);
    end (&world);
}

static void problems_and_silence_are_errors (void **state)
{
    static const step_t steps[] = {
        { "tasks/t9", REPLY (404, "{\"detail\":\"no such task\"}"), { 0 }, false },
        { "tasks/t1", NULL, { 0 }, false },
        { "tasks/t1", "no json", { 0 }, false },
        { "tasks/t1", REPLY (200, TASK ("pending", 0)), { 0 }, false },
        { 0 },
    };
    world_t world;
    begin (&world, steps);
    myelin_task_t task;
    assert_int_equal (myelin_task (world.client, "t9", &task), -1);
    assert_int_equal (myelin_status (world.client), 404);
    assert_string_equal (myelin_error (world.client), "no such task");
    myelin_set_timeout (world.client, 50);
    assert_int_equal (myelin_task (world.client, "t1", &task), -1);
    assert_int_equal (myelin_status (world.client), 0);
    assert_non_null (strstr (myelin_error (world.client), "no answer"));
    myelin_set_timeout (world.client, 10000);
    assert_int_equal (myelin_task (world.client, "t1", &task), -1);
    assert_int_equal (myelin_task (world.client, "t1", &task), 0);
    assert_int_equal (myelin_submit_file (world.client, "/does/not/exist", 0, &task), -1);
    assert_non_null (strstr (myelin_error (world.client), "/does/not/exist"));
    end (&world);
}

typedef struct {
    int count;
    int last;
    bool fell;
} progress_t;

static void on_progress (void *arg, const myelin_task_t *task)
{
    progress_t *seen = arg;
    seen->count++;
    seen->fell = seen->fell || task->progress < seen->last;
    seen->last = task->progress;
}

static void waiting_hears_the_feed_or_asks (void **state)
{
    /* The first answer finds it pending; whether the events are heard depends on when the subscription arrives, and
     * if they are not, the next question brings the end. */
    static const step_t steps[] = {
        { "tasks/t1", REPLY (200, TASK ("pending", 0)), { 0 }, false },
        { "tasks/t1",
          REPLY (200, TASK ("processing", 30)),
          { EVENT (5, "progress", "processing", 40), REPLAY (4, "progress", "processing", 20) },
          false },
        { "tasks/t1", REPLY (200, TASK ("completed", 100)), { 0 }, false },
        { 0 },
    };
    world_t world;
    begin (&world, steps);
    progress_t seen = { 0 };
    myelin_task_t task;
    assert_int_equal (myelin_wait (world.client, "t1", 30000, on_progress, &seen, &task), 0);
    assert_string_equal (task.status, "completed");
    assert_false (seen.fell);
    assert_int_equal (seen.last, 100);
    assert_true (seen.count >= 3);
    end (&world);
}

#define OTHERS_EVENT(seq)                                                                                              \
    "{\"seq\":" #seq ",\"event\":\"progress\",\"at\":\"\",\"task\":{\"id\":\"t2\",\"status\":\"processing\"}}"

static void events_of_other_tasks_do_not_keep_it_from_asking (void **state)
{
    static const step_t steps[] = {
        { .expects = "tasks/t1", .reply = REPLY (200, TASK ("processing", 0)) },
        { .expects = "tasks/t1", .reply = REPLY (200, TASK ("processing", 30)) },
        { .expects = "tasks/t1", .reply = REPLY (200, TASK ("completed", 100)) },
        { 0 },
    };
    world_t world;
    begin_with_noise (&world, steps, OTHERS_EVENT (7));
    myelin_task_t task;
    assert_int_equal (myelin_wait (world.client, "t1", 20000, NULL, NULL, &task), 0);
    assert_string_equal (task.status, "completed");
    end (&world);
}

static void what_waited_in_the_socket_does_not_take_progress_back (void **state)
{
    static const step_t steps[] = {
        { "tasks/t1",
          REPLY (200, TASK ("processing", 60)),
          { EVENT (5, "progress", "processing", 10), EVENT (6, "progress", "processing", 20),
            EVENT (7, "progress", "processing", 60), EVENT (8, "completed", "completed", 100) },
          true },
        { 0 },
    };
    world_t world;
    begin (&world, steps);
    progress_t seen = { 0 };
    myelin_task_t task;
    assert_int_equal (myelin_wait (world.client, "t1", 20000, on_progress, &seen, &task), 0);
    assert_false (seen.fell);
    assert_int_equal (seen.count, 2); /* 60 and the end */
    end (&world);
}

static void a_gap_in_the_feed_is_asked_about (void **state)
{
    /* The first event says that the feed is heard, and puts the next question off by two seconds. */
    static const step_t steps[] = {
        { "tasks/t1",
          REPLY (200, TASK ("processing", 10)),
          { EVENT (5, "progress", "processing", 20), OTHERS_EVENT (8) },
          true },
        { "tasks/t1", REPLY (200, TASK ("completed", 100)), { 0 }, false },
        { 0 },
    };
    world_t world;
    begin (&world, steps);
    myelin_task_t task;
    assert_int_equal (myelin_wait (world.client, "t1", 1900, NULL, NULL, &task), 0);
    end (&world);
}

static void a_server_that_is_away_is_waited_for (void **state)
{
    static const step_t steps[] = {
        { "tasks/t1", REPLY (503, "{\"detail\":\"the broker is away\"}"), { 0 }, false },
        { "tasks/t1", REPLY (200, TASK ("completed", 100)), { 0 }, false },
        { "tasks/t1", NULL, { 0 }, false },
        { 0 },
    };
    world_t world;
    begin (&world, steps);
    myelin_task_t task;
    assert_int_equal (myelin_wait (world.client, "t1", 20000, NULL, NULL, &task), 0);
    uint64_t start = clock_mono_ms (); /* no longer than it was told to, though a request may take 30 s */
    assert_int_equal (myelin_wait (world.client, "t1", 100, NULL, NULL, &task), -1);
    assert_true (clock_mono_ms () - start < 15000);
    assert_non_null (strstr (myelin_error (world.client), "did not end in 100 ms: no answer from tcp://"));
    end (&world);
}

static void on_alarm (int number)
{
}

static void signals_end_no_wait (void **state)
{
    static const step_t steps[] = { { "tasks/t1", NULL, { 0 }, false }, { 0 } };
    sigset_t alarm;
    sigemptyset (&alarm);
    sigaddset (&alarm, SIGALRM);
    pthread_sigmask (SIG_BLOCK, &alarm, NULL); /* not for the server's thread */
    world_t world;
    begin (&world, steps);
    pthread_sigmask (SIG_UNBLOCK, &alarm, NULL);
    struct sigaction action = { .sa_handler = on_alarm }, before;
    sigaction (SIGALRM, &action, &before);
    struct itimerval often = { { 0, 20000 }, { 0, 20000 } }, off = { 0 };
    setitimer (ITIMER_REAL, &often, NULL);

    myelin_task_t task;
    myelin_set_timeout (world.client, 200);
    uint64_t start = clock_mono_ms ();
    assert_int_equal (myelin_task (world.client, "t1", &task), -1);
    assert_true (clock_mono_ms () - start >= 199);
    assert_int_equal (myelin_subscribe (world.client, NULL), 0);
    assert_int_equal (myelin_next (world.client, 200, &(myelin_event_t){ 0 }), 0);

    setitimer (ITIMER_REAL, &off, NULL);
    sigaction (SIGALRM, &before, NULL);
    end (&world);
}

static void what_cannot_be_is_not_asked (void **state)
{
    static const step_t steps[] = { { 0 } };
    world_t world;
    begin (&world, steps);
    myelin_task_t task;
    static const char *const ids[] = { "", "?limit=1", "../documents", "a/b",
                                       "0123456789012345678901234567890123456789" };
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        assert_int_equal (myelin_task (world.client, ids[i], &task), -1);
        assert_int_equal (myelin_status (world.client), 404);
    }
    assert_int_equal (myelin_submit (world.client, "big.bin", "", MYELIN_DOCUMENT_MAX + 1, 0, &task), -1);
    assert_non_null (strstr (myelin_error (world.client), "HTTP"));
    char path[] = "/tmp/test-libmyelin-XXXXXX";
    int fd = mkstemp (path);
    assert_int_equal (ftruncate (fd, (off_t)MYELIN_DOCUMENT_MAX + 1), 0);
    assert_int_equal (myelin_submit_file (world.client, path, 0, &task), -1);
    assert_non_null (strstr (myelin_error (world.client), "HTTP"));
    close (fd);
    unlink (path);
    end (&world);
}

static void waiting_has_a_bound (void **state)
{
    static const step_t steps[] = { { "tasks/t1", REPLY (200, TASK ("pending", 0)), { 0 }, false }, { 0 } };
    world_t world;
    begin (&world, steps);
    myelin_task_t task;
    assert_int_equal (myelin_wait (world.client, "t1", 40, NULL, NULL, &task), -1);
    assert_non_null (strstr (myelin_error (world.client), "did not end in 40 ms"));
    end (&world);
}

static void a_subscription_counts_what_is_missing (void **state)
{
    static const step_t steps[] = { { 0 } };
    world_t world;
    begin (&world, steps);
    assert_int_equal (myelin_next (world.client, 0, &(myelin_event_t){ 0 }), -1);
    assert_int_equal (myelin_subscribe (world.client, NULL), 0);
    char topic[64];
    int size = zmq_recv (world.pub, topic, sizeof topic, 0); /* it has arrived */
    assert_int_equal (size, 1 + (int)strlen ("task.local."));
    publish (&world, REPLAY (3, "progress", "processing", 10));
    publish (&world, EVENT (8, "progress", "processing", 20));
    publish (&world, EVENT (9, "progress", "processing", 30));
    publish (&world, "{\"event\":\"queue\",\"queue\":{}}");
    publish (&world, "no json");
    publish (&world, REPLAY (9, "progress", "processing", 30));
    publish (&world, EVENT (12, "completed", "completed", 100));
    static const struct {
        uint64_t seq, missed;
        bool replay;
    } wanted[] = { { 3, 0, true }, { 8, 0, false }, { 9, 0, false }, { 9, 0, true }, { 12, 2, false } };
    for (size_t i = 0; i < 5; i++) {
        myelin_event_t event;
        assert_int_equal (myelin_next (world.client, 10000, &event), 1);
        assert_int_equal (event.seq, wanted[i].seq);
        assert_int_equal (event.missed, wanted[i].missed);
        assert_int_equal (event.replay, wanted[i].replay);
    }
    assert_int_equal (myelin_next (world.client, 0, &(myelin_event_t){ 0 }), 0);
    assert_int_equal (myelin_unsubscribe (world.client), 0);
    end (&world);
}

static void on_hit (void *arg, const myelin_hit_t *hit)
{
    assert_string_equal (hit->filename, "a.txt");
    assert_string_equal (hit->text, "some text");
    assert_int_equal (hit->page, 4);
    assert_int_equal (hit->end, 9);
    ++*(int *)arg;
}

static void search_tells_hits (void **state)
{
    static const step_t steps[] = {
        { "\"q\":\"two words\"",
          REPLY (200, "{\"hits\":[{\"document_id\":\"d1\",\"filename\":\"a.txt\",\"page\":4,\"start\":0,\"end\":9,"
                      "\"score\":1.5,\"text\":\"some text\",\"snippet\":\"x\"}],\"took_ms\":1}"),
          { 0 },
          false },
        { 0 },
    };
    world_t world;
    begin (&world, steps);
    int count = 0;
    assert_int_equal (myelin_search (world.client, "two words", 5, on_hit, &count), 1);
    assert_int_equal (count, 1);
    end (&world);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_submit_gives_the_task),
        cmocka_unit_test (problems_and_silence_are_errors),
        cmocka_unit_test (waiting_hears_the_feed_or_asks),
        cmocka_unit_test (waiting_has_a_bound),
        cmocka_unit_test (events_of_other_tasks_do_not_keep_it_from_asking),
        cmocka_unit_test (what_waited_in_the_socket_does_not_take_progress_back),
        cmocka_unit_test (a_gap_in_the_feed_is_asked_about),
        cmocka_unit_test (a_server_that_is_away_is_waited_for),
        cmocka_unit_test (signals_end_no_wait),
        cmocka_unit_test (what_cannot_be_is_not_asked),
        cmocka_unit_test (a_subscription_counts_what_is_missing),
        cmocka_unit_test (search_tells_hits),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
