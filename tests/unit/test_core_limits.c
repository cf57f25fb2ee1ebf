/*  Limits of new work: what is over them is refused before anything is stored, and says when to come again. */
#include "base/hash.h"
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

static world_t world;
static core_config_t config;
static char code[32];
static uint32_t after_s;

static int start (void **state)
{
    (void)state;
    config = core_config_default;
    return 0;
}

static int stop (void **state)
{
    (void)state;
    world_stop (&world);
    return 0;
}

/*  Says it, and takes the answer apart: its status; code and after_s. */
static uint32_t answer_to (const wire_msg_t *msg, buf_t *const *payload, size_t count)
{
    frames_t reply;
    world_say (&world, msg, payload, count);
    world_turn (&world);
    assert_true (world_hear (&world, WIRE_KIND_REPLY, (uuid_t){ { 0 } }, &reply));
    uint32_t status = reply.msg.reply.status;
    snprintf (code, sizeof code, "%.*s", SPAN_ARG (reply.msg.reply.code));
    after_s = reply.msg.reply.retry_after_s;
    frames_clear (&reply);
    return status;
}

typedef struct {
    uint64_t bytes; /* of a file; 0: the text itself */
    bool store_only, admitted, reprocess;
    const char *key;
} how_t;

static uint32_t submit (const char *user, const char *text, how_t how, uuid_t *task)
{
    hash_t hash = hash_of (span_str (text));
    wire_submit_t msg = { .req = ++world.next_req,
                          .user = span_str (user),
                          .document = uuid_new (),
                          .task = how.store_only ? (uuid_t){ { 0 } } : uuid_new (),
                          .filename = SPAN_LIT ("note.txt"),
                          .bytes = how.bytes ? how.bytes : strlen (text),
                          .hash = span (hash.bytes, HASH_SIZE),
                          .in_file = how.bytes > 0,
                          .admitted = how.admitted,
                          .reprocess = how.reprocess,
                          .idem_key = span_str (how.key),
                          .idem_hash = how.key ? span (hash.bytes, HASH_SIZE) : SPAN_EMPTY };
    buf_t *bytes = buf_copy (span_str (text));
    if (task)
        *task = msg.task;
    uint32_t status = answer_to (&(wire_msg_t){ .kind = WIRE_KIND_SUBMIT, .submit = msg }, &bytes, !how.bytes);
    buf_unref (&bytes);
    return status;
}

static uint32_t admit (const char *user, uint64_t bytes, const char *key)
{
    wire_admit_t msg = {
        .req = ++world.next_req, .user = span_str (user), .bytes = bytes, .makes_task = 1, .idem_key = span_str (key)
    };
    return answer_to (&(wire_msg_t){ .kind = WIRE_KIND_ADMIT, .admit = msg }, NULL, 0);
}

static uint32_t ask_task (wire_kind_t kind, const char *user, uuid_t task)
{
    wire_msg_t msg = { .kind = kind };
    if (kind == WIRE_KIND_TASK_UPDATE)
        msg.task_update = (wire_task_update_t){ .task = task, .cancel = 1 };
    else if (kind == WIRE_KIND_TASK_PROCESS)
        msg.task_process = (wire_task_process_t){ .task = task };
    else if (kind == WIRE_KIND_QUARANTINE_RETRY)
        msg.quarantine_retry = (wire_quarantine_retry_t){ .task = task };
    else
        msg.task_delete = (wire_task_delete_t){ .task = task };
    msg.task_get.req = ++world.next_req;
    msg.task_get.user = span_str (user);
    return answer_to (&msg, NULL, 0);
}

static uuid_t document_of (const char *user, uuid_t task)
{
    str_t body = STR_INIT;
    uuid_t id;
    wire_task_get_t get = { .req = ++world.next_req, .user = span_str (user), .task = task };
    assert_int_equal (world_ask (&world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_GET, .task_get = get }, &body), 200);
    const char *at = strstr (body.data, "\"document_id\":\"");
    assert_non_null (at);
    assert_int_equal (uuid_parse (span (at + 15, UUID_TEXT - 1), &id), 0);
    str_free (&body);
    return id;
}

