/*  What the history of a task says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "tests/unit/core_fixture.h"

/* link: sim core */

static void the_history_of_a_task_that_is_processed_again_has_both_starts (void **state)
{
    world_t world;
    uuid_t worker, task;
    str_t body = STR_INIT;
    (void)state;
    for (int crash = 0; crash < 2; crash++) {
        world_start (&world, NULL);
        worker = world_worker (&world, STAGE_EXTRACT, 1);
        submit_named (&world, "damaged", "a.pdf", false, &task, &body);
        if (crash) { /* between the start and its first line on disk */
            world_restart (&world, true);
            worker = world_worker (&world, STAGE_EXTRACT, 1);
        }
        fail_for_good (&world, worker, task, "damaged_document", false);
        world_pass (&world, 60000);
        worker = world_worker (&world, STAGE_EXTRACT, 1);
        assert_int_equal (process (&world, task, false, NULL), 202);
        if (crash) {
            world_restart (&world, true);
            worker = world_worker (&world, STAGE_EXTRACT, 1);
        }
        fail_for_good (&world, worker, task, "damaged_document", false);
        ask_history (&world, task, &body);
        assert_int_equal (times (&body, "\"event\":\"started\""), 2);
        assert_int_equal (times (&body, "\"event\":\"failed\",\"stage\""), 2);
        const char *first = strstr (body.data, "\"event\":\"started\""), *again = strstr (body.data, "\"replayed\"");
        assert_true (first < strstr (body.data, "\"event\":\"failed\""));
        assert_true (again > first && strstr (again, "\"event\":\"started\""));
        if (!crash) {
            contains (&body, "\"stage\":\"extract\",\"attempt\":1,\"job\":1,");
            contains (&body, "\"stage\":\"extract\",\"attempt\":2,\"job\":2,");
        }
        world_stop (&world);
    }
    str_free (&body);
}

static void attempts_in_the_history_are_of_the_task_not_of_the_broker (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], other, task;
    frames_t job;
    str_t body = STR_INIT;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    for (int i = 0; i < 5; i++) {
        char text[16];
        snprintf (text, sizeof text, "other %d", i);
        submit_named (&world, text, "a.txt", false, &other, &body);
        world_work_all (&world, workers);
    }
    submit_named (&world, "this", "a.txt", false, &task, &body);
    world_work (&world, workers[0]);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[STAGE_CHUNK], &job));
    world_result (&world, workers[STAGE_CHUNK], &job.msg.job, RESULT_FAILED, "timeout", 0, 0);
    world_turn (&world);
    frames_clear (&job);
    world_pass (&world, 500);
    world_work_all (&world, workers);
    ask_history (&world, task, &body);
    contains (&body, "\"event\":\"done\",\"stage\":\"extract\",\"attempt\":1,");
    contains (&body, "\"event\":\"failed\",\"stage\":\"chunk\",\"segment\":0,\"attempt\":1,");
    contains (&body, "\"event\":\"done\",\"stage\":\"chunk\",\"segment\":0,\"attempt\":2,");
    contains (&body, "\"event\":\"done\",\"stage\":\"embed\",\"segment\":0,\"attempt\":1,");
    str_free (&body);
    world_stop (&world);
}

static void the_history_says_where_a_document_went_on (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    frames_t job;
    str_t body = STR_INIT;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    submit_named (&world, "long", "a.pdf", false, &task, &body);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[0], &job));
    for (uint32_t i = 0; i < 3; i++)
        world_result (&world, workers[0], &job.msg.job, RESULT_PART, NULL, i, COLUMN_TEXT | COLUMN_MARKS);
    world_turn (&world);
    frames_clear (&job);
    core_worker_gone (world.core, workers[0]);
    workers[0] = world_worker (&world, STAGE_EXTRACT, 4);
    world_work_all (&world, workers);
    ask_history (&world, task, &body);
    contains (&body, "\"event\":\"lost\",\"stage\":\"extract\",\"attempt\":1,");
    contains (&body, "\"event\":\"resumed\",\"stage\":\"extract\",\"segment\":3,\"attempt\":2,");
    assert_int_equal (times (&body, "\"event\":\"resumed\""), 1);
    str_free (&body);
    world_stop (&world);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (the_history_of_a_task_that_is_processed_again_has_both_starts),
        cmocka_unit_test (attempts_in_the_history_are_of_the_task_not_of_the_broker),
        cmocka_unit_test (the_history_says_where_a_document_went_on),
    };
    return cmocka_run_group_tests (tests, core_quiet, NULL);
}
