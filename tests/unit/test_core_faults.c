#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/hash.h"
#include "store/blob.h"
#include "store/records.h"
#include "tests/unit/core_fixture.h"

/* link: sim core */

static const uuid_t anyone;

static uint32_t cancel (world_t *world, uuid_t task)
{
    wire_task_update_t update = { .req = 1, .user = SPAN_LIT ("ann"), .task = task, .cancel = 1 };
    return world_ask (world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_UPDATE, .task_update = update }, NULL);
}

/*  As the worker of an extract job: `count` parts of a long document, each as costly as is worth a checkpoint. */
static void parts (world_t *world, uuid_t worker, const wire_job_t *job, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        wire_result_t part = { .worker = worker,
                               .epoch = job->epoch,
                               .number = job->number,
                               .task = job->task,
                               .segment = job->first_segment + i,
                               .outcome = RESULT_PART,
                               .cost_us = 200000,
                               .cursor = SPAN_LIT ("here"),
                               .columns = COLUMN_TEXT | COLUMN_MARKS };
        buf_t *columns[] = { buf_copy (SPAN_LIT ("text")), buf_copy (SPAN_EMPTY) };
        world_say (world, &(wire_msg_t){ .kind = WIRE_KIND_RESULT, .result = part }, columns, 2);
        buf_unref (&columns[0]);
        buf_unref (&columns[1]);
    }
    world_turn (world);
}

/*  Else it would hold a job for ever that nobody wants any more, and every job after it would wait behind that. */
static void a_worker_that_comes_back_is_told_that_what_it_holds_is_void (void **state)
{
    world_t world;
    uuid_t task;
    frames_t job, welcome;
    (void)state;
    world_start (&world, NULL);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    world_submit (&world, "ann", "long", 0, NULL, &task);
    assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
    parts (&world, worker, &job.msg.job, 2);
    frames_clear (&job);
    world_pass (&world, 6000); /* not a beat */
    world_forget (&world);
    world_beat (&world, (wire_beat_t){ .worker = worker, .stage = (uint8_t)STAGE_EXTRACT, .slots = 1 });
    assert_true (world_hear (&world, WIRE_KIND_WELCOME, worker, &welcome));
    assert_int_equal (welcome.msg.welcome.epoch, core_epoch (world.core));
    assert_int_equal (welcome.msg.welcome.fresh, 1);
    frames_clear (&welcome);
    assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job)); /* and gets it anew */
    assert_int_equal (job.msg.job.first_segment, 2);
    frames_clear (&job);
    world_beat (&world, (wire_beat_t){ .worker = worker, .stage = (uint8_t)STAGE_EXTRACT, .slots = 1 });
    assert_false (world_hear (&world, WIRE_KIND_WELCOME, worker, &welcome));
    world_stop (&world);
}

static void tasks_in_hand_go_on_before_others_are_begun (void **state)
{
    world_t world;
    uuid_t task, urgent;
    frames_t job;
    (void)state;
    core_config_t config = core_config_default;
    config.active_max = 1;
    world_start (&world, &config);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    world_submit (&world, "ann", "first", 5, NULL, &task);
    assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
    frames_clear (&job);
    core_worker_gone (world.core, worker);
    world_submit (&world, "ann", "urgent", 10, NULL, &urgent);
    wire_task_process_t hurry = { .req = 9, .user = SPAN_LIT ("ann"), .task = urgent };
    assert_int_equal (world_ask (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_PROCESS, .task_process = hurry }, NULL),
                      202);
    worker = world_worker (&world, STAGE_EXTRACT, 1);
    assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
    assert_true (uuid_eq (job.msg.job.task, task));
    frames_clear (&job);
    world_stop (&world);
}

static wire_msg_t file_submit (world_t *world, const hash_t *hash, uuid_t document)
{
    wire_submit_t submit = { .req = ++world->next_req,
                             .user = SPAN_LIT ("ann"),
                             .document = document,
                             .task = uuid_new (),
                             .filename = SPAN_LIT ("large.txt"),
                             .bytes = 1u << 20,
                             .hash = span (hash->bytes, HASH_SIZE),
                             .in_file = 1 };
    return (wire_msg_t){ .kind = WIRE_KIND_SUBMIT, .submit = submit };
}

