/*  Whoever can send to the front socket can read and write the data directory anyway: it lies in a directory that is
 * its owner's alone. So nobody is asked who he is; and nobody says where to write (docs/adr/0012).
 *
 *  The copy is made by a thread: on a busy disk it may take seconds, and the loop has other things to do. It touches
 *  nothing but the database, which is made for that.
 */
#include "broker/checkpoint.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/kv_rocks.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define KEEP_MS 60000u /* files are kept for so long after the last word of the backup */

struct checkpoint {
    kv_t *kv;
    str_t path;
    uint64_t keep_until_ms; /* 0: nothing is kept */
    bool ended;
    pthread_t thread;
    bool is_running; /* from its start until it was joined */
    int done_fd;     /* readable when the thread has made it, or failed */
    int rc;          /* the thread's, as `err` */
    err_t err;
    buf_t *route; /* who waits for the copy */
    uint64_t req, started_ms;
};

checkpoint_t *checkpoint_new (kv_t *kv, const char *data_dir)
{
    checkpoint_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->kv = kv;
    self->done_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    str_format (&self->path, "%s/checkpoint/broker", data_dir);
    return self;
}

void checkpoint_destroy (checkpoint_t **self_p)
{
    checkpoint_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    if (self->is_running)
        pthread_join (self->thread, NULL);
    if (self->done_fd != -1)
        close (self->done_fd);
    buf_unref (&self->route);
    str_free (&self->path);
    free (self);
}

int checkpoint_fd (const checkpoint_t *self)
{
    return self->done_fd;
}

static void *copy (void *argument)
{
    checkpoint_t *self = argument;
    self->rc = kv_rocks_checkpoint (self->kv, self->path.data, &self->err);
    eventfd_write (self->done_fd, 1);
    return NULL;
}

static int begin (checkpoint_t *self, const frames_t *in, uint64_t now_ms, err_t *err)
{
    if (self->is_running)
        return err_set (err, ERR_CONFLICT, "a backup is being made already");
    if (self->done_fd == -1 || pthread_create (&self->thread, NULL, copy, self) != 0)
        return err_set (err, ERR_UNAVAILABLE, "a thread for the copy cannot be had");
    self->is_running = true;
    self->route = buf_ref (in->route);
    self->req = in->msg.checkpoint.req;
    self->started_ms = now_ms;
    self->keep_until_ms = UINT64_MAX;
    return 0;
}

static int go_on (checkpoint_t *self, bool is_end, uint64_t now_ms, err_t *err)
{
    if (self->is_running || !self->keep_until_ms || now_ms >= self->keep_until_ms)
        return err_set (err, ERR_CONFLICT, "the files of deleted documents were not kept so long");
    self->keep_until_ms = is_end ? 0 : now_ms + KEEP_MS;
    self->ended = is_end;
    return 0;
}

static void reply (void *front, const buf_t *route, uint64_t req, int rc, const err_t *why)
{
    wire_msg_t msg = { .kind = WIRE_KIND_REPLY, .reply = { .req = req, .status = 200 } };
    err_t err;
    if (rc == -1) {
        msg.reply.status = (uint32_t)err_status (why->code);
        msg.reply.code = span_str (err_name (why->code));
        msg.reply.detail = span_str (why->message);
        log_write (LOG_WARN, "checkpoint.failed", NULL, "%s", why->message);
    }
    if (frames_send (front, route, &msg, NULL, 0, &err) == -1)
        log_write (LOG_DEBUG, "asker_gone", NULL, "a reply found no one: %s", err.message);
}

void checkpoint_input (checkpoint_t *self, void *front, const frames_t *in, uint64_t now_ms)
{
    const wire_checkpoint_t *asked = &in->msg.checkpoint;
    err_t err;
    int rc;
    switch ((checkpoint_action_t)asked->action) {
    case CHECKPOINT_BEGIN:
        if (begin (self, in, now_ms, &err) == 0)
            return; /* answered when it is made */
        rc = -1;
        break;
    case CHECKPOINT_KEEP:
    case CHECKPOINT_END:
        rc = go_on (self, asked->action == CHECKPOINT_END, now_ms, &err);
        break;
    default:
        rc = err_set (&err, ERR_PROTOCOL, "there is no checkpoint action %u", asked->action);
    }
    reply (front, in->route, asked->req, rc, &err);
}

/*  The thread has ended: whoever waits is told. */
static void finish (checkpoint_t *self, void *front, uint64_t now_ms)
{
    eventfd_t count;
    if (!self->is_running || eventfd_read (self->done_fd, &count) != 0)
        return;
    pthread_join (self->thread, NULL);
    self->is_running = false;
    self->keep_until_ms = self->rc == 0 ? now_ms + KEEP_MS : 0;
    self->ended = self->rc != 0;
    if (self->rc == 0)
        log_write (LOG_INFO, "checkpoint.made", NULL, "a backup is being made; the records were copied in %llu ms",
                   (unsigned long long)(now_ms - self->started_ms));
    reply (front, self->route, self->req, self->rc, &self->err);
    buf_unref (&self->route);
}

bool checkpoint_keeps (const checkpoint_t *self)
{
    return self->keep_until_ms != 0;
}

uint64_t checkpoint_deadline (const checkpoint_t *self)
{
    return self->keep_until_ms ? self->keep_until_ms : UINT64_MAX;
}

bool checkpoint_turn (checkpoint_t *self, void *front, uint64_t now_ms)
{
    finish (self, front, now_ms);
    if (self->keep_until_ms && now_ms >= self->keep_until_ms) {
        log_write (LOG_WARN, "checkpoint.lapsed", NULL, "a backup was not heard of any more");
        self->keep_until_ms = 0;
        self->ended = true;
    }
    bool ended = self->ended;
    self->ended = false;
    return ended;
}
