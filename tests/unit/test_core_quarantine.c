/*  Failed tasks: what is kept of how they failed, and which content is not tried again unasked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/records.h"
#include "tests/unit/core_fixture.h"

/* link: sim core */

static const uuid_t anyone;

static void ask_task (world_t *world, uuid_t task, str_t *body)
{
    wire_task_get_t get = { .req = 1, .user = SPAN_LIT ("ann"), .task = task };
    assert_int_equal (world_ask (world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_GET, .task_get = get }, body), 200);
}

static void what_is_kept_of_a_failure_is_in_the_quarantine_and_outlives_a_restart (void **state)
{
    world_t world;
    uuid_t task;
    str_t body = STR_INIT;
    (void)state;
    world_start (&world, NULL);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    assert_int_equal (submit_named (&world, "deadly", "a.pdf", false, &task, &body), 201);
    assert_int_equal (fail_for_good (&world, worker, task, "parser_crashed", true), 3);
    for (int restarts = 0; restarts < 2; restarts++) {
        wire_task_list_t list = {
            .req = 2, .user = SPAN_LIT ("ann"), .statuses = 1u << 3, .limit = 10, .quarantine = 1
        };
        assert_int_equal (world_ask (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_LIST, .task_list = list }, &body),
                          200);
        contains (&body, "\"fault\":{\"at\":\"");
        contains (&body, "\"code\":\"parser_crashed\",\"message\":\"the test says so\",\"stage\":\"extract\","
                         "\"segment\":null,\"attempts\":3,\"worker\":\"");
        contains (&body, "\"poison\":true,\"stderr\":\"free(): invalid pointer\\n\"}");
        contains (&body, "\"filename\":\"a.pdf\"");
        ask_task (&world, task, &body);
        contains (&body, "\"fault\":{\"at\":\"");
        world_restart (&world, true);
    }
    wire_task_delete_t drop = { .req = 3, .user = SPAN_LIT ("ann"), .task = task };
    assert_int_equal (world_ask (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_DELETE, .task_delete = drop }, NULL),
                      204);
    assert_int_equal (kv_memory_count (world.kv, FAMILY_FAULTS), 0);
    str_free (&body);
    world_stop (&world);
}

static void a_segment_that_fails_is_named (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    frames_t job;
    str_t body = STR_INIT;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    submit_named (&world, "one", "a.txt", false, &task, &body);
    world_work (&world, workers[0]);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[STAGE_CHUNK], &job));
    world_result (&world, workers[STAGE_CHUNK], &job.msg.job, RESULT_FAILED, "internal", 0, 0);
    world_turn (&world);
    frames_clear (&job);
    ask_task (&world, task, &body);
    contains (&body, "\"stage\":\"chunk\",\"segment\":0,\"attempts\":1,");
    contains (&body, "\"poison\":false,\"stderr\":null}");
    str_free (&body);
    world_stop (&world);
}