static void a_file_that_is_wanted_again_in_the_same_turn_stays (void **state)
{
    world_t world;
    frames_t reply;
    (void)state;
    world_start (&world, NULL);
    hash_t hash = hash_of (SPAN_LIT ("large"));
    uuid_t document = uuid_new ();
    wire_msg_t submit = file_submit (&world, &hash, document);
    assert_int_equal (world_ask (&world, &submit, NULL), 201);
    wire_document_delete_t drop = { .req = 7, .user = SPAN_LIT ("ann"), .document = document };
    world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_DOCUMENT_DELETE, .document_delete = drop }, NULL, 0);
    submit = file_submit (&world, &hash, uuid_new ());
    world_say (&world, &submit, NULL, 0);
    world_turn (&world);
    assert_true (world_hear (&world, WIRE_KIND_REPLY, anyone, &reply));
    assert_int_equal (reply.msg.reply.status, 201);
    frames_clear (&reply);
    assert_int_equal (world_count (&world, OUT_UNLINK), 0);
    world_restart (&world, false);
    assert_int_equal (world_count (&world, OUT_UNLINK), 0);
    world_stop (&world);
}

static void files_nobody_has_are_removed_also_after_a_crash (void **state)
{
    world_t world;
    (void)state;
    world_start (&world, NULL);
    hash_t hash = hash_of (SPAN_LIT ("large")), other = hash_of (SPAN_LIT ("other"));
    uuid_t document = uuid_new ();
    wire_msg_t submit = file_submit (&world, &hash, document);
    assert_int_equal (world_ask (&world, &submit, NULL), 201);
    core_file_found (world.core, SPAN_LIT ("ann"), hash);
    core_refuse (world.core, ERR_DISK_FULL);
    assert_int_equal (world_ask (&world, &submit, NULL), 507); /* the file is the document's */
    assert_int_equal (world_count (&world, OUT_UNLINK), 0);
    submit = file_submit (&world, &other, uuid_new ());
    assert_int_equal (world_ask (&world, &submit, NULL), 507); /* nobody's */
    assert_int_equal (world_count (&world, OUT_UNLINK), 1);
    wire_document_delete_t drop = { .req = 7, .user = SPAN_LIT ("ann"), .document = document };
    world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_DOCUMENT_DELETE, .document_delete = drop }, NULL, 0);
    world_turn (&world);
    assert_int_equal (world_count (&world, OUT_UNLINK), 2);

    world_restart (&world, true); /* it is not known that any of them is gone */
    world_turn (&world);
    assert_int_equal (world_count (&world, OUT_UNLINK), 2);
    core_file_found (world.core, SPAN_LIT ("bob"), hash); /* of an upload whose submit never came */
    world_turn (&world);
    assert_int_equal (world_count (&world, OUT_UNLINK), 3);
    str_t path = STR_INIT;
    blob_path (&path, world.config.data_dir, SPAN_LIT ("bob"), hash);
    core_unlinked (world.core, str_span (&path));
    blob_path (&path, world.config.data_dir, SPAN_LIT ("ann"), other);
    core_unlinked (world.core, str_span (&path));
    blob_path (&path, world.config.data_dir, SPAN_LIT ("ann"), hash);
    core_unlinked (world.core, str_span (&path));
    world_turn (&world);
    world_restart (&world, false);
    world_turn (&world);
    assert_int_equal (world_count (&world, OUT_UNLINK), 0);
    str_free (&path);
    world_stop (&world);
}

static void a_checkpoint_is_of_its_own_revision_only (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    frames_t job;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    world_submit (&world, "ann", "long", 0, NULL, &task);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[0], &job));
    parts (&world, workers[0], &job.msg.job, 2);
    frames_clear (&job);
    for (int i = 1; i < STAGE_COUNT; i++)
        while (world_work (&world, workers[i]))
            ;
    str_t key = STR_INIT, resume = STR_INIT;
    record_key (&key, SPAN_LIT ("ann"), task);
    assert_int_equal (kv_get (world.kv, FAMILY_WORK, str_span (&key), &resume, NULL), 1);
    world_restart (&world, false);
    assert_int_equal (cancel (&world, task), 200); /* before anything of it was begun again */
    assert_int_equal (kv_get (world.kv, FAMILY_WORK, str_span (&key), &resume, NULL), 0);
    wire_task_process_t again = { .req = 9, .user = SPAN_LIT ("ann"), .task = task };
    assert_int_equal (world_ask (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_PROCESS, .task_process = again }, NULL),
                      202);
    world_hire (&world, workers);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[0], &job));
    assert_int_equal (job.msg.job.first_segment, 0);
    frames_clear (&job);
    world_restart (&world, false);
    world_hire (&world, workers);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[0], &job));
    assert_int_equal (job.msg.job.first_segment, 0);
    frames_clear (&job);
    str_free (&key);
    str_free (&resume);
    world_stop (&world);
}

