/*  state.h: the core's own structures, shared by its files and by nobody else.
 *
 *  Invariants: a unit is in exactly one place (`where`); a job belongs to one unit and one worker; a task that lives
 *  has a `live` record, one that ended a `task` record with its end and an `ended` key; a run exists exactly while its
 *  task is processing and holds memory.
 */
#ifndef BROKER_CORE_STATE_H
#define BROKER_CORE_STATE_H

#include "broker/core/bugs.h"
#include "broker/core/core.h"
#include "broker/core/lifecycle.h"
#include "broker/core/map.h"
#include "broker/core/queue.h"
#include "broker/core/ready.h"
#include "store/records.h"

typedef struct task task_t;
typedef struct run run_t;
typedef struct job job_t;
typedef struct core_worker core_worker_t;

/*  Kinds of units: what a stage can have to do. */
typedef enum { UNIT_EXTRACT, UNIT_SEGMENT, UNIT_COMMIT, UNIT_PURGE } unit_kind_t;
typedef enum { AT_NONE, AT_READY, AT_BACKOFF, AT_WORKER } unit_where_t;

/*  Something to dispatch. First member of what it stands for. */
typedef struct {
    ready_node_t node; /* in the ready queue of `stage`, or in `backoff` */
    uint8_t kind, where, stage, class;
    uint8_t tries;   /* genuine failures at this stage */
    uint16_t losses; /* times the worker vanished */
    uint32_t sent;   /* jobs given out for it at this stage */
    job_t *job;      /* AT_WORKER */
} unit_t;

typedef struct user {
    uuid_t key; /* hash of the name: what the map finds it by */
    span_t name;
    record_user_t record;
    bool dirty; /* record changed in this turn */
    struct user *next_dirty;
    bool queue_changed; /* since the last queue event */
    uint64_t pending, processing;
    uint64_t number;         /* no other user has it */
    uint64_t clock_us;       /* what it has used of late, as the time until which others go first (queue.h) */
    uint32_t waiting;        /* units, at all stages */
    uint64_t bucket_full_ns; /* monotonic: when all tokens of its rate are there again (limits.h) */
    user_queue_t queues[STAGE_COUNT];
    uint64_t ready[STAGE_COUNT], running[STAGE_COUNT];
    uint64_t done[STAGE_COUNT], done_before[STAGE_COUNT]; /* jobs done; as of the last rate */
    double done_per_second[STAGE_COUNT];
} user_t;

/*  What happened at a stage since the broker started. */
typedef struct {
    uint64_t done, failed, lost;        /* jobs that ended well, that ended badly, whose worker vanished */
    uint64_t cost_us;                   /* what workers say that results took */
    uint64_t joined, drained, vanished; /* workers */
} stage_counters_t;

/*  A segment between extract and storage. */
typedef struct {
    unit_t unit;
    task_t *task;
    uint32_t number;
    bool finished; /* stored, or failed for good; columns are gone */
    bool failed;
    buf_t *columns[COLUMN_COUNT];
    uint64_t text_offset, text_bytes;
    uint32_t permille;
    buf_t *cursor;
    uint32_t chunks, embeddings;
} segment_t;

/*  How a job failed for good: what the record of its task has no place for. */
typedef struct {
    bool known;
    uint8_t stage;
    bool has_segment;
    uint32_t segment, attempts;
    char worker[9];
    bool deadly; /* the document ended those who parsed it */
    str_t errors;
} fault_t;

