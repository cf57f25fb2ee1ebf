/*  What is tried again, how often, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/core_fixture.h"

/* link: sim core */

static void bye (world_t *world, uuid_t worker)
{
    world_say (world, &(wire_msg_t){ .kind = WIRE_KIND_BYE, .bye = { .worker = worker } }, NULL, 0);
    world_turn (world);
}

/*  Waits until `worker` is given a job, in steps of `step_ms`; false when it is not within `most_ms`. */
static bool next_job (world_t *world, uuid_t worker, stage_t stage, uint64_t step_ms, uint64_t most_ms, frames_t *job)
{
    for (uint64_t waited = 0; waited <= most_ms; waited += step_ms) {
        if (world_hear (world, WIRE_KIND_JOB, worker, job))
            return true;
        if (waited % 500 == 0)
            world_beat (world, (wire_beat_t){ .worker = worker, .stage = (uint8_t)stage, .slots = 4 });
        world_pass (world, step_ms);
    }
    return false;
}

/*  How often a document that fails like this at `stage` is tried there. */
static unsigned tries_of (stage_t stage, const char *code)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    frames_t job;
    unsigned tries = 0;
    world_start (&world, NULL);
    world_hire (&world, workers);
    world_submit (&world, "ann", "text", 0, NULL, &task);
    for (int i = 0; i < (int)stage; i++)
        assert_true (world_work (&world, workers[i]));
    while (tries < 50 && strcmp (world_status (&world, "ann", task), "failed") != 0) {
        for (int i = 0; i < STAGE_COUNT; i++)
            world_beat (&world, (wire_beat_t){ .worker = workers[i], .stage = (uint8_t)i, .slots = 4 });
        world_pass (&world, 3000);
        if (!world_hear (&world, WIRE_KIND_JOB, workers[stage], &job))
            continue;
        tries++;
        world_result (&world, workers[stage], &job.msg.job, RESULT_FAILED, code, job.msg.job.segment, 0);
        world_turn (&world);
        frames_clear (&job);
    }
    world_stop (&world);
    return tries;
}

static void a_fault_that_no_retry_cures_is_not_retried_at_any_stage (void **state)
{
    (void)state;
    for (err_code_t code = ERR_NONE + 1; code < ERR_COUNT; code++)
        if (err_class (code) != ERR_RETRY)
            for (stage_t stage = 0; stage < STAGE_COUNT; stage++)
                assert_int_equal (tries_of (stage, err_name (code)), 1);
}

static void a_passing_fault_is_retried_a_bounded_number_of_times (void **state)
{
    static const err_code_t of_the_document[] = { ERR_PARSER_CRASHED, ERR_PARSER_KILLED, ERR_TIMEOUT };
    static const err_code_t of_the_worker[] = { ERR_UNAVAILABLE, ERR_DRAINING, ERR_DISK_FULL, ERR_IO, ERR_NO_MEMORY };
    (void)state;
    for (size_t i = 0; i < sizeof of_the_document / sizeof *of_the_document; i++)
        for (stage_t stage = 0; stage < STAGE_STORAGE; stage++)
            assert_int_equal (tries_of (stage, err_name (of_the_document[i])), core_config_default.tries_max);
    for (size_t i = 0; i < sizeof of_the_worker / sizeof *of_the_worker; i++)
        for (stage_t stage = 0; stage < STAGE_STORAGE; stage++)
            assert_int_equal (tries_of (stage, err_name (of_the_worker[i])), core_config_default.losses_max + 1);
    assert_int_equal (tries_of (STAGE_STORAGE, "disk_full"), 50); /* it waits until that is well again */
}

/*  Jobs that were released and not yet looked at. */
static size_t jobs_released (const world_t *world)
{
    size_t count = 0;
    for (size_t i = 0; i < world->out_count; i++) {
        wire_msg_t msg;
        err_t err;
        if (world->out[i].kind == OUT_WORKER && wire_decode (buf_span (world->out[i].frames[0]), &msg, &err) == 0)
            count += msg.kind == WIRE_KIND_JOB;
    }
    return count;
}

/*  Lets all that are given to `worker` fail at once, and looks when each comes again: in four equal parts of the span,
 *  and on the average. */
