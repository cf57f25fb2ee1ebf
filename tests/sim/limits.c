/*  limits.c: what was refused is not there, what was taken is within the limits, and what is counted is what there is:
 *  as the database has it, without a look at the core.
 */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdlib.h>

/*  Tokens that were taken since the core started, which fills the bucket. */
static struct {
    uint64_t since, taken;
} rates[USERS];

/*  How many of a user's tasks wait, and what the user's documents have. */
static uint64_t count_pending (span_t user)
{
    uint64_t count = 0;
    kv_iter_t *iter = kv_iterate (sim.kv, FAMILY_LIVE);
    for (iter->ops->seek (iter, SPAN_EMPTY); iter->ops->valid (iter); iter->ops->step (iter, true)) {
        record_live_t live;
        span_t name, rest;
        if (record_key_parse (iter->ops->key (iter), &name, &rest) == -1 ||
            codec_decode (&record_live_shape, iter->ops->value (iter), &live, NULL) == -1)
            broken ("a record of the live family cannot be read");
        count += span_eq (name, user) && !live.started_at;
    }
    kv_iter_destroy (&iter);
    return count;
}

static void count_documents (span_t user, uint64_t *documents, uint64_t *bytes)
{
    *documents = *bytes = 0;
    kv_iter_t *iter = kv_iterate (sim.kv, FAMILY_DOCUMENTS);
    for (iter->ops->seek (iter, SPAN_EMPTY); iter->ops->valid (iter); iter->ops->step (iter, true)) {
        record_document_t document;
        span_t name, rest;
        if (record_key_parse (iter->ops->key (iter), &name, &rest) == -1 ||
            codec_decode (&record_document_shape, iter->ops->value (iter), &document, NULL) == -1)
            broken ("a record of the documents family cannot be read");
        if (!span_eq (name, user))
            continue;
        ++*documents;
        *bytes += document.bytes;
    }
    kv_iter_destroy (&iter);
}

void limits_check_counters (void)
{
    for (uint32_t i = 0; i < USERS; i++) {
        span_t user = span_str (user_names[i]);
        uint64_t documents, bytes;
        record_user_t record = { 0 };
        str_t key = STR_INIT, value = STR_INIT;
        record_key_user (&key, user);
        if (record_get (sim.kv, FAMILY_USERS, str_span (&key), &record_user_shape, &record, &value, NULL) == -1)
            broken ("the record of %s cannot be read", user_names[i]);
        count_documents (user, &documents, &bytes);
        if (record.documents != documents || record.bytes != bytes)
            broken ("%s has %" PRIu64 " documents of %" PRIu64 " bytes, and the books say %" PRIu64 " of %" PRIu64,
                    user_names[i], documents, bytes, record.documents, record.bytes);
        str_free (&key);
        str_free (&value);
    }
}

/*  Every third core is a strict one. */
void limits_choose (void)
{
    bool strict = dice_one_in (&sim.dice, 3);
    sim.config.user_tasks = strict ? 25 : 0;
    sim.config.user_bytes = strict ? 1200 : 0;
    sim.config.user_rate = strict ? 6 : 0;
    sim.config.user_burst = 12;
    for (uint32_t i = 0; i < USERS; i++) {
        rates[i].since = sim.now;
        rates[i].taken = 0;
    }
}

static bool is_there (record_family_t family, uint32_t user, uuid_t id)
{
    str_t key = STR_INIT, value = STR_INIT;
    record_key (&key, span_str (user_names[user]), id);
    bool found = kv_get (sim.kv, family, str_span (&key), &value, NULL) != 0;
    str_free (&key);
    str_free (&value);
    return found;
}

static void check_taken (uint32_t user, bool is_new)
{
    uint64_t documents, bytes, elapsed_ms = sim.now - rates[user].since;
    if (!sim.config.user_rate)
        return; /* nothing has limits */
    count_documents (span_str (user_names[user]), &documents, &bytes);
    if (is_new && bytes > sim.config.user_bytes)
        broken ("%s has %" PRIu64 " bytes of %" PRIu64, user_names[user], bytes, sim.config.user_bytes);
    uint64_t pending = count_pending (span_str (user_names[user]));
    if (is_new && pending > sim.config.user_tasks)
        broken ("%s has %" PRIu64 " tasks that wait, of %" PRIu64, user_names[user], pending, sim.config.user_tasks);
    if (++rates[user].taken > sim.config.user_burst + (elapsed_ms * sim.config.user_rate + 999) / 1000)
        broken ("%s submitted %" PRIu64 " times in %" PRIu64 " ms", user_names[user], rates[user].taken, elapsed_ms);
}

void limits_hear_submit (const asked_t *asked, const wire_reply_t *reply)
{
    if (reply->status == 200 || reply->status == 201) {
        check_taken (asked->user, is_there (FAMILY_DOCUMENTS, asked->user, asked->document));
        return;
    }
    if (is_there (FAMILY_DOCUMENTS, asked->user, asked->document) ||
        is_there (FAMILY_TASKS, asked->user, asked->task) || is_there (FAMILY_LIVE, asked->user, asked->task) ||
        is_there (FAMILY_BLOBS, asked->user, asked->document))
        broken ("a submit was refused with %u, and is there", reply->status);
    if (reply->status != 429)
        return;
    static const char *const codes[LIMIT_KINDS] = { "queue_full", "rate_limited", "quota_exceeded" };
    size_t kind = 0;
    while (kind < LIMIT_KINDS && !span_is (reply->code, codes[kind]))
        kind++;
    if (kind == LIMIT_KINDS || !reply->retry_after_s)
        broken ("a submit is refused with %.*s, for %u seconds", SPAN_ARG (reply->code), reply->retry_after_s);
    sim.limited[kind]++;
}
