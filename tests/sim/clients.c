/*  clients.c: those who submit, cancel, delete and ask, and what they have seen of their tasks. */
#include "base/hash.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static task_t *task_of (uuid_t id)
{
    for (size_t i = 0; i < sim.task_count; i++)
        if (uuid_eq (sim.tasks[i].id, id))
            return &sim.tasks[i];
    return NULL;
}

/*  --- what comes out of the core --- */

span_t value_of (span_t json, const char *key)
{
    char name[64];
    int size = snprintf (name, sizeof name, "\"%s\":", key);
    const char *at = json.size ? memmem (json.data, json.size, name, (size_t)size) : NULL;
    if (!at)
        return SPAN_EMPTY;
    at += size;
    const char *end = json.data + json.size;
    bool text = at < end && *at == '"';
    const char *from = at + text, *to = from;
    while (to < end && (text ? *to != '"' : *to != ',' && *to != '}'))
        to++;
    return span (from, (size_t)(to - from));
}

uint64_t number_of (span_t json, const char *key)
{
    span_t value = value_of (json, key);
    return value.size ? strtoull (value.data, NULL, 10) : 0;
}

static status_t status_of (span_t json)
{
    span_t value = value_of (json, "status");
    for (int i = 1; i < STATUSES; i++)
        if (span_is (value, status_names[i]))
            return (status_t)i;
    return UNKNOWN;
}

bool is_final (status_t status)
{
    return status >= COMPLETED;
}

/*  The state of a task, from an event or an answer. */
static void seen (task_t *task, span_t json)
{
    status_t status = status_of (json);
    uint32_t progress = (uint32_t)number_of (json, "progress");
    uuid_parse (value_of (json, "document_id"), &task->document); /* the same bytes may have been there already */
    if (status == UNKNOWN)
        broken ("task %s has no status: %.*s", name_of (task->id), SPAN_ARG (json));
    if (is_final (task->final) && status != task->final) {
        if (!task->replaying)
            broken ("task %s was %s and is %s", name_of (task->id), status_names[task->final], status_names[status]);
        task->final = UNKNOWN;
        task->progress = 0;
    }
    if (task->replaying && !is_final (status) && progress < task->progress)
        task->progress = 0; /* it began again, between two looks */
    if (progress < task->progress && !task->power_lost)
        broken ("the progress of task %s falls from %u to %u", name_of (task->id), task->progress, progress);
    task->progress = progress;
    if (!is_final (status))
        return;
    outcome_t outcome = script_outcome (task->content);
    if (status == CANCELLED && !task->cancelling && !task->deleting)
        broken ("task %s is cancelled, and nobody asked for it", name_of (task->id));
    if (status == COMPLETED && (outcome.fails || progress != 100))
        broken ("task %s completed, progress %u", name_of (task->id), progress);
    if (status == FAILED && !outcome.fails)
        broken ("task %s failed without a reason: %.*s", name_of (task->id), SPAN_ARG (json));
    if (task->final != status)
        sim.ended++;
    task->completed |= status == COMPLETED;
    task->final = status;
}

void clients_hear_event (const out_t *out)
{
    span_t topic = buf_span (out->frames[0]), body = buf_span (out->frames[1]);
    if (topic.size < 6 || memcmp (topic.data, "task.", 5) != 0)
        return;
    sim.events++;
    const char *dot = memrchr (topic.data, '.', topic.size);
    span_t owner = span (topic.data + 5, (size_t)(dot - topic.data) - 5);
    uuid_t id;
    if (uuid_parse (span (dot + 1, topic.size - (size_t)(dot + 1 - topic.data)), &id))
        broken ("an event of no task: %.*s", SPAN_ARG (topic));
    uint32_t user = 0;
    while (user < USERS && !span_is (owner, user_names[user]))
        user++;
    if (user == USERS || !span_is (value_of (body, "user_id"), user_names[user]))
        broken ("an event for %.*s: %.*s", SPAN_ARG (owner), SPAN_ARG (body));
    task_t *task = task_of (id);
    if (task && task->user != user)
        broken ("%s hears of a task of %s", user_names[user], user_names[task->user]);
    bool replay = value_of (body, "replay").size > 0;
    span_t event = value_of (body, "event");
    uint64_t seq = number_of (body, "seq");
    if (!replay) {
        if (seq <= sim.seq[user] || (seq != sim.seq[user] + 1 && !sim.seq_loose[user]))
            broken ("event %" PRIu64 " of %s follows %" PRIu64, seq, user_names[user], sim.seq[user]);
        sim.seq[user] = seq;
        sim.seq_loose[user] = false;
    }
    if (!task)
        return;
    task->acked = true; /* what is published is durable, or will be seen again */
    if (span_is (event, "deleted")) {
        if (!task->deleting)
            broken ("task %s was deleted, and nobody asked for it", name_of (id));
        task->deleted = true;
    } else if (!task->deleted)
        seen (task, body);
    bool unsynced = span_is (event, "progress") || span_is (event, "started") || span_is (event, "retrying");
    if (!unsynced || replay)
        task->power_lost = false;
}

