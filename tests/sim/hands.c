#include "tests/sim/hands_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define BEAT_MS     1000u
#define RESEND_MS   5000u
#define LETTERS_MAX 4096u

hands_t *hands_new (dice_t *dice, depot_t *depot, hands_post_fn *post, void *post_self)
{
    hands_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    *self = (hands_t){ .dice = dice, .depot = depot, .post = post, .post_self = post_self, .faults = true };
    return self;
}

static void forget_all (hand_t *hand)
{
    while (hand->held_count)
        frames_clear (&hand->held[--hand->held_count].frames);
    while (hand->kept_count)
        frames_clear (&hand->kept[--hand->kept_count].letter);
}

void hand_drop_held (hand_t *hand, size_t at)
{
    frames_clear (&hand->held[at].frames);
    memmove (hand->held + at, hand->held + at + 1, (--hand->held_count - at) * sizeof *hand->held);
}

static void hand_free (hand_t *hand)
{
    forget_all (hand);
    while (hand->inbox_count)
        frames_clear (&hand->inbox[--hand->inbox_count]);
    free (hand->inbox);
    free (hand);
}

void hands_destroy (hands_t **self_p)
{
    hands_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    while (self->count)
        hand_free (self->hands[--self->count]);
    free (self->hands);
    free (self);
}

size_t hands_count (const hands_t *self)
{
    return self->count;
}

/*  --- what they say --- */

static frames_t letter_of (const wire_msg_t *msg, buf_t *const *payload, size_t count)
{
    str_t header = STR_INIT;
    err_t err;
    frames_t letter = { 0 };
    wire_encode (msg, &header);
    letter.header = buf_take (header.data, header.size);
    if (wire_decode (buf_span (letter.header), &letter.msg, &err) == -1)
        abort ();
    for (size_t i = 0; i < count; i++)
        letter.payload[letter.payload_count++] = buf_ref (payload[i]);
    return letter;
}

static frames_t copy_of (const frames_t *letter)
{
    return letter_of (&letter->msg, letter->payload, letter->payload_count);
}

static void post (hands_t *self, frames_t letter)
{
    self->post (self->post_self, &letter);
}

static void say_hello (hands_t *self, hand_t *hand)
{
    wire_hello_t hello = { .worker = hand->id,
                           .stage = (uint8_t)hand->stage,
                           .slots = hand->slots,
                           .pid = 1,
                           .host = SPAN_LIT ("here"),
                           .endpoint = SPAN_LIT ("inproc://hand") };
    post (self, letter_of (&(wire_msg_t){ .kind = WIRE_KIND_HELLO, .hello = hello }, NULL, 0));
}

static void beat (hands_t *self, hand_t *hand, uint64_t now)
{
    wire_beat_t msg = { .worker = hand->id,
                        .stage = (uint8_t)hand->stage,
                        .slots = hand->slots,
                        .pid = 1,
                        .host = SPAN_LIT ("here"),
                        .endpoint = SPAN_LIT ("inproc://hand"),
                        .epoch = hand->epoch,
                        .running = hand->held_count ? hand->held[0].job.number : 0,
                        .progress = hand->progress };
    post (self, letter_of (&(wire_msg_t){ .kind = WIRE_KIND_BEAT, .beat = msg }, NULL, 0));
    hand->beat_at = now + BEAT_MS;
}

void hand_send_result (hands_t *self, hand_t *hand, wire_result_t *result, buf_t *const *payload, size_t count,
                       uint64_t now)
{
    frames_t letter = letter_of (&(wire_msg_t){ .kind = WIRE_KIND_RESULT, .result = *result }, payload, count);
    if (hand->kept_count == KEPT_MAX)
        abort (); /* never acknowledged */
    hand->kept[hand->kept_count++] = (kept_t){ copy_of (&letter), now };
    if (result->outcome != RESULT_PART)
        for (size_t i = 0; i < hand->given_count; i++)
            if (hand->given[i] == result->number)
                hand->ended[i] = result->segment + 1u;
    post (self, letter);
}

/*  --- coming and going --- */

static hand_t *make_hand (hands_t *self, stage_t stage, uint32_t slots, uint64_t now)
{
    hand_t *hand = calloc (1, sizeof *hand);
    if (!hand)
        abort ();
    hand->id = dice_uuid (self->dice, now);
    hand->stage = stage;
    hand->slots = slots;
    hand->beat_at = now + BEAT_MS;
    say_hello (self, hand);
    return hand;
}

