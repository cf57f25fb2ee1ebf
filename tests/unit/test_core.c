#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/log.h"
#include "store/records.h"
#include "tests/sim/world.h"

/* link: sim core */

static const uuid_t anyone;

static void a_document_goes_through_all_stages (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], document, task;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    core_subscription (world.core, SPAN_LIT ("task."), true);
    assert_int_equal (world_submit (&world, "ann", "hello", 0, &document, &task), 201);
    for (int i = 0; i < STAGE_COUNT; i++) {
        assert_string_equal (world_status (&world, "ann", task), "processing");
        assert_true (world_work (&world, workers[i]));
    }
    assert_string_equal (world_status (&world, "ann", task), "completed");
    assert_string_equal (world_status (&world, "bob", task), "");

    str_t topic = STR_INIT, body = STR_INIT;
    const char *expected[] = { "\"seq\":1,\"event\":\"created\"", "\"seq\":2,\"event\":\"started\"",
                               "\"seq\":3,\"event\":\"completed\"" };
    for (size_t i = 0; i < 3; i++) {
        assert_true (world_event (&world, &topic, &body));
        assert_non_null (strstr (body.data, expected[i]));
        assert_memory_equal (topic.data, "task.ann.", 9);
    }
    assert_false (world_event (&world, &topic, &body));
    str_free (&topic);
    str_free (&body);
    world_stop (&world);
}

static void the_last_segment_commits_the_revision (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    frames_t in;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    world_submit (&world, "ann", "hello", 0, NULL, &task);
    for (int i = 0; i < STAGE_STORAGE; i++)
        world_work (&world, workers[i]);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[STAGE_STORAGE], &in));
    assert_int_equal (in.msg.job.final, 1);
    assert_int_equal (in.msg.job.segments, 1);
    assert_int_equal (in.msg.job.columns, COLUMN_TEXT | COLUMN_MARKS | COLUMN_SPANS | COLUMN_VECTORS);
    frames_clear (&in);
    world_stop (&world);
}

static void the_same_bytes_are_one_document (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    assert_int_equal (world_submit (&world, "ann", "hello", 0, NULL, &task), 201);
    assert_int_equal (world_submit (&world, "ann", "hello", 0, NULL, &task), 200);
    world_work_all (&world, workers);
    assert_int_equal (world_submit (&world, "ann", "hello", 0, NULL, &task), 200);
    assert_int_equal (world_submit (&world, "bob", "hello", 0, NULL, &task), 201);
    assert_int_equal (kv_memory_count (world.kv, FAMILY_DOCUMENTS), 2);
    world_stop (&world);
}

static void cancelling_takes_the_job_away (void **state)
{
    world_t world;
    uuid_t task, pending;
    frames_t job, cancel, reply;
    (void)state;
    world_start (&world, NULL);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    world_submit (&world, "ann", "hello", 0, NULL, &task);
    world_submit (&world, "ann", "again", 0, NULL, &pending);
    assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
    uuid_t tasks[] = { task, pending };
    for (int i = 0; i < 2; i++) {
        wire_task_update_t update = { .req = 77, .user = SPAN_LIT ("ann"), .task = tasks[i], .cancel = 1 };
        world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_UPDATE, .task_update = update }, NULL, 0);
        world_turn (&world);
        assert_true (world_hear (&world, WIRE_KIND_REPLY, anyone, &reply));
        assert_int_equal (reply.msg.reply.status, 200);
        frames_clear (&reply);
        assert_string_equal (world_status (&world, "ann", tasks[i]), "cancelled");
        world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_UPDATE, .task_update = update }, NULL, 0);
        world_turn (&world);
        assert_true (world_hear (&world, WIRE_KIND_REPLY, anyone, &reply));
        assert_int_equal (reply.msg.reply.status, 409);
        frames_clear (&reply);
    }
    assert_true (world_hear (&world, WIRE_KIND_CANCEL, worker, &cancel));
    assert_int_equal (cancel.msg.cancel.number, job.msg.job.number);
    world_result (&world, worker, &job.msg.job, RESULT_DONE, NULL, 0, COLUMN_TEXT | COLUMN_MARKS);
    world_turn (&world);
    assert_string_equal (world_status (&world, "ann", task), "cancelled");
    frames_clear (&job);
    frames_clear (&cancel);
    world_stop (&world);
}

