#include "stages/storage/writer.h"
#include "base/log.h"

#define TIDY_MS     20         /* until it is asked again whether the last query has ended */
#define BATCH_BYTES (2u << 20) /* columns in one commit: about 0.1 s, so that beats stay on time */

typedef struct {
    worker_job_t *jobs[WRITER_SLOTS];
    content_change_t changes[WRITER_SLOTS];
    size_t count, bytes;
} batch_t;

static void take (batch_t *self, worker_job_t *job)
{
    content_change_t *change = &self->changes[self->count];
    *change = (content_change_t){ .job = &job->job };
    for (int i = 0; i < COLUMN_COUNT; i++) {
        if (!job->columns[i])
            continue;
        change->columns[i] = buf_span (job->columns[i]);
        if (!change->columns[i].data)
            change->columns[i].data = ""; /* there, though empty */
        self->bytes += change->columns[i].size;
    }
    self->jobs[self->count++] = job;
}

/*  Takes what is waiting, bounded. True: there may be more. */
static bool collect (batch_t *self, worker_t *worker)
{
    self->count = self->bytes = 0;
    while (self->count < WRITER_SLOTS && self->bytes < BATCH_BYTES) {
        worker_job_t *job = worker_take (worker);
        if (!job)
            return false;
        if (job->cancelled) {
            err_t err;
            err_set (&err, ERR_CANCELLED, "it was cancelled before it was stored");
            worker_fail (worker, job, &err);
        } else {
            take (self, job);
        }
    }
    return true;
}

static void report (batch_t *self, worker_t *worker)
{
    for (size_t i = 0; i < self->count; i++) {
        const content_change_t *change = &self->changes[i];
        wire_result_t result = { .chunks = change->chunks, .embeddings = change->embeddings };
        if (change->rc == 0)
            worker_done (worker, self->jobs[i], &result, NULL);
        else
            worker_fail (worker, self->jobs[i], &change->err);
    }
}

/*  Codes that another try, after a restart, may cure. */
static void give_back (batch_t *self, worker_t *worker, const err_t *err)
{
    err_t reason;
    err_set (&reason, err->code == ERR_DISK_FULL ? ERR_DISK_FULL : ERR_IO, "the content could not be written: %s",
             err->message);
    for (size_t i = 0; i < self->count; i++)
        worker_fail (worker, self->jobs[i], &reason);
}

int writer_run (worker_t *worker, content_t *content, int trouble_fd, err_t *err)
{
    static batch_t batch; /* too large for a stack; there is one writer */
    bool more = false;
    int tidy = 1;
    zmq_pollitem_t trouble = { NULL, trouble_fd, ZMQ_POLLIN, 0 };
    while (worker_poll (worker, &trouble, 1, more || tidy == 1 ? 0 : tidy ? TIDY_MS : -1) == 0) {
        if (trouble.revents)
            return err_set (err, ERR_CORRUPT, "the text index is damaged; the next start makes it anew");
        more = collect (&batch, worker);
        if (batch.count) {
            if (content_apply (content, batch.changes, batch.count, err) < 0) {
                give_back (&batch, worker, err);
                return -1;
            }
            report (&batch, worker);
        }
        if ((tidy = content_tidy (content, err)) < 0)
            return -1;
    }
    return 0;
}
