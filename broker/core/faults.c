/*  faults.c: how tasks failed, for their quarantine; and poison: content that ended its parser, so that its task
 * failed.
 *
 *  Poison is remembered by user and content, whatever it is called and wherever it comes from next. It is what ended
 *  the process that read it: by a crash, by the limits of memory and CPU time, by silence, or by taking one worker
 *  after the other with it. What reports itself damaged, encrypted or too large is none: to find that out again costs
 *  little. Nor is what was under way when workers were drained, restarted or killed: that fails no task.
 */
#include "base/clock.h"
#include "broker/core/state.h"

#include <stdio.h>

static void key_of (core_t *self, const user_t *user, uuid_t task)
{
    record_key (&self->key, user->name, task);
}

void faults_note (run_t *run, const job_t *job, bool lost, span_t code, const wire_result_t *result)
{
    fault_t *fault = &run->fault;
    const unit_t *unit = job->unit;
    bool silent = span_is (code, err_name (ERR_TIMEOUT)), segment = unit->kind == UNIT_SEGMENT;
    faults_forget (run);
    *fault = (fault_t){ .known = true,
                        .stage = unit->stage,
                        .has_segment = segment,
                        .segment = segment ? ((const segment_t *)(const void *)unit)->number : 0,
                        .attempts = unit->tries + unit->losses,
                        .deadly = unit->kind == UNIT_EXTRACT && (lost || silent || (result && result->parser_killed)) };
    memcpy (fault->worker, job->worker->name, sizeof fault->worker);
    if (result)
        str_add (&fault->errors, result->errors);
}

void faults_forget (run_t *run)
{
    str_free (&run->fault.errors);
    run->fault = (fault_t){ .known = false };
}

/*  The hash of the task's content, in *bytes. */
static bool find_document (core_t *self, const task_t *task, record_document_t *document, str_t *bytes)
{
    key_of (self, task->user, task->document);
    return record_get (self->kv, FAMILY_DOCUMENTS, str_span (&self->key), &record_document_shape, document, bytes,
                       NULL) == 1;
}

static void remember_poison (core_t *self, const task_t *task, span_t code, span_t message)
{
    record_document_t document;
    str_t bytes = STR_INIT;
    if (find_document (self, task, &document, &bytes)) {
        record_poison_t poison = {
            .at = self->wall, .task = task->id, .code = code, .message = message, .filename = document.filename
        };
        record_key_bytes (&self->key, task->user->name, document.hash);
        record_put (self->kv, FAMILY_POISON, str_span (&self->key), &record_poison_shape, &poison);
    }
    str_free (&bytes);
}

void faults_put (core_t *self, const task_t *task, span_t code, span_t message)
{
    const fault_t none = { .known = false }, *fault = task->run ? &task->run->fault : &none;
    bool known_poison = span_is (code, err_name (ERR_KNOWN_POISON));
    record_fault_t record = { .at = self->wall,
                              .stage = fault->known ? fault->stage : task->stage,
                              .has_segment = fault->has_segment,
                              .segment = fault->segment,
                              .attempts = fault->attempts,
                              .worker = span_str (fault->worker),
                              .poison = fault->deadly || known_poison,
                              .errors = str_span (&fault->errors) };
    key_of (self, task->user, task->id);
    record_put (self->kv, FAMILY_FAULTS, str_span (&self->key), &record_fault_shape, &record);
    if (fault->deadly)
        remember_poison (self, task, code, message);
}

void faults_drop (core_t *self, const user_t *user, uuid_t task)
{
    key_of (self, user, task);
    kv_delete (self->kv, FAMILY_FAULTS, str_span (&self->key));
}

void faults_json (core_t *self, str_t *out, const user_t *user, uuid_t task, const record_task_t *end)
{
    record_fault_t fault;
    str_t bytes = STR_INIT;
    key_of (self, user, task);
    if (record_get (self->kv, FAMILY_FAULTS, str_span (&self->key), &record_fault_shape, &fault, &bytes, NULL) == 1) {
        str_char (out, '{');
        str_key_time (out, "at", fault.at);
        str_key_str (out, "code", json_or_null (end->error_code));
        str_key_str (out, "message", json_or_null (end->error_message));
        str_key_str (out, "stage", span_str (stage_name ((stage_t)fault.stage)));
        str_key (out, "segment");
        if (fault.has_segment)
            str_u64 (out, fault.segment);
        else
            str_text (out, "null");
        str_key_u64 (out, "attempts", fault.attempts);
        str_key_str (out, "worker", json_or_null (fault.worker));
        str_key_raw (out, "poison", fault.poison ? SPAN_LIT ("true") : SPAN_LIT ("false"));
        str_key_str (out, "stderr", json_or_null (fault.errors));
        str_char (out, '}');
    } else
        str_text (out, "null");
    str_free (&bytes);
}

/*  --- poison --- */

bool poison_known (core_t *self, const user_t *user, span_t hash, uint64_t since, err_t *err)
{
    record_poison_t poison;
    str_t bytes = STR_INIT;
    record_key_bytes (&self->key, user->name, hash);
    bool known =
        record_get (self->kv, FAMILY_POISON, str_span (&self->key), &record_poison_shape, &poison, &bytes, NULL) == 1 &&
        poison.at > since;
    if (known) {
        char at[CLOCK_RFC3339_SIZE];
        clock_rfc3339 (poison.at, at);
        err_set (err, ERR_KNOWN_POISON,
                 "This content (then named %.*s) ended its parser at %s: %.*s. It is not tried again unless that is "
                 "forced (force=true; myelin retry --force).",
                 (int)(poison.filename.size < 100 ? poison.filename.size : 100),
                 poison.filename.size ? poison.filename.data : "", at,
                 (int)(poison.message.size < 200 ? poison.message.size : 200),
                 poison.message.size ? poison.message.data : "");
    }
    str_free (&bytes);
    return known;
}

bool poison_awaits (core_t *self, const task_t *task)
{
    record_document_t document;
    str_t bytes = STR_INIT;
    bool known = find_document (self, task, &document, &bytes) &&
                 poison_known (self, task->user, document.hash, task->updated_at, NULL);
    str_free (&bytes);
    return known;
}

void poison_forget (core_t *self, const user_t *user, span_t hash)
{
    str_t bytes = STR_INIT;
    record_key_bytes (&self->key, user->name, hash);
    if (kv_get (self->kv, FAMILY_POISON, str_span (&self->key), &bytes, NULL) == 1)
        kv_delete (self->kv, FAMILY_POISON, str_span (&self->key));
    str_free (&bytes);
}
