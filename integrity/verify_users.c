/*  The kept counters of each user against counting. */
#include "integrity/verify_private.h"

/*  Everything of one user is counted on its own walk: records of a user are neighbours in every family. */
typedef struct {
    verify_t *verify;
    record_user_t count;
    uint64_t seq; /* of the last event that a living task remembers */
    str_t prefix;
} tally_t;

typedef void tally_fn (tally_t *self, span_t value);

static void tally_document (tally_t *self, span_t value)
{
    record_document_t document;
    self->count.documents++;
    if (codec_decode (&record_document_shape, value, &document, NULL) == 0)
        self->count.bytes += document.bytes;
}

static void tally_task (tally_t *self, span_t value)
{
    record_task_t task;
    if (codec_decode (&record_task_shape, value, &task, NULL) == -1)
        return;
    self->count.completed += task.status == TASK_COMPLETED;
    self->count.failed += task.status == TASK_FAILED;
    self->count.cancelled += task.status == TASK_CANCELLED;
    if (task.status == TASK_COMPLETED)
        self->count.processing_ms += task.processing_ms;
}

static void tally_live (tally_t *self, span_t value)
{
    record_live_t live;
    if (codec_decode (&record_live_shape, value, &live, NULL) == 0 && live.last_seq > self->seq)
        self->seq = live.last_seq;
}

/*  False: the family cannot be read, which is reported elsewhere; there is nothing to compare with. */
static bool tally (tally_t *self, record_family_t family, tally_fn *take)
{
    kv_iter_t *it = kv_iterate (self->verify->broker, family);
    span_t prefix = str_span (&self->prefix);
    for (it->ops->seek (it, prefix); it->ops->valid (it); it->ops->step (it, true)) {
        span_t key = it->ops->key (it);
        if (key.size < prefix.size || memcmp (key.data, prefix.data, prefix.size) != 0)
            break;
        take (self, it->ops->value (it));
    }
    bool whole = it->ops->check (it, NULL) == 0;
    kv_iter_destroy (&it);
    return whole;
}

static void report_counts (tally_t *self, const record_user_t *kept)
{
    static const struct {
        const char *name;
        size_t offset;
    } counters[] = {
        { "documents", offsetof (record_user_t, documents) },
        { "bytes", offsetof (record_user_t, bytes) },
        { "completed", offsetof (record_user_t, completed) },
        { "failed", offsetof (record_user_t, failed) },
        { "cancelled", offsetof (record_user_t, cancelled) },
        { "processing_ms", offsetof (record_user_t, processing_ms) },
    };
    record_user_t put = *kept;
    str_t text = STR_INIT, value = STR_INIT;
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        uint64_t counted = *(const uint64_t *)((const char *)&self->count + counters[i].offset);
        uint64_t *there = (uint64_t *)(void *)((char *)&put + counters[i].offset);
        if (counted == *there)
            continue;
        str_format (&text, "%s%s is %llu, counting gives %llu", text.size ? ", " : "", counters[i].name,
                    (unsigned long long)*there, (unsigned long long)counted);
        *there = counted;
    }
    if (put.seq < self->seq) {
        str_format (&text, "%sthe last event is %llu, a task had %llu", text.size ? ", " : "",
                    (unsigned long long)put.seq, (unsigned long long)self->seq);
        put.seq = self->seq;
    }
    if (text.size) {
        codec_encode (&record_user_shape, &put, &value);
        finding_t finding =
            verify_finding (PLACE_BROKER, FAMILY_USERS, FINDING_WRONG_COUNT, str_span (&self->prefix), FIX_PUT);
        finding.value = str_span (&value);
        report (self->verify->report, &finding, "%s", text.data);
    }
    str_free (&text);
    str_free (&value);
}

/*  Counts all of the user and compares. `kept` NULL: there is no record of the user. */
static void check_counts (verify_t *self, span_t user, const record_user_t *kept)
{
    tally_t tally_of = { .verify = self };
    record_key_user (&tally_of.prefix, user);
    if (tally (&tally_of, FAMILY_DOCUMENTS, tally_document) && tally (&tally_of, FAMILY_TASKS, tally_task) &&
        tally (&tally_of, FAMILY_LIVE, tally_live))
        report_counts (&tally_of, kept ? kept : &(record_user_t){ 0 });
    str_free (&tally_of.prefix);
}

static void check_user (verify_t *self, void *context, span_t key, span_t value)
{
    span_t user, rest;
    record_user_t record;
    err_t err;
    (void)context;
    if (!verify_key (self, PLACE_BROKER, FAMILY_USERS, key, 0, &user, &rest))
        return;
    self->report->users++;
    if (codec_decode (&record_user_shape, value, &record, &err) == 0)
        check_counts (self, user, &record);
    else
        verify_bad (self, PLACE_BROKER, FAMILY_USERS, key, FIX_DELETE, &err); /* then counted anew */
}

/*  Who has documents has a record. (What has no document is dangling, and reported as that.) */
static void check_strangers (verify_t *self)
{
    kv_iter_t *it = kv_iterate (self->broker, FAMILY_DOCUMENTS);
    str_t next = STR_INIT;
    span_t user, rest;
    it->ops->seek (it, SPAN_EMPTY);
    while (it->ops->valid (it)) {
        if (record_key_parse (it->ops->key (it), &user, &rest) == -1 || !user.size) {
            it->ops->step (it, true);
            continue;
        }
        record_key_user (&self->key, user);
        if (!verify_has (self->broker, FAMILY_USERS, str_span (&self->key)))
            check_counts (self, user, NULL);
        str_clear (&next); /* behind everything of this user */
        record_key_user (&next, user);
        for (int i = 0; i < UUID_SIZE + 1; i++)
            str_char (&next, (char)0xff);
        it->ops->seek (it, str_span (&next));
    }
    kv_iter_destroy (&it);
    str_free (&next);
}

void verify_users (verify_t *self)
{
    verify_walk (self, PLACE_BROKER, FAMILY_USERS, check_user, NULL);
    check_strangers (self);
}