static void poison_is_known_by_its_bytes_whatever_they_are_called_also_after_a_restart (void **state)
{
    world_t world;
    uuid_t task, again;
    frames_t job;
    str_t body = STR_INIT;
    (void)state;
    world_start (&world, NULL);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    submit_named (&world, "deadly", "a.pdf", false, &task, &body);
    fail_for_good (&world, worker, task, "memory_exceeded", true);

    assert_int_equal (submit_named (&world, "deadly", "b.pdf", false, &again, &body), 201);
    contains (&body, "\"status\":\"failed\"");
    contains (&body, "\"error_code\":\"known_poison\"");
    contains (&body, "then named a.pdf");
    contains (&body, "the test says so");
    assert_false (world_hear (&world, WIRE_KIND_JOB, anyone, &job));
    submit_named (&world, "another", "a.pdf", false, &again, &body); /* the name is nobody's fault */
    assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
    fails (&world, worker, &job.msg.job, "damaged_document", false);
    frames_clear (&job);

    world_restart (&world, true);
    worker = world_worker (&world, STAGE_EXTRACT, 1);
    submit_named (&world, "deadly", "c.pdf", false, &again, &body);
    contains (&body, "\"error_code\":\"known_poison\"");

    /* Not even the deletion of the document makes it harmless. */
    uuid_t document;
    const char *id = strstr (body.data, "\"id\":\"");
    assert_int_equal (uuid_parse (span (id + 6, UUID_TEXT - 1), &document), 0);
    uuid_t storage = world_worker (&world, STAGE_STORAGE, 1);
    wire_document_delete_t drop = { .req = 7, .user = SPAN_LIT ("ann"), .document = document };
    world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_DOCUMENT_DELETE, .document_delete = drop }, NULL, 0);
    world_turn (&world);
    assert_true (world_work (&world, storage));
    world_forget (&world);
    submit_named (&world, "deadly", "d.pdf", false, &again, &body);
    contains (&body, "\"error_code\":\"known_poison\"");
    assert_false (world_hear (&world, WIRE_KIND_JOB, worker, &job));

    /* Other users' bytes are their own. */
    assert_int_equal (world_submit (&world, "bob", "deadly", 0, NULL, &again), 201);
    assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
    frames_clear (&job);
    str_free (&body);
    world_stop (&world);
}

static void poison_is_tried_when_forced_and_forgotten_when_it_does_no_harm (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task, again;
    str_t body = STR_INIT;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    submit_named (&world, "deadly", "a.pdf", false, &task, &body);
    fail_for_good (&world, workers[0], task, "cpu_exceeded", true);
    assert_int_equal (process (&world, task, false, &body), 422);
    assert_string_equal (world_status (&world, "ann", task), "failed");

    assert_int_equal (process (&world, task, true, &body), 202);
    fail_for_good (&world, workers[0], task, "cpu_exceeded", true); /* it is remembered anew */
    assert_int_equal (kv_memory_count (world.kv, FAMILY_POISON), 1);

    world_restart (&world, true);
    assert_int_equal (submit_named (&world, "deadly", "b.pdf", true, &again, &body), 201);
    contains (&body, "\"status\":\"pending\"");
    world_hire (&world, workers);
    world_work_all (&world, workers);
    assert_string_equal (world_status (&world, "ann", again), "completed");
    assert_int_equal (kv_memory_count (world.kv, FAMILY_POISON), 0);
    str_free (&body);
    world_stop (&world);
}

static void a_retry_of_the_quarantine_leaves_poison_alone_unless_forced (void **state)
{
    world_t world;
    uuid_t deadly, damaged;
    str_t body = STR_INIT;
    (void)state;
    world_start (&world, NULL);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    submit_named (&world, "deadly", "a.pdf", false, &deadly, &body);
    fail_for_good (&world, worker, deadly, "memory_exceeded", true);
    submit_named (&world, "damaged", "b.pdf", false, &damaged, &body);
    fail_for_good (&world, worker, damaged, "damaged_document", false);

    wire_msg_t retry = { .kind = WIRE_KIND_QUARANTINE_RETRY,
                         .quarantine_retry = { .req = 1, .user = SPAN_LIT ("ann"), .task = deadly } };
    assert_int_equal (world_ask (&world, &retry, &body), 422); /* one that was named: said why not */
    retry.quarantine_retry.task = anyone;
    retry.quarantine_retry.priorities = 1u << 9; /* there is none */
    assert_int_equal (world_ask (&world, &retry, &body), 202);
    assert_string_equal (body.data, "{\"retried\":0,\"known_poison\":0}");
    retry.quarantine_retry.priorities = 0;
    retry.quarantine_retry.created_after = world.wall;
    assert_int_equal (world_ask (&world, &retry, &body), 202);
    assert_string_equal (body.data, "{\"retried\":0,\"known_poison\":0}");
    retry.quarantine_retry.created_after = 0;
    retry.quarantine_retry.created_before = world.wall;
    assert_int_equal (world_ask (&world, &retry, &body), 202);
    assert_string_equal (body.data, "{\"retried\":1,\"known_poison\":1}");
    fail_for_good (&world, worker, damaged, "damaged_document", false);
    retry.quarantine_retry.force = 1;
    assert_int_equal (world_ask (&world, &retry, &body), 202);
    assert_string_equal (body.data, "{\"retried\":2,\"known_poison\":0}");
    str_free (&body);
    world_stop (&world);
}