static uint32_t delete_document (const char *user, uuid_t document, uuid_t workers[STAGE_COUNT])
{
    wire_document_delete_t msg = { .req = ++world.next_req, .user = span_str (user), .document = document };
    world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_DOCUMENT_DELETE, .document_delete = msg }, NULL, 0);
    world_turn (&world);
    world_work_all (&world, workers);
    frames_t reply;
    assert_true (world_hear (&world, WIRE_KIND_REPLY, (uuid_t){ { 0 } }, &reply));
    uint32_t status = reply.msg.reply.status;
    frames_clear (&reply);
    return status;
}

/*  Documents, their bytes or hashes, tasks: nothing has come since there were so many documents. */
static void assert_stored (size_t documents, size_t tasks)
{
    assert_int_equal (kv_memory_count (world.kv, FAMILY_DOCUMENTS), documents);
    assert_int_equal (kv_memory_count (world.kv, FAMILY_HASHES), documents);
    assert_int_equal (kv_memory_count (world.kv, FAMILY_TASKS), tasks);
}

static void a_user_may_have_so_many_tasks_waiting (void **state)
{
    uuid_t first, ended, workers[STAGE_COUNT];
    (void)state;
    config.user_tasks = 3;
    world_start (&world, &config);
    world_hire (&world, workers);
    assert_int_equal (submit ("ann", "done before", (how_t){ 0 }, &ended), 201);
    world_work_all (&world, workers);
    assert_string_equal (world_status (&world, "ann", ended), "completed");
    world_restart (&world, false); /* nobody works any more */
    assert_int_equal (submit ("ann", "1", (how_t){ 0 }, &first), 201);
    assert_int_equal (submit ("ann", "2", (how_t){ 0 }, NULL), 201);
    assert_int_equal (submit ("ann", "3", (how_t){ 0 }, NULL), 201);
    assert_stored (4, 4);

    assert_int_equal (submit ("ann", "4", (how_t){ 0 }, NULL), 429);
    assert_string_equal (code, "queue_full");
    assert_in_range (after_s, 1, 3600);
    assert_int_equal (submit ("ann", "4.1", (how_t){ .bytes = 1u << 20 }, NULL), 429);
    assert_int_equal (world_count (&world, OUT_UNLINK), 1); /* the file that was there already goes again */
    assert_int_equal (admit ("ann", 1u << 20, NULL), 429);
    assert_string_equal (code, "queue_full");
    assert_int_equal (submit ("ann", "1", (how_t){ 0 }, NULL), 200); /* it waits already: nothing is made */
    assert_int_equal (submit ("ann", "done before", (how_t){ .reprocess = true }, NULL), 429);
    assert_int_equal (ask_task (WIRE_KIND_TASK_PROCESS, "ann", ended), 429);
    assert_stored (4, 4);

    assert_int_equal (ask_task (WIRE_KIND_TASK_PROCESS, "ann", first), 202); /* to the front: nothing new */
    assert_int_equal (submit ("ann", "done before", (how_t){ 0 }, NULL), 200);
    assert_int_equal (submit ("ann", "4", (how_t){ .store_only = true }, NULL), 201); /* it makes no task */
    assert_int_equal (submit ("bob", "4", (how_t){ 0 }, NULL), 201);                  /* and bob has room */
    assert_int_equal (ask_task (WIRE_KIND_TASK_UPDATE, "ann", first), 200);
    assert_int_equal (submit ("ann", "5", (how_t){ 0 }, NULL), 201);
}

static void all_users_together_may_have_so_many_tasks (void **state)
{
    (void)state;
    config.tasks_max = 2;
    world_start (&world, &config);
    assert_int_equal (submit ("ann", "1", (how_t){ 0 }, NULL), 201);
    assert_int_equal (submit ("bob", "1", (how_t){ 0 }, NULL), 201);
    assert_int_equal (submit ("cid", "1", (how_t){ 0 }, NULL), 429);
    assert_string_equal (code, "queue_full");
    assert_stored (2, 2);
}

