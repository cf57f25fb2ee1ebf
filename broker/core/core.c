#include "base/hash.h"
#include "base/log.h"
#include "broker/core/state.h"

#include <stdlib.h>

#define FIRST_ORDER    (1ull << 30)
#define RATE_MS        1000u
#define EXPIRE_MS      60000u
#define QUESTIONS_SCAN 10000u /* records that the lists of one turn may look at, but for the last list */
#define EXPIRE_STEP_MS 1000u  /* until a walk that has not come to the end goes on */

const core_config_t core_config_default = {
    .data_dir = ".",
    .beat_ms = 1000,
    .beats_missed = 4,
    .active_max = 512,
    .memory_bytes = 128ull << 20,
    .window = 8,
    .small_bytes = 256u << 10,
    .batch_bytes = 4u << 20,
    .tries_max = 3,
    .losses_max = 20,
    .backoff_ms = 200,
    .backoff_max_ms = 30000,
    .progress_ms = 100,
    .silence_ms = 300000,
    .grace_ms = 10000,
    .task_ms = 24u * 3600u * 1000u,
    .tasks_max = 4000000,
    .user_tasks = 2000000,
    .user_burst = 100,
    .seed = 1,
};

/*  --- users --- */

/*  All users are in memory: who is not is new. */
user_t *core_user (core_t *self, span_t name)
{
    if (self->last_user && span_eq (self->last_user->name, name))
        return self->last_user;
    hash_t hash = hash_of (name);
    uuid_t key;
    memcpy (key.bytes, hash.bytes, UUID_SIZE);
    user_t *user = map_get (&self->users, key);
    if (!user) {
        user = calloc (1, sizeof *user);
        char *copy = malloc (name.size + 1);
        if (!user || !copy)
            abort ();
        memcpy (copy, name.data, name.size);
        copy[name.size] = 0;
        user->key = key;
        user->name = span (copy, name.size);
        user->number = ++self->user_count;
        map_put (&self->users, user);
    }
    return self->last_user = user;
}

void core_charge (core_t *self, user_t *user, uint64_t cost_us)
{
    if (BUG (NO_CHARGE))
        return;
    uint64_t now_us = self->now * 1000;
    uint64_t clock = (user->clock_us > now_us ? user->clock_us : now_us) + cost_us;
    user->clock_us = clock < now_us + DEBT_MAX_US ? clock : now_us + DEBT_MAX_US;
    for (int stage = 0; stage < STAGE_COUNT && user->waiting; stage++)
        queue_moved (&self->ready[stage], &user->queues[stage], user->clock_us, user->number);
}

static int load_users (core_t *self, err_t *err)
{
    kv_iter_t *iter = kv_iterate (self->kv, FAMILY_USERS);
    int rc = 0;
    for (iter->ops->seek (iter, SPAN_EMPTY); rc == 0 && iter->ops->valid (iter); iter->ops->step (iter, true)) {
        span_t name, rest;
        record_user_t record;
        if (record_key_parse (iter->ops->key (iter), &name, &rest) == -1)
            rc = err_set (err, ERR_CORRUPT, "a key of the users family is damaged");
        else if ((rc = codec_decode (&record_user_shape, iter->ops->value (iter), &record, err)) == 0)
            core_user (self, name)->record = record;
    }
    if (rc == 0)
        rc = iter->ops->check (iter, err);
    kv_iter_destroy (&iter);
    return rc;
}

void core_user_dirty (core_t *self, user_t *user)
{
    if (!user->dirty) {
        user->next_dirty = self->dirty_users;
        self->dirty_users = user;
    }
    user->dirty = true;
    user->queue_changed = true;
}

static void save_users (core_t *self)
{
    for (user_t *user; (user = self->dirty_users);) {
        self->dirty_users = user->next_dirty;
        if (BUG (UNSAVED_SEQ))
            user->record.seq--;
        record_key_user (&self->key, user->name);
        record_put (self->kv, FAMILY_USERS, str_span (&self->key), &record_user_shape, &user->record);
        if (BUG (UNSAVED_SEQ))
            user->record.seq++;
        user->dirty = false;
    }
}

uint64_t core_random (core_t *self, uint64_t below)
{
    self->random += 0x9e3779b97f4a7c15u; /* splitmix64 */
    uint64_t z = self->random;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return below ? (z ^ (z >> 31)) % below : 0;
}

/*  --- the outbox --- */

