#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "tests/unit/core_fixture.h"

/* link: sim core */

/*  The worker beats for `ms`, and says that `running` is at `progress`. */
static void beats (world_t *world, uuid_t worker, stage_t stage, uint64_t ms, uint64_t running, uint64_t progress)
{
    for (uint64_t passed = 0; passed < ms; passed += 500) {
        wire_beat_t msg = { .worker = worker,
                            .stage = (uint8_t)stage,
                            .slots = 1,
                            .epoch = core_epoch (world->core),
                            .running = running,
                            .progress = progress };
        world_say (world, &(wire_msg_t){ .kind = WIRE_KIND_BEAT, .beat = msg }, NULL, 0);
        world_pass (world, 500);
    }
}

static void a_job_that_stands_still_is_stopped_and_tried_again_and_ends_as_timeout (void **state)
{
    world_t world;
    uuid_t task;
    frames_t job, cancelled;
    str_t body = STR_INIT;
    (void)state;
    core_config_t config = core_config_default;
    config.silence_ms = 5000;
    config.backoff_ms = 10;
    world_start (&world, &config);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    world_submit (&world, "ann", "stuck", 0, NULL, &task);
    for (unsigned tries = 0; tries < config.tries_max; tries++) {
        assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
        assert_int_equal (job.msg.job.tries, tries);
        for (uint64_t progress = 1; progress < 5; progress++) /* goes on: nothing happens */
            beats (&world, worker, STAGE_EXTRACT, 4000, job.msg.job.number, progress);
        assert_false (world_hear (&world, WIRE_KIND_CANCEL, worker, &cancelled));
        beats (&world, worker, STAGE_EXTRACT, 6000, job.msg.job.number, 4);
        assert_true (world_hear (&world, WIRE_KIND_CANCEL, worker, &cancelled));
        assert_int_equal (cancelled.msg.cancel.number, job.msg.job.number);
        world_result (&world, worker, &job.msg.job, RESULT_FAILED, "cancelled", 0, 0);
        frames_clear (&cancelled);
        frames_clear (&job);
        beats (&world, worker, STAGE_EXTRACT, 1000, 0, 0);
    }
    assert_string_equal (world_status (&world, "ann", task), "failed");
    wire_task_get_t get = { .req = 1, .user = SPAN_LIT ("ann"), .task = task };
    assert_int_equal (world_ask (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_GET, .task_get = get }, &body), 200);
    assert_non_null (strstr (body.data, "\"error_code\":\"timeout\""));
    assert_int_equal (world_count (&world, OUT_KILL), 0);
    str_free (&body);
    world_stop (&world);
}

static void without_a_bound_a_job_may_stand_still (void **state)
{
    world_t world;
    uuid_t task;
    frames_t job, cancelled;
    (void)state;
    core_config_t config = core_config_default;
    config.silence_ms = 0;
    world_start (&world, &config);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    world_submit (&world, "ann", "slow", 0, NULL, &task);
    assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
    beats (&world, worker, STAGE_EXTRACT, 400000, job.msg.job.number, 1);
    assert_false (world_hear (&world, WIRE_KIND_CANCEL, worker, &cancelled));
    assert_string_equal (world_status (&world, "ann", task), "processing");
    frames_clear (&job);
    world_stop (&world);
}

static void a_worker_that_does_not_stop_is_killed (void **state)
{
    world_t world;
    uuid_t task;
    frames_t job;
    (void)state;
    core_config_t config = core_config_default;
    config.silence_ms = config.grace_ms = 5000;
    world_start (&world, &config);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    world_submit (&world, "ann", "stuck", 0, NULL, &task);
    assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
    for (int i = 0; i < 30 && !world_count (&world, OUT_KILL); i++)
        beats (&world, worker, STAGE_EXTRACT, 500, job.msg.job.number, 1);
    frames_clear (&job);
    assert_int_equal (world_count (&world, OUT_KILL), 1);
    worker = world_worker (&world, STAGE_EXTRACT, 1);
    world_pass (&world, 1000);
    assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
    assert_int_equal (job.msg.job.tries, 1);
    frames_clear (&job);
    world_stop (&world);
}

