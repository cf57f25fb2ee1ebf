#include "stages/storage/answers.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "stages/storage/answer.h"
#include "wire/frames.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#define LINGER_MS    500
#define QUERIES_TURN 64 /* read before the stop signal is looked at again */

struct answers {
    void *router;
    content_reader_t *content;
    provider_t *provider;
    int stop;
    int trouble;
    pthread_t thread;
    bool is_running;
};

int answers_trouble_fd (const answers_t *self)
{
    return self->trouble;
}

static void reply (answers_t *self, const frames_t *in)
{
    str_t body = STR_INIT;
    err_t err = { 0 };
    wire_msg_t msg = { .kind = WIRE_KIND_REPLY };
    msg.reply.req = in->msg.health.req; /* all that is asked starts with it */
    err_code_t code = answer (self->content, self->provider, &in->msg, &body, &err);
    msg.reply.status = (uint32_t)err_status (code);
    buf_t *payload = NULL;
    if (code != ERR_NONE) {
        msg.reply.code = span_str (err_name (code));
        msg.reply.detail = span_str (err.message);
        if (err_class (code) == ERR_GIVEUP)
            log_write (LOG_ERROR, "query.failed", NULL, "%s", err.message);
        if (content_reader_lost_index (self->content))
            eventfd_write (self->trouble, 1);
    } else {
        payload = buf_take (body.data, body.size);
        body = (str_t)STR_INIT;
    }
    FAILPOINT (STORAGE_REPLY);
    if (frames_send (self->router, in->route, &msg, &payload, payload ? 1 : 0, &err) < 0)
        log_write (LOG_WARN, "query.unanswered", NULL, "%s", err.message); /* the asker went away */
    buf_unref (&payload);
    str_free (&body);
}

static void read_queries (answers_t *self)
{
    frames_t in = { 0 };
    err_t err;
    for (int i = 0; i < QUERIES_TURN; i++) {
        int got = frames_recv (self->router, true, &in, &err);
        if (got == 0)
            break;
        if (got < 0)
            log_write (LOG_WARN, "query.malformed", NULL, "%s", err.message);
        else if (in.msg.kind == WIRE_KIND_SEARCH || in.msg.kind == WIRE_KIND_CHUNKS ||
                 in.msg.kind == WIRE_KIND_HEALTH || in.msg.kind == WIRE_KIND_CHECKPOINT)
            reply (self, &in);
        else
            log_write (LOG_WARN, "query.foreign", NULL, "a %s is no query", wire_shape (in.msg.kind)->name);
    }
    frames_clear (&in);
}

static void *run (void *argument)
{
    answers_t *self = argument;
    zmq_pollitem_t items[] = { { self->router, 0, ZMQ_POLLIN, 0 }, { NULL, self->stop, ZMQ_POLLIN, 0 } };
    while (!(items[1].revents & ZMQ_POLLIN)) {
        if (zmq_poll (items, 2, -1) < 0 && errno != EINTR)
            break;
        if (items[0].revents & ZMQ_POLLIN)
            read_queries (self);
    }
    return NULL;
}

answers_t *answers_start (void *context, content_t *content, const char *endpoint, const char *provider, err_t *err)
{
    answers_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->stop = eventfd (0, EFD_CLOEXEC);
    self->trouble = eventfd (0, EFD_CLOEXEC);
    self->router = frames_socket (context, ZMQ_ROUTER, LINGER_MS, false, err);
    self->provider = provider_new (provider, err);
    if (!self->provider || !self->router || !(self->content = content_reader_new (content, err)))
        goto failed;
    int mandatory = 1;
    zmq_setsockopt (self->router, ZMQ_ROUTER_MANDATORY, &mandatory, sizeof mandatory);
    if (zmq_bind (self->router, endpoint) < 0) {
        err_set (err, ERR_IO, "cannot bind %s: %s", endpoint, zmq_strerror (errno));
        goto failed;
    }
    if (self->stop < 0 || self->trouble < 0 || pthread_create (&self->thread, NULL, run, self) != 0) {
        err_set_errno (err, ERR_IO, errno, "cannot start the thread that answers queries");
        goto failed;
    }
    self->is_running = true;
    return self;
failed:
    answers_stop (&self);
    return NULL;
}

void answers_stop (answers_t **self_p)
{
    answers_t *self = *self_p;
    if (!self)
        return;
    if (self->is_running && eventfd_write (self->stop, 1) == 0)
        pthread_join (self->thread, NULL);
    if (self->stop >= 0)
        close (self->stop);
    if (self->trouble >= 0)
        close (self->trouble);
    if (self->router)
        zmq_close (self->router);
    content_reader_destroy (&self->content);
    provider_destroy (&self->provider);
    free (self);
    *self_p = NULL;
}
