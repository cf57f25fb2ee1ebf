/*  hands_private.h: what a worker of the simulation remembers, and how it does its jobs; for hands*.c alone. */
#ifndef TESTS_SIM_HANDS_PRIVATE_H
#define TESTS_SIM_HANDS_PRIVATE_H

#include "tests/sim/hands.h"

#define JOBS_MAX 64u
#define KEPT_MAX 256u

typedef struct {
    frames_t frames;
    wire_job_t job;
    uint32_t limit, next;
    bool cancelled;
} held_t;

typedef struct {
    frames_t letter;
    uint64_t sent_at;
} kept_t;

typedef struct {
    uuid_t id;
    stage_t stage;
    uint32_t slots;
    uint64_t epoch, beat_at, stalled_until;
    bool leaving;
    bool hung, stubborn; /* gets nowhere; and does not stop either when it is asked to */
    uint64_t progress;
    frames_t *inbox;
    size_t inbox_count, inbox_room;
    held_t held[JOBS_MAX];
    size_t held_count;
    kept_t kept[KEPT_MAX];
    size_t kept_count;
    /* As the broker has it: attempts that it gave out and did not yet see the end of. */
    uint64_t given[JOBS_MAX], ended[JOBS_MAX]; /* ended: segment of the result that ends it, plus one */
    size_t given_count;
} hand_t;

struct hands {
    dice_t *dice;
    depot_t *depot;
    hands_post_fn *post;
    void *post_self;
    hand_t **hands;
    size_t count;
    bool faults;
};

/*  hands.c: sends a result and keeps it until it is acknowledged; forgets a job. */
void hand_send_result (hands_t *self, hand_t *hand, wire_result_t *result, buf_t *const *payload, size_t count,
                       uint64_t now);
void hand_drop_held (hand_t *hand, size_t at);

/*  hands_work.c: one step of a job that it holds; a job that ends with an error; whether one more genuine failure would
 *  be the document's: its end must follow from its content (script.h). */
void hand_work (hands_t *self, hand_t *hand, uint64_t now);
void hand_fail (hands_t *self, hand_t *hand, size_t at, err_code_t code, uint64_t now);
bool hand_is_last_try (const wire_job_t *job);

#endif