/*  Whether storage committed is known only from its answer: until that comes, also from a storage that was lost or to a
 *  broker that died, a cancelled task could leave its text in search. */
static void what_storage_may_have_committed_cannot_be_cancelled (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    frames_t in;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    world_submit (&world, "ann", "hello", 0, NULL, &task);
    for (int i = 0; i < STAGE_STORAGE; i++)
        world_work (&world, workers[i]);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[STAGE_STORAGE], &in));
    assert_int_equal (in.msg.job.final, 1);
    frames_clear (&in);

    wire_msg_t cancel = { .kind = WIRE_KIND_TASK_UPDATE,
                          .task_update = { .req = 1, .user = SPAN_LIT ("ann"), .task = task, .cancel = 1 } };
    for (int crashes = 0; crashes < 2; crashes++) {
        world_forget (&world);
        world_say (&world, &cancel, NULL, 0);
        world_turn (&world);
        assert_true (world_hear (&world, WIRE_KIND_REPLY, anyone, &in));
        assert_int_equal (in.msg.reply.status, 409);
        frames_clear (&in);
        world_restart (&world, false);
    }
    world_hire (&world, workers);
    world_work_all (&world, workers);
    assert_string_equal (world_status (&world, "ann", task), "completed");
    world_stop (&world);
}

static void a_fault_of_the_document_fails_at_once_and_a_passing_one_is_retried (void **state)
{
    world_t world;
    uuid_t task;
    frames_t job;
    (void)state;
    world_start (&world, NULL);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    world_submit (&world, "ann", "broken", 0, NULL, &task);
    assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
    world_result (&world, worker, &job.msg.job, RESULT_FAILED, "damaged_document", 0, 0);
    world_turn (&world);
    frames_clear (&job);
    assert_string_equal (world_status (&world, "ann", task), "failed");

    world_submit (&world, "ann", "unlucky", 0, NULL, &task);
    unsigned tries = 0;
    for (int i = 0; i < 400 && tries < 10; i++) {
        if (world_hear (&world, WIRE_KIND_JOB, worker, &job)) {
            assert_int_equal (job.msg.job.tries, tries++);
            world_result (&world, worker, &job.msg.job, RESULT_FAILED, "parser_crashed", 0, 0);
            frames_clear (&job);
        }
        wire_beat_t beat = { .worker = worker, .stage = STAGE_EXTRACT, .slots = 1, .epoch = 1 };
        world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_BEAT, .beat = beat }, NULL, 0);
        world_pass (&world, 100);
    }
    assert_int_equal (tries, world.config.tries_max);
    assert_string_equal (world_status (&world, "ann", task), "failed");
    world_stop (&world);
}

static void a_segment_that_stays_bad_makes_the_task_partial (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    frames_t job, reply;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    world_submit (&world, "ann", "two parts", 0, NULL, &task);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[0], &job));
    world_result (&world, workers[0], &job.msg.job, RESULT_PART, NULL, 0, COLUMN_TEXT | COLUMN_MARKS);
    world_result (&world, workers[0], &job.msg.job, RESULT_DONE, NULL, 1, COLUMN_TEXT | COLUMN_MARKS);
    world_turn (&world);
    frames_clear (&job);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[1], &job));
    world_result (&world, workers[1], &job.msg.job, RESULT_FAILED, "damaged_document", 0, 0);
    world_turn (&world);
    frames_clear (&job);
    world_work_all (&world, workers);
    assert_string_equal (world_status (&world, "ann", task), "completed");
    wire_task_result_t ask = { .req = 5, .user = SPAN_LIT ("ann"), .task = task };
    world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_RESULT, .task_result = ask }, NULL, 0);
    world_turn (&world);
    assert_true (world_hear (&world, WIRE_KIND_REPLY, anyone, &reply));
    span_t body = buf_span (reply.payload[0]);
    assert_non_null (memmem (body.data, body.size, "partial_success", 15));
    assert_non_null (memmem (body.data, body.size, "segment 0", 9));
    frames_clear (&reply);
    world_stop (&world);
}