static void what_storage_refuses_for_good_is_not_tried_for_ever (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    frames_t job;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    world_submit (&world, "ann", "hello", 0, NULL, &task);
    for (int i = 0; i < STAGE_STORAGE; i++)
        world_work (&world, workers[i]);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[STAGE_STORAGE], &job));
    world_result (&world, workers[STAGE_STORAGE], &job.msg.job, RESULT_FAILED, "protocol", 0, 0);
    world_turn (&world);
    frames_clear (&job);
    assert_string_equal (world_status (&world, "ann", task), "failed");
    world_stop (&world);
}

static void a_storage_in_trouble_may_have_committed_all_the_same (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    frames_t job;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    world_submit (&world, "ann", "hello", 0, NULL, &task);
    for (int i = 0; i < STAGE_STORAGE; i++)
        world_work (&world, workers[i]);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[STAGE_STORAGE], &job));
    world_result (&world, workers[STAGE_STORAGE], &job.msg.job, RESULT_FAILED, "disk_full", 0, 0);
    world_turn (&world);
    frames_clear (&job);
    assert_int_equal (cancel (&world, task), 409);
    world_stop (&world);
}

/*  That storage was told to commit is not synced, nor that the task was begun: a power cut takes both, but not what
 *  storage made visible. */
static void a_cancel_after_a_power_cut_takes_back_what_storage_had_committed (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    frames_t job;
    (void)state;
    for (int completed_before = 0; completed_before < 2; completed_before++) {
        world_start (&world, NULL);
        world_submit (&world, "ann", "hello", 0, NULL, &task);
        world_hire (&world, workers);
        if (completed_before) {
            world_work_all (&world, workers);
            wire_task_process_t again = { .req = 9, .user = SPAN_LIT ("ann"), .task = task };
            assert_int_equal (
                world_ask (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_PROCESS, .task_process = again }, NULL), 202);
        }
        for (int i = 0; i < STAGE_STORAGE; i++)
            world_work (&world, workers[i]);
        assert_true (world_hear (&world, WIRE_KIND_JOB, workers[STAGE_STORAGE], &job));
        assert_int_equal (job.msg.job.final, 1);
        uint64_t revision = job.msg.job.revision;
        frames_clear (&job); /* and storage commits it */
        world_restart (&world, true);
        assert_string_equal (world_status (&world, "ann", task), completed_before ? "processing" : "pending");
        assert_int_equal (cancel (&world, task), 200);
        uuid_t storage = world_worker (&world, STAGE_STORAGE, 1);
        assert_true (world_hear (&world, WIRE_KIND_JOB, storage, &job));
        assert_int_equal (job.msg.job.action, JOB_DROP_REVISION);
        assert_int_equal (job.msg.job.revision, revision);
        assert_int_equal (job.msg.job.final, !completed_before); /* what was visible before is gone: better this */
        frames_clear (&job);
        world_stop (&world);
    }
}

