#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "broker/core/queue.h"
#include "tests/unit/core_fixture.h"

/* link: sim core */

static const uuid_t anyone;
static unsigned made;

static uuid_t submit (world_t *world, const char *user, uint8_t priority)
{
    char text[32];
    uuid_t task;
    snprintf (text, sizeof text, "document %u", made++);
    assert_int_equal (world_submit (world, user, text, priority, NULL, &task), 201);
    return task;
}

/*  The extract worker takes its job and fails it for good, which ends the task: it cost `cost_us`, and took `ms`. Whose
 *  it was. */
static uuid_t take (world_t *world, uuid_t worker, uint64_t cost_us, uint64_t ms)
{
    frames_t job;
    assert_true (world_hear (world, WIRE_KIND_JOB, worker, &job));
    uuid_t task = job.msg.job.task;
    wire_beat_t beat = { .worker = worker, .slots = 1, .epoch = core_epoch (world->core), .running = 1 };
    wire_result_t result = { .worker = worker,
                             .epoch = job.msg.job.epoch,
                             .number = job.msg.job.number,
                             .task = task,
                             .outcome = RESULT_FAILED,
                             .code = SPAN_LIT ("damaged_document"),
                             .cost_us = cost_us };
    world->now += ms;
    world_say (world, &(wire_msg_t){ .kind = WIRE_KIND_BEAT, .beat = beat }, NULL, 0);
    world_say (world, &(wire_msg_t){ .kind = WIRE_KIND_RESULT, .result = result }, NULL, 0);
    world_turn (world);
    frames_clear (&job);
    return task;
}

/*  Whose job the worker has. */
static bool is_of (world_t *world, uuid_t worker, const char *user)
{
    frames_t job;
    assert_true (world_hear (world, WIRE_KIND_JOB, worker, &job));
    bool is = span_is (job.msg.job.user, user);
    world->out[world->out_count++] =
        (out_t){ .kind = OUT_WORKER, .worker = worker, .frames = { buf_ref (job.header) }, .frame_count = 1 };
    frames_clear (&job);
    return is;
}

static void one_task_of_another_user_does_not_wait_behind_a_thousand (void **state)
{
    world_t world;
    (void)state;
    world_start (&world, NULL);
    for (int i = 0; i < 1000; i++)
        submit (&world, "ann", 5);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    for (int i = 0; i < 10; i++)
        take (&world, worker, 50000, 50);
    uuid_t task = submit (&world, "bob", 5);
    take (&world, worker, 50000, 50); /* in hand already */
    assert_true (uuid_eq (take (&world, worker, 50000, 50), task));
    world_stop (&world);
}

static void users_share_by_cost_not_by_count (void **state)
{
    world_t world;
    unsigned ann = 0, bob = 0;
    (void)state;
    world_start (&world, NULL);
    for (int i = 0; i < 60; i++) {
        submit (&world, "ann", 5);
        for (int k = 0; k < 10; k++)
            submit (&world, "bob", 5);
    }
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    for (int i = 0; i < 220; i++) {
        bool hers = is_of (&world, worker, "ann");
        take (&world, worker, hers ? 100000 : 10000, hers ? 100 : 10);
        ann += hers;
        bob += !hers;
    }
    assert_in_range (ann, 15, 25); /* a tenth of bob's: hers cost ten times as much */
    assert_in_range (bob, 195, 205);
    world_stop (&world);
}

static void a_low_priority_waits_for_others_nine_seconds_at_most (void **state)
{
    world_t world;
    char user[16];
    (void)state;
    world_start (&world, NULL);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    submit (&world, "first", 10);
    uuid_t low = submit (&world, "ann", 1);
    uint64_t start = world.now;
    for (unsigned i = 0;; i++) { /* always somebody new with the highest priority */
        snprintf (user, sizeof user, "user %u", i);
        submit (&world, user, 10);
        if (uuid_eq (take (&world, worker, 100000, 100), low))
            break;
        assert_true (world.now - start < 9500);
    }
    assert_true (world.now - start > 5000); /* priority was worth something */
    world_stop (&world);
}

static void a_low_priority_of_the_same_user_is_taken_in_its_turn (void **state)
{
    world_t world;
    (void)state;
    world_start (&world, NULL);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    submit (&world, "ann", 10);
    uuid_t older = submit (&world, "ann", 1), low = submit (&world, "ann", 1);
    unsigned taken = 0, older_at = 0;
    for (uuid_t task = anyone; !uuid_eq (task, low); taken++) {
        submit (&world, "ann", 10);
        task = take (&world, worker, 1000, 1);
        if (uuid_eq (task, older))
            older_at = taken + 1;
        assert_true (taken < 3 * OLDEST_EVERY);
    }
    assert_in_range (older_at, 2, OLDEST_EVERY + 1);
    assert_in_range (taken, OLDEST_EVERY + 1, 2 * OLDEST_EVERY + 1);
    world_stop (&world);
}

