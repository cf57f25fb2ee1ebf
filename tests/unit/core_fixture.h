/*  core_fixture.h: what tests of the core say again and again, as the user ann and as workers, in a world of tests/sim.
 */
#ifndef TESTS_UNIT_CORE_FIXTURE_H
#define TESTS_UNIT_CORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/log.h"
#include "tests/sim/world.h"

#define LAST_WORDS "free(): invalid pointer\n" /* of a parser that is killed */

/*  Hands in `text` as `name`, and says what the answer's body and status are. */
static inline uint32_t submit_named (world_t *world, const char *text, const char *name, bool force, uuid_t *task,
                                     str_t *body)
{
    hash_t hash = hash_of (span_str (text));
    buf_t *bytes = buf_copy (span_str (text));
    frames_t reply;
    uint32_t status = 0;
    *task = uuid_new ();
    wire_submit_t msg = { .req = ++world->next_req,
                          .user = SPAN_LIT ("ann"),
                          .document = uuid_new (),
                          .task = *task,
                          .filename = span_str (name),
                          .bytes = strlen (text),
                          .hash = span (hash.bytes, HASH_SIZE),
                          .force = force };
    world_say (world, &(wire_msg_t){ .kind = WIRE_KIND_SUBMIT, .submit = msg }, &bytes, 1);
    world_turn (world);
    buf_unref (&bytes);
    if (world_hear (world, WIRE_KIND_REPLY, (uuid_t){ { 0 } }, &reply)) {
        status = reply.msg.reply.status;
        str_clear (body);
        str_add (body, buf_span (reply.payload[0]));
        str_char (body, ' ');
        str_add (body, reply.msg.reply.location);
        frames_clear (&reply);
    }
    return status;
}

/*  As the worker of extract: the job's parser was killed by the document; or it only says `code`. */
static inline void fails (world_t *world, uuid_t worker, const wire_job_t *job, const char *code, bool killed)
{
    wire_result_t result = { .worker = worker,
                             .epoch = job->epoch,
                             .number = job->number,
                             .task = job->task,
                             .outcome = RESULT_FAILED,
                             .code = span_str (code),
                             .message = SPAN_LIT ("the test says so"),
                             .parser_killed = killed,
                             .errors = SPAN_LIT (LAST_WORDS) };
    world_say (world, &(wire_msg_t){ .kind = WIRE_KIND_RESULT, .result = result }, NULL, 0);
    world_turn (world);
}

/*  Lets every try of what `worker` has next fail like that. The number of tries. */
static inline unsigned fail_for_good (world_t *world, uuid_t worker, uuid_t task, const char *code, bool killed)
{
    frames_t job;
    unsigned tries = 0;
    for (int i = 0; i < 2000 && strcmp (world_status (world, "ann", task), "failed") != 0; i++) {
        if (world_hear (world, WIRE_KIND_JOB, worker, &job)) {
            assert_true (uuid_eq (job.msg.job.task, task));
            fails (world, worker, &job.msg.job, code, killed);
            frames_clear (&job);
            tries++;
        }
        world_beat (world, (wire_beat_t){ .worker = worker, .slots = 4 });
        world_pass (world, 500);
    }
    return tries;
}

static inline void ask_history (world_t *world, uuid_t task, str_t *body)
{
    wire_task_events_t events = { .req = 1, .user = SPAN_LIT ("ann"), .task = task, .limit = 200 };
    assert_int_equal (world_ask (world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_EVENTS, .task_events = events }, body),
                      200);
}

static inline uint32_t process (world_t *world, uuid_t task, bool force, str_t *body)
{
    wire_task_process_t again = { .req = 9, .user = SPAN_LIT ("ann"), .task = task, .force = force };
    return world_ask (world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_PROCESS, .task_process = again }, body);
}

static inline void contains (const str_t *body, const char *what)
{
    if (!body->data || !strstr (body->data, what))
        fail_msg ("no %s in %s", what, body->data ? body->data : "nothing");
}

static inline void lacks (const str_t *body, const char *what)
{
    if (body->data && strstr (body->data, what))
        fail_msg ("%s in %s", what, body->data);
}

static inline size_t times (const str_t *body, const char *what)
{
    size_t count = 0;
    for (const char *at = body->data; at && (at = strstr (at, what)); at++)
        count++;
    return count;
}

/*  Setup of a group: what goes wrong is the point. */
static inline int core_quiet (void **state)
{
    (void)state;
    log_init ("test", LOG_ERROR + 1);
    return 0;
}

#endif