void hands_hire (hands_t *self, stage_t stage, uint32_t slots, uint64_t now)
{
    assert (slots <= JOBS_MAX);
    self->hands = realloc (self->hands, (self->count + 1) * sizeof *self->hands);
    if (!self->hands)
        abort ();
    self->hands[self->count++] = make_hand (self, stage, slots, now);
}

static void replace (hands_t *self, size_t at, uint64_t now)
{
    hand_t *old = self->hands[at];
    self->hands[at] = make_hand (self, old->stage, old->slots, now);
    hand_free (old);
}

void hands_kill (hands_t *self, uint64_t now, uuid_t *gone)
{
    size_t at = dice_below (self->dice, (uint32_t)self->count);
    *gone = self->hands[at]->id;
    replace (self, at, now);
}

void hands_kill_one (hands_t *self, uuid_t id, uint64_t now)
{
    for (size_t i = 0; i < self->count; i++)
        if (uuid_eq (self->hands[i]->id, id))
            replace (self, i, now);
}

void hands_hang (hands_t *self)
{
    hand_t *hand = self->hands[dice_below (self->dice, (uint32_t)self->count)];
    hand->hung = true;
    hand->stubborn = dice_one_in (self->dice, 2);
}

void hands_stall (hands_t *self, uint64_t now)
{
    hand_t *hand = self->hands[dice_below (self->dice, (uint32_t)self->count)];
    hand->stalled_until = now + 500 + dice_below (self->dice, 12000); /* the lease is four seconds */
}

void hands_drain (hands_t *self, uint64_t now)
{
    (void)now;
    self->hands[dice_below (self->dice, (uint32_t)self->count)]->leaving = true;
}

void hands_broker_died (hands_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        self->hands[i]->given_count = 0;
}

void hands_faults (hands_t *self, bool on)
{
    self->faults = on;
}

void hands_lose (hands_t *self)
{
    hand_t *hand = self->hands[dice_below (self->dice, (uint32_t)self->count)];
    if (hand->held_count)
        hand_drop_held (hand, hand->held_count - 1);
}

/*  An attempt that it was never given, of another epoch, or one that ended long ago. */
void hands_lie (hands_t *self, uint64_t now)
{
    hand_t *hand = self->hands[dice_below (self->dice, (uint32_t)self->count)];
    if (hand->kept_count && dice_one_in (self->dice, 2)) {
        post (self, copy_of (&hand->kept[dice_below (self->dice, (uint32_t)hand->kept_count)].letter));
        return;
    }
    wire_result_t result = { .worker = hand->id,
                             .epoch = hand->epoch,
                             .number = 1000000000u + dice_below (self->dice, 1000),
                             .stage = (uint8_t)hand->stage,
                             .outcome = dice_one_in (self->dice, 2) ? RESULT_DONE : RESULT_PART,
                             .segment = dice_below (self->dice, 3),
                             .columns = COLUMN_TEXT | COLUMN_MARKS };
    if (hand->held_count && dice_one_in (self->dice, 2)) { /* the right number, of an epoch that is over */
        result.number = hand->held[0].job.number;
        result.epoch--;
    }
    buf_t *payload[] = { buf_copy (SPAN_LIT ("0 0")), buf_copy (SPAN_EMPTY) };
    post (self, letter_of (&(wire_msg_t){ .kind = WIRE_KIND_RESULT, .result = result }, payload, 2));
    buf_unref (&payload[0]);
    buf_unref (&payload[1]);
    (void)now;
}

/*  --- what they hear --- */

static hand_t *find (const hands_t *self, uuid_t id)
{
    for (size_t i = 0; i < self->count; i++)
        if (uuid_eq (self->hands[i]->id, id))
            return self->hands[i];
    return NULL;
}

static void take_back (hand_t *hand, uint64_t number)
{
    for (size_t i = 0; i < hand->given_count; i++)
        if (hand->given[i] == number) {
            hand->given[i] = hand->given[--hand->given_count];
            hand->ended[i] = hand->ended[hand->given_count];
            return;
        }
}

