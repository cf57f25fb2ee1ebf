#include "tests/sim/world.h"
#include "base/hash.h"
#include "store/records.h"

#include <assert.h>
#include <stdlib.h>

#define START_MS  1000000u
#define START_DAY 1700000000000u

static void open_core (world_t *world)
{
    err_t err = { 0 };
    world->core = core_new (&world->config, world->kv, world->now, world->wall, &err);
    if (!world->core)
        abort ();
}

void world_start (world_t *world, const core_config_t *config)
{
    *world = (world_t){ .config = config ? *config : core_config_default, .now = START_MS, .wall = START_DAY };
    world->kv = kv_memory_new (FAMILY_COUNT);
    open_core (world);
}

void world_forget (world_t *world)
{
    for (size_t i = 0; i < world->out_count; i++)
        out_clear (&world->out[i]);
    world->out_count = 0;
}

void world_stop (world_t *world)
{
    world_forget (world);
    free (world->out);
    core_destroy (&world->core);
    kv_destroy (&world->kv);
}

void world_restart (world_t *world, bool power_lost)
{
    core_destroy (&world->core);
    kv_memory_crash (world->kv, power_lost);
    world_forget (world);
    open_core (world);
}

void world_turn (world_t *world)
{
    err_t err;
    core_begin (world->core, world->now, world->wall);
    core_dispatch (world->core);
    if (core_commit (world->core, &err) == -1)
        abort ();
    out_t out;
    while (core_outbox_take (world->core, &out)) {
        if (world->out_count == world->out_room) {
            world->out_room = world->out_room ? world->out_room * 2 : 64;
            world->out = realloc (world->out, world->out_room * sizeof *world->out);
            if (!world->out)
                abort ();
        }
        world->out[world->out_count++] = out;
    }
}

void world_pass (world_t *world, uint64_t ms)
{
    while (ms) {
        uint64_t step = ms < 100 ? ms : 100;
        world->now += step;
        world->wall += step;
        ms -= step;
        world_turn (world);
    }
}

/*  A message as it would come off a socket. */
static void encode (const wire_msg_t *msg, buf_t *const *payload, size_t count, frames_t *in)
{
    str_t header = STR_INIT;
    err_t err;
    wire_encode (msg, &header);
    *in = (frames_t){ .header = buf_copy (str_span (&header)) };
    str_free (&header);
    if (wire_decode (buf_span (in->header), &in->msg, &err) == -1)
        abort ();
    if (msg->kind >= WIRE_KIND_SUBMIT)
        in->route = buf_copy (SPAN_LIT ("gateway"));
    for (size_t i = 0; i < count; i++)
        in->payload[in->payload_count++] = buf_ref (payload[i]);
}

void world_say (world_t *world, const wire_msg_t *msg, buf_t *const *payload, size_t count)
{
    frames_t in;
    encode (msg, payload, count, &in);
    core_begin (world->core, world->now, world->wall);
    core_input (world->core, &in, NULL);
    frames_clear (&in);
}

static void take (world_t *world, size_t i, out_t *out)
{
    *out = world->out[i];
    memmove (world->out + i, world->out + i + 1, (--world->out_count - i) * sizeof *out);
}

bool world_hear (world_t *world, wire_kind_t kind, uuid_t worker, frames_t *frames)
{
    for (size_t i = 0; i < world->out_count; i++) {
        out_t *out = &world->out[i];
        err_t err;
        wire_msg_t msg;
        if ((out->kind != OUT_WORKER && out->kind != OUT_REPLY) ||
            wire_decode (buf_span (out->frames[0]), &msg, &err) == -1)
            continue;
        if (msg.kind != kind || (!uuid_is_null (worker) && !uuid_eq (worker, out->worker)))
            continue;
        out_t taken;
        take (world, i, &taken);
        *frames = (frames_t){ .header = buf_ref (taken.frames[0]), .msg = msg };
        for (size_t f = 1; f < taken.frame_count; f++)
            frames->payload[frames->payload_count++] = buf_ref (taken.frames[f]);
        out_clear (&taken);
        return true;
    }
    return false;
}

bool world_event (world_t *world, str_t *topic, str_t *body)
{
    for (size_t i = 0; i < world->out_count; i++)
        if (world->out[i].kind == OUT_PUBLISH) {
            out_t taken;
            take (world, i, &taken);
            str_clear (topic);
            str_clear (body);
            str_add (topic, buf_span (taken.frames[0]));
            str_add (body, buf_span (taken.frames[1]));
            out_clear (&taken);
            return true;
        }
    return false;
}

size_t world_count (const world_t *world, out_kind_t kind)
{
    size_t count = 0;
    for (size_t i = 0; i < world->out_count; i++)
        count += world->out[i].kind == kind;
    return count;
}

void world_beat (world_t *world, wire_beat_t beat)
{
    beat.epoch = core_epoch (world->core);
    world_say (world, &(wire_msg_t){ .kind = WIRE_KIND_BEAT, .beat = beat }, NULL, 0);
    world_turn (world);
}