/*  Segment 1 is stored before segment 0, and after the crash again. */
static void what_is_stored_twice_counts_once (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    frames_t job, first, second;
    str_t body = STR_INIT;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    world_submit (&world, "ann", "long", 0, NULL, &task);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[0], &job));
    parts (&world, workers[0], &job.msg.job, 3);
    frames_clear (&job);
    for (int i = 1; i < STAGE_STORAGE; i++)
        while (world_work (&world, workers[i]))
            ;
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[STAGE_STORAGE], &first));
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[STAGE_STORAGE], &second));
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[STAGE_STORAGE], &job));
    world_result (&world, workers[STAGE_STORAGE], &job.msg.job, RESULT_DONE, NULL, 2, 0);
    world_result (&world, workers[STAGE_STORAGE], &first.msg.job, RESULT_DONE, NULL, 0, 0);
    world_turn (&world); /* checkpoint: segment 0; segments 1 and 2 come again */
    frames_clear (&first);
    frames_clear (&second);
    frames_clear (&job);

    world_restart (&world, false);
    world_hire (&world, workers);
    assert_true (world_hear (&world, WIRE_KIND_JOB, workers[0], &job));
    assert_int_equal (job.msg.job.first_segment, 1);
    world_result (&world, workers[0], &job.msg.job, RESULT_PART, NULL, 1, COLUMN_TEXT | COLUMN_MARKS);
    world_result (&world, workers[0], &job.msg.job, RESULT_DONE, NULL, 2, COLUMN_TEXT | COLUMN_MARKS);
    world_turn (&world);
    frames_clear (&job);
    world_work_all (&world, workers);
    wire_task_result_t result = { .req = 5, .user = SPAN_LIT ("ann"), .task = task };
    assert_int_equal (world_ask (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_RESULT, .task_result = result }, &body),
                      200);
    assert_non_null (strstr (body.data, "\"chunks_created\":3,\"embeddings_generated\":3"));
    assert_non_null (strstr (body.data, "\"status\":\"success\""));
    str_free (&body);
    world_stop (&world);
}

static void a_removed_task_leaves_no_history (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], task;
    (void)state;
    world_start (&world, NULL);
    world_hire (&world, workers);
    world_submit (&world, "ann", "hello", 0, NULL, &task);
    world_work (&world, workers[0]);
    wire_task_delete_t drop = { .req = 3, .user = SPAN_LIT ("ann"), .task = task };
    assert_int_equal (world_ask (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_DELETE, .task_delete = drop }, NULL),
                      204);
    static const record_family_t families[] = { FAMILY_HISTORY, FAMILY_TASKS, FAMILY_LIVE, FAMILY_ENDED, FAMILY_WORK };
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        kv_iter_t *iter = kv_iterate (world.kv, families[i]);
        iter->ops->seek (iter, SPAN_EMPTY);
        assert_false (iter->ops->valid (iter));
        kv_iter_destroy (&iter);
    }
    world_stop (&world);
}

static void who_waits_for_a_deletion_that_storage_refuses_is_told (void **state)
{
    world_t world;
    uuid_t document, storage;
    frames_t job, reply;
    (void)state;
    world_start (&world, NULL);
    storage = world_worker (&world, STAGE_STORAGE, 1);
    world_submit (&world, "ann", "hello", 0, &document, NULL);
    wire_document_delete_t drop = { .req = 7, .user = SPAN_LIT ("ann"), .document = document };
    world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_DOCUMENT_DELETE, .document_delete = drop }, NULL, 0);
    world_turn (&world);
    assert_true (world_hear (&world, WIRE_KIND_JOB, storage, &job));
    world_result (&world, storage, &job.msg.job, RESULT_FAILED, "corrupt", 0, 0);
    world_turn (&world);
    frames_clear (&job);
    assert_true (world_hear (&world, WIRE_KIND_REPLY, anyone, &reply));
    assert_int_equal (reply.msg.reply.status, 500);
    frames_clear (&reply);
    world_restart (&world, false); /* it is tried again */
    storage = world_worker (&world, STAGE_STORAGE, 1);
    assert_true (world_work (&world, storage));
    assert_false (world_work (&world, storage));
    world_stop (&world);
}

static void all_tasks_of_a_document_go_with_it_those_of_the_same_turn_too (void **state)
{
    world_t world;
    uuid_t document, tasks[4];
    (void)state;
    world_start (&world, NULL);
    world_worker (&world, STAGE_STORAGE, 1);
    world_submit (&world, "ann", "hello", 0, &document, &tasks[0]);
    for (int i = 1; i < 4; i++) {
        tasks[i] = uuid_new ();
        wire_task_create_t create = { .req = 2, .user = SPAN_LIT ("ann"), .document = document, .task = tasks[i] };
        world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_CREATE, .task_create = create }, NULL, 0);
    }
    wire_document_delete_t drop = { .req = 7, .user = SPAN_LIT ("ann"), .document = document };
    world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_DOCUMENT_DELETE, .document_delete = drop }, NULL, 0);
    world_turn (&world);
    world_forget (&world);
    for (int i = 0; i < 4; i++)
        assert_string_equal (world_status (&world, "ann", tasks[i]), "");
    world_stop (&world);
}

