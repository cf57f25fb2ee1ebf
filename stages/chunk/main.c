/*  myelin-chunk: the stage that cuts text into chunks. */
#include "base/log.h"
#include "stages/chunk/chunk.h"
#include "stages/runtime/worker.h"
#include "wire/columns.h"

#define SLOTS 64 /* small ones are granted by the dozen */

static const option_t table[] = {
    WORKER_OPTIONS,
    { "chunk-tokens", OPTION_NUMBER, "200", "N", "most tokens in a chunk" },
    { "chunk-overlap", OPTION_NUMBER, "30", "N", "most tokens that neighbouring chunks share" },
    { 0 },
};

static int process (void *self, const worker_job_t *job, wire_result_t *result, buf_t *columns[COLUMN_COUNT],
                    err_t *err)
{
    const buf_t *text = job->columns[1], *marks = job->columns[2];
    if (!text || !marks)
        return err_set (err, ERR_PROTOCOL, "a job for chunk came without text or marks");
    str_t spans = STR_INIT;
    if (chunk_text (buf_span (text), buf_span (marks), self, &spans, err) == -1) {
        str_free (&spans);
        return -1;
    }
    result->chunks = (uint32_t)chunk_span_count (str_span (&spans));
    columns[3] = buf_take (spans.data, spans.size); /* takes the string's memory */
    return 0;
}

static uint32_t number (const options_t *options, const char *name)
{
    uint64_t value = options_number (options, name);
    return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

int main (int argc, char **argv)
{
    int rc = 1;
    options_t *options =
        worker_options ("myelin-chunk", table, "myelin-chunk --intake ENDPOINT --run DIR [OPTIONS]", argc, argv, &rc);
    if (!options)
        return rc;
    err_t err;
    worker_t *worker = NULL;
    void *context = zmq_ctx_new ();
    chunk_options_t sizes = { number (options, "chunk-tokens"), number (options, "chunk-overlap") };
    if (chunk_options_check (&sizes, &err) == -1 ||
        !(worker = worker_new (context, STAGE_CHUNK, SLOTS, options, &err))) {
        rc = log_failed ("start_failed", &err);
        goto out;
    }
    worker_run (worker, process, &sizes);
    rc = 0;
out:
    worker_destroy (&worker);
    zmq_ctx_term (context);
    options_destroy (&options);
    return rc;
}