/*  A unit in hand comes whenever it is the oldest's turn: that turn is kept for it. */
static void what_is_in_hand_does_not_use_up_the_turns_of_the_oldest (void **state)
{
    enum { UNITS = 4 * OLDEST_EVERY };
    queue_t queue = { 0 };
    user_queue_t user = { 0 };
    ready_node_t low = { 0 }, units[UNITS] = { 0 }, in_hand = { 0 };
    (void)state;
    queue_add (&queue, &user, 0, 1, &low, queue_class (1), 1);
    for (unsigned i = 0; i < UNITS; i++)
        queue_add (&queue, &user, 0, 1, &units[i], queue_class (10), 2 + i);
    unsigned before = 0;
    for (unsigned i = 1;; i++) {
        if (i % OLDEST_EVERY == 0)
            queue_add (&queue, &user, 0, 1, &in_hand, CLASS_IN_HAND, 0);
        assert_ptr_equal (queue_next (&queue), &user);
        ready_node_t *next = queue_next_of (&user);
        queue_taken (&user);
        if (next == &low)
            break;
        queue_remove (&queue, &user, 0, 1, next, next == &in_hand ? CLASS_IN_HAND : queue_class (10));
        before += next != &in_hand;
        assert_true (before < OLDEST_EVERY);
    }
}

static void a_user_is_never_further_behind_than_the_bound (void **state)
{
    world_t world;
    (void)state;
    world_start (&world, NULL);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    for (int i = 0; i < 40; i++) /* ann had everything for herself: an hour of CPU time in no time */
        submit (&world, "ann", 5);
    for (int i = 0; i < 36; i++)
        take (&world, worker, 100000000, 0);
    for (int i = 0; i < 300; i++)
        submit (&world, "bob", 5);
    uint64_t start = world.now;
    take (&world, worker, 100000, 100);
    unsigned others = 0;
    for (; others < 300 && is_of (&world, worker, "bob"); others++)
        take (&world, worker, 100000, 100);
    assert_true (others < 300);
    assert_true (world.now - start <= DEBT_MAX_US / 1000 + 200);
    world_stop (&world);
}

static void a_task_that_somebody_watches_is_worth_more (void **state)
{
    world_t world;
    char topic[64], id[UUID_TEXT];
    (void)state;
    world_start (&world, NULL);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    submit (&world, "ann", 5);
    uuid_t first = submit (&world, "ann", 6), watched = submit (&world, "ann", 5), urgent = submit (&world, "ann", 8);
    uuid_text (watched, id);
    snprintf (topic, sizeof topic, "task.ann.%s", id);
    core_subscription (world.core, span_str (topic), true);
    take (&world, worker, 1000, 1);
    assert_true (uuid_eq (take (&world, worker, 1000, 1), urgent));
    assert_true (uuid_eq (take (&world, worker, 1000, 1), watched));
    assert_true (uuid_eq (take (&world, worker, 1000, 1), first));
    world_stop (&world);
}

static bool waits_for (world_t *world, uuid_t task, const char *what)
{
    wire_task_events_t events = { .req = 1, .user = SPAN_LIT ("ann"), .task = task, .limit = 100 };
    frames_t reply;
    char expected[64];
    world_say (world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_EVENTS, .task_events = events }, NULL, 0);
    world_turn (world);
    assert_true (world_hear (world, WIRE_KIND_REPLY, anyone, &reply));
    span_t body = buf_span (reply.payload[0]);
    snprintf (expected, sizeof expected, "\"waiting_for\":\"%s", what);
    bool found = memmem (body.data, body.size, expected, strlen (expected)) != NULL;
    frames_clear (&reply);
    return found;
}

static void a_task_says_why_it_waits (void **state)
{
    world_t world;
    frames_t job;
    (void)state;
    core_config_t config = core_config_default;
    config.active_max = 1;
    world_start (&world, &config);
    uuid_t first = submit (&world, "ann", 5), second = submit (&world, "ann", 5);
    assert_true (waits_for (&world, first, "workers"));
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    assert_false (waits_for (&world, first, ""));
    assert_true (waits_for (&world, second, "memory_budget"));
    assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
    world_result (&world, worker, &job.msg.job, RESULT_FAILED, "parser_crashed", 0, 0);
    world_turn (&world);
    frames_clear (&job);
    assert_true (waits_for (&world, first, "backoff"));
    world_stop (&world);

    world_start (&world, NULL);
    world_worker (&world, STAGE_EXTRACT, 1);
    submit (&world, "ann", 5);
    second = submit (&world, "ann", 5);
    assert_true (waits_for (&world, second, "user_share"));
    world_stop (&world);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (one_task_of_another_user_does_not_wait_behind_a_thousand),
        cmocka_unit_test (users_share_by_cost_not_by_count),
        cmocka_unit_test (a_low_priority_waits_for_others_nine_seconds_at_most),
        cmocka_unit_test (a_low_priority_of_the_same_user_is_taken_in_its_turn),
        cmocka_unit_test (what_is_in_hand_does_not_use_up_the_turns_of_the_oldest),
        cmocka_unit_test (a_user_is_never_further_behind_than_the_bound),
        cmocka_unit_test (a_task_that_somebody_watches_is_worth_more),
        cmocka_unit_test (a_task_says_why_it_waits),
    };
    return cmocka_run_group_tests (tests, core_quiet, NULL);
}
