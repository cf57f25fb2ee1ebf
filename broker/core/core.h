/*  core.h: the broker's brain: all task state, and every decision.
 *
 *  A library without sockets, threads, clock or randomness of its own: messages and times come in, writes collect in
 *  the kv's pending batch, and what is to leave collects in the outbox. The caller's turn is
 *
 *      core_begin (now) → core_input (…)* → core_dispatch → core_commit → core_outbox_take until empty
 *
 *  Nothing in the outbox may be released before core_commit succeeded: what it promises is durable only then.
 */
#ifndef BROKER_CORE_CORE_H
#define BROKER_CORE_CORE_H

#include "base/buf.h"
#include "base/hash.h"
#include "store/kv.h"
#include "wire/frames.h"

typedef struct core core_t;

typedef struct {
    const char *data_dir;  /* where blob files lie (borrowed) */
    uint32_t beat_ms;      /* workers beat this often */
    uint32_t beats_missed; /* this many missing: the worker is dead */
    uint32_t active_max;   /* tasks in processing at once */
    uint64_t memory_bytes; /* columns in memory at once: beyond it nothing new is dispatched */
    uint32_t window;       /* segments of one task between extract and storage */
    uint32_t small_bytes;  /* a worker may hold more than two jobs while together they are below this */
    uint32_t batch_bytes;  /* the same for storage, which commits all it has at once */
    uint32_t tries_max;    /* genuine failures of one segment at one stage */
    uint32_t losses_max;   /* times its worker may vanish under it */
    uint32_t backoff_ms;   /* of the first retry; doubles, full jitter */
    uint32_t backoff_max_ms;
    uint32_t progress_ms; /* least time between two progress events of a task */
    uint32_t silence_ms;  /* a job that shows no progress for so long is asked to stop; 0: any */
    uint32_t grace_ms;    /* and when it has not by then, its worker is killed */
    uint64_t task_ms;     /* most time a task may take once it is begun; 0: any */
    /* limits of new work (limits.h); 0: none */
    uint64_t tasks_max;  /* living tasks of all users: each takes some hundred bytes of memory */
    uint64_t user_tasks; /* pending ones of one user */
    uint64_t user_bytes; /* of all documents of one user */
    uint32_t user_rate;  /* requests of one user that make work, in a second … */
    uint32_t user_burst; /* … and at once */
    uint64_t seed;       /* of the jitter */
} core_config_t;

extern const core_config_t core_config_default;

/*  Loads the state from `kv` (borrowed, must outlive the core), bumps the epoch durably. NULL and *err: ERR_CORRUPT,
 *  ERR_NEWER_FORMAT, ERR_IO. */
core_t *core_new (const core_config_t *config, kv_t *kv, uint64_t mono_ms, uint64_t wall_ms, err_t *err);
void core_destroy (core_t **self_p);

void core_begin (core_t *self, uint64_t mono_ms, uint64_t wall_ms);

/*  Applies one message of a worker or a gateway. Columns and routes are referenced as needed. -1 with *err: the
 *  message made no sense and was dropped. */
int core_input (core_t *self, const frames_t *in, err_t *err);

/*  Answers a request with an error that the caller found before the core saw it. */
void core_reject (core_t *self, const frames_t *in, const err_t *err);

/*  A worker's process is known to be gone (its pid ended): its jobs go back at once. */
void core_worker_gone (core_t *self, uuid_t worker);

/*  The caller took a turn `late_ms` after it was to: in that time nobody could be heard, so nobody counts as silent for
 *  it. Call it after core_begin () of that turn. */
void core_stood_still (core_t *self, uint64_t late_ms);

/*  A subscriber appeared or left at the feed, with this topic prefix. */
void core_subscription (core_t *self, span_t topic, bool on);

/*  A file of OUT_UNLINK is gone. */
void core_unlinked (core_t *self, span_t path);

/*  Puts every file that is to go, and is not gone, into the outbox again. Between turns. */
int core_unlink_again (core_t *self, err_t *err);

/*  There is a blob file: it is to go (OUT_UNLINK) when no document has it. */
void core_file_found (core_t *self, span_t user, hash_t hash);

/*  Forgets the revision of a document that search sees, because its content was lost, and makes the task
 *  `task` for it unless one lives. `used`: revisions up to this one were given out. 0, or -1 with ERR_NOT_FOUND or what
 * the store says. */
int core_process_again (core_t *self, span_t user, uuid_t document, uint64_t used, uuid_t task, err_t *err);

/*  New work is refused with this error (ERR_DISK_FULL, ERR_DRAINING) until set back to ERR_NONE. */
void core_refuse (core_t *self, err_code_t code);

/*  So many bytes may still be written to the disk: what does not fit is refused with ERR_DISK_FULL before it is stored.
 *  The core takes off what it accepts until it is told again. Without a word of it: any number. */
void core_disk_room (core_t *self, uint64_t bytes);

/*  The disk is so short that no task is begun, either; what is in hand goes on. */
void core_hold (core_t *self, bool on);

/*  Due timers, then jobs to free slots. Returns the monotonic time of the next deadline. */
uint64_t core_dispatch (core_t *self);

/*  The turn has something to commit. */
bool core_has_writes (const core_t *self);

/*  Commits the pending batch (synced if anything in the turn promised durability), then answers the questions that
 *  read ranges. -1: the outbox must not be released; end the process. */
int core_commit (core_t *self, err_t *err);

typedef enum {
    OUT_REPLY,      /* frames to `route` on the front */
    OUT_WORKER,     /* frames to `worker` */
    OUT_PUBLISH,    /* topic and body on the feed */
    OUT_CONNECT,    /* frame 0 is the endpoint of `worker`, a new one; `pid` when it is on host `frame 1` */
    OUT_DISCONNECT, /* `worker` is gone */
    OUT_UNLINK,     /* frame 0 is a path to remove */
    OUT_KILL,       /* `worker` is stuck: end its process, if it is on this host */
} out_kind_t;

typedef struct {
    out_kind_t kind;
    uuid_t worker;
    uint64_t pid;
    buf_t *route;
    buf_t *frames[FRAMES_MAX];
    size_t frame_count;
} out_t;

/*  Oldest entry of the outbox; false when it is empty. The caller gives it back with out_clear. */
bool core_outbox_take (core_t *self, out_t *out);
void out_clear (out_t *out);

uint64_t core_epoch (const core_t *self);

#endif
