/*  world.h: a core with a database in memory and a hand on everything around it: for tests written as dialogues. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "broker/core/core.h"
#include "tests/sim/kv_memory.h"

typedef struct {
    core_config_t config;
    kv_t *kv;
    core_t *core;
    uint64_t now, wall, next_req;
    out_t *out; /* everything released and not yet looked at, oldest first */
    size_t out_count, out_room;
} world_t;

void world_start (world_t *world, const core_config_t *config); /* NULL: defaults */
void world_stop (world_t *world);
void world_restart (world_t *world, bool power_lost); /* the core dies without a word and comes back */
void world_turn (world_t *world);                     /* dispatch, commit, release */
void world_pass (world_t *world, uint64_t ms);        /* time goes by, with turns */

/*  Says `msg` with payload frames (borrowed); front messages get a route. Applied, not yet committed. */
void world_say (world_t *world, const wire_msg_t *msg, buf_t *const *payload, size_t count);

/*  Takes the oldest released message of `kind` (to `worker`, unless that is null): decoded in *frames, which the
 *  caller clears. False when there is none. */
bool world_hear (world_t *world, wire_kind_t kind, uuid_t worker, frames_t *frames);
/*  Takes the oldest published event; the strings are the caller's to free. */
bool world_event (world_t *world, str_t *topic, str_t *body);
size_t world_count (const world_t *world, out_kind_t kind);
void world_forget (world_t *world); /* drops all that was released */

/*  The worker beats (with the core's epoch), and a turn. */
void world_beat (world_t *world, wire_beat_t beat);
uuid_t world_worker (world_t *world, stage_t stage, uint32_t slots); /* HELLO, and a turn */
/*  Submits an inline document, with a turn; the reply's status. `task` null: store only. */
uint32_t world_submit (world_t *world, const char *user, const char *text, uint8_t priority, uuid_t *document,
                       uuid_t *task);
/*  Asks about a task; the status text of the answer, "" when it is an error. */
const char *world_status (world_t *world, const char *user, uuid_t task);
/*  As the worker of `job`: one result. */
void world_result (world_t *world, uuid_t worker, const wire_job_t *job, result_outcome_t outcome, const char *code,
                   uint32_t segment, unsigned columns);

/*  Says a request and takes its reply's status, with as many turns as that takes; *body, when wanted, gets what came
 *  with it. */
uint32_t world_ask (world_t *world, const wire_msg_t *msg, str_t *body);
/*  Workers of all stages, four slots each. */
void world_hire (world_t *world, uuid_t workers[STAGE_COUNT]);
/*  Lets `worker` answer one job well, as its stage would: a document is one segment, of one chunk. False when it has
 *  none. */
bool world_work (world_t *world, uuid_t worker);
void world_work_all (world_t *world, uuid_t workers[STAGE_COUNT]); /* until nobody has any */

#endif
