/*  Crashes, power cuts, silent workers, results that come late: nothing is lost, nothing counts twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/hash.h"
#include "store/records.h"
#include "tests/sim/world.h"

/* link: sim core */

static const uuid_t anyone;

static void an_acknowledged_submit_survives_a_power_cut (void **state)
{
    world_t world;
    uuid_t task;
    (void)state;
    world_start (&world, NULL);
    assert_int_equal (world_submit (&world, "ann", "hello", 0, NULL, &task), 201);
    world_restart (&world, true);
    assert_string_equal (world_status (&world, "ann", task), "pending");
    assert_int_equal (core_epoch (world.core), 2);
    world_stop (&world);
}

static void work_in_hand_is_done_again_after_a_power_cut (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    world_submit (&world, "ann", "hello", 0, NULL, &task);
    world_work (&world, workers[STAGE_EXTRACT]);
    world_work (&world, workers[STAGE_CHUNK]);
    world_restart (&world, true);
    world_hire (&world, workers);
    world_work_all (&world, workers);
    assert_string_equal (world_status (&world, "ann", task), "completed");
    world_stop (&world);
}

static void a_completion_survives_a_power_cut (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    world_submit (&world, "ann", "hello", 0, NULL, &task);
    world_work_all (&world, workers);
    world_restart (&world, true);
    assert_string_equal (world_status (&world, "ann", task), "completed");
    assert_int_equal (kv_memory_count (world.kv, FAMILY_LIVE), 0);
    world_stop (&world);
}

static void a_silent_worker_loses_its_jobs_and_its_late_result_is_ignored (void **state)
{
    world_t world;
    uuid_t task;
    frames_t old, again, ack;
    (void)state;
    world_start (&world, NULL);
    uuid_t first = world_worker (&world, STAGE_EXTRACT, 2);
    world_submit (&world, "ann", "hello", 0, NULL, &task);
    assert_true (world_hear (&world, WIRE_KIND_JOB, first, &old));
    world_pass (&world, world.config.beat_ms * (world.config.beats_missed + 1));
    assert_int_equal (world_count (&world, OUT_DISCONNECT), 1);
    uuid_t second = world_worker (&world, STAGE_EXTRACT, 2);
    assert_true (world_hear (&world, WIRE_KIND_JOB, second, &again));
    assert_true (again.msg.job.number > old.msg.job.number);

    /* The first one comes back (it was only stopped) and answers for the old attempt. */
    wire_beat_t beat = { .worker = first, .stage = STAGE_EXTRACT, .slots = 2, .epoch = 1 };
    world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_BEAT, .beat = beat }, NULL, 0);
    world_result (&world, first, &old.msg.job, RESULT_DONE, NULL, 0, COLUMN_TEXT | COLUMN_MARKS);
    world_turn (&world);
    assert_true (world_hear (&world, WIRE_KIND_ACK, first, &ack)); /* so that it forgets */
    assert_int_equal (ack.msg.ack.number, old.msg.job.number);
    world_worker (&world, STAGE_CHUNK, 1);
    frames_t none;
    assert_false (world_hear (&world, WIRE_KIND_JOB, anyone, &none));

    world_result (&world, second, &again.msg.job, RESULT_DONE, NULL, 0, COLUMN_TEXT | COLUMN_MARKS);
    world_turn (&world);
    assert_true (world_hear (&world, WIRE_KIND_JOB, anyone, &none));
    assert_int_equal (none.msg.job.stage, STAGE_CHUNK);
    frames_clear (&none);
    frames_clear (&old);
    frames_clear (&again);
    frames_clear (&ack);
    world_stop (&world);
}

static void a_doubled_result_counts_once (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    frames_t job;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    world_submit (&world, "ann", "hello", 0, NULL, &task);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[0], &job));
    for (int i = 0; i < 3; i++)
        world_result (&world, workers[0], &job.msg.job, RESULT_DONE, NULL, 0, COLUMN_TEXT | COLUMN_MARKS);
    world_turn (&world);
    frames_clear (&job);
    size_t jobs = 0;
    while (world_hear (&world, WIRE_KIND_JOB, workers[STAGE_CHUNK], &job)) {
        jobs++;
        frames_clear (&job);
    }
    assert_int_equal (jobs, 1);
    world_stop (&world);
}

static void a_result_of_an_older_epoch_is_ignored (void **state)
{
    world_t world;
    uuid_t task;
    frames_t job, none;
    (void)state;
    world_start (&world, NULL);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    world_submit (&world, "ann", "hello", 0, NULL, &task);
    assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
    world_restart (&world, false);
    wire_beat_t beat = { .worker = worker, .stage = STAGE_EXTRACT, .slots = 1, .epoch = 1 };
    world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_BEAT, .beat = beat }, NULL, 0);
    world_turn (&world); /* welcomed anew, and given the job again */
    world_result (&world, worker, &job.msg.job, RESULT_DONE, NULL, 0, COLUMN_TEXT | COLUMN_MARKS);
    world_turn (&world);
    world_worker (&world, STAGE_CHUNK, 1);
    while (world_hear (&world, WIRE_KIND_JOB, anyone, &none)) {
        assert_int_equal (none.msg.job.stage, STAGE_EXTRACT);
        frames_clear (&none);
    }
    frames_clear (&job);
    world_stop (&world);
}