/*  What a task has while it is processing. */
struct run {
    task_t *task;
    run_t *next_run, **link; /* of all */
    uint64_t began_ms;
    unit_t commit;
    segment_t **segments; /* [number - first] */
    uint32_t first;       /* every segment below is finished and forgotten */
    uint32_t next;        /* number of the next segment from extract */
    uint32_t room;
    uint32_t stored, failed; /* segments, all of the task; failed also counts unreadable parts */
    uint32_t stage_done;     /* chunk, embed and storage steps done, for progress */
    uint32_t bad_parts;      /* of `failed`: parts that never became a segment */
    buf_t *cursor;           /* extract goes on here: after segment next - 1 */
    uint64_t text_bytes;     /* text before segment `next` */
    buf_t *first_cursor;     /* as cursor, for segment `first`: what is checkpointed */
    uint64_t first_text_bytes;
    uint32_t first_chunks, first_embeddings, first_failed; /* of the segments below `first` */
    bool checkpointed;                                     /* there is a `work` record */
    uint32_t permille;                                     /* of the input that extract has read */
    uint32_t limit;                                        /* what extract was last allowed */
    bool extract_done, touched_storage, final_out;
    bool resumed;         /* begun before the broker's start: a crash, or a stop, came in between */
    uint32_t storage_out; /* segments at storage now */
    uint64_t cost_us;
    uint32_t chunks, embeddings;
    uint64_t progress_at; /* mono ms of the last progress event */
    str_t filename, media_type, options;
    str_t metadata, warnings, history;
    str_t error_code, error_message; /* of the last segment or part that failed for good */
    fault_t fault;                   /* how it did */
    uint32_t history_count;          /* lines in `history` */
};

/*  A task that has not ended. */
struct task {
    unit_t extract;
    uuid_t id, document;
    user_t *user;
    run_t *run;
    uint64_t order, created_at, updated_at, started_at, revision, last_seq;
    uint64_t last_stamp; /* which of all events of this run was its last */
    uint32_t attempts, history;
    uint8_t status, priority, progress, stage, last_event;
    bool front;
    bool watched;    /* somebody has subscribed to it alone */
    bool removing;   /* its deletion waits for its end (core.removals) */
    bool inherited;  /* of before this start: a power cut may have taken that it was begun, but not what it stored */
    bool committing; /* storage was told to commit, now or before a crash, and may have done it: no cancelling */
};

/*  Content that storage is to drop. */
typedef struct purge {
    unit_t unit;
    struct purge *next, *prev;
    user_t *user;
    uuid_t document;
    uint64_t revision, order; /* revision 0: all */
    buf_t *route;             /* who waits for it, or NULL */
    uint64_t req;
} purge_t;

struct job {
    job_t *next, *prev; /* of the same worker, oldest first */
    uint64_t number;
    unit_t *unit;
    task_t *task; /* NULL for a purge */
    core_worker_t *worker;
    uint64_t sent_ms, bytes;
    uint32_t attempt;            /* of this stage at this segment; of extract as the task counts them */
    uint64_t progress, moved_ms; /* its own counter as of the last beat, and when that moved; 0: not seen running */
    uint64_t asked_ms;           /* when it was asked to stop for its silence; 0: it was not */
    bool final;                  /* storage: this job also commits */
};

struct core_worker {
    core_worker_t *next;
    uuid_t id;
    stage_t stage;
    uint32_t slots, held;
    uint64_t held_bytes, seen_ms;
    uint64_t pid;     /* on its own host */
    uint64_t idle_ms; /* since when its beats say that it has nothing to do; 0: they do not */
    uint64_t void_ms; /* since when they name a job that is not in its hands; 0: they do not */
    job_t *first, *last;
    char name[9]; /* first 8 digits of the id: for histories */
};

/*  What reads ranges, which do not see the pending batch, and may take several turns. */
typedef struct {
    frames_t in;     /* the request */
    str_t text;      /* a replay: the topic */
    str_t from;      /* key of the record looked at last; empty: none yet */
    uint64_t number; /* of those that were taken */
    uint64_t stamp;  /* a replay: events published when it was asked for; a retry: tasks that were left as poison */
} question_t;

typedef struct {
    question_t *items; /* oldest first */
    size_t count, room;
} question_list_t;