uuid_t world_worker (world_t *world, stage_t stage, uint32_t slots)
{
    uuid_t id = uuid_new ();
    wire_hello_t hello = { .worker = id,
                           .stage = (uint8_t)stage,
                           .slots = slots,
                           .pid = 1,
                           .host = SPAN_LIT ("elsewhere"),
                           .endpoint = SPAN_LIT ("inproc://worker") };
    world_say (world, &(wire_msg_t){ .kind = WIRE_KIND_HELLO, .hello = hello }, NULL, 0);
    world_turn (world);
    return id;
}

uint32_t world_submit (world_t *world, const char *user, const char *text, uint8_t priority, uuid_t *document,
                       uuid_t *task)
{
    hash_t hash = hash_of (span_str (text));
    buf_t *bytes = buf_copy (span_str (text));
    uuid_t document_id = uuid_new (), task_id = task ? uuid_new () : (uuid_t){ { 0 } };
    wire_submit_t submit = { .req = ++world->next_req,
                             .user = span_str (user),
                             .document = document_id,
                             .task = task_id,
                             .filename = SPAN_LIT ("note.txt"),
                             .bytes = strlen (text),
                             .hash = span (hash.bytes, HASH_SIZE),
                             .priority = priority };
    world_say (world, &(wire_msg_t){ .kind = WIRE_KIND_SUBMIT, .submit = submit }, &bytes, 1);
    world_turn (world);
    buf_unref (&bytes);
    if (document)
        *document = document_id;
    if (task)
        *task = task_id;
    frames_t reply;
    uint32_t status = 0;
    if (world_hear (world, WIRE_KIND_REPLY, (uuid_t){ { 0 } }, &reply)) {
        status = reply.msg.reply.status;
        frames_clear (&reply);
    }
    return status;
}

const char *world_status (world_t *world, const char *user, uuid_t task)
{
    static char status[32];
    wire_task_get_t get = { .req = ++world->next_req, .user = span_str (user), .task = task };
    world_say (world, &(wire_msg_t){ .kind = WIRE_KIND_TASK_GET, .task_get = get }, NULL, 0);
    world_turn (world);
    frames_t reply;
    status[0] = 0;
    if (!world_hear (world, WIRE_KIND_REPLY, (uuid_t){ { 0 } }, &reply))
        return status;
    if (reply.payload_count) {
        span_t body = buf_span (reply.payload[0]);
        const char *found = memmem (body.data, body.size, "\"status\":\"", 10);
        if (found)
            sscanf (found + 10, "%31[a-z]", status);
    }
    frames_clear (&reply);
    return status;
}

void world_result (world_t *world, uuid_t worker, const wire_job_t *job, result_outcome_t outcome, const char *code,
                   uint32_t segment, unsigned columns)
{
    wire_result_t result = { .worker = worker,
                             .epoch = job->epoch,
                             .number = job->number,
                             .task = job->task,
                             .stage = job->stage,
                             .action = job->action,
                             .segment = segment,
                             .outcome = (uint8_t)outcome,
                             .code = span_str (code),
                             .message = code ? SPAN_LIT ("the test says so") : SPAN_EMPTY,
                             .cost_us = 100,
                             .permille = outcome == RESULT_DONE ? 1000 : 500,
                             .segments = segment + 1,
                             .chunks = 1,
                             .embeddings = 1,
                             .media_type = SPAN_LIT ("text/plain"),
                             .columns = (uint8_t)columns };
    buf_t *payload[COLUMN_COUNT];
    size_t count = 0;
    for (unsigned i = 0; i < COLUMN_COUNT; i++)
        if (columns & 1u << i)
            payload[count++] = buf_copy (SPAN_LIT ("twelve bytes"));
    world_say (world, &(wire_msg_t){ .kind = WIRE_KIND_RESULT, .result = result }, payload, count);
    while (count)
        buf_unref (&payload[--count]);
}

void world_hire (world_t *world, uuid_t workers[STAGE_COUNT])
{
    for (int i = 0; i < STAGE_COUNT; i++)
        workers[i] = world_worker (world, (stage_t)i, 4);
}

bool world_work (world_t *world, uuid_t worker)
{
    static const unsigned columns[STAGE_COUNT] = { COLUMN_TEXT | COLUMN_MARKS, COLUMN_SPANS, COLUMN_VECTORS, 0 };
    frames_t in;
    if (!world_hear (world, WIRE_KIND_JOB, worker, &in))
        return false;
    const wire_job_t *job = &in.msg.job;
    world_result (world, worker, job, RESULT_DONE, NULL, job->segment, columns[job->stage]);
    world_turn (world);
    frames_clear (&in);
    return true;
}

void world_work_all (world_t *world, uuid_t workers[STAGE_COUNT])
{
    for (bool some = true; some;) {
        some = false;
        for (int i = 0; i < STAGE_COUNT; i++)
            some = world_work (world, workers[i]) || some;
    }
}

uint32_t world_ask (world_t *world, const wire_msg_t *msg, str_t *body)
{
    frames_t reply;
    uint32_t status = 0;
    world_say (world, msg, NULL, 0);
    world_turn (world);
    for (int turns = 0; turns < 100 && !status; turns++, world_turn (world))
        if (world_hear (world, WIRE_KIND_REPLY, (uuid_t){ { 0 } }, &reply)) {
            status = reply.msg.reply.status;
            if (body) {
                str_clear (body);
                str_add (body, reply.payload_count ? buf_span (reply.payload[0]) : SPAN_EMPTY);
            }
            frames_clear (&reply);
        }
    return status;
}