static void a_lost_extract_goes_on_after_its_last_segment (void **state)
{
    world_t world;
    uuid_t task;
    frames_t job;
    (void)state;
    world_start (&world, NULL);
    uuid_t first = world_worker (&world, STAGE_EXTRACT, 1);
    world_submit (&world, "ann", "long", 0, NULL, &task);
    assert_true (world_hear (&world, WIRE_KIND_JOB, first, &job));
    world_result (&world, first, &job.msg.job, RESULT_PART, NULL, 0, COLUMN_TEXT | COLUMN_MARKS);
    world_result (&world, first, &job.msg.job, RESULT_PART, NULL, 1, COLUMN_TEXT | COLUMN_MARKS);
    core_worker_gone (world.core, first);
    world_turn (&world);
    frames_clear (&job);
    uuid_t second = world_worker (&world, STAGE_EXTRACT, 1);
    assert_true (world_hear (&world, WIRE_KIND_JOB, second, &job));
    assert_int_equal (job.msg.job.first_segment, 2);
    assert_int_equal (job.msg.job.text_offset, 12); /* segment 1 said it starts at 0 and has 12 bytes */
    frames_clear (&job);
    world_stop (&world);
}

static void a_costly_task_goes_on_after_its_stored_prefix_when_the_broker_dies (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    frames_t job;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    world_submit (&world, "ann", "long", 0, NULL, &task);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[0], &job));
    buf_t *payload[] = { buf_copy (SPAN_LIT ("some text")), buf_copy (SPAN_LIT ("marks")) };
    for (uint32_t segment = 0; segment < 3; segment++) {
        char cursor[16];
        snprintf (cursor, sizeof cursor, "page=%u", segment + 2);
        wire_result_t part = { .worker = workers[0],
                               .epoch = job.msg.job.epoch,
                               .number = job.msg.job.number,
                               .task = task,
                               .segment = segment,
                               .outcome = RESULT_PART,
                               .cost_us = 200000,
                               .permille = 100 * (segment + 1),
                               .text_offset = 9 * segment,
                               .cursor = span_str (cursor),
                               .columns = COLUMN_TEXT | COLUMN_MARKS };
        world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_RESULT, .result = part }, payload, 2);
        world_turn (&world);
        if (segment == 1)
            world_work_all (&world, workers); /* segments 0 and 1 are stored, 2 is not */
    }
    frames_clear (&job);
    buf_unref (&payload[0]);
    buf_unref (&payload[1]);
    world_restart (&world, false);
    assert_string_equal (world_status (&world, "ann", task), "processing");
    uuid_t again = world_worker (&world, STAGE_EXTRACT, 1);
    assert_true (world_hear (&world, WIRE_KIND_JOB, again, &job));
    assert_int_equal (job.msg.job.first_segment, 2);
    assert_int_equal (job.msg.job.text_offset, 18);
    assert_true (span_is (job.msg.job.cursor, "page=3"));
    frames_clear (&job);
    world_stop (&world);
}

static void nothing_leaves_when_the_commit_fails (void **state)
{
    world_t world;
    out_t out;
    err_t err;
    (void)state;
    world_start (&world, NULL);
    buf_t *bytes = buf_copy (SPAN_LIT ("hello"));
    hash_t hash = hash_of (SPAN_LIT ("hello"));
    wire_submit_t submit = { .req = 1,
                             .user = SPAN_LIT ("ann"),
                             .document = uuid_new (),
                             .task = uuid_new (),
                             .bytes = 5,
                             .hash = span (hash.bytes, HASH_SIZE) };
    world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_SUBMIT, .submit = submit }, &bytes, 1);
    kv_memory_fail_next_commit (world.kv);
    core_dispatch (world.core);
    assert_int_equal (core_commit (world.core, &err), -1);
    assert_int_equal (err.code, ERR_DISK_FULL);
    /* The caller ends the process here; what it would have sent is still in the outbox, unsent. */
    assert_true (core_outbox_take (world.core, &out));
    out_clear (&out);
    world_restart (&world, false);
    assert_int_equal (kv_memory_count (world.kv, FAMILY_TASKS), 0);
    buf_unref (&bytes);
    world_stop (&world);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (an_acknowledged_submit_survives_a_power_cut),
        cmocka_unit_test (work_in_hand_is_done_again_after_a_power_cut),
        cmocka_unit_test (a_completion_survives_a_power_cut),
        cmocka_unit_test (a_silent_worker_loses_its_jobs_and_its_late_result_is_ignored),
        cmocka_unit_test (a_doubled_result_counts_once),
        cmocka_unit_test (a_result_of_an_older_epoch_is_ignored),
        cmocka_unit_test (a_lost_extract_goes_on_after_its_last_segment),
        cmocka_unit_test (a_costly_task_goes_on_after_its_stored_prefix_when_the_broker_dies),
        cmocka_unit_test (nothing_leaves_when_the_commit_fails),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