static void a_retry_counts_each_task_once_however_many_turns_it_takes (void **state)
{
    enum { COPIES = 2100 }; /* more than two turns look at */
    world_t world;
    uuid_t task;
    str_t body = STR_INIT;
    (void)state;
    world_start (&world, NULL);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    submit_named (&world, "deadly", "a.pdf", false, &task, &body);
    fail_for_good (&world, worker, task, "memory_exceeded", true);
    for (int i = 0; i < COPIES; i++)
        assert_int_equal (submit_named (&world, "deadly", "b.pdf", false, &task, &body), 201);
    wire_msg_t retry = { .kind = WIRE_KIND_QUARANTINE_RETRY,
                         .quarantine_retry = { .req = 1, .user = SPAN_LIT ("ann") } };
    assert_int_equal (world_ask (&world, &retry, &body), 202);
    assert_string_equal (body.data, "{\"retried\":0,\"known_poison\":2101}");
    str_free (&body);
    world_stop (&world);
}

static void what_is_not_the_contents_doing_is_no_poison (void **state)
{
    static const char *const codes[] = { "damaged_document", "encrypted_document", "memory_exceeded",
                                         "too_large",        "unavailable",        "internal" };
    world_t world;
    uuid_t task;
    frames_t job;
    str_t body = STR_INIT;
    (void)state;
    core_config_t config = core_config_default;
    config.task_ms = 900000;
    world_start (&world, &config);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) { /* it reports so, and nobody died */
        submit_named (&world, codes[i], "a.pdf", false, &task, &body);
        fail_for_good (&world, worker, task, codes[i], false);
        assert_int_equal (kv_memory_count (world.kv, FAMILY_POISON), 0);
    }
    submit_named (&world, "drained", "a.pdf", false, &task, &body);
    for (unsigned i = 0; i < 3 * world.config.losses_max; i++) {
        world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_BYE, .bye = { .worker = worker } }, NULL, 0);
        world_turn (&world);
        world_forget (&world);
        worker = world_worker (&world, STAGE_EXTRACT, 1);
    }
    for (unsigned i = 0; i < world.config.losses_max; i++) { /* kill -9, as often as that can be an accident */
        core_worker_gone (world.core, worker);
        world_turn (&world);
        world_forget (&world);
        worker = world_worker (&world, STAGE_EXTRACT, 1);
    }
    for (unsigned i = 0; i < 3 * world.config.losses_max; i++) {
        world_restart (&world, false);
        worker = world_worker (&world, STAGE_EXTRACT, 1);
    }
    assert_string_equal (world_status (&world, "ann", task), "processing");
    assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job)); /* the task's own time: nobody has died */
    for (uint64_t ms = 0; ms < config.task_ms + 10000; ms += 1000) {
        world_pass (&world, 1000);
        world_beat (&world,
                    (wire_beat_t){ .worker = worker, .slots = 4, .running = job.msg.job.number, .progress = ms });
    }
    frames_clear (&job);
    ask_task (&world, task, &body);
    contains (&body, "\"error_code\":\"timeout\"");
    contains (&body, "\"poison\":false");
    assert_int_equal (kv_memory_count (world.kv, FAMILY_POISON), 0);
    str_free (&body);
    world_stop (&world);
}