static void a_job_that_its_worker_knows_nothing_of_comes_back (void **state)
{
    world_t world;
    uuid_t task;
    frames_t job;
    (void)state;
    core_config_t config = core_config_default;
    config.silence_ms = config.grace_ms = 5000;
    world_start (&world, &config);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    world_submit (&world, "ann", "lost", 0, NULL, &task);
    assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
    frames_clear (&job);
    for (int i = 0; i < 30 && !world_count (&world, OUT_KILL); i++)
        beats (&world, worker, STAGE_EXTRACT, 500, 0, 0);
    assert_int_equal (world_count (&world, OUT_KILL), 1);
    worker = world_worker (&world, STAGE_EXTRACT, 1);
    world_pass (&world, 1000);
    assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
    frames_clear (&job);
    world_stop (&world);
}

static void a_task_that_takes_too_long_ends_as_timeout (void **state)
{
    world_t world;
    uuid_t task;
    frames_t job, cancelled;
    (void)state;
    core_config_t config = core_config_default;
    config.task_ms = 60000;
    world_start (&world, &config);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    world_submit (&world, "ann", "long", 0, NULL, &task);
    assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
    for (uint64_t progress = 0; progress < 11; progress++)
        beats (&world, worker, STAGE_EXTRACT, 5000, job.msg.job.number, progress);
    assert_string_equal (world_status (&world, "ann", task), "processing");
    beats (&world, worker, STAGE_EXTRACT, 7000, job.msg.job.number, 99);
    assert_string_equal (world_status (&world, "ann", task), "failed");
    assert_true (world_hear (&world, WIRE_KIND_CANCEL, worker, &cancelled));
    frames_clear (&cancelled);
    frames_clear (&job);
    world_stop (&world);
}

static void while_the_broker_stands_still_nobody_is_silent (void **state)
{
    world_t world;
    frames_t job, cancelled;
    uuid_t task;
    (void)state;
    core_config_t config = core_config_default;
    config.silence_ms = 10000;
    world_start (&world, &config);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    world_submit (&world, "ann", "steady", 0, NULL, &task);
    assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
    beats (&world, worker, STAGE_EXTRACT, 1000, job.msg.job.number, 1);

    world.now += 60000; /* stopped; its first turn comes before what the worker said is in the sockets */
    world.wall += 60000;
    core_begin (world.core, world.now, world.wall);
    core_stood_still (world.core, 60000);
    world_turn (&world);
    beats (&world, worker, STAGE_EXTRACT, 2000, job.msg.job.number, 1);
    assert_false (world_hear (&world, WIRE_KIND_CANCEL, worker, &cancelled));
    assert_string_equal (world_status (&world, "ann", task), "processing");
    assert_int_equal (world_count (&world, OUT_DISCONNECT), 0);

    world_pass (&world, world.config.beat_ms * (world.config.beats_missed + 1)); /* and then it is as ever */
    assert_int_equal (world_count (&world, OUT_DISCONNECT), 1);
    frames_clear (&job);
    world_stop (&world);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_job_that_stands_still_is_stopped_and_tried_again_and_ends_as_timeout),
        cmocka_unit_test (without_a_bound_a_job_may_stand_still),
        cmocka_unit_test (a_worker_that_does_not_stop_is_killed),
        cmocka_unit_test (a_job_that_its_worker_knows_nothing_of_comes_back),
        cmocka_unit_test (a_task_that_takes_too_long_ends_as_timeout),
        cmocka_unit_test (while_the_broker_stands_still_nobody_is_silent),
    };
    return cmocka_run_group_tests (tests, core_quiet, NULL);
}
