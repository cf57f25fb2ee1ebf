#include "client/follow.h"
#include "client/bar.h"
#include "client/text.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RETRY_FIRST_MS 100
#define RETRY_MAX_MS   3200
#define RETRIES_MAX    12 /* about half a minute */

typedef struct {
    char *id;
    char *name;
    char state[16];
    unsigned progress;
    bool running;
    bool ended;
    bool failed;
} item_t;

struct follow {
    rest_t *rest;
    bars_t *bars;
    json_t *places; /* id → place in items */
    item_t *items;
    size_t count;
    size_t room;
    size_t left;
    bool heard;        /* the stream was open since the last trouble */
    bool behind;       /* a question was not answered: it is asked again */
    uint64_t last_seq; /* of the newest event; 0: of this stream there was none, or it has not all numbers */
    follow_end_fn *on_end;
    void *arg;
};

follow_t *follow_new (rest_t *rest)
{
    follow_t *self = calloc (1, sizeof *self);
    assert (self);
    self->rest = rest;
    self->bars = bars_new ();
    self->places = json_object ();
    return self;
}

void follow_destroy (follow_t **self_p)
{
    follow_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++) {
        free (self->items[i].id);
        free (self->items[i].name);
    }
    free (self->items);
    json_decref (self->places);
    bars_destroy (&self->bars);
    free (self);
    *self_p = NULL;
}

bool follow_is_final (const char *status)
{
    return strcmp (status, "completed") == 0 || strcmp (status, "failed") == 0 || strcmp (status, "cancelled") == 0;
}

static void show (item_t *item, const json_t *task)
{
    const char *status = json_text (task, "status");
    const char *stage = json_text (task, "stage");
    item->running = strcmp (status, "processing") == 0;
    snprintf (item->state, sizeof item->state, "%s", item->running && *stage ? stage : status);
    uint64_t progress = json_number (task, "progress");
    item->progress = progress > 100 ? 100 : (unsigned)progress;
}

void follow_add (follow_t *self, const json_t *task, const char *name)
{
    const char *id = json_text (task, "id");
    if (json_object_get (self->places, id))
        return;
    if (self->count == self->room) {
        self->room = self->room ? self->room * 2 : 16;
        self->items = realloc (self->items, self->room * sizeof *self->items);
        assert (self->items);
    }
    json_object_set_new (self->places, id, json_integer ((json_int_t)self->count));
    item_t *item = &self->items[self->count++];
    *item = (item_t){ .id = strdup (id), .name = strdup (name) };
    show (item, task);
    self->left++;
}

size_t follow_count (const follow_t *self)
{
    return self->count;
}

static bar_task_t bar_task (void *arg, size_t index)
{
    const follow_t *self = arg;
    const item_t *item = &self->items[index];
    return (bar_task_t){ item->name, item->state, item->progress, item->running, item->ended, item->failed };
}

/*  Takes what is new about a task; `task` NULL: it is gone. */
static void learn (follow_t *self, item_t *item, const json_t *task)
{
    if (item->ended)
        return;
    bool final = true;
    if (task) {
        show (item, task);
        final = follow_is_final (json_text (task, "status"));
    } else
        snprintf (item->state, sizeof item->state, "deleted");
    if (final) {
        item->ended = true;
        item->running = false;
        item->failed = !task || strcmp (json_text (task, "status"), "completed") != 0;
        self->left--;
        bars_clear (self->bars);
        self->on_end (self->arg, item->id, item->name, task);
    }
    bars_draw (self->bars, self->count, bar_task, self, final && self->left == 0);
}

/*  Asks for every task that has not ended as far as we know. */
static void catch_up (follow_t *self)
{
    self->behind = false;
    for (size_t i = 0; i < self->count && !self->behind; i++) {
        item_t *item = &self->items[i];
        if (item->ended)
            continue;
        err_t err;
        json_t *task = NULL;
        str_t path = STR_INIT;
        str_text (&path, "document-processing/tasks/");
        rest_escape (&path, item->id);
        if (rest_call (self->rest, "GET", path.data, NULL, &task, &err) >= 0)
            learn (self, item, task);
        else if (err.code == ERR_NOT_FOUND)
            learn (self, item, NULL);
        else
            self->behind = true; /* so would be the others */
        json_decref (task);
        str_free (&path);
    }
}

/*  True when events between the last one and this were lost. Replays carry old numbers, queue events none. The stream
 *  of one task has only that task's numbers: there only silence tells. */
static bool is_gap (follow_t *self, const json_t *event)
{
    uint64_t seq = json_number (event, "seq"), last = self->last_seq;
    if (self->count == 1 || !seq || json_is_true (json_object_get (event, "replay")))
        return false;
    self->last_seq = seq;
    return last && seq > last + 1;
}

static bool on_event (void *arg, const json_t *event)
{
    follow_t *self = arg;
    self->heard = true;
    if (event) {
        const json_t *task = json_object_get (event, "task");
        const json_t *place = json_object_get (self->places, json_text (task, "id"));
        item_t *item = place ? &self->items[json_integer_value (place)] : NULL;
        bool deleted = strcmp (json_text (event, "event"), "deleted") == 0;
        /* One that waited in the stream may be older than what a question brought. */
        if (item && (deleted || json_number (task, "progress") >= item->progress))
            learn (self, item, deleted ? NULL : task);
    }
    bool gap = is_gap (self, event);
    if (!event || gap || self->behind)
        catch_up (self);
    return self->left > 0;
}

static void pause_before_retry (unsigned tries)
{
    unsigned ms = RETRY_FIRST_MS << (tries < 5 ? tries : 5);
    if (ms > RETRY_MAX_MS)
        ms = RETRY_MAX_MS;
    nanosleep (&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
}

int follow_run (follow_t *self, follow_end_fn *on_end, void *arg, err_t *err)
{
    self->on_end = on_end;
    self->arg = arg;
    str_t path = STR_INIT;
    str_text (&path, "events");
    if (self->count == 1) {
        str_text (&path, "?task_id=");
        rest_escape (&path, self->items[0].id);
    }
    int rc = 0;
    for (unsigned tries = 0; rc == 0 && self->left > 0; tries++) {
        if (tries > 0)
            pause_before_retry (tries - 1);
        self->heard = false;
        self->last_seq = 0;
        if (rest_stream (self->rest, path.data, on_event, self, err) < 0 &&
            (!rest_is_away (err) || tries == RETRIES_MAX))
            rc = -1;
        if (self->heard)
            tries = 0;
    }
    str_free (&path);
    return rc;
}