static void check_pauses (world_t *world, uuid_t worker, unsigned tries, uint64_t span_ms, unsigned tasks)
{
    enum { STEP_MS = 20, BINS = 4 };
    unsigned bins[BINS] = { 0 }, count = 0;
    uint64_t sum = 0;
    frames_t job, *again = calloc (tasks, sizeof *again);
    assert_non_null (again);
    while (world_hear (world, WIRE_KIND_JOB, worker, &job)) {
        assert_int_equal (job.msg.job.tries, tries);
        again[count++] = job;
    }
    assert_int_equal (count, tasks);
    while (count) {
        world_result (world, worker, &again[--count].msg.job, RESULT_FAILED, "parser_crashed", 0, 0);
        frames_clear (&again[count]);
    }
    world_turn (world);
    size_t before = jobs_released (world);
    assert_int_equal (before, 0); /* at once would be no pause */
    for (uint64_t waited = 0; waited < span_ms; waited += STEP_MS) {
        world_pass (world, STEP_MS);
        size_t now = jobs_released (world);
        bins[waited * BINS / span_ms] += (unsigned)(now - before);
        sum += (now - before) * (waited + STEP_MS / 2);
        before = now;
    }
    assert_int_equal (before, tasks);    /* none later than the span */
    for (int bin = 0; bin < BINS; bin++) /* five standard deviations: 68 of 1,000 */
        assert_in_range (bins[bin], tasks / BINS - 68, tasks / BINS + 68);
    assert_in_range (sum / tasks, span_ms / 2 - span_ms / 25, span_ms / 2 + span_ms / 25);
    free (again);
}

/*  Full jitter: anything between nothing and a span that doubles, all of it equally likely. */
static void pauses_are_spread_evenly_over_a_span_that_doubles (void **state)
{
    enum { TASKS = 1000 };
    world_t world;
    (void)state;
    core_config_t config = core_config_default;
    config.beats_missed = 1000;
    config.active_max = TASKS;
    config.tries_max = 10;
    config.backoff_ms = 1000;
    config.backoff_max_ms = 4000;
    world_start (&world, &config);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, TASKS), task;
    for (int i = 0; i < TASKS; i++) {
        char text[32];
        snprintf (text, sizeof text, "document %d", i);
        world_submit (&world, "ann", text, 0, NULL, &task);
    }
    static const uint64_t spans_ms[] = { 1000, 2000, 4000, 4000 };
    for (unsigned tries = 0; tries < sizeof spans_ms / sizeof *spans_ms; tries++)
        check_pauses (&world, worker, tries, spans_ms[tries], TASKS);
    world_stop (&world);
}

static void drained_and_restarted_workers_are_no_tries (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    frames_t job;
    (void)state;
    world_start (&world, NULL);
    world_submit (&world, "ann", "hello", 0, NULL, &task);
    for (int i = 0; i < 100; i++) { /* far more than any bound */
        uuid_t worker = world_worker (&world, STAGE_EXTRACT, 4);
        assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
        assert_int_equal (job.msg.job.tries, 0);
        frames_clear (&job);
        bye (&world, worker);
    }
    world_hire (&world, workers);
    world_work_all (&world, workers);
    assert_string_equal (world_status (&world, "ann", task), "completed");
    world_stop (&world);
}

static void restarts_of_the_broker_are_no_tries (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    frames_t job;
    (void)state;
    world_start (&world, NULL);
    world_submit (&world, "ann", "hello", 0, NULL, &task);
    for (int i = 0; i < 100; i++) {
        uuid_t worker = world_worker (&world, STAGE_EXTRACT, 4);
        assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
        assert_int_equal (job.msg.job.tries, 0);
        frames_clear (&job);
        world_restart (&world, i % 2);
    }
    world_hire (&world, workers);
    world_work_all (&world, workers);
    assert_string_equal (world_status (&world, "ann", task), "completed");
    world_stop (&world);
}

