#include "tests/sim/attempts.h"
#include "broker/core/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/*  An attempt that may still be answered. */
typedef struct {
    uuid_t worker;
    uint64_t number;
    uint32_t next; /* extract: segments below were taken */
} attempt_t;

struct attempts {
    attempt_t *items;
    size_t count, room;
    uint64_t ignored, foreign, old, doubled;
};

attempts_t *attempts_new (void)
{
    attempts_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    return self;
}

void attempts_destroy (attempts_t **self_p)
{
    attempts_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    free (self->items);
    free (self);
}

void attempts_forget (attempts_t *self)
{
    self->count = 0;
}

static attempt_t *find (attempts_t *self, uuid_t worker, uint64_t number)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->items[i].number == number && uuid_eq (self->items[i].worker, worker))
            return &self->items[i];
    return NULL;
}

/*  A CANCEL ends nothing here: a job that stands still is asked by one, and answers. */
void attempts_out (attempts_t *self, const out_t *out)
{
    wire_msg_t msg;
    err_t err;
    if (out->kind == OUT_DISCONNECT) {
        for (size_t i = self->count; i-- > 0;)
            if (uuid_eq (self->items[i].worker, out->worker))
                self->items[i] = self->items[--self->count];
        return;
    }
    if (out->kind != OUT_WORKER || wire_decode (buf_span (out->frames[0]), &msg, &err) == -1 ||
        msg.kind != WIRE_KIND_JOB)
        return;
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 64;
        self->items = realloc (self->items, self->room * sizeof *self->items);
        if (!self->items)
            abort ();
    }
    self->items[self->count++] = (attempt_t){ out->worker, msg.job.number, msg.job.first_segment };
}

/*  True: it must be ignored. */
static bool is_void (attempts_t *self, const core_t *core, const wire_result_t *result)
{
    const attempt_t *attempt = find (self, result->worker, result->number);
    if (result->epoch != core_epoch (core))
        self->old++;
    else if (!attempt)
        self->foreign++;
    else if (result->stage == STAGE_EXTRACT && result->outcome != RESULT_FAILED && result->columns &&
             result->segment < attempt->next)
        self->doubled++;
    else
        return false;
    self->ignored++;
    return true;
}

bool attempts_input (attempts_t *self, core_t *core, const frames_t *in)
{
    err_t err;
    if (in->msg.kind != WIRE_KIND_RESULT) {
        core_input (core, in, &err);
        return true;
    }
    const wire_result_t *result = &in->msg.result;
    bool stale = is_void (self, core, result);
    uint64_t before = core->stale_results;
    core_input (core, in, &err);
    if (stale && core->stale_results != before + 1) {
        fprintf (stderr, "a result of attempt %" PRIu64 " in epoch %" PRIu64 ", segment %u, was %s\n", result->number,
                 result->epoch, result->segment,
                 core->stale_results == before ? "not counted as stale" : "counted twice");
        return false;
    }
    attempt_t *attempt = stale || core->stale_results != before ? NULL : find (self, result->worker, result->number);
    if (attempt && result->outcome == RESULT_PART)
        attempt->next = result->segment + 1;
    else if (attempt)
        *attempt = self->items[--self->count];
    return true;
}

void attempts_print (const attempts_t *self)
{
    printf ("  %" PRIu64 " results had to be ignored: %" PRIu64 " of older epochs, %" PRIu64
            " of attempts that were not there or no more, %" PRIu64 " of segments that were there\n",
            self->ignored, self->old, self->foreign, self->doubled);
}
