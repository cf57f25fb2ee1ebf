/*  inside.h: what the files of the runtime know of a worker; for them only.
 *
 *  Invariants: jobs are in `jobs` in the order of arrival, taken ones before waiting ones because they are taken from
 *  the front; every job and kept result is of the epoch that was welcomed last, or its `dead` flag is set.
 */
#ifndef STAGES_RUNTIME_INSIDE_H
#define STAGES_RUNTIME_INSIDE_H

#include "base/log.h"
#include "stages/runtime/kept.h"
#include "stages/runtime/worker.h"
#include "wire/frames.h"

#include <signal.h>
#include <sys/queue.h>
#include <sys/un.h>

#define BEAT_MS 1000 /* until WELCOME says */

typedef struct job_entry {
    worker_job_t job; /* first: worker_job_t pointers are entry pointers */
    TAILQ_ENTRY (job_entry) link;
    frames_t in;
    bool taken;
    bool dead;             /* of an epoch that is over: nothing is sent any more */
    uint32_t next_segment; /* extract: the one after the last part that was sent */
    uint64_t counted_us;   /* until here the time is accounted for in a result's cost */
    uint64_t progress;
} job_entry_t;

struct worker {
    void *pull;
    void *push;
    int signal_fd;
    uuid_t id;
    stage_t stage;
    uint32_t slots;
    char host[40];
    char endpoint[sizeof ((struct sockaddr_un *)0)->sun_path + 8];
    uint64_t epoch; /* 0: not welcomed yet */
    uint32_t beat_ms;
    uint64_t beat_at_ms;
    bool beat_stuck; /* the last HELLO or BEAT could not leave */
    uint64_t signals_read_ms;
    uint64_t read_us;
    bool holding; /* within worker_run: results may wait for each other */
    uint64_t flushed_us;
    bool draining;
    uint64_t farewell_ms; /* draining and idle: when to stop waiting for ACKs; 0: not yet */
    uint32_t warnings;
    TAILQ_HEAD (job_entries, job_entry) jobs;
    size_t in_hand; /* taken ones */
    size_t waiting;
    kept_t *kept;
    frames_t in;
};

/*  --- start.c --- */

void runtime_block_signals (sigset_t *set); /* SIGTERM, SIGINT */

/*  --- jobs.c --- */

job_entry_t *runtime_find_job (const worker_t *self, uint64_t epoch, uint64_t number); /* NULL: not in hand */
void runtime_free_job (worker_t *self, job_entry_t *entry);
void runtime_fail_job (worker_t *self, job_entry_t *entry, const err_t *err); /* says so and frees it */
void runtime_flush (worker_t *self, uint64_t now_us);                         /* results that were held back leave */
log_where_t runtime_where (const wire_job_t *job);

/*  --- hear.c --- */

bool runtime_read (worker_t *self); /* reads what is there, bounded; true when something was */
void runtime_read_signals (worker_t *self, uint64_t now_ms);

/*  --- worker.c --- */

void runtime_send_beat (worker_t *self, uint64_t now_ms); /* or HELLO */

#endif