struct core {
    core_config_t config;
    kv_t *kv;
    uint64_t now, wall; /* ms */
    record_meta_t meta;
    uint64_t next_number, next_order, front_order;
    err_code_t refuse;
    uint64_t disk_room; /* bytes that may still be written */
    bool hold;          /* the disk is short: no task is begun */
    bool sync;          /* something in this turn promises durability */
    map_t tasks, users;
    user_t *last_user; /* found last: most turns are about one user */
    user_t *dirty_users;
    core_worker_t *workers;
    purge_t *purges;
    queue_t ready[STAGE_COUNT];
    uint64_t user_count;
    ready_t backoff; /* rank: due ms */
    uint64_t backoff_order;
    uint32_t active; /* runs */
    run_t *runs;
    uint64_t memory_bytes;
    uint64_t began_ms;
    stage_counters_t counters[STAGE_COUNT];
    uint64_t stale_results, lost_jobs, retried_jobs; /* counters, too */
    uint64_t stamp;                                  /* events published */
    uint64_t check_at, rate_at;
    str_t *topics; /* subscribed prefixes */
    uint32_t *topic_uses;
    size_t topic_count;
    out_t *outbox;
    size_t out_first, out_count, out_room;
    uuid_t *fresh; /* tasks created in this turn */
    size_t fresh_count, fresh_room;
    question_list_t questions; /* lists, answered after the commit */
    question_list_t retries;   /* of the quarantine */
    question_list_t replays;   /* new subscribers, who are shown what lives */
    question_list_t removals;  /* deletions of tasks that are just being committed */
    bool removals_met;         /* one of those tasks ended in this turn … */
    bool removals_due;         /* … in one before it: its end is in the database */
    uint64_t random;
    uint64_t expire_at;
    str_t expired_to; /* key of the idempotency family where the next walk goes on */
    str_t key, value; /* scratch */
};

/*  core.c: the outbox, users, small things */
user_t *core_user (core_t *self, span_t name);
void core_charge (core_t *self, user_t *user, uint64_t cost_us); /* it used that much: others go first meanwhile */
void core_user_dirty (core_t *self, user_t *user);
uint64_t core_random (core_t *self, uint64_t below);
out_t *core_out (core_t *self, out_kind_t kind);
void core_send_worker (core_t *self, const core_worker_t *worker, const wire_msg_t *msg, buf_t *columns[COLUMN_COUNT]);
void core_reply (core_t *self, buf_t *route, const wire_reply_t *reply, buf_t *body, buf_t *bytes);
void core_reply_error (core_t *self, buf_t *route, uint64_t req, const err_t *err);
buf_t *core_str_buf (str_t *text); /* takes the string's memory */
/*  A file of a document is to go when this turn is committed, whatever happens; it is needed after all. */
void core_unlink (core_t *self, span_t path);
void core_keep_file (core_t *self, span_t path);
void core_question (core_t *self, question_list_t *list, const frames_t *in); /* appends; references what is in it */
void core_questions_done (question_list_t *list, size_t count);               /* removes the oldest */
void core_question_done (question_list_t *list, size_t at);                   /* removes one */

/*  tasks.c: the lives of tasks */
task_t *task_find (core_t *self, const user_t *user, uuid_t id);
/*  Updates *document (not put). Content that is known to end its parser makes a task that has failed already, unless
 *  `force`. */
void task_create (core_t *self, user_t *user, uuid_t id, record_document_t *document, uuid_t document_id,
                  uint8_t priority, span_t options, bool force);
void task_save (core_t *self, task_t *task);
void task_committing (core_t *self, task_t *task);       /* storage is about to be told to commit */
int task_start (core_t *self, task_t *task, err_t *err); /* makes the run */
void task_complete (core_t *self, task_t *task);
void task_fail (core_t *self, task_t *task, span_t code, span_t message);
void task_cancel (core_t *self, task_t *task, bool remove);
void task_remove_ended (core_t *self, user_t *user, uuid_t id, const record_task_t *record);
/*  -1: ERR_NOT_FOUND, ERR_CONFLICT; ERR_KNOWN_POISON without `force`. */
int task_replay (core_t *self, user_t *user, uuid_t id, bool force, err_t *err);
void task_view (const core_t *self, const task_t *task, record_task_t *view);
void task_set_priority (core_t *self, task_t *task, uint8_t priority);
void task_to_front (core_t *self, task_t *task);
void task_watch (core_t *self, task_t *task, bool on);
int task_load_all (core_t *self, err_t *err);
void task_free (core_t *self, task_t *task);

