/*  worker.h: what every stage worker has in common: HELLO and BEAT, taking jobs, sending results and keeping each
 *  until its ACK, cancel, drain.
 *
 *  A worker is single-threaded. It pushes to the broker's intake and pulls jobs from an endpoint of its own. A stage
 *  is a loop around worker_poll: that is where beats are sent and grants, cancels and acks are read. A stage that
 *  computes in short jobs uses worker_run instead.
 */
#ifndef STAGES_RUNTIME_WORKER_H
#define STAGES_RUNTIME_WORKER_H

#include "base/buf.h"
#include "base/options.h"
#include "wire/messages.h"

#include <zmq.h>

typedef struct worker worker_t;

/*  Options every stage program takes; put first in its option table. */
#define WORKER_OPTIONS                                                                                                 \
    { "intake", OPTION_TEXT, NULL, "ENDPOINT", "where the broker collects results (required)" },                       \
        { "run", OPTION_TEXT, NULL, "DIR", "directory for this worker's own socket (required)" },                      \
    {                                                                                                                  \
        "log-level", OPTION_TEXT, "info", "LEVEL", "debug, info, warn or error"                                        \
    }

/*  What every stage's main begins with: blocks SIGTERM and SIGINT (so that they reach worker_poll and no other thread;
 *  hence to be called before any thread starts), reads the options, sets up the log. NULL: the program ends now with
 *  *exit_code (help was printed, or an error was logged). The caller destroys the options. `program` is borrowed for
 *  good. */
options_t *worker_options (const char *program, const option_t *table, const char *usage, int argc, char **argv,
                           int *exit_code);

/*  One job in this worker's hands, from worker_take until worker_done or worker_fail. Borrowed from the worker. */
typedef struct {
    wire_job_t job;               /* spans live as long as the job */
    buf_t *columns[COLUMN_COUNT]; /* NULL where the job has none; borrowed */
    bool cancelled;               /* set by worker_poll: stop; end it with worker_fail (ERR_CANCELLED) */
    uint32_t limit;               /* extract: parts with segment < limit may be sent; raised by worker_poll */
    uint64_t taken_us;            /* monotonic, when worker_take gave it */
} worker_job_t;

/*  Starts a worker of `stage`: signal handling (SIGTERM and SIGINT drain; both stay blocked: a child that is forked
 *  unblocks them), sockets, first HELLO. `slots`: jobs it may hold at once. `context`: the process's ZeroMQ context,
 *  borrowed. NULL and *err on failure. */
worker_t *worker_new (void *context, stage_t stage, uint32_t slots, const options_t *options, err_t *err);

/*  Says BYE (unsent results get a moment to leave), closes. */
void worker_destroy (worker_t **self_p);

/*  One turn: waits until a message, one of `items` (may be NULL/0; revents are filled) or `timeout_ms` (-1: until
 *  something happens; beats are sent in time whatever it is), reads what came. 0; or -1 when the worker is
 *  to end: drained and nothing in hand. */
int worker_poll (worker_t *self, zmq_pollitem_t *items, int count, int timeout_ms);

/*  The next waiting job, or NULL. Jobs may be in hand side by side, up to `slots` (storage batches them). While
 *  draining there is none. */
worker_job_t *worker_take (worker_t *self);

/*  Sends one segment of a running extract job. The worker fills the fences; `result` carries the rest (segment,
 *  cost_us, permille, text_offset, cursor, …). References to the columns are taken. The caller has checked
 *  result->segment < job->limit. */
void worker_part (worker_t *self, worker_job_t *job, const wire_result_t *result, buf_t *columns[COLUMN_COUNT]);

/*  Ends a job well (`result` may be NULL for nothing to say; `columns` NULL for none). cost_us 0 is filled with the
 *  time since worker_take. The job is gone afterwards. */
void worker_done (worker_t *self, worker_job_t *job, const wire_result_t *result, buf_t *columns[COLUMN_COUNT]);

/*  Ends a job badly. Whether it is tried again is decided by err_class (err->code). The job is gone afterwards. */
void worker_fail (worker_t *self, worker_job_t *job, const err_t *err);
/*  The same; what else `result` says goes with it. */
void worker_fail_with (worker_t *self, worker_job_t *job, const err_t *err, const wire_result_t *result);

/*  The running job moved: its counter in the next BEAT. */
void worker_progress (worker_t *self, const worker_job_t *job, uint64_t counter);

/*  For stages whose jobs are short: takes jobs one by one and calls `process` until drained. `process` fills *result
 *  and columns (one reference each, which worker_run drops) and returns 0, or -1 and *err. Returns when drained. */
typedef int worker_process_fn (void *self, const worker_job_t *job, wire_result_t *result, buf_t *columns[COLUMN_COUNT],
                               err_t *err);
void worker_run (worker_t *self, worker_process_fn *process, void *process_self);

#endif
