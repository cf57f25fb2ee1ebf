/*  myelin-extract: the stage that turns documents into text. */
#include "base/log.h"
#include "stages/extract/extractor.h"

static const option_t table[] = {
    WORKER_OPTIONS,
    { "parser-memory", OPTION_SIZE, "1G", "SIZE", "most memory a parser may use" },
    { "parser-stall", OPTION_NUMBER, "30", "SECONDS", "most CPU time without progress" },
    { "text-limit", OPTION_SIZE, "64M", "SIZE", "most text taken from one document" },
    { "inflated-limit", OPTION_SIZE, "512M", "SIZE", "most that one document may unpack to" },
    { 0 },
};

static limits_t limits_of (const options_t *options)
{
    limits_t limits = LIMITS_DEFAULT;
    limits.memory_bytes = options_number (options, "parser-memory");
    limits.stall_cpu_ms = options_number (options, "parser-stall") * 1000;
    limits.text_bytes = options_number (options, "text-limit");
    limits.inflated_bytes = options_number (options, "inflated-limit");
    return limits;
}

/*  Until drained: 0; -1 and *err when there can be no more parsers. */
static int work (worker_t *worker, extractor_t *extractor, err_t *err)
{
    for (;;) {
        zmq_pollitem_t items[EXTRACTOR_ITEMS];
        int count = extractor_items (extractor, items);
        if (worker_poll (worker, items, count, extractor_timeout_ms (extractor)))
            return 0;
        if (extractor_turn (extractor, err))
            return -1;
    }
}

int main (int argc, char **argv)
{
    int rc = 1;
    options_t *options = worker_options ("myelin-extract", table,
                                         "myelin-extract --intake ENDPOINT --run DIR [OPTIONS]", argc, argv, &rc);
    if (!options)
        return rc;
    rc = -1;
    err_t err;
    limits_t limits = limits_of (options);
    void *context = NULL;
    worker_t *worker = NULL;
    extractor_t *extractor = NULL;
    zygote_t *zygote = zygote_new (&limits, &err); /* first: it is to inherit nothing */
    if (!zygote)
        goto out;
    context = zmq_ctx_new ();
    worker = worker_new (context, STAGE_EXTRACT, EXTRACTOR_SLOTS, options, &err);
    if (!worker)
        goto out;
    extractor = extractor_new (worker, zygote, &limits);
    rc = work (worker, extractor, &err);
out:
    rc = rc ? log_failed ("extract_ends", &err) : 0;
    extractor_destroy (&extractor);
    worker_destroy (&worker);
    if (context)
        zmq_ctx_term (context);
    zygote_destroy (&zygote);
    options_destroy (&options);
    return rc;
}