/*  purges.c: what storage is told to drop */
purge_t *purge_create (core_t *self, user_t *user, uuid_t document, uint64_t revision);
void purge_done (core_t *self, purge_t *purge);
/*  Storage cannot do it: whoever waits is told; it stays recorded, and is tried again at the next start. */
void purge_refused (core_t *self, purge_t *purge, span_t code, span_t message);
void purge_free (core_t *self, purge_t *purge);
int purge_load_all (core_t *self, err_t *err);

/*  faults.c: how tasks failed, and content that ended its parser */
void faults_note (run_t *run, const job_t *job, bool lost, span_t code, const wire_result_t *result);
void faults_forget (run_t *run);
/*  The task fails: puts its fault, and remembers its content when that is to blame. `run` NULL: it was not begun. */
void faults_put (core_t *self, const task_t *task, span_t code, span_t message);
void faults_drop (core_t *self, const user_t *user, uuid_t task);
void faults_json (core_t *self, str_t *out, const user_t *user, uuid_t task, const record_task_t *end); /* or null */
/*  True when the content (of `user`, with `hash`) is known to end its parser, since after `since` (wall ms): *err says
 *  of what and what to do. */
bool poison_known (core_t *self, const user_t *user, span_t hash, uint64_t since, err_t *err);
/*  True when the content of the task, which waits, has become known for that meanwhile. */
bool poison_awaits (core_t *self, const task_t *task);
void poison_forget (core_t *self, const user_t *user, span_t hash);

/*  run.c: segments of a task that is processing */
run_t *run_new (core_t *self, task_t *task);
void run_free (core_t *self, run_t *run);
void run_load (core_t *self, run_t *run, const record_resume_t *resume);
int run_add_segment (core_t *self, run_t *run, const wire_result_t *result, buf_t *columns[COLUMN_COUNT], err_t *err);
void run_segment_finished (core_t *self, run_t *run, segment_t *segment);
void run_check_end (core_t *self, run_t *run); /* commits or fails the task when nothing is left to do */
uint32_t run_limit (const core_t *self, const run_t *run);
void run_warn (run_t *run, span_t code, span_t message, const char *where);
void run_add_warnings (run_t *run,
                       span_t warnings); /* JSON objects, comma-separated; those there already are not added */
void run_progress (core_t *self, run_t *run);
void segment_drop_columns (core_t *self, segment_t *segment);

/*  units.c: where a unit is */
void unit_init (unit_t *unit, unit_kind_t kind, stage_t stage);
task_t *unit_task (const unit_t *unit); /* NULL for a purge */
user_t *unit_user (const unit_t *unit);
void unit_ready (core_t *self, unit_t *unit);
void unit_wait (core_t *self, unit_t *unit, uint64_t due_ms);
void unit_leave (core_t *self, unit_t *unit); /* out of wherever it is; a job is cancelled at its worker */
void unit_rerank (core_t *self, unit_t *unit);
uint32_t unit_position (const unit_t *unit); /* of the same user's before it; AT_READY only */

/*  workers.c: who is there */
int workers_input (core_t *self, const frames_t *in, err_t *err); /* HELLO, BEAT, BYE, RESULT */
void workers_check (core_t *self);
void workers_gone (core_t *self, core_worker_t *worker, const char *why);

/*  dispatch.c: what they are given */
void dispatch_all (core_t *self);
/*  What a task that has nothing running waits for: "workers", "user_share", "backoff", "memory_budget", "disk_space";
 * NULL: it does not wait. */