/*  What storage commits or has committed must not be cancelled any more, unless a power cut took that it was told to.
 */
static void check_cancelled (const task_t *task)
{
    record_task_t record;
    uint32_t segments;
    str_t key = STR_INIT, bytes = STR_INIT;
    if (hands_commit (sim.hands, task->id, core_epoch (sim.core)))
        broken ("task %s is cancelled while storage commits it", name_of (task->id));
    record_key (&key, span_str (user_names[task->user]), task->id);
    if (record_get (sim.kv, FAMILY_TASKS, str_span (&key), &record_task_shape, &record, &bytes, NULL) == 1 &&
        record.revision == depot_visible (sim.depot, task->document, &segments) &&
        !depot_is_dark (sim.depot, task->document))
        broken ("task %s is cancelled, and its revision %" PRIu64 " is visible", name_of (task->id), record.revision);
    str_free (&key);
    str_free (&bytes);
}

void clients_forget (task_t *task)
{
    *task = sim.tasks[--sim.task_count];
}

void clients_hear_answer (const out_t *out)
{
    wire_msg_t msg;
    err_t err;
    if (wire_decode (buf_span (out->frames[0]), &msg, &err) == -1)
        broken ("an answer cannot be read: %s", err.message);
    size_t at = 0;
    while (at < sim.asked_count && sim.asked[at].req != msg.reply.req)
        at++;
    if (at == sim.asked_count)
        broken ("an answer to no question, status %u", msg.reply.status);
    asked_t asked = sim.asked[at];
    sim.asked[at] = sim.asked[--sim.asked_count];
    uint32_t status = msg.reply.status;
    span_t body = out->frame_count > 1 ? buf_span (out->frames[1]) : SPAN_EMPTY;
    task_t *task = task_of (asked.task);
    switch (asked.kind) {
    case ASK_SUBMIT:
        limits_hear_submit (&asked, &msg.reply);
        if (status == 507 && !sim.disk_full)
            broken ("the disk is not full");
        if (status == 201 && sim.disk_full)
            broken ("something new was taken while the disk is full");
        if (task && status == 201) {
            task->acked = true;
            uuid_parse (value_of (body, "id"), &task->document); /* the first id there is the document's */
        } else if (task && (status == 507 || status == 429 || status == 200))
            clients_forget (task); /* refused; or the same bytes were there: that is another task */
        else if (task)
            broken ("a submit is answered with %u", status);
        break;
    case ASK_GET:
        if (!task || task->deleted)
            break;
        if (status == 404 && task->acked && !task->deleting)
            broken ("task %s was acknowledged and is not there", name_of (asked.task));
        if (status == 404 && task->deleting)
            task->deleted = true;
        if (status == 200) {
            task->acked = true;
            seen (task, body);
            task->power_lost = false;
        }
        break;
    case ASK_RESULT:
        if (status == 200 && task && task->final == COMPLETED)
            check_result (task, body);
        break;
    case ASK_HEALTH:
        if (number_of (body, "active_tasks") || number_of (body, "memory_bytes"))
            broken ("nothing is to do, and yet: %.*s", SPAN_ARG (body));
        break;
    case ASK_QUEUE:
        sim.busy = number_of (body, "pending_tasks") + number_of (body, "processing_tasks");
        if (!sim.busy && !kv_memory_count (sim.kv, FAMILY_PURGES))
            check_books (body);
        else
            sim.busy = 1;
        break;
    case ASK_CANCEL:
        if (task && status == 200 && !sim.calm && dice_one_in (&sim.dice, 4))
            clients_meddle_with (task->id); /* while the workers hear of it */
        if (task && status == 200) {
            seen (task, body);
            if (task->final != CANCELLED && task->final != UNKNOWN && !task->replaying)
                broken ("a cancelled task is %s", status_names[task->final]);
            if (task->final == CANCELLED && !task->replaying)
                check_cancelled (task);
            task->power_lost = false;
        }
        break;
    case ASK_DELETE:
        if (task && status == 204)
            task->deleted = true;
        break;
    case ASK_DROP:
        if (status != 204)
            break;
        uint32_t segments;
        if (depot_visible (sim.depot, asked.document, &segments))
            broken ("document %s is deleted and still to be found", name_of (asked.document));
        for (size_t i = 0; i < sim.task_count; i++)
            if (uuid_eq (sim.tasks[i].document, asked.document))
                sim.tasks[i].deleted = true;
        break;
    default:
        break;
    }
}

