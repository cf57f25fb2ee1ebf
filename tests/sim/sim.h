/*  sim.h: the simulation's one world, shared by its files: sim.c rules it, clients.c asks and watches, checks.c holds
 * the core to its promises.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "store/records.h"
#include "tests/sim/hands.h"
#include "tests/sim/kv_memory.h"

#define USERS        3u
#define LIMIT_KINDS  3u   /* tasks that wait, rate, bytes */
#define TASKS_MAX    400u /* that the clients remember; the oldest are deleted */
#define LETTERS_MAX  65536u
#define SETTLE_EVERY 4000u /* steps: then all misfortune stops until all work has ended */
#define SETTLE_TURNS 20000u

typedef enum { UNKNOWN, PENDING, PROCESSING, COMPLETED, FAILED, CANCELLED, STATUSES } status_t;

/*  A task as its client knows it. */
typedef struct {
    uuid_t id, document;
    uint32_t user, content;
    bool acked;    /* an answer said that it is there */
    bool deleting; /* asked to, with or without its document; what came of it may not be known */
    bool deleted;  /* an answer, or an event, said so */
    bool cancelling;
    bool replaying;  /* somebody may have asked to process it again */
    bool power_lost; /* since it was last seen: what was not synced may have changed */
    bool completed;  /* once, if not now */
    status_t final;  /* seen at its end */
    uint32_t progress;
} task_t;

typedef enum {
    ASK_SUBMIT,
    ASK_CANCEL,
    ASK_DELETE,
    ASK_DROP,
    ASK_PROCESS,
    ASK_PRIORITY,
    ASK_GET,
    ASK_LIST,
    ASK_RETRY,
    ASK_RESULT,
    ASK_HEALTH,
    ASK_QUEUE
} ask_t;

/*  A question that is not yet answered. */
typedef struct {
    uint64_t req;
    ask_t kind;
    uuid_t task, document;
    uint32_t user, content;
} asked_t;

typedef struct {
    dice_t dice;
    core_config_t config;
    kv_t *kv;
    core_t *core;
    depot_t *depot;
    hands_t *hands;
    uint64_t now, wall, next_req, step, turns;
    frames_t *letters; /* on the way to the broker */
    size_t letter_count;
    task_t tasks[TASKS_MAX];
    size_t task_count;
    asked_t *asked;
    size_t asked_count, asked_room;
    uint64_t seq[USERS];
    bool seq_loose[USERS]; /* events may have been lost with a broker that died */
    bool disk_full, calm;
    bool rush;       /* one user submits much, all of it urgent, and there is time for it */
    bool meddlesome; /* clients meddle with what is on its way */
    uint64_t busy;   /* as the last look at the queue had it */
    uint64_t trace;
    uint64_t limited[LIMIT_KINDS]; /* submits that were refused */
    uint64_t crashes, cuts, killed, events, ended, results_checked;
} sim_t;

extern sim_t sim;
extern const char *const user_names[USERS];
extern const char *const status_names[STATUSES];

/*  A promise is broken: says so, and ends. */
void broken (const char *format, ...) __attribute__ ((format (printf, 1, 2), noreturn));
const char *name_of (uuid_t id); /* until the next call */
bool is_final (status_t status);
span_t value_of (span_t json, const char *key); /* the first of that name; empty: none */
uint64_t number_of (span_t json, const char *key);

/*  sim.c */
void post_letter (frames_t *letter); /* to the broker; takes what is in it */
void turn (void);                    /* one turn of the broker, which may end anywhere unless it is calm */
void pass (uint64_t ms);

/*  clients.c */
void clients_submit (void);
void clients_meddle (ask_t kind);                 /* with a task that the dice choose */
void clients_meddle_with (uuid_t task);           /* as the dice choose, if anybody knows it */
void clients_ask_about (ask_t kind, uuid_t task); /* if anybody knows it */
bool clients_is_last (uuid_t task, uint32_t segment);
void clients_ask (ask_t kind, const task_t *task);
void clients_hear_event (const out_t *out);
void clients_hear_answer (const out_t *out);
void clients_forget (task_t *task);

/*  limits.c */
void limits_hear_submit (const asked_t *asked, const wire_reply_t *reply);
void limits_check_counters (void);
void limits_choose (void); /* for a core that is about to start */

/*  checks.c */
void check_result (const task_t *task, span_t body);
void check_books (span_t queue);
void check_settled (void); /* all misfortune stops: all work ends, and everything is as promised */

#endif