static void what_takes_one_worker_after_the_other_with_it_is_poison (void **state)
{
    world_t world;
    uuid_t task;
    str_t body = STR_INIT;
    (void)state;
    world_start (&world, NULL);
    submit_named (&world, "deadly", "a.txt", false, &task, &body);
    for (unsigned i = 0; i <= world.config.losses_max; i++) {
        uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
        core_worker_gone (world.core, worker);
        world_turn (&world);
    }
    ask_task (&world, task, &body);
    contains (&body, "\"error_code\":\"worker_lost\"");
    contains (&body, "\"attempts\":21,");
    contains (&body, "\"poison\":true");
    assert_int_equal (kv_memory_count (world.kv, FAMILY_POISON), 1);
    str_free (&body);
    world_stop (&world);
}

static void what_stands_still_again_and_again_is_poison (void **state)
{
    world_t world;
    uuid_t task;
    frames_t job, cancel;
    str_t body = STR_INIT;
    (void)state;
    core_config_t config = core_config_default;
    config.silence_ms = 5000;
    world_start (&world, &config);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    submit_named (&world, "deadly", "a.pdf", false, &task, &body);
    for (int i = 0; i < 200 && strcmp (world_status (&world, "ann", task), "failed") != 0; i++) {
        if (world_hear (&world, WIRE_KIND_JOB, worker, &job)) {
            for (int beats = 0; beats < 8; beats++) {
                world_beat (&world, (wire_beat_t){
                                        .worker = worker, .slots = 4, .running = job.msg.job.number, .progress = 1 });
                world_pass (&world, 1000);
            }
            assert_true (world_hear (&world, WIRE_KIND_CANCEL, worker, &cancel));
            frames_clear (&cancel);
            fails (&world, worker, &job.msg.job, "cancelled", false);
            frames_clear (&job);
        }
        world_pass (&world, 500);
        world_beat (&world, (wire_beat_t){ .worker = worker, .slots = 4 });
    }
    ask_task (&world, task, &body);
    contains (&body, "\"error_code\":\"timeout\"");
    contains (&body, "\"poison\":true");
    assert_int_equal (kv_memory_count (world.kv, FAMILY_POISON), 1);
    str_free (&body);
    world_stop (&world);
}

static void of_two_tasks_of_the_same_poison_the_second_does_not_begin (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], first, document;
    frames_t job;
    str_t body = STR_INIT;
    (void)state;
    world_start (&world, NULL);
    submit_named (&world, "deadly", "a.pdf", false, &first, &body);
    const char *id = strstr (body.data, "\"id\":\"");
    assert_int_equal (uuid_parse (span (id + 6, UUID_TEXT - 1), &document), 0);
    uuid_t second = uuid_new ();
    wire_task_create_t create = { .req = 2, .user = SPAN_LIT ("ann"), .document = document, .task = second };
    assert_int_equal (world_ask (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_CREATE, .task_create = create }, NULL),
                      202);
    world_pass (&world, 10);
    workers[0] = world_worker (&world, STAGE_EXTRACT, 1);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[0], &job));
    assert_true (uuid_eq (job.msg.job.task, first));
    fails (&world, workers[0], &job.msg.job, "memory_exceeded", true);
    frames_clear (&job);
    assert_false (world_hear (&world, WIRE_KIND_JOB, workers[0], &job));
    ask_task (&world, second, &body);
    contains (&body, "\"error_code\":\"known_poison\"");
    contains (&body, "\"attempts\":0");

    create.task = uuid_new (); /* a third one, unforced and forced */
    assert_int_equal (world_ask (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_CREATE, .task_create = create }, &body),
                      202);
    contains (&body, "\"status\":\"failed\"");
    create.task = uuid_new ();
    create.force = 1;
    assert_int_equal (world_ask (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_CREATE, .task_create = create }, &body),
                      202);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[0], &job));
    frames_clear (&job);
    str_free (&body);
    world_stop (&world);
}

