/*  bench-ceiling: the work of the pipeline in one process: the stages' own libraries, called one after the other,
 * without sockets, broker or durable tasks. Prints one JSON object.
 *
 *  Each thread takes a document, extracts, chunks and embeds it, and hands it to a common batch. Whoever finds the
 *  batch full (as full as the storage stage makes its own) and nobody writing, writes it. The others go on, until twice
 *  as much is waiting.
 */
#include "base/clock.h"
#include "base/options.h"
#include "base/uuid.h"
#include "bench/documents.h"
#include "stages/chunk/chunk.h"
#include "stages/embed/spans.h"
#include "stages/extract/plain.h"
#include "store/content.h"
#include "wire/columns.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BATCH_BYTES   (2u << 20)
#define BATCH_CHANGES 256u
#define THREADS_MAX   64

static const option_t table[] = {
    { "data", OPTION_TEXT, NULL, "DIR", "a new directory for the content" },
    { "texts", OPTION_TEXT, NULL, "DIR", "where documents are cut from" },
    { "least", OPTION_SIZE, "2K", "SIZE", "smallest document" },
    { "most", OPTION_SIZE, "8K", "SIZE", "largest document" },
    { "total", OPTION_SIZE, "32M", "SIZE", "bytes of documents" },
    { "threads", OPTION_NUMBER, "2", "N", "threads" },
    { 0 },
};

typedef struct piece {
    struct piece *next;
    wire_job_t job;
    buf_t *text, *spans, *vectors;
    size_t bytes;
} piece_t;

typedef struct {
    const documents_t *documents;
    content_t *content;
    pthread_mutex_t lock;
    pthread_cond_t written;
    size_t next; /* document */
    piece_t *first, **last;
    size_t waiting, waiting_bytes;
    bool writing;
    uint64_t us[5]; /* CPU time: extract, chunk, embed, store, in all */
    uint64_t chunks;
    unsigned batches;
} work_t;

static void die (const char *what)
{
    fprintf (stderr, "bench-ceiling: %s\n", what);
    exit (1);
}

