/*  myelin-storage: owns the content. One loop takes jobs and writes, a second thread answers queries from snapshots. */
#include "base/files.h"
#include "base/log.h"
#include "stages/runtime/worker.h"
#include "stages/storage/answers.h"
#include "stages/storage/writer.h"

#include <stdio.h>

static const option_t table[] = {
    WORKER_OPTIONS,
    { "query", OPTION_TEXT, NULL, "ENDPOINT", "where to answer queries (required)" },
    { "data", OPTION_TEXT, NULL, "DIR", "directory of the content; made when missing (required)" },
    { "vector-memory", OPTION_SIZE, "64M", "SIZE", "most that vectors may take in memory; beyond, they are read" },
    { "provider", OPTION_TEXT, "hash", "NAME", "what makes the vectors of queries: hash" },
    { 0 },
};

static int run (void *context, const options_t *options, err_t *err)
{
    const char *query = options_text (options, "query");
    content_config_t config = { options_text (options, "data"), options_number (options, "vector-memory") };
    if (!query || !config.dir)
        return err_set (err, ERR_CONFIG, "option --%s is required", query ? "data" : "query");
    content_t *content = content_open (&config, err);
    answers_t *answers = NULL;
    worker_t *worker = NULL;
    int rc = -1;
    if (!content)
        return -1;
    answers = answers_start (context, content, query, options_text (options, "provider"), err);
    if (answers)
        worker = worker_new (context, STAGE_STORAGE, WRITER_SLOTS, options, err);
    if (worker) {
        puts ("ready"); /* for the supervisor */
        fflush (stdout);
        rc = writer_run (worker, content, answers_trouble_fd (answers), err);
    }
    worker_destroy (&worker);
    answers_stop (&answers);
    content_close (&content);
    return rc;
}

int main (int argc, char **argv)
{
    int rc = 1;
    options_t *options = worker_options (
        "myelin-storage", table, "myelin-storage --intake ENDPOINT --run DIR --query ENDPOINT --data DIR [OPTIONS]",
        argc, argv, &rc);
    if (!options)
        return rc;
    err_t err;
    files_allow_all ();
    void *context = zmq_ctx_new ();
    rc = run (context, options, &err) ? log_failed ("storage.failed", &err) : 0;
    zmq_ctx_term (context);
    options_destroy (&options);
    return rc;
}