static void how_long_to_wait_is_how_fast_tasks_are_begun (void **state)
{
    uuid_t task, workers[STAGE_COUNT];
    (void)state;
    config.user_tasks = 1;
    world_start (&world, &config);
    submit ("ann", "1", (how_t){ 0 }, NULL);
    assert_int_equal (submit ("ann", "2", (how_t){ 0 }, NULL), 429);
    assert_int_equal (after_s, 30); /* nobody knows yet */
    world_hire (&world, workers);
    world_pass (&world, 3000); /* the first takes three seconds */
    world_work_all (&world, workers);
    world_restart (&world, false);
    submit ("ann", "3", (how_t){ 0 }, &task);
    assert_int_equal (submit ("ann", "4", (how_t){ 0 }, NULL), 429);
    assert_int_equal (after_s, 3);
    world_hire (&world, workers);
    for (int i = 0; i < 300; i++) { /* ten a second for half a minute */
        char text[16];
        snprintf (text, sizeof text, "more %d", i);
        submit ("ann", text, (how_t){ 0 }, NULL);
        world_work_all (&world, workers);
        world_pass (&world, 100);
    }
    for (int i = 0; submit ("ann", (char[]){ (char)('a' + i), 0 }, (how_t){ 0 }, NULL) == 201; i++)
        ; /* until the workers' hands are full */
    assert_int_equal (after_s, 1);
}

static void a_user_may_store_so_many_bytes (void **state)
{
    uuid_t task, workers[STAGE_COUNT];
    (void)state;
    config.user_bytes = 1000;
    world_start (&world, &config);
    world_hire (&world, workers);
    assert_int_equal (submit ("ann", "a file", (how_t){ .bytes = 900 }, &task), 201);
    assert_int_equal (admit ("ann", 100, NULL), 204);
    assert_int_equal (admit ("ann", 101, NULL), 429);
    assert_string_equal (code, "quota_exceeded");
    assert_int_equal (after_s, 3600);
    assert_int_equal (submit ("ann", "another", (how_t){ .bytes = 101 }, NULL), 429);
    assert_string_equal (code, "quota_exceeded");
    assert_int_equal (world_count (&world, OUT_UNLINK), 1);
    assert_int_equal (submit ("ann", "one more", (how_t){ .bytes = UINT64_MAX }, NULL), 429);
    assert_int_equal (submit ("ann", "a file", (how_t){ .bytes = 900 }, NULL), 200); /* stored already */
    assert_stored (1, 1);
    assert_int_equal (submit ("bob", "another", (how_t){ .bytes = 1000 }, NULL), 201);

    world_restart (&world, true); /* the count is as durable as the document */
    assert_int_equal (submit ("ann", "another", (how_t){ .bytes = 101 }, NULL), 429);
    assert_int_equal (submit ("ann", "another", (how_t){ .bytes = 100 }, NULL), 201);
    world_hire (&world, workers);
    assert_int_equal (delete_document ("ann", document_of ("ann", task), workers), 204);
    assert_int_equal (submit ("ann", "a third", (how_t){ .bytes = 900 }, NULL), 201);
    assert_int_equal (submit ("ann", "x", (how_t){ 0 }, NULL), 429);
    world_restart (&world, true);
    assert_int_equal (submit ("ann", "x", (how_t){ 0 }, NULL), 429);
}

static void bytes_are_there_again_before_the_deletion_is_through (void **state)
{
    uuid_t task;
    (void)state;
    config.user_bytes = 10;
    world_start (&world, &config);
    assert_int_equal (submit ("ann", "0123456789", (how_t){ 0 }, &task), 201);
    wire_document_delete_t msg = { .req = 99, .user = SPAN_LIT ("ann"), .document = document_of ("ann", task) };
    world_say (&world, &(wire_msg_t){ .kind = WIRE_KIND_DOCUMENT_DELETE, .document_delete = msg }, NULL, 0);
    assert_int_equal (submit ("ann", "9876543210", (how_t){ 0 }, NULL), 201);
}

