#include "gateway/saver.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct job {
    struct job *next;
    blob_writer_t *writer;
    buf_t *bytes;
    span_t user;
    saver_done_fn *done;
    void *owner;
    hash_t hash;
    int rc;
    err_t err;
} job_t;

typedef struct {
    job_t *head, **tail;
} queue_t;

struct saver {
    pthread_t thread;
    bool running;
    int event_fd;
    size_t pending; /* of the loop's thread */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* under the lock */
    queue_t todo, ready;
    bool stop;
};

static void push (queue_t *queue, job_t *job)
{
    job->next = NULL;
    *queue->tail = job;
    queue->tail = &job->next;
}

static job_t *pop (queue_t *queue)
{
    job_t *job = queue->head;
    if (job && !(queue->head = job->next))
        queue->tail = &queue->head;
    return job;
}

static void free_job (job_t *job)
{
    blob_writer_destroy (&job->writer);
    buf_unref (&job->bytes);
    free (job);
}

static void save (job_t *job)
{
    if (job->bytes)
        job->rc = blob_writer_add (job->writer, buf_span (job->bytes), &job->err);
    if (job->rc == 0) {
        job->hash = blob_writer_hash (job->writer);
        job->rc = blob_writer_commit (job->writer, job->user, &job->err);
    }
}

static void *work (void *arg)
{
    saver_t *self = arg;
    pthread_mutex_lock (&self->lock);
    for (;;) {
        job_t *job = self->stop ? NULL : pop (&self->todo);
        if (!job) {
            if (self->stop)
                break;
            pthread_cond_wait (&self->wake, &self->lock);
            continue;
        }
        pthread_mutex_unlock (&self->lock);
        save (job);
        pthread_mutex_lock (&self->lock);
        push (&self->ready, job);
        uint64_t one = 1;
        ssize_t written = write (self->event_fd, &one, sizeof one);
        (void)written; /* can only fail when the counter is full, and then it is readable anyway */
    }
    pthread_mutex_unlock (&self->lock);
    return NULL;
}

saver_t *saver_new (err_t *err)
{
    saver_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->todo.tail = &self->todo.head;
    self->ready.tail = &self->ready.head;
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->wake, NULL);
    self->event_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = self->event_fd == -1 ? errno : pthread_create (&self->thread, NULL, work, self);
    if (rc) {
        err_set_errno (err, ERR_IO, rc, "cannot start the thread that saves documents");
        saver_destroy (&self);
        return NULL;
    }
    self->running = true;
    return self;
}

void saver_destroy (saver_t **self_p)
{
    saver_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    pthread_mutex_lock (&self->lock);
    self->stop = true;
    pthread_cond_signal (&self->wake);
    pthread_mutex_unlock (&self->lock);
    if (self->running)
        pthread_join (self->thread, NULL);
    job_t *job;
    while ((job = pop (&self->todo)) || (job = pop (&self->ready)))
        free_job (job);
    pthread_cond_destroy (&self->wake);
    pthread_mutex_destroy (&self->lock);
    if (self->event_fd != -1)
        close (self->event_fd);
    free (self);
}

void saver_save (saver_t *self, blob_writer_t *writer, buf_t *bytes, span_t user, saver_done_fn *done, void *owner)
{
    job_t *job = calloc (1, sizeof *job);
    if (!job)
        abort ();
    job->writer = writer;
    job->bytes = buf_ref (bytes);
    job->user = user;
    job->done = done;
    job->owner = owner;
    self->pending++;
    pthread_mutex_lock (&self->lock);
    push (&self->todo, job);
    pthread_cond_signal (&self->wake);
    pthread_mutex_unlock (&self->lock);
}

int saver_fd (const saver_t *self)
{
    return self->event_fd;
}

void saver_turn (saver_t *self)
{
    uint64_t count;
    if (read (self->event_fd, &count, sizeof count) == -1)
        return;
    for (;;) {
        pthread_mutex_lock (&self->lock);
        job_t *job = pop (&self->ready);
        pthread_mutex_unlock (&self->lock);
        if (!job)
            return;
        self->pending--;
        job->done (job->owner, job->hash, job->rc == 0 ? NULL : &job->err);
        free_job (job);
    }
}

size_t saver_pending (const saver_t *self)
{
    return self->pending;
}