static uint64_t number_of (const str_t *body, const char *key)
{
    const char *at = strstr (body->data, key);
    assert_non_null (at);
    return strtoull (at + strlen (key), NULL, 10);
}

static void the_average_is_over_the_tasks_there_are_and_restarts_keep_it (void **state)
{
    world_t world;
    uuid_t workers[STAGE_COUNT], slow, quick;
    str_t body = STR_INIT;
    (void)state;
    core_config_t config = core_config_default;
    config.beats_missed = 1000;
    world_start (&world, &config);
    world_hire (&world, workers);
    world_submit (&world, "ann", "slow", 0, NULL, &slow);
    world_pass (&world, 100000);
    world_work_all (&world, workers);
    world_submit (&world, "ann", "quick", 0, NULL, &quick);
    world_pass (&world, 1000);
    world_work_all (&world, workers);
    wire_task_delete_t drop = { .req = 3, .user = SPAN_LIT ("ann"), .task = slow };
    assert_int_equal (world_ask (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_DELETE, .task_delete = drop }, NULL),
                      204);
    wire_queue_status_t status = { .req = 4, .user = SPAN_LIT ("root"), .all = 1 };
    for (int restarts = 0; restarts < 2; restarts++) {
        assert_int_equal (
            world_ask (&world, &(wire_msg_t){ .kind = WIRE_KIND_QUEUE_STATUS, .queue_status = status }, &body), 200);
        assert_int_equal (number_of (&body, "\"completed_tasks\":"), 1);
        assert_int_equal (number_of (&body, "\"average_processing_time\":"), 1);
        world_restart (&world, true); /* nobody has asked for ann since */
    }
    str_free (&body);
    world_stop (&world);
}

static void the_whole_quarantine_is_retried_by_one_request (void **state)
{
    enum { TASKS = 2500 }; /* more than are looked at in one turn */
    world_t world;
    uuid_t task;
    frames_t job;
    str_t body = STR_INIT;
    (void)state;
    world_start (&world, NULL);
    uuid_t worker = world_worker (&world, STAGE_EXTRACT, 1);
    for (int i = 0; i < TASKS; i++) {
        char text[32];
        snprintf (text, sizeof text, "document %d", i);
        world_submit (&world, "ann", text, 0, NULL, &task);
        assert_true (world_hear (&world, WIRE_KIND_JOB, worker, &job));
        world_result (&world, worker, &job.msg.job, RESULT_FAILED, i % 2 ? "damaged_document" : "empty_document", 0, 0);
        world_turn (&world);
        world_forget (&world);
        frames_clear (&job);
    }
    wire_quarantine_retry_t retry = { .req = 1, .user = SPAN_LIT ("ann"), .error_codes = SPAN_LIT ("empty_document") };
    wire_msg_t msg = { .kind = WIRE_KIND_QUARANTINE_RETRY, .quarantine_retry = retry };
    msg.quarantine_retry.idem_key = msg.quarantine_retry.idem_hash = SPAN_LIT ("once");
    world_say (&world, &msg, NULL, 0);
    assert_int_equal (world_ask (&world, &msg, &body), 202); /* sent again while the first is at work */
    assert_string_equal (body.data, "{\"retried\":1250,\"known_poison\":0}");
    for (int turns = 0; turns < 10; turns++)
        world_turn (&world);
    frames_t reply;
    assert_true (world_hear (&world, WIRE_KIND_REPLY, anyone, &reply));
    assert_true (span_is (buf_span (reply.payload[0]), "{\"retried\":1250,\"known_poison\":0}"));
    frames_clear (&reply);
    msg.quarantine_retry.idem_key = msg.quarantine_retry.idem_hash = SPAN_EMPTY;
    msg.quarantine_retry.error_codes = SPAN_EMPTY;
    msg.quarantine_retry.task = task; /* the last one, and it alone */
    assert_int_equal (world_ask (&world, &msg, &body), 202);
    assert_string_equal (body.data, "{\"retried\":1,\"known_poison\":0}");
    assert_int_equal (world_ask (&world, &msg, NULL), 404);
    str_free (&body);
    world_stop (&world);
}

