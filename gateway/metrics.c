/*  metrics.c: GET /metrics in the text format of Prometheus, 0.0.4.
 *
 *  The broker counts, and is asked once a scrape; what is here is names. The answer is always 200: with the broker or
 *  the storage away `myelin_up` says so and what only they know is missing. No label has a user's, a document's or a
 *  task's name as its value: what is scraped is as long with a million users as with one.
 */
#include "base/clock.h"
#include "gateway/handlers.h"
#include "gateway/http.h"
#include "gateway/relay.h"
#include "gateway/zmq_front.h"

#include <jansson.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#define MEDIA_TYPE "text/plain; version=0.0.4; charset=utf-8"

/*  Where a value is in the broker's answer. */
typedef enum {
    OF_BROKER, /* {key: value} */
    OF_STATUS, /* {"tasks": {status: value}}: one line for each status */
    OF_STAGE,  /* {"stages": {stage: {key: value}}}: one line for each stage */
} shape_t;

/*  X (name, type, shape, key, value of one, help) */
#define METRICS(X)                                                                                                     \
    X ("myelin_broker_epoch", GAUGE, BROKER, "epoch", 1, "Starts of the broker on this data")                          \
    X ("myelin_broker_uptime_seconds", GAUGE, BROKER, "uptime_ms", 1e-3,                                               \
       "Since the broker started; counters begin "                                                                     \
       "then")                                                                                                         \
    X ("myelin_broker_disk_full", GAUGE, BROKER, "disk_full", 1, "1: documents are refused, the disk is too full")     \
    X ("myelin_tasks", GAUGE, STATUS, "", 1, "Tasks there are, by status")                                             \
    X ("myelin_tasks_active", GAUGE, BROKER, "active", 1, "Tasks that hold memory")                                    \
    X ("myelin_tasks_active_limit", GAUGE, BROKER, "active_max", 1, "Most tasks in processing at once (--active)")     \
    X ("myelin_memory_bytes", GAUGE, BROKER, "memory_bytes", 1, "Text and vectors between the stages")                 \
    X ("myelin_memory_budget_bytes", GAUGE, BROKER, "memory_budget_bytes", 1, "Beyond it nothing is begun (--memory)") \
    X ("myelin_stage_ready", GAUGE, STAGE, "ready", 1, "Units that wait for a worker")                                 \
    X ("myelin_stage_running", GAUGE, STAGE, "running", 1, "Jobs in the hands of workers")                             \
    X ("myelin_stage_workers", GAUGE, STAGE, "workers", 1, "Workers that beat")                                        \
    X ("myelin_stage_workers_busy", GAUGE, STAGE, "busy", 1, "Workers that hold a job")                                \
    X ("myelin_backoff", GAUGE, BROKER, "backoff", 1, "Units that wait until they are tried again")                    \
    X ("myelin_jobs_done_total", COUNTER, STAGE, "done", 1, "Jobs that ended well")                                    \
    X ("myelin_jobs_failed_total", COUNTER, STAGE, "failed", 1, "Jobs that ended with an error")                       \
    X ("myelin_jobs_lost_total", COUNTER, STAGE, "lost", 1, "Jobs whose worker vanished")                              \
    X ("myelin_jobs_retried_total", COUNTER, BROKER, "retries", 1, "Failed or lost jobs that are tried again")         \
    X ("myelin_stage_busy_seconds_total", COUNTER, STAGE, "cost_us", 1e-6, "What workers say that their results took") \
    X ("myelin_results_stale_total", COUNTER, BROKER, "stale_results", 1,                                              \
       "Late or doubled results, which were "                                                                          \
       "ignored")                                                                                                      \
    X ("myelin_workers_joined_total", COUNTER, STAGE, "joined", 1, "Workers that came")                                \
    X ("myelin_workers_drained_total", COUNTER, STAGE, "drained", 1, "Workers that were asked to go, and went")        \
    X ("myelin_workers_vanished_total", COUNTER, STAGE, "vanished", 1,                                                 \
       "Workers that ended, fell silent or were "                                                                      \
       "killed: restarts of the supervisor")

static const struct {
    const char *name, *type;
    shape_t shape;
    const char *key;
    double one;
    const char *help;
} rows[] = {
#define GAUGE                                          "gauge"
#define COUNTER                                        "counter"
#define METRICS_ROW(name, type, shape, key, one, help) { name, type, OF_##shape, key, one, help },
    METRICS (METRICS_ROW)
#undef METRICS_ROW
};
#define ROW_COUNT (sizeof rows / sizeof *rows)

static void add_head (str_t *out, const char *name, const char *type, const char *help)
{
    str_format (out, "# HELP %s %s.\n# TYPE %s %s\n", name, help, name, type);
}

/*  `label` NULL: none. Its value is one of ours and needs no escapes. */
static void add_line (str_t *out, const char *name, const char *label, const char *label_value, double value)
{
    str_text (out, name);
    if (label)
        str_format (out, "{%s=\"%s\"}", label, label_value);
    str_format (out, " %.15g\n", value);
}