/*  --- what they ask --- */

static void send_question (const wire_msg_t *msg, asked_t asked, buf_t *payload)
{
    frames_t letter = { 0 };
    str_t header = STR_INIT;
    err_t err;
    wire_encode (msg, &header);
    letter.header = buf_take (header.data, header.size);
    if (wire_decode (buf_span (letter.header), &letter.msg, &err) == -1)
        abort ();
    letter.route = buf_copy (SPAN_LIT ("gateway"));
    if (payload)
        letter.payload[letter.payload_count++] = payload;
    if (sim.asked_count == sim.asked_room) {
        sim.asked_room = sim.asked_room ? 2 * sim.asked_room : 64;
        sim.asked = realloc (sim.asked, sim.asked_room * sizeof *sim.asked);
        if (!sim.asked)
            abort ();
    }
    sim.asked[sim.asked_count++] = asked;
    post_letter (&letter);
}

void clients_submit (void)
{
    if (sim.task_count == TASKS_MAX)
        return;
    bool urgent = sim.rush && !dice_one_in (&sim.dice, 8);
    uint32_t user = urgent ? 0 : dice_below (&sim.dice, USERS);
    uint32_t content = 1 + (dice_one_in (&sim.dice, 6) ? dice_below (&sim.dice, 50) : dice_below (&sim.dice, 1u << 30));
    char text[16];
    snprintf (text, sizeof text, "%u", content);
    hash_t hash = hash_of (span_str (text));
    wire_submit_t msg = { .req = ++sim.next_req,
                          .user = span_str (user_names[user]),
                          .document = dice_uuid (&sim.dice, sim.wall),
                          .task = dice_uuid (&sim.dice, sim.wall),
                          .filename = SPAN_LIT ("note.txt"),
                          .bytes = strlen (text),
                          .hash = span (hash.bytes, HASH_SIZE),
                          .priority = urgent ? 10 : (uint8_t)(1 + dice_below (&sim.dice, 10)) };
    sim.tasks[sim.task_count++] =
        (task_t){ .id = msg.task, .document = msg.document, .user = user, .content = content };
    send_question (
        &(wire_msg_t){ .kind = WIRE_KIND_SUBMIT, .submit = msg },
        (asked_t){ .req = msg.req, .kind = ASK_SUBMIT, .task = msg.task, .document = msg.document, .user = user },
        buf_copy (span_str (text)));
}