static void a_user_may_submit_so_often (void **state)
{
    uuid_t task, workers[STAGE_COUNT];
    (void)state;
    config.user_rate = 2;
    config.user_burst = 4;
    world_start (&world, &config);
    world_hire (&world, workers);
    assert_int_equal (submit ("ann", "1", (how_t){ .key = "once" }, &task), 201);
    for (int i = 0; i < 3; i++)
        assert_int_equal (submit ("ann", "1", (how_t){ 0 }, NULL), 200); /* a submit, whatever comes of it */
    assert_int_equal (submit ("ann", "2", (how_t){ 0 }, NULL), 429);
    assert_string_equal (code, "rate_limited");
    assert_int_equal (after_s, 1);
    assert_stored (1, 1);
    assert_int_equal (submit ("bob", "2", (how_t){ 0 }, NULL), 201);
    assert_int_equal (admit ("ann", 1, NULL), 429);
    assert_string_equal (code, "rate_limited");

    /* What makes no work is not counted, nor is an answer that is given again. */
    assert_int_equal (submit ("ann", "1", (how_t){ .key = "once" }, NULL), 201);
    assert_int_equal (admit ("ann", 1, "once"), 204);
    assert_int_equal (ask_task (WIRE_KIND_TASK_UPDATE, "ann", task), 200);
    assert_int_equal (ask_task (WIRE_KIND_TASK_PROCESS, "ann", task), 429);
    assert_string_equal (code, "rate_limited");
    assert_int_equal (ask_task (WIRE_KIND_QUARANTINE_RETRY, "ann", (uuid_t){ { 0 } }), 429);

    world.now += 499;
    assert_int_equal (submit ("ann", "2", (how_t){ 0 }, NULL), 429);
    world.now += 1;
    assert_int_equal (submit ("ann", "2", (how_t){ 0 }, NULL), 201);
    assert_int_equal (submit ("ann", "3", (how_t){ 0 }, NULL), 429);
    world.now += 500;
    assert_int_equal (admit ("ann", 5, NULL), 204); /* the token of what is submitted after it */
    assert_int_equal (submit ("ann", "3", (how_t){ 0 }, NULL), 429);
    assert_int_equal (submit ("ann", "3", (how_t){ .admitted = true, .bytes = 5 }, NULL), 201);

    world.now += 3600000; /* it holds no more than it holds */
    for (int i = 0; i < 4; i++)
        assert_int_equal (submit ("ann", "1", (how_t){ .store_only = true }, NULL), 200);
    assert_int_equal (submit ("ann", "1", (how_t){ .store_only = true }, NULL), 429);
    assert_int_equal (ask_task (WIRE_KIND_TASK_DELETE, "ann", task), 204);
}

static void how_long_to_wait_for_a_token_is_known (void **state)
{
    (void)state;
    config.user_rate = 1;
    config.user_burst = 1;
    world_start (&world, &config);
    for (int i = 0; i < 50; i++) {
        assert_int_equal (submit ("ann", "1", (how_t){ .store_only = true }, NULL), i ? 200 : 201);
        world.now += (uint64_t)i * 7;
        assert_int_equal (submit ("ann", "1", (how_t){ .store_only = true }, NULL), i * 7 < 1000 ? 429 : 200);
        world.now += after_s * 1000;
    }
}

static void what_the_disk_has_no_room_for_is_refused (void **state)
{
    uuid_t task;
    (void)state;
    world_start (&world, &config);
    core_disk_room (world.core, 100000);
    assert_int_equal (submit ("ann", "a note", (how_t){ 0 }, &task), 201);
    char large[30001];
    memset (large, 'x', sizeof large - 1);
    large[sizeof large - 1] = 0;
    assert_int_equal (submit ("ann", large, (how_t){ 0 }, NULL), 201);
    large[0] = 'y'; /* between two looks at the disk, too: the room has shrunk */
    assert_int_equal (submit ("ann", large, (how_t){ 0 }, NULL), 507);
    assert_string_equal (code, "disk_full");
    assert_int_equal (admit ("ann", 200000, NULL), 507);
    assert_stored (2, 2);
    core_disk_room (world.core, 0);
    assert_int_equal (submit ("ann", "b", (how_t){ 0 }, NULL), 507);
    assert_int_equal (submit ("ann", "c", (how_t){ .bytes = 1u << 20 }, NULL), 507);
    assert_int_equal (world_count (&world, OUT_UNLINK), 1);
    assert_int_equal (ask_task (WIRE_KIND_TASK_UPDATE, "ann", task), 200); /* what frees space always works */
    assert_int_equal (ask_task (WIRE_KIND_TASK_PROCESS, "ann", task), 507);
    assert_int_equal (ask_task (WIRE_KIND_TASK_DELETE, "ann", task), 204);
}