static void killed_workers_are_no_tries_until_there_are_too_many (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    frames_t job;
    (void)state;
    for (unsigned extra = 0; extra < 2; extra++) {
        world_start (&world, NULL);
        world_submit (&world, "ann", "hello", 0, NULL, &task);
        for (unsigned i = 0; i < world.config.losses_max + extra; i++) {
            uuid_t worker = world_worker (&world, STAGE_EXTRACT, 4);
            assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job)); /* at once: nobody is to blame */
            assert_int_equal (job.msg.job.tries, 0);
            frames_clear (&job);
            core_worker_gone (world.core, worker);
            world_turn (&world);
        }
        world_hire (&world, workers);
        world_work_all (&world, workers);
        assert_string_equal (world_status (&world, "ann", task), extra ? "failed" : "completed");
        world_stop (&world);
    }
}

/*  Nobody knows which of several documents took a worker with it: so it is found out. */
static void a_document_that_takes_workers_with_it_takes_no_other_document_with_it (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], deadly, others[3];
    frames_t job;
    (void)state;
    world_start (&world, NULL);
    world_submit (&world, "ann", "deadly", 0, NULL, &deadly);
    for (int i = 0; i < 3; i++) {
        char text[16];
        snprintf (text, sizeof text, "harmless %d", i);
        world_submit (&world, "ann", text, 0, NULL, &others[i]);
    }
    for (int deaths = 0; deaths < 100 && strcmp (world_status (&world, "ann", deadly), "failed") != 0; deaths++) {
        uuid_t worker = world_worker (&world, STAGE_EXTRACT, 8);
        bool dies = false;
        while (world_hear (&world, WIRE_KIND_JOB, worker, &job)) {
            dies |= uuid_eq (job.msg.job.task, deadly);
            if (!dies) {
                world_result (&world, worker, &job.msg.job, RESULT_DONE, NULL, 0, COLUMN_TEXT | COLUMN_MARKS);
                world_turn (&world);
            }
            frames_clear (&job);
        }
        core_worker_gone (world.core, worker);
        world_turn (&world);
    }
    assert_string_equal (world_status (&world, "ann", deadly), "failed");
    world_hire (&world, workers);
    world_work_all (&world, workers);
    for (int i = 0; i < 3; i++)
        assert_string_equal (world_status (&world, "ann", others[i]), "completed");
    world_stop (&world);
}

static void each_stage_of_a_segment_has_its_own_tries (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    frames_t job;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    world_submit (&world, "ann", "hello", 0, NULL, &task);
    for (stage_t stage = 0; stage < STAGE_STORAGE; stage++) {
        for (unsigned i = 0; i + 1 < world.config.tries_max; i++) {
            assert_true (next_job (&world, workers[stage], stage, 50, 60000, &job));
            assert_int_equal (job.msg.job.tries, i);
            world_result (&world, workers[stage], &job.msg.job, RESULT_FAILED, "timeout", 0, 0);
            world_turn (&world);
            frames_clear (&job);
        }
        for (int i = 0; i < STAGE_COUNT; i++)
            world_beat (&world, (wire_beat_t){ .worker = workers[i], .stage = (uint8_t)i, .slots = 4 });
        world_pass (&world, 2000);
        for (int i = 0; i < STAGE_COUNT; i++)
            world_beat (&world, (wire_beat_t){ .worker = workers[i], .stage = (uint8_t)i, .slots = 4 });
        assert_true (world_work (&world, workers[stage]));
    }
    assert_true (world_work (&world, workers[STAGE_STORAGE]));
    assert_string_equal (world_status (&world, "ann", task), "completed");
    world_stop (&world);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_fault_that_no_retry_cures_is_not_retried_at_any_stage),
        cmocka_unit_test (a_passing_fault_is_retried_a_bounded_number_of_times),
        cmocka_unit_test (pauses_are_spread_evenly_over_a_span_that_doubles),
        cmocka_unit_test (drained_and_restarted_workers_are_no_tries),
        cmocka_unit_test (restarts_of_the_broker_are_no_tries),
        cmocka_unit_test (killed_workers_are_no_tries_until_there_are_too_many),
        cmocka_unit_test (a_document_that_takes_workers_with_it_takes_no_other_document_with_it),
        cmocka_unit_test (each_stage_of_a_segment_has_its_own_tries),
    };
    return cmocka_run_group_tests (tests, core_quiet, NULL);
}
