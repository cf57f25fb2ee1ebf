#include "gateway/routes.h"
#include "gateway/handlers.h"

#define API         "/api/v1/"
#define TASKS       API "document-processing/tasks"
#define BIT(sym)    ARG_BIT (sym)
#define TASK_FILTER (BIT (STATUSES) | BIT (PRIORITIES) | BIT (DOCUMENT) | BIT (AFTER) | BIT (BEFORE) | BIT (CODES))
#define PAGE        (BIT (LIMIT) | BIT (CURSOR) | BIT (ORDER))
#define SEARCH      (BIT (QUERY) | BIT (HITS) | BIT (MODE) | BIT (DOCUMENT))
#define UPLOAD      (BIT (PROCESS) | BIT (PRIORITY) | BIT (DUPLICATE) | BIT (FORCE))
#define CREATE      (BIT (DOCUMENT) | BIT (PRIORITY) | BIT (OPTIONS) | BIT (FORCE))
#define FAILED      (BIT (PRIORITIES) | BIT (DOCUMENT) | BIT (AFTER) | BIT (BEFORE) | BIT (CODES))

/*  The busiest first: they are tried in order. */
static const route_t routes[] = {
    { METHOD_POST, API "documents", document_submit, BODY_UPLOAD, UPLOAD, UPLOAD | BIT (OPTIONS), 0 },
    { METHOD_GET, TASKS "/{}", task_get, BODY_NONE, BIT (WAIT), 0, 0 },
    { METHOD_PUT, TASKS "/{}", task_update, BODY_JSON, 0, BIT (PRIORITY) | BIT (NEW_STATUS), 0 },
    { METHOD_DELETE, TASKS "/{}", task_delete, BODY_NONE, 0, 0, 0 },
    { METHOD_GET, TASKS, task_list, BODY_NONE, TASK_FILTER | PAGE, 0, 0 },
    { METHOD_POST, TASKS, task_create, BODY_JSON, 0, CREATE, BIT (DOCUMENT) },
    { METHOD_POST, TASKS "/{}/process", task_process, BODY_JSON, 0, BIT (FORCE), 0 },
    { METHOD_GET, TASKS "/{}/result", task_result, BODY_NONE, 0, 0, 0 },
    { METHOD_GET, TASKS "/{}/events", task_events, BODY_NONE, BIT (LIMIT) | BIT (POSITION), 0, 0 },
    { METHOD_GET, API "documents", document_list, BODY_NONE, PAGE, 0, 0 },
    { METHOD_GET, API "documents/{}", document_get, BODY_NONE, 0, 0, 0 },
    { METHOD_DELETE, API "documents/{}", document_delete, BODY_NONE, 0, 0, 0 },
    { METHOD_GET, API "documents/{}/content", document_content, BODY_NONE, 0, 0, 0 },
    { METHOD_GET, API "documents/{}/chunks", document_chunks, BODY_NONE, BIT (LIMIT) | BIT (POSITION), 0, 0 },
    { METHOD_GET, API "document-processing/queue/status", queue_status, BODY_NONE, BIT (ALL), 0, 0 },
    { METHOD_GET, API "document-processing/quarantine", quarantine_list, BODY_NONE, PAGE | FAILED, 0, 0 },
    { METHOD_POST, API "document-processing/quarantine/retry", quarantine_retry, BODY_JSON, 0,
      BIT (TASK) | FAILED | BIT (FORCE), 0 },
    { METHOD_GET, API "search", search, BODY_NONE, SEARCH, 0, BIT (QUERY) },
    { METHOD_POST, API "search", search, BODY_JSON, 0, SEARCH, BIT (QUERY) },
    { METHOD_GET, API "events", events_stream, BODY_NONE, BIT (TASK), 0, 0 },
    { METHOD_GET, "/livez", health_alive, BODY_NONE, 0, 0, 0 },
    { METHOD_GET, "/readyz", health_ready, BODY_NONE, 0, 0, 0 },
    { METHOD_GET, "/metrics", metrics, BODY_NONE, 0, 0, 0 },
};

const route_t *route_at (size_t index)
{
    return index < sizeof routes / sizeof routes[0] ? &routes[index] : NULL;
}

/*  Compares segment by segment; a segment where the pattern has {} must be an id. */
static bool path_fits (const char *path, const request_t *request, uuid_t *id)
{
    size_t i = 0;
    while (*path) {
        path++;
        const char *slash = strchrnul (path, '/');
        if (i == request->segment_count)
            return false;
        span_t segment = request->segments[i++], wanted = span (path, (size_t)(slash - path));
        if (span_is (wanted, "{}") ? uuid_parse (segment, id) == -1 : !span_eq (segment, wanted))
            return false;
        path = slash;
    }
    return i == request->segment_count;
}

const route_t *route_find (const request_t *request, uuid_t *id, str_t *allow, err_t *err)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (!path_fits (routes[i].path, request, id))
            continue;
        if (routes[i].method == request->method)
            return &routes[i];
        str_text (allow, allow->size ? ", " : "");
        str_text (allow, method_name (routes[i].method));
    }
    err_set (err, allow->size ? ERR_METHOD_NOT_ALLOWED : ERR_NOT_FOUND, "no route");
    return NULL;
}
