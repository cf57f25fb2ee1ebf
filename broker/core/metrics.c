/*  metrics.c: what the broker counts, as one JSON object. The gateway shows it to monitoring (gateway/metrics.c), the
 *  supervisor moves workers by it (client/crew.c). Counters begin with the process; what lives is as of now.
 */
#include "broker/core/state.h"

void metrics_sum (const core_t *self, user_t *sum)
{
    user_t *each;
    *sum = (user_t){ .pending = 0 };
    for (size_t at = 0; (each = map_next (&self->users, &at));) {
        sum->pending += each->pending;
        sum->processing += each->processing;
        sum->record.completed += each->record.completed;
        sum->record.failed += each->record.failed;
        sum->record.cancelled += each->record.cancelled;
        sum->record.processing_ms += each->record.processing_ms;
        for (int i = 0; i < STAGE_COUNT; i++) {
            sum->ready[i] += each->ready[i];
            sum->running[i] += each->running[i];
            sum->done_per_second[i] += each->done_per_second[i];
        }
    }
}

static void add_stage (const core_t *self, str_t *out, stage_t stage, const user_t *sum)
{
    const stage_counters_t *counters = &self->counters[stage];
    uint64_t workers = 0, busy = 0;
    for (const core_worker_t *worker = self->workers; worker; worker = worker->next) {
        workers += worker->stage == stage;
        busy += worker->stage == stage && worker->held;
    }
    str_key (out, stage_name (stage));
    str_char (out, '{');
    str_key_u64 (out, "ready", sum->ready[stage]);
    str_key_u64 (out, "running", sum->running[stage]);
    str_key_u64 (out, "workers", workers);
    str_key_u64 (out, "busy", busy);
    str_key_u64 (out, "done", counters->done);
    str_key_u64 (out, "failed", counters->failed);
    str_key_u64 (out, "lost", counters->lost);
    str_key_u64 (out, "cost_us", counters->cost_us);
    str_key_u64 (out, "joined", counters->joined);
    str_key_u64 (out, "drained", counters->drained);
    str_key_u64 (out, "vanished", counters->vanished);
    str_char (out, '}');
}

static void add_worker (str_t *out, const core_worker_t *worker)
{
    str_text (out, out->data[out->size - 1] == '[' ? "{" : ",{");
    str_key_u64 (out, "pid", worker->pid);
    str_key_str (out, "stage", span_str (stage_name (worker->stage)));
    str_key_u64 (out, "held", worker->held);
    str_char (out, '}');
}

void metrics_json (const core_t *self, str_t *out)
{
    user_t sum;
    metrics_sum (self, &sum);
    str_char (out, '{');
    str_key_u64 (out, "epoch", self->meta.epoch);
    str_key_u64 (out, "uptime_ms", self->now - self->began_ms);
    str_key (out, "tasks");
    str_char (out, '{');
    str_key_u64 (out, "pending", sum.pending);
    str_key_u64 (out, "processing", sum.processing);
    str_key_u64 (out, "completed", sum.record.completed);
    str_key_u64 (out, "failed", sum.record.failed);
    str_key_u64 (out, "cancelled", sum.record.cancelled);
    str_char (out, '}');
    str_key_u64 (out, "active", self->active);
    str_key_u64 (out, "active_max", self->config.active_max);
    str_key_u64 (out, "memory_bytes", self->memory_bytes);
    str_key_u64 (out, "memory_budget_bytes", self->config.memory_bytes);
    str_key_u64 (out, "backoff", ready_size (&self->backoff));
    str_key_u64 (out, "retries", self->retried_jobs);
    str_key_u64 (out, "stale_results", self->stale_results);
    str_key_u64 (out, "lost_jobs", self->lost_jobs);
    str_key_u64 (out, "draining", self->refuse == ERR_DRAINING);
    str_key_u64 (out, "disk_full", self->refuse == ERR_DISK_FULL);
    str_key (out, "stages");
    str_char (out, '{');
    for (stage_t stage = 0; stage < STAGE_COUNT; stage++)
        add_stage (self, out, stage, &sum);
    str_char (out, '}');
    str_key (out, "workers");
    str_char (out, '[');
    for (const core_worker_t *worker = self->workers; worker; worker = worker->next)
        add_worker (out, worker);
    str_text (out, "]}");
}
