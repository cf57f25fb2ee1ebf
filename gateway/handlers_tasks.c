/*  What can be done with tasks, the queue and the quarantine. */
#include "gateway/dispatch.h"
#include "gateway/handlers.h"
#include "gateway/relay.h"

#define DEFAULT_PRIORITY 5
#define DEFAULT_PAGE     50
#define STATUS_FAILED    3 /* its bit in the filter */

static span_t idem_hash (const request_t *request)
{
    return request->headers[HEADER_IDEMPOTENCY_KEY].size ? span (request->idem_hash.bytes, HASH_SIZE) : SPAN_EMPTY;
}

void task_get (gateway_t *self, request_t *request)
{
    uint64_t seconds = args_number (&request->args, ARG_WAIT, 0);
    if (seconds) {
        waits_add (self->waits, request->id, seconds, relay_done, request);
        return;
    }
    wire_msg_t msg = { .kind = WIRE_KIND_TASK_GET, .task_get = { .user = self->user, .task = request->id } };
    relay (self->broker, request, &msg, true, RELAY_TIMEOUT_MS);
}

void task_update (gateway_t *self, request_t *request)
{
    const args_t *args = &request->args;
    if (!args_has (args, ARG_PRIORITY) && !args_has (args, ARG_NEW_STATUS)) {
        request_problem (request, ERR_INVALID_VALUE, "'priority' or 'status' is required");
        return;
    }
    wire_msg_t msg = { .kind = WIRE_KIND_TASK_UPDATE, .task_update = { .user = self->user, .task = request->id } };
    msg.task_update.priority = (uint8_t)args_number (args, ARG_PRIORITY, 0);
    msg.task_update.cancel = args_has (args, ARG_NEW_STATUS);
    relay (self->broker, request, &msg, false, RELAY_TIMEOUT_MS);
}

void task_delete (gateway_t *self, request_t *request)
{
    wire_msg_t msg = { .kind = WIRE_KIND_TASK_DELETE, .task_delete = { .user = self->user, .task = request->id } };
    relay (self->broker, request, &msg, false, RELAY_DELETE_MS);
}

static void list (gateway_t *self, request_t *request, bool quarantine)
{
    const args_t *args = &request->args;
    wire_msg_t msg = { .kind = WIRE_KIND_TASK_LIST };
    wire_task_list_t *filter = &msg.task_list;
    filter->user = self->user;
    filter->statuses = quarantine ? 1u << STATUS_FAILED : (uint32_t)args_number (args, ARG_STATUSES, 0);
    filter->priorities = (uint32_t)args_number (args, ARG_PRIORITIES, 0);
    filter->document = args_id (args, ARG_DOCUMENT);
    filter->created_after = args_number (args, ARG_AFTER, 0);
    filter->created_before = args_number (args, ARG_BEFORE, 0);
    filter->error_codes = args_span (args, ARG_CODES);
    filter->limit = (uint32_t)args_number (args, ARG_LIMIT, DEFAULT_PAGE);
    filter->cursor = args_id (args, ARG_CURSOR);
    filter->oldest_first = (uint8_t)args_number (args, ARG_ORDER, 0);
    filter->quarantine = quarantine;
    relay (self->broker, request, &msg, true, RELAY_TIMEOUT_MS);
}

void task_list (gateway_t *self, request_t *request)
{
    list (self, request, false);
}

void quarantine_list (gateway_t *self, request_t *request)
{
    list (self, request, true);
}

void task_create (gateway_t *self, request_t *request)
{
    const args_t *args = &request->args;
    wire_msg_t msg = { .kind = WIRE_KIND_TASK_CREATE };
    msg.task_create.user = self->user;
    msg.task_create.task = uuid_new ();
    msg.task_create.document = args_id (args, ARG_DOCUMENT);
    msg.task_create.priority = (uint8_t)args_number (args, ARG_PRIORITY, DEFAULT_PRIORITY);
    msg.task_create.force = (uint8_t)args_number (args, ARG_FORCE, 0);
    msg.task_create.options = str_span (&request->options);
    msg.task_create.idem_key = request->headers[HEADER_IDEMPOTENCY_KEY];
    msg.task_create.idem_hash = idem_hash (request);
    relay (self->broker, request, &msg, false, RELAY_TIMEOUT_MS);
}

void task_process (gateway_t *self, request_t *request)
{
    wire_msg_t msg = { .kind = WIRE_KIND_TASK_PROCESS };
    msg.task_process.user = self->user;
    msg.task_process.task = request->id;
    msg.task_process.force = (uint8_t)args_number (&request->args, ARG_FORCE, 0);
    msg.task_process.idem_key = request->headers[HEADER_IDEMPOTENCY_KEY];
    msg.task_process.idem_hash = idem_hash (request);
    relay (self->broker, request, &msg, false, RELAY_TIMEOUT_MS);
}

void task_result (gateway_t *self, request_t *request)
{
    wire_msg_t msg = { .kind = WIRE_KIND_TASK_RESULT, .task_result = { .user = self->user, .task = request->id } };
    relay (self->broker, request, &msg, true, RELAY_TIMEOUT_MS);
}

void task_events (gateway_t *self, request_t *request)
{
    wire_msg_t msg = { .kind = WIRE_KIND_TASK_EVENTS, .task_events = { .user = self->user, .task = request->id } };
    msg.task_events.limit = (uint32_t)args_number (&request->args, ARG_LIMIT, DEFAULT_PAGE);
    msg.task_events.cursor = args_number (&request->args, ARG_POSITION, 0);
    relay (self->broker, request, &msg, true, RELAY_TIMEOUT_MS);
}

void quarantine_retry (gateway_t *self, request_t *request)
{
    const args_t *args = &request->args;
    if (args->nulls) { /* an id that went missing on the way must not widen the request to everything */
        request_problem (request, ERR_INVALID_VALUE, "a filter of null would take everything: leave the field out");
        return;
    }
    wire_msg_t msg = { .kind = WIRE_KIND_QUARANTINE_RETRY };
    msg.quarantine_retry.user = self->user;
    msg.quarantine_retry.task = args_id (args, ARG_TASK);
    msg.quarantine_retry.document = args_id (args, ARG_DOCUMENT);
    msg.quarantine_retry.error_codes = args_span (args, ARG_CODES);
    msg.quarantine_retry.priorities = (uint32_t)args_number (args, ARG_PRIORITIES, 0);
    msg.quarantine_retry.created_after = args_number (args, ARG_AFTER, 0);
    msg.quarantine_retry.created_before = args_number (args, ARG_BEFORE, 0);
    msg.quarantine_retry.force = (uint8_t)args_number (args, ARG_FORCE, 0);
    msg.quarantine_retry.idem_key = request->headers[HEADER_IDEMPOTENCY_KEY];
    msg.quarantine_retry.idem_hash = idem_hash (request);
    relay (self->broker, request, &msg, false, RELAY_TIMEOUT_MS);
}

void queue_status (gateway_t *self, request_t *request)
{
    wire_msg_t msg = { .kind = WIRE_KIND_QUEUE_STATUS, .queue_status = { .user = self->user } };
    msg.queue_status.all = (uint8_t)args_number (&request->args, ARG_ALL, 0);
    relay (self->broker, request, &msg, true, RELAY_TIMEOUT_MS);
}