/*  Keeps the books of the broker's side: what it may have outstanding at this worker. */
static bool count_given (hand_t *hand, const wire_msg_t *msg)
{
    if (msg->kind == WIRE_KIND_WELCOME && msg->welcome.fresh)
        hand->given_count = 0;
    else if (msg->kind == WIRE_KIND_CANCEL)
        take_back (hand, msg->cancel.number);
    else if (msg->kind == WIRE_KIND_ACK) {
        for (size_t i = 0; i < hand->given_count; i++)
            if (hand->given[i] == msg->ack.number && hand->ended[i] == msg->ack.segment + 1u) {
                take_back (hand, msg->ack.number);
                break;
            }
    } else if (msg->kind == WIRE_KIND_JOB) {
        for (size_t i = 0; i < hand->given_count; i++)
            if (hand->given[i] == msg->job.number) {
                fprintf (stderr, "attempt %llu is given out twice\n", (unsigned long long)msg->job.number);
                return false;
            }
        if (hand->given_count >= hand->slots) {
            fprintf (stderr, "a worker with %u slots is given %zu jobs\n", hand->slots, hand->given_count + 1);
            return false;
        }
        hand->ended[hand->given_count] = 0;
        hand->given[hand->given_count++] = msg->job.number;
    }
    return true;
}

bool hands_hear (hands_t *self, const out_t *out)
{
    hand_t *hand = find (self, out->worker);
    if (!hand)
        return true; /* dead: it goes nowhere */
    frames_t letter = { .header = buf_ref (out->frames[0]) };
    err_t err;
    if (wire_decode (buf_span (letter.header), &letter.msg, &err) == -1) {
        fprintf (stderr, "the broker says what cannot be read: %s\n", err.message);
        return false;
    }
    for (size_t i = 1; i < out->frame_count; i++)
        letter.payload[letter.payload_count++] = buf_ref (out->frames[i]);
    if (hand->inbox_count == hand->inbox_room) {
        hand->inbox_room = hand->inbox_room ? 2 * hand->inbox_room : 16;
        hand->inbox = realloc (hand->inbox, hand->inbox_room * sizeof *hand->inbox);
        if (!hand->inbox)
            abort ();
    }
    bool good = count_given (hand, &letter.msg);
    hand->inbox[hand->inbox_count++] = letter;
    return good;
}

/*  The task of an attempt that the worker has, had, or is about to have. */
static bool task_of_attempt (const hand_t *hand, uint64_t number, uuid_t *task)
{
    for (size_t i = 0; i < hand->held_count; i++)
        if (hand->held[i].job.number == number) {
            *task = hand->held[i].job.task;
            return true;
        }
    for (size_t i = 0; i < hand->kept_count; i++)
        if (hand->kept[i].letter.msg.result.number == number) {
            *task = hand->kept[i].letter.msg.result.task;
            return true;
        }
    for (size_t i = 0; i < hand->inbox_count; i++)
        if (hand->inbox[i].msg.kind == WIRE_KIND_JOB && hand->inbox[i].msg.job.number == number) {
            *task = hand->inbox[i].msg.job.task;
            return true;
        }
    return false;
}

void hands_look (const hands_t *self, hands_look_fn *fn, void *arg)
{
    for (size_t h = 0; h < self->count; h++) {
        const hand_t *hand = self->hands[h];
        for (size_t i = 0; i < hand->inbox_count; i++) {
            const wire_msg_t *msg = &hand->inbox[i].msg;
            wire_job_t job = { 0 };
            if (msg->kind == WIRE_KIND_JOB)
                fn (arg, msg->kind, &msg->job);
            else if ((msg->kind == WIRE_KIND_ACK && task_of_attempt (hand, msg->ack.number, &job.task)) ||
                     (msg->kind == WIRE_KIND_CANCEL && task_of_attempt (hand, msg->cancel.number, &job.task)))
                fn (arg, msg->kind, &job);
        }
    }
}

static void drop_kept (hand_t *hand, size_t at)
{
    frames_clear (&hand->kept[at].letter);
    memmove (hand->kept + at, hand->kept + at + 1, (--hand->kept_count - at) * sizeof *hand->kept);
}

