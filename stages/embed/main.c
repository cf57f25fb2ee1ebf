/*  myelin-embed: the stage that turns chunks into vectors. */
#include "base/log.h"
#include "stages/embed/spans.h"
#include "stages/runtime/worker.h"

#define SLOTS 64 /* small ones are granted by the dozen */

static const option_t table[] = {
    WORKER_OPTIONS,
    { "provider", OPTION_TEXT, "hash", "NAME", "what makes the vectors: hash" },
    { 0 },
};

static int process (void *self, const worker_job_t *job, wire_result_t *result, buf_t *columns[COLUMN_COUNT],
                    err_t *err)
{
    const buf_t *text = job->columns[1], *spans = job->columns[3];
    if (!text || !spans)
        return err_set (err, ERR_PROTOCOL, "a job for embed came without text or spans");
    return embed_spans (self, buf_span (text), buf_span (spans), &columns[4], &result->embeddings, err);
}

int main (int argc, char **argv)
{
    int rc = 1;
    options_t *options =
        worker_options ("myelin-embed", table, "myelin-embed --intake ENDPOINT --run DIR [OPTIONS]", argc, argv, &rc);
    if (!options)
        return rc;
    err_t err;
    worker_t *worker = NULL;
    void *context = zmq_ctx_new ();
    provider_t *provider = provider_new (options_text (options, "provider"), &err);
    if (!provider || !(worker = worker_new (context, STAGE_EMBED, SLOTS, options, &err))) {
        rc = log_failed ("start_failed", &err);
        goto out;
    }
    worker_run (worker, process, provider);
    rc = 0;
out:
    worker_destroy (&worker);
    provider_destroy (&provider);
    zmq_ctx_term (context);
    options_destroy (&options);
    return rc;
}
