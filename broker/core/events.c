/*  events.c: the progress feed and the histories of tasks. */
#include "base/clock.h"
#include "broker/core/state.h"

#include <stdlib.h>

#define HISTORY_FLUSH_BYTES (16u << 10)
#define REPLAY_MAX          10000u /* live tasks shown to a new subscriber */
#define REPLAY_SCAN         1000u  /* live tasks looked at in one turn */
#define TASK_TOPIC          "task."

static const char *const feed_names[] = {
#define FEED_EVENT_NAME(sym, name) name,
    FEED_EVENTS (FEED_EVENT_NAME)
#undef FEED_EVENT_NAME
};

static bool is_wanted (const core_t *self, span_t topic)
{
    for (size_t i = 0; i < self->topic_count; i++)
        if (span_starts (topic, str_span (&self->topics[i])))
            return true;
    return false;
}

static void task_topic (str_t *topic, span_t user, uuid_t task)
{
    char text[UUID_TEXT];
    uuid_text (task, text);
    str_text (topic, TASK_TOPIC);
    str_add (topic, user);
    str_char (topic, '.');
    str_text (topic, text);
}

static void publish (core_t *self, str_t *topic, str_t *body)
{
    out_t *out = core_out (self, OUT_PUBLISH);
    out->frames[out->frame_count++] = core_str_buf (topic);
    out->frames[out->frame_count++] = core_str_buf (body);
}

static uint64_t position (const core_t *self, uuid_t id)
{
    const task_t *task = map_get (&self->tasks, id);
    if (!task || task->extract.where != AT_READY || task->status != TASK_PENDING)
        return 0;
    return unit_position (&task->extract) + 1u;
}

static void show (core_t *self, const user_t *user, uint64_t seq, feed_event_t event, uint64_t at, uuid_t task,
                  const record_task_t *view, bool replay)
{
    str_t topic = STR_INIT, body = STR_INIT;
    task_topic (&topic, BUG (WRONG_USER) ? self->last_user->name : user->name, task);
    if (is_wanted (self, str_span (&topic))) {
        str_char (&body, '{');
        str_key_u64 (&body, "seq", seq);
        str_key_str (&body, "event", span_str (feed_names[event]));
        str_key_time (&body, "at", at);
        if (replay)
            str_key_raw (&body, "replay", SPAN_LIT ("true"));
        str_key (&body, "task");
        json_task (&body, task, user->name, view, position (self, task));
        str_char (&body, '}');
        publish (self, &topic, &body);
    }
    str_free (&topic);
    str_free (&body);
}

uint64_t events_publish (core_t *self, user_t *user, feed_event_t event, uuid_t task, const record_task_t *view)
{
    uint64_t seq = ++user->record.seq;
    self->stamp++;
    core_user_dirty (self, user);
    if (self->topic_count)
        show (self, user, seq, event, self->wall, task, view, false);
    return seq;
}

void events_task (core_t *self, task_t *task, feed_event_t event)
{
    record_task_t view;
    task_view (self, task, &view);
    task->last_event = (uint8_t)event;
    task->last_seq = events_publish (self, task->user, event, task->id, &view);
    task->last_stamp = self->stamp;
}

/*  --- what new subscribers are shown --- */

/*  Unless the subscriber has heard it already. */
static void show_last (core_t *self, const question_t *question, const task_t *task)
{
    if (task->last_stamp > question->stamp)
        return;
    record_task_t view;
    task_view (self, task, &view);
    show (self, task->user, task->last_seq, (feed_event_t)task->last_event, task->updated_at, task->id, &view, true);
}

/*  Where in the topic `task.<user>.<task>` the task's id begins; 0 when the prefix does not reach that far. */
static size_t topic_id_at (span_t topic)
{
    size_t at = topic.size;
    while (at > sizeof TASK_TOPIC - 1 && topic.data[at - 1] != '.')
        at--;
    return at > sizeof TASK_TOPIC - 1 && span_starts (topic, SPAN_LIT (TASK_TOPIC)) ? at : 0;
}

bool events_topic_task (core_t *self, span_t topic, task_t **task)
{
    size_t at = topic_id_at (topic);
    uuid_t id;
    *task = NULL;
    if (!at || uuid_parse (span (topic.data + at, topic.size - at), &id))
        return false;
    span_t user = span (topic.data + sizeof TASK_TOPIC - 1, at - sizeof TASK_TOPIC);
    *task = map_get (&self->tasks, id);
    if (*task && !span_eq ((*task)->user->name, user))
        *task = NULL;
    return true;
}