out_t *core_out (core_t *self, out_kind_t kind)
{
    if (self->out_count == self->out_room) {
        size_t room = self->out_room ? self->out_room * 2 : 64;
        self->outbox = realloc (self->outbox, room * sizeof *self->outbox);
        if (!self->outbox)
            abort ();
        self->out_room = room;
    }
    out_t *out = &self->outbox[self->out_count++];
    *out = (out_t){ .kind = kind };
    return out;
}

static buf_t *encoded (const wire_msg_t *msg)
{
    str_t header = STR_INIT;
    wire_encode (msg, &header);
    return core_str_buf (&header);
}

void core_send_worker (core_t *self, const core_worker_t *worker, const wire_msg_t *msg, buf_t *columns[COLUMN_COUNT])
{
    out_t *out = core_out (self, OUT_WORKER);
    out->worker = worker->id;
    out->frames[out->frame_count++] = encoded (msg);
    for (size_t i = 0; columns && i < COLUMN_COUNT; i++)
        if (columns[i])
            out->frames[out->frame_count++] = buf_ref (columns[i]);
}

void core_reply (core_t *self, buf_t *route, const wire_reply_t *reply, buf_t *body, buf_t *bytes)
{
    out_t *out = core_out (self, OUT_REPLY);
    out->route = buf_ref (route);
    out->frames[out->frame_count++] = encoded (&(wire_msg_t){ .kind = WIRE_KIND_REPLY, .reply = *reply });
    if (body || bytes)
        out->frames[out->frame_count++] = body ? body : buf_new (0);
    if (bytes)
        out->frames[out->frame_count++] = bytes;
}

void core_reply_error (core_t *self, buf_t *route, uint64_t req, const err_t *err)
{
    wire_reply_t reply = { .req = req,
                           .status = (uint32_t)err_status (err->code),
                           .code = span_str (err_name (err->code)),
                           .detail = span_str (err->message),
                           .retry_after_s = err->retry_after_s };
    core_reply (self, route, &reply, NULL, NULL);
}

buf_t *core_str_buf (str_t *text)
{
    buf_t *buf = text->data ? buf_take (text->data, text->size) : buf_new (0);
    *text = (str_t)STR_INIT;
    return buf;
}

bool core_outbox_take (core_t *self, out_t *out)
{
    if (self->out_first == self->out_count) {
        self->out_first = self->out_count = 0;
        return false;
    }
    *out = self->outbox[self->out_first++];
    return true;
}

void out_clear (out_t *out)
{
    buf_unref (&out->route);
    for (size_t i = 0; i < out->frame_count; i++)
        buf_unref (&out->frames[i]);
    out->frame_count = 0;
}

/*  --- files that are to go: written down with what makes them useless, so that a crash cannot leave them --- */

#define UNLINK_PREFIX "unlink "

static void unlink_key (core_t *self, span_t path)
{
    str_clear (&self->key);
    str_text (&self->key, UNLINK_PREFIX);
    str_add (&self->key, path);
}

static void put_unlink (core_t *self, span_t path)
{
    out_t *out = core_out (self, OUT_UNLINK);
    out->frames[out->frame_count++] = buf_copy (path);
}

void core_unlink (core_t *self, span_t path)
{
    unlink_key (self, path);
    kv_put (self->kv, FAMILY_META, str_span (&self->key), SPAN_EMPTY);
    put_unlink (self, path);
}

void core_unlinked (core_t *self, span_t path)
{
    unlink_key (self, path);
    kv_delete (self->kv, FAMILY_META, str_span (&self->key));
}

void core_keep_file (core_t *self, span_t path)
{
    core_unlinked (self, path);
    for (size_t i = self->out_first; i < self->out_count; i++) {
        out_t *out = &self->outbox[i];
        if (out->kind != OUT_UNLINK || !span_eq (buf_span (out->frames[0]), path))
            continue;
        out_clear (out);
        memmove (out, out + 1, (--self->out_count - i--) * sizeof *out);
    }
}

int core_unlink_again (core_t *self, err_t *err)
{
    span_t prefix = SPAN_LIT (UNLINK_PREFIX);
    kv_iter_t *iter = kv_iterate (self->kv, FAMILY_META);
    for (iter->ops->seek (iter, prefix); iter->ops->valid (iter); iter->ops->step (iter, true)) {
        span_t key = iter->ops->key (iter);
        if (key.size < prefix.size || memcmp (key.data, prefix.data, prefix.size) != 0)
            break;
        put_unlink (self, span (key.data + prefix.size, key.size - prefix.size));
    }
    int rc = iter->ops->check (iter, err);
    kv_iter_destroy (&iter);
    return rc;
}

/*  --- start and stop --- */