static void on_a_disk_that_is_short_nothing_is_begun (void **state)
{
    uuid_t begun, task, workers[STAGE_COUNT];
    str_t body = STR_INIT;
    (void)state;
    world_start (&world, &config);
    world_hire (&world, workers);
    assert_int_equal (submit ("ann", "begun", (how_t){ 0 }, &begun), 201);
    core_hold (world.core, true);
    assert_int_equal (submit ("ann", "waits", (how_t){ 0 }, &task), 201);
    world_work_all (&world, workers);
    assert_string_equal (world_status (&world, "ann", begun), "completed"); /* what is in hand goes on */
    assert_string_equal (world_status (&world, "ann", task), "pending");
    wire_task_events_t events = { .req = 900, .user = SPAN_LIT ("ann"), .task = task, .limit = 10 };
    wire_msg_t msg = { .kind = WIRE_KIND_TASK_EVENTS, .task_events = events };
    assert_int_equal (world_ask (&world, &msg, &body), 200);
    assert_non_null (strstr (body.data, "\"waiting_for\":\"disk_space\""));
    core_hold (world.core, false);
    world_turn (&world);
    world_work_all (&world, workers);
    assert_string_equal (world_status (&world, "ann", task), "completed");
    str_free (&body);
}

static void a_replay_of_the_quarantine_stops_at_the_limit (void **state)
{
    uuid_t workers[STAGE_COUNT];
    frames_t in;
    str_t body = STR_INIT;
    (void)state;
    config.user_tasks = 2;
    world_start (&world, &config);
    world_hire (&world, workers);
    for (int i = 0; i < 4; i++) {
        assert_int_equal (submit ("ann", (char[]){ (char)('a' + i), 0 }, (how_t){ 0 }, NULL), 201);
        assert_true (world_hear (&world, WIRE_KIND_JOB, workers[STAGE_EXTRACT], &in));
        world_result (&world, workers[STAGE_EXTRACT], &in.msg.job, RESULT_FAILED, "damaged_document", 0, 0);
        world_turn (&world);
        frames_clear (&in);
    }
    world_restart (&world, false);
    wire_quarantine_retry_t all = { .req = 900, .user = SPAN_LIT ("ann") };
    wire_msg_t msg = { .kind = WIRE_KIND_QUARANTINE_RETRY, .quarantine_retry = all };
    assert_int_equal (world_ask (&world, &msg, &body), 202);
    assert_non_null (strstr (body.data, "\"retried\":2"));
    msg.quarantine_retry.req++;
    assert_int_equal (world_ask (&world, &msg, &body), 429);
    str_free (&body);
}

int main (void)
{
    log_init ("test", LOG_ERROR + 1);
#define LIMITS_TEST(name) cmocka_unit_test_setup_teardown (name, start, stop)
    const struct CMUnitTest tests[] = {
        LIMITS_TEST (a_user_may_have_so_many_tasks_waiting),
        LIMITS_TEST (all_users_together_may_have_so_many_tasks),
        LIMITS_TEST (how_long_to_wait_is_how_fast_tasks_are_begun),
        LIMITS_TEST (a_user_may_store_so_many_bytes),
        LIMITS_TEST (bytes_are_there_again_before_the_deletion_is_through),
        LIMITS_TEST (a_user_may_submit_so_often),
        LIMITS_TEST (how_long_to_wait_for_a_token_is_known),
        LIMITS_TEST (what_the_disk_has_no_room_for_is_refused),
        LIMITS_TEST (on_a_disk_that_is_short_nothing_is_begun),
        LIMITS_TEST (a_replay_of_the_quarantine_stops_at_the_limit),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