/*  Reads the oldest message, as stages/runtime/hear.c does. */
static void read_one (hands_t *self, hand_t *hand, uint64_t now)
{
    frames_t letter = hand->inbox[0];
    memmove (hand->inbox, hand->inbox + 1, --hand->inbox_count * sizeof *hand->inbox);
    const wire_msg_t *msg = &letter.msg;
    switch (msg->kind) {
    case WIRE_KIND_WELCOME:
        if (msg->welcome.epoch != hand->epoch || msg->welcome.fresh) {
            hand->epoch = msg->welcome.epoch;
            forget_all (hand);
            beat (self, hand, now);
        }
        break;
    case WIRE_KIND_JOB:
        if (msg->job.epoch != hand->epoch || hand->leaving || hand->held_count == JOBS_MAX)
            break;
        hand->held[hand->held_count++] = (held_t){ letter, msg->job, msg->job.limit, msg->job.first_segment, false };
        return;
    case WIRE_KIND_ACK:
        for (size_t i = 0; i < hand->kept_count; i++) {
            const wire_result_t *kept = &hand->kept[i].letter.msg.result;
            if (kept->number == msg->ack.number && kept->segment == msg->ack.segment && kept->epoch == msg->ack.epoch) {
                drop_kept (hand, i);
                break;
            }
        }
        for (size_t i = 0; i < hand->held_count; i++)
            if (hand->held[i].job.number == msg->ack.number && hand->held[i].limit < msg->ack.limit)
                hand->held[i].limit = msg->ack.limit;
        break;
    case WIRE_KIND_CANCEL:
        for (size_t i = 0; i < hand->held_count; i++)
            if (hand->held[i].job.number == msg->cancel.number && hand->held[i].job.epoch == msg->cancel.epoch) {
                if (hand->hung && hand->stubborn)
                    break;
                hand->hung = hand->hung && i > 0;
                hand_fail (self, hand, i, ERR_CANCELLED, now);
                break;
            }
        break;
    default:
        break;
    }
    frames_clear (&letter);
}

/*  --- what they do: one thing at a time --- */

/*  False when there was nothing to do. */
static bool act (hands_t *self, size_t at, uint64_t now)
{
    hand_t *hand = self->hands[at];
    if (now < hand->stalled_until)
        return false;
    if (hand->inbox_count) {
        read_one (self, hand, now);
        return true;
    }
    if (now >= hand->beat_at) {
        beat (self, hand, now);
        return true;
    }
    for (size_t i = 0; i < hand->kept_count; i++)
        if (now >= hand->kept[i].sent_at + RESEND_MS) {
            hand->kept[i].sent_at = now;
            post (self, copy_of (&hand->kept[i].letter));
            return true;
        }
    if (hand->leaving && !hand->kept_count) {
        wire_bye_t bye = { .worker = hand->id };
        post (self, letter_of (&(wire_msg_t){ .kind = WIRE_KIND_BYE, .bye = bye }, NULL, 0));
        replace (self, at, now);
        return true;
    }
    if (!hand->held_count || !hand->epoch || hand->leaving)
        return false;
    if (hand->stage == STAGE_EXTRACT && hand->held[0].next >= hand->held[0].limit)
        return false;
    hand->hung = hand->hung && !hand_is_last_try (&hand->held[0].job);
    if (hand->kept_count > KEPT_MAX / 2 || hand->hung)
        return false;
    hand->progress++;
    hand_work (self, hand, now);
    return true;
}

void hands_step (hands_t *self, uint64_t now)
{
    act (self, dice_below (self->dice, (uint32_t)self->count), now);
}

void hands_work (hands_t *self, uint64_t now)
{
    for (size_t i = 0; i < self->count; i++) {
        self->hands[i]->stalled_until = 0;
        while (act (self, i, now))
            ;
    }
}

static bool commits (const wire_job_t *job, uuid_t task, uint64_t epoch)
{
    return job->final && job->epoch == epoch && uuid_eq (job->task, task);
}

bool hands_commit (const hands_t *self, uuid_t task, uint64_t epoch)
{
    bool found = false;
    for (size_t i = 0; i < self->count; i++) {
        const hand_t *hand = self->hands[i];
        for (size_t j = 0; j < hand->held_count; j++)
            found |= hand->stage == STAGE_STORAGE && commits (&hand->held[j].job, task, epoch);
        for (size_t j = 0; j < hand->inbox_count; j++)
            found |= hand->stage == STAGE_STORAGE && hand->inbox[j].msg.kind == WIRE_KIND_JOB &&
                     commits (&hand->inbox[j].msg.job, task, epoch);
    }
    return found;
}