static int load_meta (core_t *self, err_t *err)
{
    span_t key = SPAN_LIT ("state");
    int found = record_get (self->kv, FAMILY_META, key, &record_meta_shape, &self->meta, &self->value, err);
    if (found == -1)
        return -1;
    if (!found)
        self->meta = (record_meta_t){ .format = RECORDS_FORMAT };
    if (self->meta.format > RECORDS_FORMAT)
        return err_set (err, ERR_NEWER_FORMAT,
                        "the data has format %u, this program reads up to %u: use a newer myelin", self->meta.format,
                        RECORDS_FORMAT);
    self->meta.epoch++;
    record_put (self->kv, FAMILY_META, key, &record_meta_shape, &self->meta);
    return kv_commit (self->kv, true, err);
}

core_t *core_new (const core_config_t *config, kv_t *kv, uint64_t mono_ms, uint64_t wall_ms, err_t *err)
{
    core_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->config = *config;
    self->kv = kv;
    self->random = config->seed;
    self->disk_room = UINT64_MAX;
    self->next_number = 1;
    self->next_order = FIRST_ORDER;
    self->front_order = FIRST_ORDER;
    map_init (&self->tasks, offsetof (task_t, id));
    map_init (&self->users, offsetof (user_t, key));
    core_begin (self, mono_ms, wall_ms);
    self->check_at = mono_ms + config->beat_ms;
    self->rate_at = mono_ms + RATE_MS;
    self->began_ms = mono_ms;
    if (load_meta (self, err) == -1 || load_users (self, err) == -1 || task_load_all (self, err) == -1 ||
        purge_load_all (self, err) == -1 || core_unlink_again (self, err) == -1)
        core_destroy (&self);
    return self;
}

void core_destroy (core_t **self_p)
{
    core_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = self->out_first; i < self->out_count; i++)
        out_clear (&self->outbox[i]);
    free (self->outbox);
    while (self->workers) {
        core_worker_t *worker = self->workers;
        self->workers = worker->next;
        while (worker->first)
            job_free (self, worker->first);
        free (worker);
    }
    while (self->purges)
        purge_free (self, self->purges);
    task_t *task;
    for (size_t at = 0; (task = map_next (&self->tasks, &at));)
        task_free (self, task);
    map_free (&self->tasks);
    user_t *user;
    for (size_t at = 0; (user = map_next (&self->users, &at));) {
        free ((char *)user->name.data);
        free (user);
    }
    map_free (&self->users);
    for (size_t i = 0; i < self->topic_count; i++)
        str_free (&self->topics[i]);
    free (self->topics);
    free (self->topic_uses);
    core_questions_done (&self->questions, self->questions.count);
    core_questions_done (&self->retries, self->retries.count);
    core_questions_done (&self->replays, self->replays.count);
    core_questions_done (&self->removals, self->removals.count);
    free (self->fresh);
    free (self->questions.items);
    free (self->retries.items);
    free (self->replays.items);
    free (self->removals.items);
    str_free (&self->expired_to);
    str_free (&self->key);
    str_free (&self->value);
    free (self);
}

uint64_t core_epoch (const core_t *self)
{
    return self->meta.epoch;
}

void core_refuse (core_t *self, err_code_t code)
{
    self->refuse = code;
}

void core_disk_room (core_t *self, uint64_t bytes)
{
    self->disk_room = bytes;
}

void core_hold (core_t *self, bool on)
{
    self->hold = on;
}

/*  --- the turn --- */

void core_begin (core_t *self, uint64_t mono_ms, uint64_t wall_ms)
{
    self->now = mono_ms;
    self->wall = wall_ms;
}

void core_question (core_t *self, question_list_t *list, const frames_t *in)
{
    if (list->count == list->room) {
        list->room = list->room ? list->room * 2 : 16;
        list->items = realloc (list->items, list->room * sizeof *list->items);
        if (!list->items)
            abort ();
    }
    question_t *question = &list->items[list->count++];
    *question = (question_t){ .in = *in }; /* spans of msg point into the header, which is kept too */
    buf_ref (in->route);
    buf_ref (in->header);
    for (size_t i = 0; i < in->payload_count; i++)
        buf_ref (in->payload[i]);
}

/*  Takes out those from `at` on. */
static void drop_questions (question_list_t *list, size_t at, size_t count)
{
    for (size_t i = at; i < at + count; i++) {
        frames_clear (&list->items[i].in);
        str_free (&list->items[i].from);
        str_free (&list->items[i].text);
    }
    list->count -= count;
    if (list->count > at)
        memmove (list->items + at, list->items + at + count, (list->count - at) * sizeof *list->items);
}

