/*  feed.c: following tasks on the progress feed.
 *
 *  A subscription is not acknowledged: what happens until it reached the publisher is not heard. So who waits for a
 *  task asks for it whenever the feed is silent; the feed makes it quick, the question makes it certain.
 */
#include "client/libmyelin/inside.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#define ASK_FIRST_MS 50
#define ASK_MAX_MS   2000

static int64_t now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int subscribe (myelin_t *self, const char *topic)
{
    if (!self->pub_address)
        return myelin_fail (self, 0, "no address of a feed was given");
    if (self->sub)
        return myelin_fail (self, 0, "there is a subscription already");
    self->sub = myelin_socket (self, ZMQ_SUB, self->pub_address);
    if (!self->sub)
        return myelin_fail (self, 0, "cannot subscribe at %s: %s", self->pub_address, zmq_strerror (zmq_errno ()));
    zmq_setsockopt (self->sub, ZMQ_SUBSCRIBE, topic, strlen (topic));
    self->last_seq = 0;
    return 0;
}

int myelin_subscribe (myelin_t *self, const char *user)
{
    char topic[256];
    snprintf (topic, sizeof topic, "task.%s.", user ? user : "local");
    return subscribe (self, topic);
}

int myelin_unsubscribe (myelin_t *self)
{
    if (!self->sub)
        return myelin_fail (self, 0, "there is no subscription");
    zmq_close (self->sub);
    self->sub = NULL;
    return 0;
}

/*  Takes one message off the feed; 1 when it was an event of a task. */
static int read_event (myelin_t *self, myelin_event_t *event)
{
    int found = 0, more = 1;
    for (int frames = 0; more; frames++) {
        zmq_msg_t frame;
        zmq_msg_init (&frame);
        if (zmq_msg_recv (&frame, self->sub, 0) < 0) {
            zmq_msg_close (&frame);
            break;
        }
        if (frames == 1) {
            json_t *json = json_loadb (zmq_msg_data (&frame), zmq_msg_size (&frame), 0, NULL);
            if (json_is_object (json_object_get (json, "task"))) {
                myelin_read_event (json, event);
                found = 1;
            }
            json_decref (json);
        }
        more = zmq_msg_more (&frame);
        zmq_msg_close (&frame);
    }
    return found;
}

/*  Counts what is missing before this event. Replays carry old numbers and say nothing about gaps. */
static void check_seq (myelin_t *self, myelin_event_t *event)
{
    if (event->seq <= self->last_seq)
        event->replay = true;
    if (event->replay)
        return;
    if (self->last_seq)
        event->missed = event->seq - self->last_seq - 1;
    self->last_seq = event->seq;
}

int myelin_next (myelin_t *self, int timeout_ms, myelin_event_t *event)
{
    if (!self->sub)
        return myelin_fail (self, 0, "there is no subscription");
    int64_t deadline = now_ms () + timeout_ms;
    for (;;) {
        int64_t left = timeout_ms < 0 ? -1 : deadline - now_ms ();
        if (timeout_ms >= 0 && left < 0)
            left = 0;
        zmq_pollitem_t item = { self->sub, 0, ZMQ_POLLIN, 0 };
        int ready = zmq_poll (&item, 1, (long)left);
        if (ready < 0)
            return myelin_fail (self, 0, "interrupted: %s", zmq_strerror (zmq_errno ()));
        if (ready == 0)
            return 0;
        if (read_event (self, event)) {
            check_seq (self, event);
            return 1;
        }
    }
}

/*  Tells a state that is further than what was told before. */
static void tell (const myelin_task_t *task, myelin_task_t *told, myelin_progress_fn *on_progress, void *arg)
{
    bool news = strcmp (task->status, told->status) != 0 || strcmp (task->stage, told->stage) != 0 ||
                task->progress > told->progress;
    *told = *task;
    if (news && on_progress)
        on_progress (arg, task);
}

int myelin_wait (myelin_t *self, const char *id, int timeout_ms, myelin_progress_fn *on_progress, void *arg,
                 myelin_task_t *task)
{
    char topic[512];
    myelin_task_t told = { .progress = -1 };
    /* The user is not known to us, but ids are unique: all of our user's tasks are listened to, one is told about. */
    snprintf (topic, sizeof topic, "task.");
    if (subscribe (self, topic))
        return -1;
    int rc = -1, ask_ms = ASK_FIRST_MS;
    int64_t deadline = now_ms () + timeout_ms;
    if (myelin_task (self, id, task))
        goto out;
    tell (task, &told, on_progress, arg);
    while (!myelin_is_final (task)) {
        int64_t left = timeout_ms < 0 ? INT32_MAX : deadline - now_ms ();
        if (left <= 0) {
            myelin_fail (self, 0, "task %s did not end in %d ms", id, timeout_ms);
            goto out;
        }
        myelin_event_t event;
        int got = myelin_next (self, (int)(left < ask_ms ? left : ask_ms), &event);
        if (got < 0)
            goto out;
        if (got && strcmp (event.task.id, id) == 0) {
            /* A replay may be older than what the question brought. */
            if (event.replay && event.task.progress < told.progress)
                continue;
            *task = event.task;
            tell (task, &told, on_progress, arg);
            ask_ms = ASK_MAX_MS; /* we are heard: silence is no news */
            if (strcmp (event.event, "deleted") == 0) {
                myelin_fail (self, 404, "task %s was deleted", id);
                goto out;
            }
        } else if (!got && left > ask_ms) { /* not at the deadline: one question may take longer */
            myelin_task_t now;
            if (myelin_task (self, id, &now) == 0) {
                *task = now;
                tell (task, &told, on_progress, arg);
            } else if (self->status != 0 && self->status != 503) /* a server that restarts is waited for */
                goto out;
            ask_ms = ask_ms * 2 < ASK_MAX_MS ? ask_ms * 2 : ASK_MAX_MS;
        }
    }
    rc = 0;
out:
    myelin_unsubscribe (self);
    return rc;
}