const char *dispatch_waiting_for (const core_t *self, const task_t *task);
void job_free (core_t *self, job_t *job);

/*  results.c: what comes back. `worker` NULL: nobody we know. */
int results_input (core_t *self, core_worker_t *worker, const frames_t *in, err_t *err);
void results_ack (core_t *self, const job_t *job, uint32_t segment, uint32_t limit);
/*  A job ended badly, or (`lost`) its worker vanished: its unit goes back, waits, or fails for good. `result`: what its
 *  worker said, or NULL. */
void job_failed (core_t *self, job_t *job, span_t code, span_t message, bool lost, const wire_result_t *result);

/*  events.c: the feed and the histories */
#define FEED_EVENTS(X)                                                                                                 \
    X (CREATED, "created")                                                                                             \
    X (STARTED, "started")                                                                                             \
    X (PROGRESS, "progress")                                                                                           \
    X (RETRYING, "retrying")                                                                                           \
    X (COMPLETED, "completed") X (FAILED, "failed") X (CANCELLED, "cancelled") X (DELETED, "deleted")
typedef enum {
#define FEED_EVENT_ENUM(sym, name) FEED_##sym,
    FEED_EVENTS (FEED_EVENT_ENUM)
#undef FEED_EVENT_ENUM
} feed_event_t;
/*  Publishes; `view` is the task as of now. Returns the event's seq. */
uint64_t events_publish (core_t *self, user_t *user, feed_event_t event, uuid_t task, const record_task_t *view);
void events_task (core_t *self, task_t *task, feed_event_t event); /* the same for a live task */
void events_queue (core_t *self);                                  /* once a second */
/*  True when the topic is that of one task: *task is it, or NULL when there is no such living one. */
bool events_topic_task (core_t *self, span_t topic, task_t **task);
void events_replay_some (core_t *self); /* after the commit: shows new subscribers what lives, some at a time */
/*  One line of a task's history. What is not given is not in it. */
typedef struct {
    const char *event;
    uint64_t at; /* wall ms; 0: now */
    const job_t *job;
    bool has_segment; /* of which else the job knows */
    uint32_t segment;
    span_t code, message;
    span_t cursor; /* where extract goes on, as it said itself */
    uint64_t cost_us;
} note_t;
void events_note (core_t *self, task_t *task, const note_t *note);
void events_flush (core_t *self, task_t *task); /* puts the lines that are only in memory */

/*  json.c: the shapes of API.md */
span_t json_or_null (span_t text); /* what is empty is null there */
void json_task (str_t *out, uuid_t id, span_t user, const record_task_t *view, uint64_t queue_position); /* 0: none */
void json_task_open (str_t *out, uuid_t id, span_t user, const record_task_t *view,
                     uint64_t queue_position); /* the same without its last brace: more is to come */
void json_task_live (const core_t *self, str_t *out, const task_t *task);
void json_document (core_t *self, str_t *out, user_t *user, uuid_t id, const record_document_t *document);
void json_result (str_t *out, uuid_t id, const record_task_t *view);
void json_queue (core_t *self, str_t *out, const user_t *user); /* NULL: everyone's */

/*  metrics.c: what is counted */
void metrics_sum (const core_t *self, user_t *sum); /* the counts of all users; `sum` is zeroed but for them */
void metrics_json (const core_t *self, str_t *out);

/*  requests.c, asking.c, quarantine.c, listing.c: what gateways ask */
int requests_input (core_t *self, const frames_t *in, err_t *err);
void requests_remove_some (core_t *self);  /* deletions whose tasks have ended meanwhile */
bool ask_expire (core_t *self);            /* removes old first answers; false: there is more to look at */
void quarantine_retry_some (core_t *self); /* goes on with what replays the quarantine */
bool list_has (span_t list, span_t word);  /* in a comma-separated list */
size_t listing_answer (core_t *self, const frames_t *in); /* returns how many records it looked at */

#endif
