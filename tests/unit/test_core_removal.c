/*  Deletions of tasks, at the moments when that is hardest. */
#include "base/log.h"
#include "store/records.h"
#include "tests/sim/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* link: sim core */

static const uuid_t anyone;
static world_t world;
static uuid_t workers[STAGE_COUNT], document, task;
static frames_t job;

/*  A task whose commit is in storage's hands. */
static int start (void **state)
{
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    assert_int_equal (world_submit (&world, "ann", "hello", 0, &document, &task), 201);
    for (int i = 0; i < STAGE_STORAGE; i++)
        world_work (&world, workers[i]);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[STAGE_STORAGE], &job));
    assert_int_equal (job.msg.job.final, 1);
    return 0;
}

static int stop (void **state)
{
    (void)state;
    frames_clear (&job);
    world_stop (&world);
    return 0;
}

static void ask_to_delete (uint64_t req)
{
    wire_task_delete_t msg = { .req = req, .user = SPAN_LIT ("ann"), .task = task };
    world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_DELETE, .task_delete = msg }, NULL, 0);
    world_turn (&world);
}

/*  0: there is no answer. */
static uint32_t answer (uint64_t req)
{
    frames_t reply;
    if (!world_hear (&world, WIRE_KIND_REPLY, anyone, &reply))
        return 0;
    assert_int_equal (reply.msg.reply.req, req);
    uint32_t status = reply.msg.reply.status;
    frames_clear (&reply);
    return status;
}

static void assert_gone (void)
{
    assert_string_equal (world_status (&world, "ann", task), "");
    static const record_family_t families[] = { FAMILY_TASKS, FAMILY_LIVE, FAMILY_ENDED, FAMILY_HISTORY, FAMILY_WORK };
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        assert_int_equal (kv_memory_count (world.kv, families[i]), 0);
}

static void it_waits_for_the_end_of_a_commit (void **state)
{
    (void)state;
    ask_to_delete (50);
    ask_to_delete (51);
    world_pass (&world, 1000);
    assert_int_equal (answer (50), 0);
    world_result (&world, workers[STAGE_STORAGE], &job.msg.job, RESULT_DONE, NULL, 0, 0);
    world_turn (&world); /* the end */
    world_turn (&world);
    assert_int_equal (answer (50), 204);
    assert_int_equal (answer (51), 204);
    assert_gone ();
    assert_int_equal (kv_memory_count (world.kv, FAMILY_DOCUMENTS), 1);
    world_restart (&world, true);
    assert_gone ();
    ask_to_delete (52);
    assert_int_equal (answer (52), 404);
}

static void it_waits_also_when_storage_has_to_try_again (void **state)
{
    (void)state;
    ask_to_delete (50);
    world_result (&world, workers[STAGE_STORAGE], &job.msg.job, RESULT_FAILED, "disk_full", 0, 0);
    world_turn (&world);
    world_turn (&world);
    assert_int_equal (answer (50), 0);
    world_pass (&world, 2000);
    world_work_all (&world, workers);
    world_turn (&world);
    assert_int_equal (answer (50), 204);
    assert_gone ();
}

static void it_comes_through_when_the_commit_is_refused (void **state)
{
    (void)state;
    ask_to_delete (50);
    world_result (&world, workers[STAGE_STORAGE], &job.msg.job, RESULT_FAILED, "protocol", 0, 0);
    world_turn (&world);
    world_turn (&world);
    assert_int_equal (answer (50), 204);
    world_work_all (&world, workers);
    assert_gone ();
}

static void it_comes_through_when_the_task_is_asked_for_again_at_its_end (void **state)
{
    (void)state;
    ask_to_delete (50);
    world_result (&world, workers[STAGE_STORAGE], &job.msg.job, RESULT_DONE, NULL, 0, 0);
    world_turn (&world);
    wire_task_process_t again = { .req = 51, .user = SPAN_LIT ("ann"), .task = task };
    world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_PROCESS, .task_process = again }, NULL, 0);
    world_turn (&world);
    world_turn (&world);
    assert_int_equal (answer (51), 202);
    assert_int_equal (answer (50), 204);
    world_work_all (&world, workers);
    assert_gone ();
}

static void a_document_takes_what_waits_with_it (void **state)
{
    (void)state;
    ask_to_delete (50);
    wire_document_delete_t drop = { .req = 51, .user = SPAN_LIT ("ann"), .document = document };
    world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_DOCUMENT_DELETE, .document_delete = drop }, NULL, 0);
    world_turn (&world);
    world_turn (&world);
    assert_int_equal (answer (50), 204);
    world_work_all (&world, workers);
    assert_int_equal (answer (51), 204);
    assert_gone ();
    assert_int_equal (kv_memory_count (world.kv, FAMILY_DOCUMENTS), 0);
}

static void a_crash_forgets_what_nobody_was_promised (void **state)
{
    (void)state;
    ask_to_delete (50);
    world_restart (&world, false);
    world_hire (&world, workers);
    world_work_all (&world, workers);
    assert_string_equal (world_status (&world, "ann", task), "completed");
    ask_to_delete (51);
    assert_int_equal (answer (51), 204);
    assert_gone ();
}

/*  Its last line is not in the database yet. */
static void what_was_noted_in_the_same_turn_goes_too (void **state)
{
    (void)state;
    world_restart (&world, false);
    world_hire (&world, workers);
    uuid_t first = task;
    world_work_all (&world, workers);
    assert_int_equal (world_submit (&world, "ann", "another", 0, NULL, &task), 201);
    frames_clear (&job);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[STAGE_EXTRACT], &job));
    world_result (&world, workers[STAGE_EXTRACT], &job.msg.job, RESULT_FAILED, "parser_crashed", 0, 0);
    wire_task_delete_t msg = { .req = 50, .user = SPAN_LIT ("ann"), .task = task };
    world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_DELETE, .task_delete = msg }, NULL, 0);
    world_turn (&world);
    assert_int_equal (answer (50), 204);
    task = first;
    ask_to_delete (51);
    assert_int_equal (answer (51), 204);
    world_work_all (&world, workers);
    assert_gone ();
}

int main (void)
{
    log_init ("test", LOG_ERROR + 1);
#define REMOVAL_TEST(name) cmocka_unit_test_setup_teardown (name, start, stop)
    const struct CMUnitTest tests[] = {
        REMOVAL_TEST (it_waits_for_the_end_of_a_commit),
        REMOVAL_TEST (it_waits_also_when_storage_has_to_try_again),
        REMOVAL_TEST (it_comes_through_when_the_commit_is_refused),
        REMOVAL_TEST (it_comes_through_when_the_task_is_asked_for_again_at_its_end),
        REMOVAL_TEST (a_document_takes_what_waits_with_it),
        REMOVAL_TEST (a_crash_forgets_what_nobody_was_promised),
        REMOVAL_TEST (what_was_noted_in_the_same_turn_goes_too),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