void core_questions_done (question_list_t *list, size_t count)
{
    drop_questions (list, 0, count);
}

void core_question_done (question_list_t *list, size_t at)
{
    drop_questions (list, at, 1);
}

/*  Bounded: a flood of long lists must not hold up the jobs of a turn. */
static void answer_questions (core_t *self)
{
    size_t done = 0, looked_at = 0;
    while (done < self->questions.count && looked_at < QUESTIONS_SCAN)
        looked_at += listing_answer (self, &self->questions.items[done++].in);
    core_questions_done (&self->questions, done);
}

int core_input (core_t *self, const frames_t *in, err_t *err)
{
    switch (in->msg.kind) {
    case WIRE_KIND_HELLO:
    case WIRE_KIND_BEAT:
    case WIRE_KIND_BYE:
    case WIRE_KIND_RESULT:
        return workers_input (self, in, err);
    case WIRE_KIND_DOCUMENT_LIST: /* these read ranges, which do not see the pending batch */
    case WIRE_KIND_TASK_LIST:
    case WIRE_KIND_TASK_EVENTS:
        core_question (self, &self->questions, in);
        return 0;
    default:
        return requests_input (self, in, err);
    }
}

void core_reject (core_t *self, const frames_t *in, const err_t *err)
{
    core_reply_error (self, in->route, in->msg.task_get.req, err); /* all requests start with `req` */
}

void core_subscription (core_t *self, span_t topic, bool on)
{
    task_t *watched;
    size_t i = 0;
    while (i < self->topic_count && !span_eq (str_span (&self->topics[i]), topic))
        i++;
    if (!on) {
        if (i < self->topic_count && --self->topic_uses[i] == 0) {
            if (events_topic_task (self, topic, &watched) && watched)
                task_watch (self, watched, false);
            str_free (&self->topics[i]);
            self->topics[i] = self->topics[--self->topic_count];
            self->topic_uses[i] = self->topic_uses[self->topic_count];
        }
        return;
    }
    if (i == self->topic_count) {
        self->topics = realloc (self->topics, (i + 1) * sizeof *self->topics);
        self->topic_uses = realloc (self->topic_uses, (i + 1) * sizeof *self->topic_uses);
        if (!self->topics || !self->topic_uses)
            abort ();
        self->topics[i] = (str_t)STR_INIT;
        str_add (&self->topics[i], topic);
        self->topic_uses[i] = 0;
        self->topic_count++;
    }
    if (!self->topic_uses[i]++ && events_topic_task (self, topic, &watched) && watched)
        task_watch (self, watched, true);
    core_question (self, &self->replays, &(frames_t){ 0 });
    question_t *replay = &self->replays.items[self->replays.count - 1];
    str_add (&replay->text, topic);
    replay->stamp = self->stamp;
}

static void due (core_t *self)
{
    ready_node_t *node;
    while ((node = ready_first (&self->backoff)) && node->rank <= self->now) {
        unit_t *unit = (unit_t *)node;
        unit_leave (self, unit);
        unit_ready (self, unit);
    }
    if (self->now >= self->check_at) {
        self->check_at = self->now + self->config.beat_ms / 2;
        workers_check (self);
    }
    if (self->now >= self->expire_at) {
        self->expire_at = self->now + (ask_expire (self) ? EXPIRE_MS : EXPIRE_STEP_MS);
    }
    if (self->now >= self->rate_at) {
        self->rate_at = self->now + RATE_MS;
        events_queue (self);
    }
}

uint64_t core_dispatch (core_t *self)
{
    due (self);
    quarantine_retry_some (self);
    requests_remove_some (self);
    dispatch_all (self);
    if (self->removals_met || self->questions.count || self->retries.count || self->replays.count)
        return self->now; /* the turn after this one goes on with them */
    const ready_node_t *node = ready_first (&self->backoff);
    uint64_t next = self->check_at < self->rate_at ? self->check_at : self->rate_at;
    return node && node->rank < next ? node->rank : next;
}

bool core_has_writes (const core_t *self)
{
    return self->dirty_users || kv_pending (self->kv);
}

int core_commit (core_t *self, err_t *err)
{
    save_users (self);
    bool sync = self->sync && !BUG (UNSYNCED);
    self->sync = false;
    if (kv_commit (self->kv, sync, err) == -1)
        return -1;
    self->fresh_count = 0;
    self->removals_due = self->removals_due || self->removals_met;
    self->removals_met = false;
    answer_questions (self);
    events_replay_some (self);
    return 0;
}