static uint64_t cpu_us (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

/*  Takes up to a batch off the queue. Locked. */
static piece_t *take_batch (work_t *self)
{
    piece_t *first = self->first, *piece = first;
    size_t count = 1, bytes = piece->bytes;
    while (piece->next && count < BATCH_CHANGES && bytes < BATCH_BYTES) {
        piece = piece->next;
        bytes += piece->bytes;
        count++;
    }
    self->first = piece->next;
    if (!self->first)
        self->last = &self->first;
    piece->next = NULL;
    self->waiting -= count;
    self->waiting_bytes -= bytes;
    return first;
}

static uint64_t write_batch (work_t *self, piece_t *first)
{
    static content_change_t changes[BATCH_CHANGES]; /* one writer at a time */
    size_t count = 0;
    uint64_t chunks = 0;
    for (piece_t *piece = first; piece; piece = piece->next)
        changes[count++] = (content_change_t){
            .job = &piece->job,
            .columns = { [1] = buf_span (piece->text),
                         [2] = span ("", 0),
                         [3] = piece->spans ? buf_span (piece->spans) : span ("", 0),
                         [4] = buf_span (piece->vectors) },
        };
    err_t err;
    if (content_apply (self->content, changes, count, &err) == -1)
        die (err.message);
    for (size_t i = 0; i < count; i++) {
        if (changes[i].rc)
            die (changes[i].err.message);
        chunks += changes[i].chunks;
    }
    while (first) {
        piece_t *next = first->next;
        buf_unref (&first->text);
        buf_unref (&first->spans);
        buf_unref (&first->vectors);
        free (first);
        first = next;
    }
    return chunks;
}

/*  Writes while there is enough to write (`all`: anything). Locked at both ends. */
static void write_some (work_t *self, bool all)
{
    while (!self->writing && self->first &&
           (all || self->waiting >= BATCH_CHANGES || self->waiting_bytes >= BATCH_BYTES)) {
        self->writing = true;
        piece_t *batch = take_batch (self);
        pthread_mutex_unlock (&self->lock);
        uint64_t start = cpu_us ();
        uint64_t chunks = write_batch (self, batch);
        uint64_t spent = cpu_us () - start;
        pthread_mutex_lock (&self->lock);
        self->us[3] += spent;
        self->chunks += chunks;
        self->batches++;
        self->writing = false;
        pthread_cond_broadcast (&self->written);
    }
}

/*  One document through extract, chunk and embed; its segments as a list. */
static piece_t *process (span_t document, uuid_t id, provider_t *provider, uint64_t us[3])
{
    static const chunk_options_t sizes = { CHUNK_TOKENS_DEFAULT, CHUNK_OVERLAP_DEFAULT };
    err_t err;
    const char *media_type;
    uint64_t start = cpu_us ();
    buf_t *blob = buf_copy (document), *text;
    if (!extract_plain (blob, SPAN_LIT ("note.txt"), SPAN_EMPTY, &text, &media_type))
        die ("a document is no plain text");
    buf_unref (&blob);
    us[0] += cpu_us () - start;
    piece_t *first = NULL, **last = &first;
    span_t whole = buf_span (text);
    uint32_t segment = 0;
    for (size_t at = 0, end; at < whole.size; at = end, segment++) {
        start = cpu_us ();
        end = plain_cut (whole, at);
        piece_t *piece = calloc (1, sizeof *piece);
        if (!piece)
            abort ();
        piece->text = at == 0 && end == whole.size ? buf_ref (text) : buf_copy (span (whole.data + at, end - at));
        uint64_t extracted = cpu_us ();
        str_t spans = STR_INIT;
        if (chunk_text (buf_span (piece->text), SPAN_EMPTY, &sizes, &spans, &err) == -1)
            die (err.message);
        piece->spans = buf_take (spans.data, spans.size);
        uint64_t chunked = cpu_us ();
        uint32_t rows;
        if (embed_spans (provider, buf_span (piece->text), buf_span (piece->spans), &piece->vectors, &rows, &err) == -1)
            die (err.message);
        us[0] += extracted - start;
        us[1] += chunked - extracted;
        us[2] += cpu_us () - chunked;
        piece->bytes = buf_size (piece->text) + buf_size (piece->spans) + buf_size (piece->vectors);
        piece->job = (wire_job_t){ .task = id,
                                   .document = id,
                                   .user = SPAN_LIT ("local"),
                                   .stage = STAGE_STORAGE,
                                   .action = JOB_SEGMENT,
                                   .segment = segment,
                                   .revision = 1,
                                   .filename = SPAN_LIT ("note.txt"),
                                   .media_type = SPAN_LIT ("text/plain"),
                                   .text_offset = at,
                                   .segments = segment + 1,
                                   .final = end == whole.size,
                                   .columns = COLUMN_TEXT | COLUMN_MARKS | COLUMN_SPANS | COLUMN_VECTORS };
        *last = piece;
        last = &piece->next;
    }
    buf_unref (&text);
    return first;
}

static void *run (void *arg)
{
    work_t *self = arg;
    err_t err;
    provider_t *provider = provider_new ("hash", &err);
    if (!provider)
        die (err.message);
    uint64_t us[3] = { 0 }, start = cpu_us ();
    pthread_mutex_lock (&self->lock);
    while (self->next < self->documents->count) {
        span_t document = self->documents->items[self->next++];
        uuid_t id = uuid_new (); /* under the lock: it is not thread-safe */
        pthread_mutex_unlock (&self->lock);
        piece_t *pieces = process (document, id, provider, us);
        pthread_mutex_lock (&self->lock);
        for (piece_t *piece = pieces; piece; piece = piece->next) {
            *self->last = piece;
            self->last = &piece->next;
            self->waiting++;
            self->waiting_bytes += piece->bytes;
        }
        write_some (self, false);
        while (self->writing && (self->waiting > 2 * BATCH_CHANGES || self->waiting_bytes > 2 * BATCH_BYTES))
            pthread_cond_wait (&self->written, &self->lock);
    }
    for (; self->writing || self->first; write_some (self, true))
        if (self->writing)
            pthread_cond_wait (&self->written, &self->lock);
    for (int i = 0; i < 3; i++)
        self->us[i] += us[i];
    self->us[4] += cpu_us () - start;
    pthread_mutex_unlock (&self->lock);
    provider_destroy (&provider);
    return NULL;
}

int main (int argc, char **argv)
{
    err_t err;
    options_t *options = options_new (table, argc, argv, &err);
    if (!options)
        die (err.message);
    const char *data = options_text (options, "data"), *texts = options_text (options, "texts");
    size_t threads = options_number (options, "threads");
    if (options_help_wanted (options) || !data || !texts || threads < 1 || threads > THREADS_MAX) {
        options_print_help (table, "bench-ceiling --data DIR --texts DIR [OPTIONS]");
        return options_help_wanted (options) ? 0 : 2;
    }
    documents_t documents;
    if (documents_make (&documents, texts, "ceiling", options_number (options, "least"),
                        options_number (options, "most"), options_number (options, "total"), &err) == -1)
        die (err.message);
    work_t work = { .documents = &documents,
                    .content = content_open (&(content_config_t){ data, 64u << 20 }, &err),
                    .lock = PTHREAD_MUTEX_INITIALIZER,
                    .written = PTHREAD_COND_INITIALIZER };
    if (!work.content)
        die (err.message);
    work.last = &work.first;
    uint64_t start = clock_mono_us ();
    pthread_t ids[THREADS_MAX];
    for (size_t i = 0; i < threads; i++)
        if (pthread_create (&ids[i], NULL, run, &work))
            die ("cannot start a thread");
    for (size_t i = 0; i < threads; i++)
        pthread_join (ids[i], NULL);
    double seconds = (double)(clock_mono_us () - start) / 1e6;
    content_close (&work.content);
    printf ("{\"documents\":%zu,\"bytes\":%zu,\"chunks\":%llu,\"batches\":%u,\"seconds\":%.6f,"
            "\"documents_per_second\":%.1f,\"mb_per_second\":%.3f,\"cpu_seconds\":{\"extract\":%.3f,\"chunk\":%.3f,"
            "\"embed\":%.3f,\"storage\":%.3f,\"total\":%.3f}}\n",
            documents.count, documents.bytes, (unsigned long long)work.chunks, work.batches, seconds,
            (double)documents.count / seconds, (double)documents.bytes / seconds / 1e6, (double)work.us[0] / 1e6,
            (double)work.us[1] / 1e6, (double)work.us[2] / 1e6, (double)work.us[3] / 1e6, (double)work.us[4] / 1e6);
    documents_free (&documents);
    options_destroy (&options);
    return 0;
}