static void extract_is_held_back_by_its_window (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    frames_t job, ack;
    (void)state;
    core_config_t config = core_config_default;
    config.window = 2;
    world_start (&world, &config);
    world_hire (&world, workers);
    world_submit (&world, "ann", "long", 0, NULL, &task);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[0], &job));
    assert_int_equal (job.msg.job.limit, 2);
    world_result (&world, workers[0], &job.msg.job, RESULT_PART, NULL, 0, COLUMN_TEXT | COLUMN_MARKS);
    world_result (&world, workers[0], &job.msg.job, RESULT_PART, NULL, 1, COLUMN_TEXT | COLUMN_MARKS);
    world_turn (&world);
    uint32_t limit = 0;
    while (world_hear (&world, WIRE_KIND_ACK, workers[0], &ack)) {
        limit = ack.msg.ack.limit;
        frames_clear (&ack);
    }
    assert_int_equal (limit, 2);
    world_work_all (&world, workers); /* both are stored now */
    while (world_hear (&world, WIRE_KIND_ACK, workers[0], &ack)) {
        limit = ack.msg.ack.limit;
        frames_clear (&ack);
    }
    assert_int_equal (limit, 4);
    frames_clear (&job);
    world_stop (&world);
}

static void higher_priority_goes_first_and_positions_say_so (void **state)
{
    world_t world;
    uuid_t low, high, middle;
    frames_t job;
    (void)state;
    world_start (&world, NULL);
    world_submit (&world, "ann", "low", 1, NULL, &low);
    world_submit (&world, "ann", "high", 10, NULL, &high);
    world_submit (&world, "ann", "middle", 5, NULL, &middle);
    wire_task_process_t hurry = { .req = 9, .user = SPAN_LIT ("ann"), .task = low };
    world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_PROCESS, .task_process = hurry }, NULL, 0);
    world_turn (&world);
    world_forget (&world);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 8);
    uuid_t expected[] = { low, high, middle };
    for (int i = 0; i < 3; i++) {
        assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
        assert_true (uuid_eq (job.msg.job.task, expected[i]));
        frames_clear (&job);
    }
    world_stop (&world);
}

static void deleting_a_document_waits_for_storage_and_leaves_nothing (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], document, task;
    frames_t in;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    world_submit (&world, "ann", "hello", 0, &document, &task);
    world_work_all (&world, workers);
    wire_document_delete_t del = { .req = 9, .user = SPAN_LIT ("ann"), .document = document };
    world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_DOCUMENT_DELETE, .document_delete = del }, NULL, 0);
    world_turn (&world);
    assert_false (world_hear (&world, WIRE_KIND_REPLY, anyone, &in));
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[STAGE_STORAGE], &in));
    assert_int_equal (in.msg.job.action, JOB_DROP_DOCUMENT);
    world_result (&world, workers[STAGE_STORAGE], &in.msg.job, RESULT_DONE, NULL, 0, 0);
    world_turn (&world);
    frames_clear (&in);
    assert_true (world_hear (&world, WIRE_KIND_REPLY, anyone, &in));
    assert_int_equal (in.msg.reply.status, 204);
    frames_clear (&in);
    for (int family = FAMILY_DOCUMENTS; family <= FAMILY_PURGES; family++)
        assert_int_equal (kv_memory_count (world.kv, (unsigned)family), 0);
    world_stop (&world);
}

