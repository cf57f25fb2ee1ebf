/*  purges.c: what storage is told to drop, durable until it did. */
#include "broker/core/state.h"

#include <stdio.h>
#include <stdlib.h>

static void purge_key (core_t *self, const purge_t *purge)
{
    record_key_number (&self->key, purge->user->name, purge->document, purge->revision);
}

static purge_t *purge_new (core_t *self, user_t *user, uuid_t document, uint64_t revision)
{
    purge_t *purge = calloc (1, sizeof *purge);
    if (!purge)
        abort ();
    unit_init (&purge->unit, UNIT_PURGE, STAGE_STORAGE);
    purge->user = user;
    purge->document = document;
    purge->revision = revision;
    purge->order = self->next_order++;
    purge->next = self->purges;
    if (self->purges)
        self->purges->prev = purge;
    self->purges = purge;
    unit_ready (self, &purge->unit);
    return purge;
}

purge_t *purge_create (core_t *self, user_t *user, uuid_t document, uint64_t revision)
{
    purge_t *purge = purge_new (self, user, document, revision);
    purge_key (self, purge);
    kv_put (self->kv, FAMILY_PURGES, str_span (&self->key), SPAN_EMPTY);
    self->sync = true;
    return purge;
}

void purge_free (core_t *self, purge_t *purge)
{
    unit_leave (self, &purge->unit);
    if (purge->prev)
        purge->prev->next = purge->next;
    else
        self->purges = purge->next;
    if (purge->next)
        purge->next->prev = purge->prev;
    buf_unref (&purge->route);
    free (purge);
}

void purge_done (core_t *self, purge_t *purge)
{
    purge_key (self, purge);
    kv_delete (self->kv, FAMILY_PURGES, str_span (&self->key));
    if (purge->route)
        core_reply (self, purge->route, &(wire_reply_t){ .req = purge->req, .status = 204 }, NULL, NULL);
    purge_free (self, purge);
}

void purge_refused (core_t *self, purge_t *purge, span_t code, span_t message)
{
    if (!purge->route)
        return;
    char name[64];
    err_t err;
    snprintf (name, sizeof name, "%.*s", SPAN_ARG (code));
    err_set (&err, err_code (name), "%.*s", SPAN_ARG (message));
    core_reply_error (self, purge->route, purge->req, &err);
    buf_unref (&purge->route);
}

int purge_load_all (core_t *self, err_t *err)
{
    kv_iter_t *iter = kv_iterate (self->kv, FAMILY_PURGES);
    int rc = 0;
    for (iter->ops->seek (iter, SPAN_EMPTY); rc == 0 && iter->ops->valid (iter); iter->ops->step (iter, true)) {
        span_t name, rest;
        if (record_key_parse (iter->ops->key (iter), &name, &rest) == -1 || rest.size != UUID_SIZE + 8)
            rc = err_set (err, ERR_CORRUPT, "a key of the purges family is damaged");
        else
            purge_new (self, core_user (self, name), record_key_id (rest),
                       record_key_u64 (span (rest.data + UUID_SIZE, 8)));
    }
    if (rc == 0)
        rc = iter->ops->check (iter, err);
    kv_iter_destroy (&iter);
    return rc;
}