/*  Shows some of what matches; false when there is more to look at. */
static bool replay (core_t *self, question_t *question, size_t *budget)
{
    span_t topic = str_span (&question->text);
    size_t id_at = topic_id_at (topic);
    task_t *one;
    if (!span_starts (topic, SPAN_LIT (TASK_TOPIC)) && !span_starts (SPAN_LIT (TASK_TOPIC), topic))
        return true;
    if (events_topic_task (self, topic, &one)) {
        --*budget;
        if (one)
            show_last (self, question, one);
        return true;
    }
    str_t prefix = STR_INIT, name = STR_INIT;
    if (id_at && id_at == topic.size)
        record_key_user (&prefix, span (topic.data + sizeof TASK_TOPIC - 1, id_at - sizeof TASK_TOPIC));
    kv_iter_t *iter = kv_iterate (self->kv, FAMILY_LIVE);
    bool end = false;
    iter->ops->seek (iter, str_span (question->from.size ? &question->from : &prefix));
    for (; *budget > 0; iter->ops->step (iter, true), --*budget) {
        span_t key = iter->ops->valid (iter) ? iter->ops->key (iter) : SPAN_EMPTY, user, rest;
        end = !key.size || !span_starts (key, str_span (&prefix)) || question->number == REPLAY_MAX;
        if (end)
            break;
        if (span_eq (key, str_span (&question->from)))
            continue;
        str_clear (&question->from);
        str_add (&question->from, key);
        if (record_key_parse (key, &user, &rest) == -1 || rest.size != UUID_SIZE)
            continue;
        const task_t *task = map_get (&self->tasks, record_key_id (rest));
        if (!task)
            continue;
        str_clear (&name);
        task_topic (&name, task->user->name, task->id);
        if (span_starts (str_span (&name), topic)) {
            show_last (self, question, task);
            question->number++;
        }
    }
    kv_iter_destroy (&iter);
    str_free (&prefix);
    str_free (&name);
    return end;
}

/*  The feed cannot speak to one subscriber alone, so all who match hear it again: it is marked as a replay and keeps
 *  its old number. */
void events_replay_some (core_t *self)
{
    size_t done = 0, budget = REPLAY_SCAN;
    while (done < self->replays.count && budget > 0 && replay (self, &self->replays.items[done], &budget))
        done++;
    core_questions_done (&self->replays, done);
}

/*  --- how the queue is --- */

void events_queue (core_t *self)
{
    user_t *user;
    for (size_t at = 0; (user = map_next (&self->users, &at));) {
        for (int i = 0; i < STAGE_COUNT; i++) {
            double rate = (double)(user->done[i] - user->done_before[i]);
            user->done_before[i] = user->done[i];
            double before = user->done_per_second[i];
            user->done_per_second[i] = before * 0.7 + rate * 0.3;
            if (user->done_per_second[i] < 0.01)
                user->done_per_second[i] = 0;
            if (before > 0)
                user->queue_changed = true; /* the rate falls, until it is 0 */
        }
        if (!user->queue_changed)
            continue;
        user->queue_changed = false;
        str_t topic = STR_INIT, body = STR_INIT;
        str_text (&topic, "queue.");
        str_add (&topic, user->name);
        if (is_wanted (self, str_span (&topic))) {
            str_char (&body, '{');
            /* No seq: a subscriber of task events alone must not see a gap where a queue event was. */
            str_key_str (&body, "event", SPAN_LIT ("queue"));
            str_key_time (&body, "at", self->wall);
            str_key (&body, "queue");
            json_queue (self, &body, user);
            str_char (&body, '}');
            publish (self, &topic, &body);
        }
        str_free (&topic);
        str_free (&body);
    }
}

/*  --- histories --- */

static void put_lines (core_t *self, task_t *task, str_t *lines, uint32_t count)
{
    record_key_number (&self->key, task->user->name, task->id, task->revision << 32 | task->history);
    kv_put (self->kv, FAMILY_HISTORY, str_span (&self->key), str_span (lines));
    task->history += count;
    str_clear (lines);
}

void events_flush (core_t *self, task_t *task)
{
    run_t *run = task->run;
    if (!run || !run->history.size)
        return;
    put_lines (self, task, &run->history, run->history_count);
    run->history_count = 0;
}

/*  What a line says about the job that it is about. */
static void add_job (const core_t *self, str_t *line, const note_t *note)
{
    const job_t *job = note->job;
    str_key_str (line, "stage", span_str (stage_name ((stage_t)job->unit->stage)));
    if (note->has_segment || job->unit->kind == UNIT_SEGMENT)
        str_key_u64 (line, "segment", note->has_segment ? note->segment : ((segment_t *)job->unit)->number);
    str_key_u64 (line, "attempt", job->attempt);
    str_key_u64 (line, "job", job->number);
    str_key_str (line, "worker", span_str (job->worker->name));
    str_key_u64 (line, "held_ms", self->now - job->sent_ms);
    if (note->cost_us)
        str_key_u64 (line, "cost_us", note->cost_us);
}

void events_note (core_t *self, task_t *task, const note_t *note)
{
    str_t own = STR_INIT, *line = task->run ? &task->run->history : &own;
    str_char (line, '{');
    str_text (line, "\"at\":"); /* str_key would see the end of the line before */
    char at[CLOCK_RFC3339_SIZE];
    clock_rfc3339 (note->at ? note->at : self->wall, at);
    str_json (line, span_str (at));
    str_key_str (line, "event", span_str (note->event));
    if (note->job)
        add_job (self, line, note);
    if (note->cursor.size)
        str_key_str (line, "cursor", note->cursor);
    if (note->code.size)
        str_key_str (line, "code", note->code);
    if (note->message.size)
        str_key_str (line, "message", note->message);
    str_text (line, "}\n");
    if (!task->run) {
        put_lines (self, task, &own, 1);
        str_free (&own);
        return;
    }
    task->run->history_count++;
    if (task->run->history.size >= HISTORY_FLUSH_BYTES) {
        events_flush (self, task);
        task_save (self, task); /* with how many lines there are */
    }
}
