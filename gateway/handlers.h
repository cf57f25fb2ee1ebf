/*  handlers.h: what the routes do: each turns a checked request into a message upstream and the reply into an answer.
 */
#ifndef GATEWAY_HANDLERS_H
#define GATEWAY_HANDLERS_H

#include "gateway/routes.h"

route_run_fn document_submit, document_list, document_get, document_delete, document_content, document_chunks;
route_run_fn task_get, task_update, task_delete, task_list, task_create, task_process, task_result, task_events;
route_run_fn queue_status, quarantine_list, quarantine_retry, search, events_stream, health_alive, health_ready,
    metrics;

#endif