static void what_waits_is_no_less_poison_for_a_new_priority (void **state)
{
    world_t world;
    uuid_t first, other, document, second = uuid_new ();
    frames_t job;
    str_t body = STR_INIT;
    (void)state;
    world_start (&world, NULL);
    submit_named (&world, "deadly", "a.pdf", false, &first, &body);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    assert_int_equal (uuid_parse (span (strstr (body.data, "\"id\":\"") + 6, UUID_TEXT - 1), &document), 0);
    wire_task_create_t create = { .req = 2, .user = SPAN_LIT ("ann"), .document = document, .task = second };
    assert_int_equal (world_ask (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_CREATE, .task_create = create }, NULL),
                      202);
    submit_named (&world, "harmless", "c.pdf", false, &other, &body);
    assert_int_equal (process (&world, other, false, &body), 202); /* to the front: the worker has it next */
    world_pass (&world, 10);
    assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
    fails (&world, worker, &job.msg.job, "memory_exceeded", true);
    frames_clear (&job);
    world_pass (&world, 10);
    wire_task_update_t update = { .req = 3, .user = SPAN_LIT ("ann"), .task = second, .priority = 9 };
    assert_int_equal (world_ask (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_UPDATE, .task_update = update }, &body),
                      200);
    contains (&body, "\"status\":\"pending\"");
    assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
    assert_true (uuid_eq (job.msg.job.task, other));
    fails (&world, worker, &job.msg.job, "damaged_document", false);
    frames_clear (&job);
    assert_false (world_hear (&world, WIRE_KIND_JOB, worker, &job));
    ask_task (&world, second, &body);
    contains (&body, "\"error_code\":\"known_poison\"");
    str_free (&body);
    world_stop (&world);
}

static void a_duplicate_that_makes_a_task_names_it_and_takes_its_name (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task, again;
    char id[UUID_TEXT];
    str_t body = STR_INIT;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    assert_int_equal (submit_named (&world, "damaged", "first.pdf", false, &task, &body), 201);
    contains (&body, " /api/v1/documents/");
    fail_for_good (&world, workers[0], task, "damaged_document", false);

    assert_int_equal (submit_named (&world, "damaged", "second.pdf", false, &again, &body), 201);
    contains (&body, "\"filename\":\"second.pdf\"");
    lacks (&body, "first.pdf");
    contains (&body, " /api/v1/document-processing/tasks/");
    uuid_text (again, id);
    contains (&body, id);
    assert_non_null (strstr (strstr (body.data, " /api"), id));
    for (int i = 0; i < STAGE_COUNT; i++)
        world_beat (&world, (wire_beat_t){ .worker = workers[i], .slots = 4 });
    world_work_all (&world, workers);
    assert_string_equal (world_status (&world, "ann", again), "completed");

    assert_int_equal (submit_named (&world, "damaged", "third.pdf", false, &task, &body),
                      200); /* that changes nothing */
    contains (&body, "\"filename\":\"second.pdf\"");
    lacks (&body, "/api/v1/");
    str_free (&body);
    world_stop (&world);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (what_is_kept_of_a_failure_is_in_the_quarantine_and_outlives_a_restart),
        cmocka_unit_test (a_segment_that_fails_is_named),
        cmocka_unit_test (poison_is_known_by_its_bytes_whatever_they_are_called_also_after_a_restart),
        cmocka_unit_test (poison_is_tried_when_forced_and_forgotten_when_it_does_no_harm),
        cmocka_unit_test (a_retry_of_the_quarantine_leaves_poison_alone_unless_forced),
        cmocka_unit_test (a_retry_counts_each_task_once_however_many_turns_it_takes),
        cmocka_unit_test (what_is_not_the_contents_doing_is_no_poison),
        cmocka_unit_test (what_takes_one_worker_after_the_other_with_it_is_poison),
        cmocka_unit_test (what_stands_still_again_and_again_is_poison),
        cmocka_unit_test (of_two_tasks_of_the_same_poison_the_second_does_not_begin),
        cmocka_unit_test (what_waits_is_no_less_poison_for_a_new_priority),
        cmocka_unit_test (a_duplicate_that_makes_a_task_names_it_and_takes_its_name),
    };
    return cmocka_run_group_tests (tests, core_quiet, NULL);
}