void clients_ask (ask_t kind, const task_t *task)
{
    span_t user = span_str (user_names[task ? task->user : 0]);
    asked_t asked = { .req = ++sim.next_req, .kind = kind };
    wire_msg_t msg = { 0 };
    if (task) {
        asked.task = task->id;
        asked.document = task->document;
    }
    switch (kind) {
    case ASK_CANCEL:
    case ASK_PRIORITY:
        msg.kind = WIRE_KIND_TASK_UPDATE;
        msg.task_update = (wire_task_update_t){ .user = user,
                                                .task = asked.task,
                                                .cancel = kind == ASK_CANCEL,
                                                .priority = kind == ASK_PRIORITY ? 1 + asked.req % 10 : 0 };
        break;
    case ASK_DELETE:
        msg.kind = WIRE_KIND_TASK_DELETE;
        msg.task_delete = (wire_task_delete_t){ .user = user, .task = asked.task };
        break;
    case ASK_DROP:
        msg.kind = WIRE_KIND_DOCUMENT_DELETE;
        msg.document_delete = (wire_document_delete_t){ .user = user, .document = asked.document };
        break;
    case ASK_PROCESS:
        msg.kind = WIRE_KIND_TASK_PROCESS;
        msg.task_process = (wire_task_process_t){ .user = user, .task = asked.task, .force = asked.req % 2 };
        break;
    case ASK_RETRY:
        msg.kind = WIRE_KIND_QUARANTINE_RETRY;
        msg.quarantine_retry = (wire_quarantine_retry_t){ .user = user, .force = asked.req % 2 };
        break;
    case ASK_LIST:
        msg.kind = WIRE_KIND_TASK_LIST;
        msg.task_list = (wire_task_list_t){ .user = user, .limit = 20 };
        break;
    case ASK_RESULT:
        msg.kind = WIRE_KIND_TASK_RESULT;
        msg.task_result = (wire_task_result_t){ .user = user, .task = asked.task };
        break;
    case ASK_HEALTH:
        msg.kind = WIRE_KIND_HEALTH;
        msg.health = (wire_health_t){ .user = user };
        break;
    case ASK_QUEUE:
        msg.kind = WIRE_KIND_QUEUE_STATUS;
        msg.queue_status = (wire_queue_status_t){ .user = user, .all = 1 };
        break;
    default:
        msg.kind = WIRE_KIND_TASK_GET;
        msg.task_get = (wire_task_get_t){ .user = user, .task = asked.task };
        break;
    }
    msg.task_get.req = asked.req;                 /* the first field of all requests */
    for (size_t i = 0; i < sim.task_count; i++) { /* what may come of it */
        task_t *other = &sim.tasks[i];
        bool same = uuid_eq (other->id, asked.task);
        other->cancelling |= same && kind == ASK_CANCEL;
        other->replaying |= (same && kind == ASK_PROCESS) || (task && other->user == task->user && kind == ASK_RETRY);
        /* the same bytes of the same user are one document */
        other->deleting |= (same && kind == ASK_DELETE) ||
                           (task && kind == ASK_DROP && other->user == task->user && other->content == task->content);
    }
    send_question (&msg, asked, NULL);
}

/*  Any of those that change a task: cancel, delete it or its document, process, priority. */
static ask_t any_meddling (void)
{
    return (ask_t)(ASK_CANCEL + dice_below (&sim.dice, ASK_PRIORITY + 1 - ASK_CANCEL));
}

void clients_ask_about (ask_t kind, uuid_t id)
{
    const task_t *task = task_of (id);
    if (task)
        clients_ask (kind, task);
}

bool clients_is_last (uuid_t id, uint32_t segment)
{
    const task_t *task = task_of (id);
    return task && segment + 1 == script_segments (task->content);
}

void clients_meddle_with (uuid_t id)
{
    const task_t *task = task_of (id);
    if (!task)
        return;
    clients_ask (any_meddling (), task);
    if (dice_one_in (&sim.dice, 4)) /* somebody else has the same idea, or another */
        clients_ask (any_meddling (), task);
}

void clients_meddle (ask_t kind)
{
    if (!sim.task_count)
        return;
    const task_t *task = NULL;
    for (int i = 0; i < 8 && (!task || is_final (task->final));
         i++) /* rather one that lives: there are fewer of them */
        task = &sim.tasks[dice_below (&sim.dice, (uint32_t)sim.task_count)];
    clients_ask (kind, task);
    if (kind != ASK_GET && sim.meddlesome && dice_one_in (&sim.dice, 4))
        clients_ask (any_meddling (), task);
}