static void the_same_idempotency_key_gets_the_same_answer (void **state)
{
    world_t world;
    uuid_t document;
    frames_t first, second;
    (void)state;
    world_start (&world, NULL);
    world_submit (&world, "ann", "hello", 0, &document, NULL);
    wire_task_create_t create = { .req = 9,
                                  .user = SPAN_LIT ("ann"),
                                  .document = document,
                                  .idem_key = SPAN_LIT ("k"),
                                  .idem_hash = SPAN_LIT ("h") };
    for (int i = 0; i < 2; i++) {
        create.task = uuid_new ();
        world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_CREATE, .task_create = create }, NULL, 0);
        world_turn (&world);
    }
    assert_true (world_hear (&world, WIRE_KIND_REPLY, anyone, &first));
    assert_true (world_hear (&world, WIRE_KIND_REPLY, anyone, &second));
    assert_int_equal (first.msg.reply.status, 202);
    assert_true (span_eq (buf_span (first.payload[0]), buf_span (second.payload[0])));
    assert_int_equal (kv_memory_count (world.kv, FAMILY_LIVE), 1);
    frames_clear (&first);
    frames_clear (&second);
    world.wall += 25u * 3600u * 1000u; /* a day later it is forgotten */
    world_pass (&world, 61000);
    assert_int_equal (kv_memory_count (world.kv, FAMILY_IDEMPOTENCY), 0);
    create.task = uuid_new ();
    world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_CREATE, .task_create = create }, NULL, 0);
    world_turn (&world);
    assert_int_equal (kv_memory_count (world.kv, FAMILY_LIVE), 2);
    world_forget (&world);
    create.idem_hash = SPAN_LIT ("other");
    world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_CREATE, .task_create = create }, NULL, 0);
    world_turn (&world);
    assert_true (world_hear (&world, WIRE_KIND_REPLY, anyone, &first));
    assert_int_equal (first.msg.reply.status, 422);
    frames_clear (&first);
    world_stop (&world);
}

static void full_disk_and_draining_refuse_new_work (void **state)
{
    world_t world;
    uuid_t task;
    (void)state;
    world_start (&world, NULL);
    core_refuse (world.core, ERR_DISK_FULL);
    assert_int_equal (world_submit (&world, "ann", "a", 0, NULL, &task), 507);
    core_refuse (world.core, ERR_DRAINING);
    assert_int_equal (world_submit (&world, "ann", "a", 0, NULL, &task), 503);
    core_refuse (world.core, ERR_NONE);
    assert_int_equal (world_submit (&world, "ann", "a", 11, NULL, &task), 422);
    assert_int_equal (world_submit (&world, "ann", "a", 10, NULL, &task), 201);
    world_stop (&world);
}

static void memory_is_given_back (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    frames_t reply;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    for (int i = 0; i < 20; i++) {
        char text[16];
        snprintf (text, sizeof text, "text %d", i);
        world_submit (&world, "ann", text, 0, NULL, &task);
    }
    world_work_all (&world, workers);
    world_forget (&world);
    wire_health_t ask = { .req = 5, .user = SPAN_LIT ("ann") };
    world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_HEALTH, .health = ask }, NULL, 0);
    world_turn (&world);
    assert_true (world_hear (&world, WIRE_KIND_REPLY, anyone, &reply));
    span_t body = buf_span (reply.payload[0]);
    assert_non_null (memmem (body.data, body.size, "\"memory_bytes\":0,", 17));
    assert_non_null (memmem (body.data, body.size, "\"active_tasks\":0,", 17));
    frames_clear (&reply);
    world_stop (&world);
}

int main (void)
{
    log_init ("test", LOG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_document_goes_through_all_stages),
        cmocka_unit_test (the_last_segment_commits_the_revision),
        cmocka_unit_test (the_same_bytes_are_one_document),
        cmocka_unit_test (cancelling_takes_the_job_away),
        cmocka_unit_test (what_storage_may_have_committed_cannot_be_cancelled),
        cmocka_unit_test (a_fault_of_the_document_fails_at_once_and_a_passing_one_is_retried),
        cmocka_unit_test (a_segment_that_stays_bad_makes_the_task_partial),
        cmocka_unit_test (extract_is_held_back_by_its_window),
        cmocka_unit_test (higher_priority_goes_first_and_positions_say_so),
        cmocka_unit_test (deleting_a_document_waits_for_storage_and_leaves_nothing),
        cmocka_unit_test (the_same_idempotency_key_gets_the_same_answer),
        cmocka_unit_test (full_disk_and_draining_refuse_new_work),
        cmocka_unit_test (memory_is_given_back),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
