/*  hands.h: the workers of the simulation: each does what stages/runtime does, one small step at a time, and besides
 *  dies, stalls past its lease and comes back, says things twice, and makes up attempts that it was never given.
 */
#ifndef TESTS_SIM_HANDS_H
#define TESTS_SIM_HANDS_H

#include "broker/core/core.h"
#include "tests/sim/depot.h"
#include "tests/sim/dice.h"

typedef struct hands hands_t;

/*  Sends a message on the broker's intake; takes what is in *letter. */
typedef void hands_post_fn (void *post_self, frames_t *letter);

hands_t *hands_new (dice_t *dice, depot_t *depot, hands_post_fn *post, void *post_self);
void hands_destroy (hands_t **self_p);

size_t hands_count (const hands_t *self);
void hands_hire (hands_t *self, stage_t stage, uint32_t slots, uint64_t now);

/*  What the broker released for a worker. False, and a reason on stderr, when it broke its own rules: more jobs than
 *  slots, an attempt given out twice. */
bool hands_hear (hands_t *self, const out_t *out);

/*  One of them does one thing, whichever the dice say. */
void hands_step (hands_t *self, uint64_t now);
/*  All do what they can, and nothing bad happens any more. */
void hands_work (hands_t *self, uint64_t now);

/*  Misfortune: one dies (its id in *gone; another takes its place), stops for a while, is asked to leave, lies, gets
 *  nowhere with its job though it beats, forgets one. */
void hands_kill (hands_t *self, uint64_t now, uuid_t *gone);
void hands_stall (hands_t *self, uint64_t now);
void hands_drain (hands_t *self, uint64_t now);
void hands_lie (hands_t *self, uint64_t now);
void hands_hang (hands_t *self);
void hands_lose (hands_t *self);
/*  The broker has it killed. */
void hands_kill_one (hands_t *self, uuid_t id, uint64_t now);
/*  The broker died: it knows nobody, and what it had not read may be lost. */
void hands_broker_died (hands_t *self);

/*  Shows what is on the way to workers and has to do with a job: JOB, and the job of an ACK or a CANCEL (of which the
 *  task alone is known). */
typedef void hands_look_fn (void *arg, wire_kind_t kind, const wire_job_t *job);
void hands_look (const hands_t *self, hands_look_fn *fn, void *arg);

/*  Passing faults happen (a parser crashes, a disk is full) as long as this is on. */
void hands_faults (hands_t *self, bool on);

/*  A storage has a job of this epoch in its hands that commits the task. */
bool hands_commit (const hands_t *self, uuid_t task, uint64_t epoch);

#endif
