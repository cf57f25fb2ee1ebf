/*  Whoever can send to the front socket can read and write the data directory anyway: it lies in a directory that is
 * its owner's alone. So nobody is asked who he is; and nobody says where to write (docs/adr/0012).
 */
#include "broker/checkpoint.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/kv_rocks.h"

#include <stdlib.h>

#define KEEP_MS 60000u /* files are kept for so long after the last word of the backup */

struct checkpoint {
    kv_t *kv;
    str_t path;
    uint64_t keep_until_ms; /* 0: nothing is kept */
    bool ended;
};

checkpoint_t *checkpoint_new (kv_t *kv, const char *data_dir)
{
    checkpoint_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->kv = kv;
    str_format (&self->path, "%s/checkpoint/broker", data_dir);
    return self;
}

void checkpoint_destroy (checkpoint_t **self_p)
{
    if (!*self_p)
        return;
    str_free (&(*self_p)->path);
    free (*self_p);
    *self_p = NULL;
}

static int act (checkpoint_t *self, checkpoint_action_t action, uint64_t now_ms, err_t *err)
{
    bool keeps = checkpoint_keeps (self) && now_ms < self->keep_until_ms;
    switch (action) {
    case CHECKPOINT_BEGIN:
        if (kv_rocks_checkpoint (self->kv, self->path.data, err) == -1)
            return -1;
        log_write (LOG_INFO, "checkpoint.made", NULL, "a backup is being made; the records were copied in %llu ms",
                   (unsigned long long)(clock_mono_ms () - now_ms));
        self->keep_until_ms = now_ms + KEEP_MS;
        return 0;
    case CHECKPOINT_KEEP:
    case CHECKPOINT_END:
        if (!keeps)
            return err_set (err, ERR_CONFLICT, "the files of deleted documents were not kept so long");
        self->keep_until_ms = action == CHECKPOINT_KEEP ? now_ms + KEEP_MS : 0;
        self->ended = action == CHECKPOINT_END;
        return 0;
    }
    return err_set (err, ERR_PROTOCOL, "there is no checkpoint action %u", action);
}

void checkpoint_input (checkpoint_t *self, void *front, const frames_t *in, uint64_t now_ms)
{
    const wire_checkpoint_t *asked = &in->msg.checkpoint;
    wire_msg_t msg = { .kind = WIRE_KIND_REPLY, .reply = { .req = asked->req, .status = 200 } };
    err_t err;
    if (act (self, (checkpoint_action_t)asked->action, now_ms, &err) == -1) {
        msg.reply.status = (uint32_t)err_status (err.code);
        msg.reply.code = span_str (err_name (err.code));
        msg.reply.detail = span_str (err.message);
        log_write (LOG_WARN, "checkpoint.failed", NULL, "%s", err.message);
    }
    if (frames_send (front, in->route, &msg, NULL, 0, &err) == -1)
        log_write (LOG_DEBUG, "asker_gone", NULL, "a reply found no one: %s", err.message);
}

bool checkpoint_keeps (const checkpoint_t *self)
{
    return self->keep_until_ms != 0;
}

uint64_t checkpoint_deadline (const checkpoint_t *self)
{
    return self->keep_until_ms ? self->keep_until_ms : UINT64_MAX;
}

bool checkpoint_ended (checkpoint_t *self, uint64_t now_ms)
{
    if (self->keep_until_ms && now_ms >= self->keep_until_ms) {
        log_write (LOG_WARN, "checkpoint.lapsed", NULL, "a backup was not heard of any more");
        self->keep_until_ms = 0;
        self->ended = true;
    }
    bool ended = self->ended;
    self->ended = false;
    return ended;
}
