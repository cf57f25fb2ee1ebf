/*  quarantine.c: failed tasks are processed again, all that a filter takes: some in every turn. */
#include "broker/core/asking.h"
#include "broker/core/limits.h"

#define RETRY_SCAN 1000u /* failed tasks looked at in one turn */

/*  The same filter as in listings: what is seen is what is retried. */
static bool takes (const wire_quarantine_retry_t *filter, const record_task_t *record)
{
    return record->status == TASK_FAILED &&
           (uuid_is_null (filter->document) || uuid_eq (filter->document, record->document)) &&
           (!filter->priorities || filter->priorities & 1u << record->priority) &&
           (!filter->created_after || record->created_at > filter->created_after) &&
           (!filter->created_before || record->created_at < filter->created_before) &&
           (!filter->error_codes.size || list_has (filter->error_codes, record->error_code));
}

/*  Replays the task if it is failed and the filter takes it: 0; or -1 and *err. */
static int retry_one (core_t *self, const asker_t *asker, const wire_quarantine_retry_t *filter, uuid_t id, err_t *err)
{
    record_task_t record;
    str_t bytes = STR_INIT;
    int rc = ask_task (self, asker->user, id, &record, &bytes, err);
    if (rc == 0 && !takes (filter, &record))
        rc = err_set (err, ERR_NOT_FOUND, "there is no such task in quarantine");
    if (rc == 0)
        rc = task_replay (self, asker->user, id, filter->force, err);
    str_free (&bytes);
    return rc;
}

static void retry_answer (core_t *self, const asker_t *asker, uint64_t retried, uint64_t poison)
{
    str_t body = STR_INIT;
    str_char (&body, '{');
    str_key_u64 (&body, "retried", retried);
    str_key_u64 (&body, "known_poison", poison); /* left where they are: nobody forced them */
    str_char (&body, '}');
    ask_answer (self, asker, 202, SPAN_EMPTY, &body);
}

void quarantine_retry (core_t *self, const asker_t *asker, const frames_t *in)
{
    const wire_quarantine_retry_t *msg = &in->msg.quarantine_retry;
    err_t err;
    if (ask_answered_before (self, asker))
        return;
    if (ask_check_new_task (self, asker->user, DEFAULT_PRIORITY, &err) == -1)
        ask_refuse (self, asker, &err);
    else if (uuid_is_null (msg->task))
        core_question (self, &self->retries, in); /* there may be many: some a turn */
    else if (retry_one (self, asker, msg, msg->task, &err) == 0)
        retry_answer (self, asker, 1, 0);
    else
        ask_refuse (self, asker, &err);
}

/*  True when all failed tasks of the user were looked at. */
static bool retry_some (core_t *self, question_t *question, const asker_t *asker)
{
    str_t prefix = STR_INIT;
    record_key_user (&prefix, asker->user->name);
    str_char (&prefix, (char)TASK_FAILED);
    kv_iter_t *iter = kv_iterate (self->kv, FAMILY_ENDED);
    bool end = false;
    iter->ops->seek (iter, str_span (question->from.size ? &question->from : &prefix));
    if (question->from.size && iter->ops->valid (iter) && span_eq (iter->ops->key (iter), str_span (&question->from)))
        iter->ops->step (iter, true); /* it was counted in the turn before */
    for (uint32_t looked_at = 0; looked_at < RETRY_SCAN; looked_at++, iter->ops->step (iter, true)) {
        span_t key = iter->ops->valid (iter) ? iter->ops->key (iter) : SPAN_EMPTY;
        end = key.size != prefix.size + UUID_SIZE || memcmp (key.data, prefix.data, prefix.size) != 0 ||
              limits_check_task (self, asker->user, NULL) == -1; /* as many as may wait; the answer says how many */
        if (end)
            break;
        str_clear (&question->from);
        str_add (&question->from, key);
        err_t why;
        if (retry_one (self, asker, &question->in.msg.quarantine_retry,
                       record_key_id (span (key.data + prefix.size, UUID_SIZE)), &why) == 0)
            question->number++;
        else
            question->stamp += why.code == ERR_KNOWN_POISON;
    }
    kv_iter_destroy (&iter);
    str_free (&prefix);
    return end;
}

void quarantine_retry_some (core_t *self)
{
    if (!self->retries.count)
        return;
    question_t *question = &self->retries.items[0];
    asker_t asker = ask_of (self, &question->in);
    if (!question->from.size && ask_answered_before (self, &asker)) { /* sent again while the first was at work */
        core_questions_done (&self->retries, 1);
        return;
    }
    if (!retry_some (self, question, &asker))
        return;
    retry_answer (self, &asker, question->number, question->stamp);
    core_questions_done (&self->retries, 1);
}
