#include "tests/sim/meetings.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>

/*  Who meddles. X (symbol, name) */
#define MEDDLERS(X)                                                                                                    \
    X (CANCEL, "cancel")                                                                                               \
    X (DELETE, "delete") X (DROP, "delete document") X (PROCESS, "process") X (PRIORITY, "priority")
typedef enum {
#define MEDDLER_ENUM(sym, name) BY_##sym,
    MEDDLERS (MEDDLER_ENUM)
#undef MEDDLER_ENUM
        MEDDLERS_COUNT
} meddler_t;

/*  What it meets: the task's state as the database has it, then messages about it, to the broker and to workers. */
#define ENCOUNTERS(X)                                                                                                  \
    X (PENDING, "pending")                                                                                             \
    X (BEGUN, "processing")                                                                                            \
    X (FINISHING, "being committed")                                                                                   \
    X (COMPLETED, "completed")                                                                                         \
    X (FAILED, "failed")                                                                                               \
    X (CANCELLED, "cancelled")                                                                                         \
    X (GONE, "gone")                                                                                                   \
    X (READ, "RESULT of extract")                                                                                      \
    X (CHUNKED, "RESULT of chunk")                                                                                     \
    X (EMBEDDED, "RESULT of embed")                                                                                    \
    X (STORED, "RESULT of storage")                                                                                    \
    X (FAULT, "RESULT that failed")                                                                                    \
    X (TO_READ, "JOB of extract")                                                                                      \
    X (TO_CHUNK, "JOB of chunk")                                                                                       \
    X (TO_EMBED, "JOB of embed")                                                                                       \
    X (TO_STORE, "JOB of storage")                                                                                     \
    X (TO_COMMIT, "JOB that commits")                                                                                  \
    X (ACKNOWLEDGED, "ACK")                                                                                            \
    X (TO_STOP, "CANCEL")                                                                                              \
    X (ALSO_CANCEL, "another cancel")                                                                                  \
    X (ALSO_DELETE, "another delete")                                                                                  \
    X (ALSO_DROP, "another delete document")                                                                           \
    X (ALSO_PROCESS, "another process") X (ALSO_PRIORITY, "another priority") X (ALSO_RETRY, "a retry of all")
typedef enum {
#define ENCOUNTER_ENUM(sym, name) MET_##sym,
    ENCOUNTERS (ENCOUNTER_ENUM)
#undef ENCOUNTER_ENUM
        ENCOUNTERS_COUNT
} encounter_t;

static const char *const meddler_names[] = {
#define MEDDLER_NAME(sym, name) name,
    MEDDLERS (MEDDLER_NAME)
#undef MEDDLER_NAME
};
static const char *const encounter_names[] = {
#define ENCOUNTER_NAME(sym, name) name,
    ENCOUNTERS (ENCOUNTER_NAME)
#undef ENCOUNTER_NAME
};

static uint64_t met[MEDDLERS_COUNT][ENCOUNTERS_COUNT];

/*  Who it is; -1: nobody who meddles. */
static int meddler_of (const wire_msg_t *msg)
{
    switch (msg->kind) {
    case WIRE_KIND_TASK_UPDATE:
        return msg->task_update.cancel ? BY_CANCEL : BY_PRIORITY;
    case WIRE_KIND_TASK_DELETE:
        return BY_DELETE;
    case WIRE_KIND_DOCUMENT_DELETE:
        return BY_DROP;
    case WIRE_KIND_TASK_PROCESS:
        return BY_PROCESS;
    default:
        return -1;
    }
}

static bool is_about (const wire_msg_t *msg, const task_t *task)
{
    if (msg->kind == WIRE_KIND_DOCUMENT_DELETE)
        return uuid_eq (msg->document_delete.document, task->document);
    return uuid_eq (msg->task_get.task, task->id); /* all of them have it behind `req` and `user` */
}

static encounter_t state_of (const task_t *task)
{
    static const encounter_t ends[] = { MET_COMPLETED, MET_FAILED, MET_CANCELLED };
    str_t key = STR_INIT, bytes = STR_INIT;
    record_live_t live;
    record_task_t ended;
    encounter_t state = MET_GONE;
    record_key (&key, span_str (user_names[task->user]), task->id);
    if (record_get (sim.kv, FAMILY_LIVE, str_span (&key), &record_live_shape, &live, &bytes, NULL) == 1)
        state = live.committing ? MET_FINISHING : live.started_at ? MET_BEGUN : MET_PENDING;
    else if (record_get (sim.kv, FAMILY_TASKS, str_span (&key), &record_task_shape, &ended, &bytes, NULL) == 1)
        state = ends[ended.status - (COMPLETED - PENDING)];
    str_free (&key);
    str_free (&bytes);
    return state;
}

typedef struct {
    const task_t *task;
    uint64_t *met;
} look_t;

/*  A message on its way to a worker. */
static void note_job (void *arg, wire_kind_t kind, const wire_job_t *job)
{
    look_t *self = arg;
    if (!uuid_eq (job->task, self->task->id))
        return;
    if (kind == WIRE_KIND_ACK)
        self->met[MET_ACKNOWLEDGED]++;
    else if (kind == WIRE_KIND_CANCEL)
        self->met[MET_TO_STOP]++;
    else {
        self->met[MET_TO_READ + job->stage]++;
        self->met[MET_TO_COMMIT] += job->final;
    }
}

/*  A message on its way to the broker. */
static void note_letter (const look_t *self, const wire_msg_t *msg)
{
    int other = meddler_of (msg);
    if (other >= 0 && is_about (msg, self->task))
        self->met[MET_ALSO_CANCEL + other]++;
    else if (msg->kind == WIRE_KIND_QUARANTINE_RETRY)
        self->met[MET_ALSO_RETRY] += span_is (msg->quarantine_retry.user, user_names[self->task->user]);
    else if (msg->kind == WIRE_KIND_RESULT && uuid_eq (msg->result.task, self->task->id))
        self->met[msg->result.outcome == RESULT_FAILED ? MET_FAULT : MET_READ + msg->result.stage]++;
}

void meetings_note (const frames_t *letter)
{
    int meddler = meddler_of (&letter->msg);
    for (size_t t = 0; meddler >= 0 && t < sim.task_count; t++) {
        look_t look = { &sim.tasks[t], met[meddler] };
        if (!is_about (&letter->msg, look.task))
            continue;
        look.met[state_of (look.task)]++;
        for (size_t i = 0; i < sim.letter_count; i++)
            note_letter (&look, &sim.letters[i].msg);
        hands_look (sim.hands, note_job, &look);
    }
}

void meetings_print (bool complete)
{
    unsigned pairs = 0;
    for (int by = 0; by < MEDDLERS_COUNT; by++)
        for (int with = 0; with < ENCOUNTERS_COUNT; with++) {
            pairs += met[by][with] > 0;
            if (complete && !met[by][with])
                broken ("'%s' never met '%s'", meddler_names[by], encounter_names[with]);
        }
    printf ("%u of %u pairs of a request and what it meets were seen:\n%26s", pairs,
            (unsigned)(MEDDLERS_COUNT * ENCOUNTERS_COUNT), "");
    for (int by = 0; by < MEDDLERS_COUNT; by++)
        printf ("%17s", meddler_names[by]);
    for (int with = 0; with < ENCOUNTERS_COUNT; with++) {
        printf ("\n  %-24s", encounter_names[with]);
        for (int by = 0; by < MEDDLERS_COUNT; by++)
            printf ("%17" PRIu64, met[by][with]);
    }
    printf ("\n");
}
