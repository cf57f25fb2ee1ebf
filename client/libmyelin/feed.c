/*  feed.c: following tasks on the progress feed.
 *
 *  A subscription is not acknowledged: what happens until it reached the publisher is not heard. So who waits for a
 *  task asks for it whenever the feed is silent about that task; the feed makes it quick, the question makes it
 * certain.
 */
#include "client/libmyelin/inside.h"

#include <stdio.h>
#include <string.h>
#include <zmq.h>

#define ASK_FIRST_MS 50
#define ASK_MAX_MS   2000

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
    int64_t deadline = myelin_now_ms () + timeout_ms;
    for (int left = timeout_ms;;) {
        int ready = myelin_poll (self->sub, left);
        if (ready < 0)
            return myelin_fail (self, 0, "cannot hear the feed: %s", zmq_strerror (zmq_errno ()));
        if (ready == 0)
            return 0;
        if (read_event (self, event)) {
            check_seq (self, event);
            return 1;
        }
        if (timeout_ms >= 0 && (left = (int)(deadline - myelin_now_ms ())) < 0)
            left = 0;
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

/*  A wait for one task. */
typedef struct {
    const char *id;
    int64_t ask_at;    /* when to ask for it, unless the feed tells of it before */
    int ask_ms;        /* from then to the next question */
    char trouble[512]; /* why the last question was not answered; "": it was */
} wait_t;

/*  One question, in the time that is left. 1: answered; 0: the server is away, which may pass; -1. */
static int ask (myelin_t *self, wait_t *wait, int left_ms, myelin_task_t *task)
{
    int timeout_ms = self->timeout_ms;
    if (timeout_ms < 0 || left_ms < timeout_ms)
        self->timeout_ms = left_ms;
    int rc = myelin_task (self, wait->id, task);
    self->timeout_ms = timeout_ms;
    wait->ask_at = myelin_now_ms () + wait->ask_ms;
    wait->ask_ms = wait->ask_ms * 2 < ASK_MAX_MS ? wait->ask_ms * 2 : ASK_MAX_MS;
    if (rc && self->status != 0 && self->status != 503)
        return -1;
    snprintf (wait->trouble, sizeof wait->trouble, "%.511s", rc ? self->error : "");
    return rc ? 0 : 1;
}

/*  What the feed says until `until`: 1: news of the task; 0: something else, or nothing; -1. */
static int hear (myelin_t *self, wait_t *wait, int64_t now, int64_t until, int progress, myelin_task_t *task)
{
    myelin_event_t event;
    int got = myelin_next (self, (int)(until - now), &event);
    if (got <= 0)
        return got;
    if (event.missed && wait->ask_at > now + ASK_FIRST_MS) /* that may have been about ours */
        wait->ask_at = now + ASK_FIRST_MS;
    /* What waited in the socket may be older than what a question brought. */
    if (strcmp (event.task.id, wait->id) != 0 || event.task.progress < progress)
        return 0;
    if (strcmp (event.event, "deleted") == 0)
        return myelin_fail (self, 404, "task %s was deleted", wait->id);
    wait->ask_ms = ASK_MAX_MS; /* we are heard: silence is no news */
    wait->ask_at = now + ASK_MAX_MS;
    *task = event.task;
    return 1;
}

int myelin_wait (myelin_t *self, const char *id, int timeout_ms, myelin_progress_fn *on_progress, void *arg,
                 myelin_task_t *task)
{
    /* The user is not known to us, but ids are unique: all of our user's tasks are listened to, one is told about. */
    if (subscribe (self, "task."))
        return -1;
    int64_t now = myelin_now_ms (), deadline = timeout_ms < 0 ? INT64_MAX : now + timeout_ms;
    wait_t wait = { id, now, ASK_FIRST_MS, "" };
    myelin_task_t told = { .progress = -1 };
    int got = 0;
    while (got >= 0 && !myelin_is_final (&told)) {
        now = myelin_now_ms ();
        int left_ms = deadline - now < INT32_MAX ? (int)(deadline - now) : INT32_MAX;
        if (left_ms <= 0)
            got = myelin_fail (self, 0, "task %s did not end in %d ms%s%s", id, timeout_ms, *wait.trouble ? ": " : "",
                               wait.trouble);
        else if (now >= wait.ask_at)
            got = ask (self, &wait, left_ms, task);
        else
            got = hear (self, &wait, now, wait.ask_at < deadline ? wait.ask_at : deadline, told.progress, task);
        if (got == 1)
            tell (task, &told, on_progress, arg);
    }
    myelin_unsubscribe (self);
    return got < 0 ? -1 : 0;
}
