#include "client/crew.h"
#include "base/log.h"
#include "wire/frames.h"

#include <assert.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <zmq.h>

#define LOOK_MS   500u /* how often the broker is asked */
#define LISTEN_MS 10u  /* how often we look for the answer … */
#define ANSWER_MS 100u /* … as long as it may be on its way; then only with the next question */
#define USER      "local"

typedef struct {
    child_t *child;
    stage_t stage;
} member_t;

struct crew {
    scale_t scale;
    scale_limits_t limits;
    str_t front;
    member_t *members;
    size_t count;
    void *context, *socket; /* NULL: not opened yet */
    frames_t in;
    uint64_t req, asked_ms; /* the last question */
    bool began;
};

crew_t *crew_new (const scale_limits_t *limits, const char *front)
{
    crew_t *self = calloc (1, sizeof *self);
    assert (self);
    self->limits = *limits;
    str_text (&self->front, front);
    return self;
}

void crew_destroy (crew_t **self_p)
{
    crew_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    frames_clear (&self->in);
    if (self->socket)
        zmq_close (self->socket);
    if (self->context)
        zmq_ctx_term (self->context);
    str_free (&self->front);
    free (self->members);
    free (self);
}

void crew_add (crew_t *self, child_t *child, stage_t stage)
{
    unsigned before = 0;
    for (size_t i = 0; i < self->count; i++)
        before += self->members[i].stage == stage;
    child->spare = before >= self->limits.least[stage];
    self->members = realloc (self->members, (self->count + 1) * sizeof *self->members);
    assert (self->members);
    self->members[self->count++] = (member_t){ child, stage };
}

/*  --- the broker --- */

/*  Only now: whoever starts with us shall not wait for the sockets of something that looks on. */
static int open_socket (crew_t *self)
{
    err_t err;
    self->context = zmq_ctx_new ();
    self->socket = self->context ? frames_socket (self->context, ZMQ_DEALER, 0, true, &err) : NULL;
    if (!self->socket)
        return -1;
    int one = 1; /* a question for a broker that is away is of no use to the one that comes */
    zmq_setsockopt (self->socket, ZMQ_IMMEDIATE, &one, sizeof one);
    return zmq_connect (self->socket, self->front.data);
}

static void ask (crew_t *self, uint64_t now_ms)
{
    err_t err;
    wire_msg_t msg = { .kind = WIRE_KIND_METRICS, .metrics = { .req = ++self->req, .user = SPAN_LIT (USER) } };
    self->asked_ms = now_ms;
    frames_send (self->socket, NULL, &msg, NULL, 0, &err); /* away: then nothing changes until it is back */
}

/*  The answer to the last question: a JSON object that the caller gives back; NULL: it is not there. */
static json_t *hear (crew_t *self)
{
    err_t err;
    json_t *answer = NULL;
    while (!answer && frames_recv (self->socket, false, &self->in, &err) == 1)
        if (self->in.msg.kind == WIRE_KIND_REPLY && self->in.msg.reply.req == self->req && self->in.payload_count)
            answer = json_loadb (buf_bytes (self->in.payload[0]), buf_size (self->in.payload[0]), 0, NULL);
    frames_clear (&self->in);
    return answer;
}

static unsigned number (const json_t *object, const char *key)
{
    json_int_t value = json_integer_value (json_object_get (object, key));
    return value > 0 ? (unsigned)value : 0;
}

static void read_load (const crew_t *self, const json_t *answer, scale_load_t *load)
{
    *load = (scale_load_t){ .processes = 0 };
    for (stage_t stage = 0; stage < SCALE_STAGES; stage++) {
        const json_t *row = json_object_get (json_object_get (answer, "stages"), stage_name (stage));
        load->ready[stage] = number (row, "ready");
        load->workers[stage] = number (row, "workers");
        load->busy[stage] = number (row, "busy");
    }
    for (size_t i = 0; i < self->count; i++)
        load->processes += self->members[i].child->pid != 0 || !self->members[i].child->spare;
}

/*  --- who comes, who goes --- */

/*  One that does not run: one that is still on its way out would have to come back first. */
static child_t *find_spare (const crew_t *self, stage_t stage)
{
    for (size_t i = 0; i < self->count; i++) {
        child_t *child = self->members[i].child;
        if (self->members[i].stage == stage && child->spare && !child->pid)
            return child;
    }
    return NULL;
}

/*  The last of its stage that holds nothing, as the broker has it. */
static child_t *find_idle (const crew_t *self, stage_t stage, const json_t *answer)
{
    size_t at;
    json_t *worker;
    child_t *found = NULL;
    for (size_t i = 0; i < self->count; i++) {
        child_t *child = self->members[i].child;
        if (self->members[i].stage != stage || child->spare || !child->pid)
            continue;
        json_array_foreach (json_object_get (answer, "workers"), at,
                            worker) if (number (worker, "pid") == (unsigned)child->pid && number (worker, "held") == 0)
            found = child;
    }
    return found;
}

static void carry_out (crew_t *self, const scale_change_t *change, const scale_load_t *load, const json_t *answer,
                       uint64_t now_ms)
{
    child_t *child = change->add ? find_spare (self, change->stage) : find_idle (self, change->stage, answer);
    if (!child)
        return; /* the next look sees what has become of it */
    child->spare = !change->add;
    if (change->add) {
        child->failures = 0;
        child->restart_ms = now_ms;
    } else
        kill (child->pid, SIGTERM);
    scale_done (&self->scale, change, now_ms);
    log_write (LOG_INFO, "scaled", &(log_where_t){ .stage = stage_name (change->stage) },
               "%s has %u workers now; %llu units wait, %u of %u were busy", stage_name (change->stage),
               self->scale.stages[change->stage].count, (unsigned long long)load->ready[change->stage],
               load->busy[change->stage], load->workers[change->stage]);
}

uint64_t crew_turn (crew_t *self, uint64_t now_ms)
{
    if (!self->began) {
        self->began = true;
        scale_init (&self->scale, &self->limits, now_ms);
        if (open_socket (self) == -1) {
            log_write (LOG_ERROR, "no_scaling", NULL, "the broker cannot be asked: the numbers of workers stay");
            return UINT64_MAX;
        }
    }
    json_t *answer = hear (self);
    if (answer) {
        scale_load_t load;
        scale_change_t change;
        read_load (self, answer, &load);
        if (scale_look (&self->scale, &load, now_ms, &change))
            carry_out (self, &change, &load, answer, now_ms);
        json_decref (answer);
        self->req++; /* answered: a second one would be of another broker */
    }
    if (now_ms >= self->asked_ms + LOOK_MS)
        ask (self, now_ms);
    bool listening = !answer && now_ms < self->asked_ms + ANSWER_MS;
    return listening ? now_ms + LISTEN_MS : self->asked_ms + LOOK_MS;
}