static void add_rows (str_t *out, json_t *broker)
{
    json_t *stages = json_object_get (broker, "stages"), *tasks = json_object_get (broker, "tasks"), *each;
    const char *name;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        add_head (out, rows[i].name, rows[i].type, rows[i].help);
        switch (rows[i].shape) {
        case OF_BROKER:
            add_line (out, rows[i].name, NULL, NULL,
                      json_number_value (json_object_get (broker, rows[i].key)) * rows[i].one);
            break;
        case OF_STATUS:
            json_object_foreach (tasks, name, each)
                add_line (out, rows[i].name, "status", name, json_number_value (each) * rows[i].one);
            break;
        case OF_STAGE:
            json_object_foreach (stages, name, each)
                add_line (out, rows[i].name, "stage", name,
                          json_number_value (json_object_get (each, rows[i].key)) * rows[i].one);
        }
    }
}

/*  What the gateway knows by itself. */
static void add_own (const gateway_t *self, str_t *out)
{
    static const char *const transports[TRANSPORT_COUNT] = {
#define TRANSPORT_NAME(sym, name) name,
        TRANSPORTS (TRANSPORT_NAME)
#undef TRANSPORT_NAME
    };
    add_head (out, "myelin_gateway_info", "gauge", "The version that runs");
    add_line (out, "myelin_gateway_info", "version", MYELIN_VERSION, 1);
    add_head (out, "myelin_gateway_uptime_seconds", "gauge", "Since the gateway started");
    add_line (out, "myelin_gateway_uptime_seconds", NULL, NULL, (double)(clock_mono_ms () - self->began_ms) / 1000);
    add_head (out, "myelin_gateway_requests_total", "counter", "Requests that were answered, by way and HTTP status");
    for (int way = 0; way < TRANSPORT_COUNT; way++)
        for (int status = 1; status <= STATUS_MOST; status++)
            if (self->answered[way][status])
                str_format (out, "myelin_gateway_requests_total{transport=\"%s\",code=\"%d\"} %llu\n", transports[way],
                            status, (unsigned long long)self->answered[way][status]);
    add_head (out, "myelin_gateway_requests_in_hand", "gauge", "Requests that are not answered yet");
    add_line (out, "myelin_gateway_requests_in_hand", "transport", transports[TRANSPORT_HTTP],
              (double)http_in_hand (self->http));
    add_line (out, "myelin_gateway_requests_in_hand", "transport", transports[TRANSPORT_ZMQ],
              (double)zmq_front_in_hand (self->front));
    struct statvfs disk;
    if (statvfs (self->config.data_dir, &disk) == 0) {
        add_head (out, "myelin_disk_free_bytes", "gauge", "Free where the data is");
        add_line (out, "myelin_disk_free_bytes", NULL, NULL, (double)disk.f_bavail * (double)disk.f_frsize);
    }
    add_head (out, "myelin_disk_reserve_bytes", "gauge", "With less free, documents are refused (--disk-reserve)");
    add_line (out, "myelin_disk_reserve_bytes", NULL, NULL, (double)self->config.disk_reserve_bytes);
}

/*  One scrape, until both have answered. */
typedef struct {
    gateway_t *gateway;
    request_t *request;
    int open;
    bool storage_up;
    json_t *broker; /* NULL: it is away */
} scrape_t;

static void answer (scrape_t *scrape)
{
    str_t text = STR_INIT;
    add_head (&text, "myelin_up", "gauge", "1: this process answers");
    add_line (&text, "myelin_up", "process", "gateway", 1);
    add_line (&text, "myelin_up", "process", "broker", scrape->broker != NULL);
    add_line (&text, "myelin_up", "process", "storage", scrape->storage_up);
    add_own (scrape->gateway, &text);
    if (scrape->broker)
        add_rows (&text, scrape->broker);
    buf_t *body = buf_take (text.data, text.size);
    reply_t reply = { .status = 200, .media_type = MEDIA_TYPE, .body = body, .fd = -1 };
    reply_header (&reply, "X-Request-Id", scrape->request->headers[HEADER_REQUEST_ID]);
    scrape->request->answer (scrape->request, &reply);
    buf_unref (&body);
    json_decref (scrape->broker);
    free (scrape);
}

static void got_broker (void *owner, frames_t *reply, const err_t *err)
{
    scrape_t *scrape = owner;
    if (reply && !relay_failed (reply, NULL) && reply->payload_count)
        scrape->broker = json_loadb (buf_bytes (reply->payload[0]), buf_size (reply->payload[0]), 0, NULL);
    if (--scrape->open == 0)
        answer (scrape);
    (void)err;
}

static void got_storage (void *owner, frames_t *reply, const err_t *err)
{
    scrape_t *scrape = owner;
    scrape->storage_up = reply && !relay_failed (reply, NULL);
    if (--scrape->open == 0)
        answer (scrape);
    (void)err;
}

void metrics (gateway_t *self, request_t *request)
{
    scrape_t *scrape = calloc (1, sizeof *scrape);
    if (!scrape)
        abort ();
    *scrape = (scrape_t){ .gateway = self, .request = request, .open = 2 };
    wire_msg_t ask = { .kind = WIRE_KIND_METRICS, .metrics = { .user = self->user } };
    upstream_ask (self->broker, &ask, NULL, true, RELAY_HEALTH_MS, got_broker, scrape);
    wire_msg_t health = { .kind = WIRE_KIND_HEALTH, .health = { .user = self->user } };
    upstream_ask (self->storage, &health, NULL, true, RELAY_HEALTH_MS, got_storage, scrape);
}
