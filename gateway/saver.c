#include "gateway/saver.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef enum { STEP_ADD, STEP_COMMIT, STEP_DROP } step_t;

/*  While busy it is the thread's, but for `done`, `owner` and `busy`. */
struct save {
    save_t *next;
    saver_t *saver;
    save_done_fn *done; /* NULL: nobody waits for it any more */
    void *owner;
    bool busy;
    step_t step;
    blob_writer_t *writer;
    buf_t *bytes;
    span_t user;
    hash_t hash;
    int rc;
    err_t err;
};

typedef struct {
    save_t *head, **tail;
} queue_t;

struct saver {
    const char *data_dir;
    uint64_t reserve_bytes;
    pthread_t thread;
    bool running;
    int event_fd;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* under the lock */
    queue_t todo, ready;
    bool stop;
};

static void push (queue_t *queue, save_t *save)
{
    save->next = NULL;
    *queue->tail = save;
    queue->tail = &save->next;
}

static save_t *pop (queue_t *queue)
{
    save_t *save = queue->head;
    if (save && !(queue->head = save->next))
        queue->tail = &queue->head;
    return save;
}

static void free_save (save_t *save)
{
    blob_writer_destroy (&save->writer);
    buf_unref (&save->bytes);
    free (save);
}

/*  --- on the thread --- */

static int add (save_t *save)
{
    if (!save->writer)
        save->writer = blob_writer_new (save->saver->data_dir, save->saver->reserve_bytes, &save->err);
    int rc = save->writer ? blob_writer_add (save->writer, buf_span (save->bytes), &save->err) : -1;
    buf_unref (&save->bytes);
    return rc;
}

static int commit (save_t *save)
{
    save->hash = blob_writer_hash (save->writer);
    return blob_writer_commit (save->writer, save->user, &save->err);
}

static void take_step (save_t *save)
{
    save->rc = save->step == STEP_ADD ? add (save) : save->step == STEP_COMMIT ? commit (save) : 0;
    if (save->rc == -1 || save->step != STEP_ADD)
        blob_writer_destroy (&save->writer);
}

static void *work (void *arg)
{
    saver_t *self = arg;
    pthread_mutex_lock (&self->lock);
    for (;;) {
        save_t *save = self->stop ? NULL : pop (&self->todo);
        if (!save) {
            if (self->stop)
                break;
            pthread_cond_wait (&self->wake, &self->lock);
            continue;
        }
        pthread_mutex_unlock (&self->lock);
        take_step (save);
        pthread_mutex_lock (&self->lock);
        push (&self->ready, save);
        uint64_t one = 1;
        ssize_t written = write (self->event_fd, &one, sizeof one);
        (void)written; /* can only fail when the counter is full, and then it is readable anyway */
    }
    pthread_mutex_unlock (&self->lock);
    return NULL;
}

/*  --- on the loop --- */

saver_t *saver_new (const char *data_dir, uint64_t reserve_bytes, err_t *err)
{
    saver_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->data_dir = data_dir;
    self->reserve_bytes = reserve_bytes;
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
    save_t *save;
    while ((save = pop (&self->todo)) || (save = pop (&self->ready)))
        free_save (save);
    pthread_cond_destroy (&self->wake);
    pthread_mutex_destroy (&self->lock);
    if (self->event_fd != -1)
        close (self->event_fd);
    free (self);
}

save_t *save_new (saver_t *saver, save_done_fn *done, void *owner)
{
    save_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->saver = saver;
    self->done = done;
    self->owner = owner;
    return self;
}

static void begin (save_t *self, step_t step)
{
    saver_t *saver = self->saver;
    self->busy = true;
    self->step = step;
    pthread_mutex_lock (&saver->lock);
    push (&saver->todo, self);
    pthread_cond_signal (&saver->wake);
    pthread_mutex_unlock (&saver->lock);
}

/*  Closing and removing a large file takes the disk's time, too. */
static void drop (save_t *self)
{
    if (self->writer)
        begin (self, STEP_DROP);
    else
        free_save (self);
}

void save_destroy (save_t **self_p)
{
    save_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    self->done = NULL;
    if (!self->busy)
        drop (self);
}

void save_add (save_t *self, buf_t *bytes)
{
    self->bytes = buf_ref (bytes);
    begin (self, STEP_ADD);
}

void save_commit (save_t *self, span_t user)
{
    self->user = user;
    begin (self, STEP_COMMIT);
}

bool save_is_busy (const save_t *self)
{
    return self->busy;
}

hash_t save_hash (const save_t *self)
{
    return self->hash;
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
        save_t *save = pop (&self->ready);
        pthread_mutex_unlock (&self->lock);
        if (!save)
            return;
        save->busy = false;
        if (save->done)
            save->done (save->owner, save->rc == 0 ? NULL : &save->err);
        else
            drop (save);
    }
}