static size_t events (world_t *world, const char *with)
{
    str_t topic = STR_INIT, body = STR_INIT;
    size_t count = 0;
    while (world_event (world, &topic, &body))
        count += strstr (body.data, with) != NULL;
    str_free (&topic);
    str_free (&body);
    return count;
}

static void a_new_subscriber_is_shown_what_lives_and_nothing_twice (void **state)
{
    enum { TASKS = 2500 };
    world_t world;
    uuid_t task;
    (void)state;
    world_start (&world, NULL);
    for (int i = 0; i < TASKS; i++) {
        char text[32];
        snprintf (text, sizeof text, "document %d", i);
        world_submit (&world, i % 2 ? "ann" : "bob", text, 0, NULL, &task);
    }
    static const struct {
        const char *topic;
        size_t shown;
    } cases[] = {
        { "task.ann.", TASKS / 2 }, { "task.ann", TASKS / 2 }, { "", TASKS }, { "task.eve.", 0 }, { "queue.", 0 }
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        core_subscription (world.core, span_str (cases[i].topic), true);
        for (int turns = 0; turns < 10; turns++)
            world_turn (&world);
        assert_int_equal (events (&world, "\"replay\":true"), cases[i].shown);
        core_subscription (world.core, span_str (cases[i].topic), false);
    }
    char id[UUID_TEXT], topic[64];
    uuid_text (task, id);
    snprintf (topic, sizeof topic, "task.ann.%s", id);
    core_subscription (world.core, span_str (topic), true);
    world_turn (&world);
    assert_int_equal (events (&world, "\"replay\":true"), 1);
    core_subscription (world.core, span_str (topic), false);
    snprintf (topic, sizeof topic, "task.bob.%s", id); /* not bob's */
    core_subscription (world.core, span_str (topic), true);
    world_turn (&world);
    assert_int_equal (events (&world, "\"replay\":true"), 0);
    world_stop (&world);
}

static void a_replay_after_a_restart_is_the_last_event_under_its_number (void **state)
{
    world_t world;
    uuid_t first, second;
    (void)state;
    world_start (&world, NULL);
    world_submit (&world, "ann", "first", 0, NULL, &first);
    world_submit (&world, "ann", "second", 0, NULL, &second);
    world_restart (&world, true);
    core_subscription (world.core, SPAN_LIT ("task."), true);
    world_turn (&world);
    str_t topic = STR_INIT, body = STR_INIT;
    assert_true (world_event (&world, &topic, &body));
    assert_non_null (strstr (body.data, "\"seq\":1,\"event\":\"created\""));
    assert_true (world_event (&world, &topic, &body));
    assert_non_null (strstr (body.data, "\"seq\":2,\"event\":\"created\""));
    str_free (&topic);
    str_free (&body);
    world_stop (&world);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_worker_that_comes_back_is_told_that_what_it_holds_is_void),
        cmocka_unit_test (tasks_in_hand_go_on_before_others_are_begun),
        cmocka_unit_test (a_file_that_is_wanted_again_in_the_same_turn_stays),
        cmocka_unit_test (files_nobody_has_are_removed_also_after_a_crash),
        cmocka_unit_test (a_checkpoint_is_of_its_own_revision_only),
        cmocka_unit_test (what_storage_refuses_for_good_is_not_tried_for_ever),
        cmocka_unit_test (a_storage_in_trouble_may_have_committed_all_the_same),
        cmocka_unit_test (a_cancel_after_a_power_cut_takes_back_what_storage_had_committed),
        cmocka_unit_test (what_is_stored_twice_counts_once),
        cmocka_unit_test (a_removed_task_leaves_no_history),
        cmocka_unit_test (who_waits_for_a_deletion_that_storage_refuses_is_told),
        cmocka_unit_test (all_tasks_of_a_document_go_with_it_those_of_the_same_turn_too),
        cmocka_unit_test (the_average_is_over_the_tasks_there_are_and_restarts_keep_it),
        cmocka_unit_test (the_whole_quarantine_is_retried_by_one_request),
        cmocka_unit_test (a_new_subscriber_is_shown_what_lives_and_nothing_twice),
        cmocka_unit_test (a_replay_after_a_restart_is_the_last_event_under_its_number),
    };
    return cmocka_run_group_tests (tests, core_quiet, NULL);
}
