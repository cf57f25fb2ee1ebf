#include "stages/runtime/kept.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "wire/frames.h"

#include <stdlib.h>
#include <sys/queue.h>

typedef struct entry {
    TAILQ_ENTRY (entry) link;
    str_t header; /* the encoded RESULT */
    buf_t *columns[COLUMN_COUNT];
    size_t column_count;
    uint64_t epoch;
    uint64_t number;
    uint32_t segment;
    uint64_t sent_ms; /* 0: not yet */
} entry_t;

struct kept {
    void *push;
    TAILQ_HEAD (entries, entry) entries; /* in the order in which they were added */
    entry_t *unsent;                     /* the first one that was not sent yet; all behind it were not either */
    size_t count;
    bool stuck;
};

kept_t *kept_new (void *push)
{
    kept_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->push = push;
    TAILQ_INIT (&self->entries);
    return self;
}

void kept_destroy (kept_t **self_p)
{
    kept_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    kept_clear (self);
    free (self);
}

static void drop (kept_t *self, entry_t *entry)
{
    if (self->unsent == entry)
        self->unsent = TAILQ_NEXT (entry, link);
    TAILQ_REMOVE (&self->entries, entry, link);
    self->count--;
    for (size_t i = 0; i < entry->column_count; i++)
        buf_unref (&entry->columns[i]);
    str_free (&entry->header);
    free (entry);
}

static int send_entry (kept_t *self, entry_t *entry, uint64_t now_ms)
{
    err_t err;
    int rc = FAILPOINT_ERROR (WORKER_RESULT_BEFORE, &err);
    if (rc == 0)
        rc = frames_send_encoded (self->push, NULL, str_span (&entry->header), entry->columns, entry->column_count,
                                  "result", &err);
    self->stuck = rc == -1;
    if (rc == 0) {
        FAILPOINT (WORKER_RESULT_AFTER);
        entry->sent_ms = now_ms;
    }
    return rc;
}

void kept_add (kept_t *self, const wire_result_t *result, buf_t *const *columns)
{
    entry_t *entry = calloc (1, sizeof *entry);
    if (!entry)
        abort ();
    wire_encode (&(wire_msg_t){ .kind = WIRE_KIND_RESULT, .result = *result }, &entry->header);
    for (size_t i = 0; columns && i < COLUMN_COUNT; i++)
        if (result->columns & 1u << i)
            entry->columns[entry->column_count++] = buf_ref (columns[i]);
    entry->epoch = result->epoch;
    entry->number = result->number;
    entry->segment = result->segment;
    TAILQ_INSERT_TAIL (&self->entries, entry, link);
    self->count++;
    if (!self->unsent)
        self->unsent = entry;
}

void kept_flush (kept_t *self, uint64_t now_ms)
{
    while (self->unsent && !self->stuck && send_entry (self, self->unsent, now_ms) == 0)
        self->unsent = TAILQ_NEXT (self->unsent, link);
}

bool kept_ack (kept_t *self, const wire_ack_t *ack)
{
    entry_t *entry;
    TAILQ_FOREACH (entry, &self->entries, link)
    if (entry->number == ack->number && entry->segment == ack->segment && entry->epoch == ack->epoch) {
        drop (self, entry);
        return true;
    }
    return false;
}

void kept_resend (kept_t *self, uint64_t now_ms, uint64_t age_ms)
{
    entry_t *entry;
    self->stuck = false;
    for (entry = TAILQ_FIRST (&self->entries); entry && entry != self->unsent; entry = TAILQ_NEXT (entry, link)) {
        if (now_ms < entry->sent_ms + age_ms)
            continue;
        log_write (LOG_INFO, "result_again",
                   &(log_where_t){ .segment = entry->segment + 1ull, .attempt = entry->number },
                   "no ACK for %llu ms, sending again", (unsigned long long)(now_ms - entry->sent_ms));
        if (send_entry (self, entry, now_ms) == -1)
            return;
    }
    kept_flush (self, now_ms);
}

size_t kept_count (const kept_t *self)
{
    return self->count;
}

bool kept_held (const kept_t *self)
{
    return self->unsent != NULL;
}

bool kept_stuck (const kept_t *self)
{
    return self->stuck;
}

void kept_clear (kept_t *self)
{
    entry_t *entry;
    while ((entry = TAILQ_FIRST (&self->entries)))
        drop (self, entry);
    self->stuck = false;
}
