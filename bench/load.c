/*  bench-load: a client that measures a running Myelin over ZeroMQ. Prints one JSON object.
 *
 *    bench-load submit    notes of --bytes, stored but for the pipeline untouched: durable submits a second
 *    bench-load pipeline  documents from --texts, from the first submit until all tasks have ended
 *    bench-load latency   one note at a time on an idle system, until a search finds it
 */
#include "base/clock.h"
#include "base/options.h"
#include "base/uuid.h"
#include "bench/documents.h"
#include "bench/requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zmq.h>

#define CLIENTS_MAX 64
#define PATIENCE_US (120ull * 1000 * 1000)

static const option_t table[] = {
    { "req", OPTION_TEXT, "tcp://127.0.0.1:8751", "ENDPOINT", "the gateway" },
    { "clients", OPTION_NUMBER, "1", "N", "connections" },
    { "outstanding", OPTION_NUMBER, "64", "N", "requests under way at once, over all connections" },
    { "count", OPTION_NUMBER, "10000", "N", "requests in all" },
    { "bytes", OPTION_SIZE, "1024", "SIZE", "of a note (submit)" },
    { "texts", OPTION_TEXT, NULL, "DIR", "where documents are cut from (pipeline)" },
    { "least", OPTION_SIZE, "2K", "SIZE", "smallest document (pipeline)" },
    { "most", OPTION_SIZE, "8K", "SIZE", "largest document (pipeline)" },
    { "total", OPTION_SIZE, "32M", "SIZE", "bytes of documents (pipeline)" },
    { "name", OPTION_TEXT, "run", "TEXT", "makes this run's documents different from another's" },
    { 0 },
};

static int compare (const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint32_t quantile (const uint32_t *sorted, size_t count, double share)
{
    size_t at = (size_t)(share * (double)count);
    return count ? sorted[at < count ? at : count - 1] : 0;
}

static void die (const char *what, span_t said)
{
    fprintf (stderr, "bench-load: %s: %.*s\n", what, (int)(said.size < 500 ? said.size : 500),
             said.data ? said.data : "");
    exit (1);
}

static void submit_json (str_t *out, const char *name, size_t number)
{
    str_clear (out);
    str_text (out, "{\"method\":\"POST\",\"path\":\"/api/v1/documents/\",\"headers\":{\"X-Filename\":\"");
    str_format (out, "%s-%zu.txt\"}}", name, number);
}

/*  Sends all `items`, keeping `outstanding` under way, and times each. */
static void submit_all (requests_t *clients, size_t client_count, const span_t *items, size_t count, size_t outstanding,
                        const char *name, uint32_t *latencies_us)
{
    uint64_t *sent_us = calloc (count, sizeof *sent_us);
    if (!sent_us)
        abort ();
    size_t sent = 0, answered = 0, each = (outstanding + client_count - 1) / client_count;
    str_t json = STR_INIT;
    zmq_pollitem_t polls[CLIENTS_MAX];
    for (size_t i = 0; i < client_count; i++)
        polls[i] = (zmq_pollitem_t){ .socket = clients[i].socket, .events = ZMQ_POLLIN };
    uint64_t heard_us = clock_mono_us ();
    while (answered < count) {
        bool busy = false;
        for (size_t i = 0; i < client_count; i++) {
            for (; clients[i].under_way < each && sent < count; sent++) {
                submit_json (&json, name, sent);
                sent_us[sent] = clock_mono_us ();
                requests_send (&clients[i], sent, str_span (&json), items[sent]);
            }
            uint64_t tag;
            span_t answer;
            while (requests_answer (&clients[i], &tag, &answer)) {
                int status = answer_status (answer);
                if (status != 201 || tag >= count)
                    die ("a submit was answered", answer);
                heard_us = clock_mono_us ();
                latencies_us[tag] = (uint32_t)(heard_us - sent_us[tag]);
                answered++;
                busy = true;
            }
        }
        if (busy)
            continue;
        zmq_poll (polls, (int)client_count, 1000);
        if (clock_mono_us () > heard_us + PATIENCE_US)
            die ("no answer came", SPAN_EMPTY);
    }
    str_free (&json);
    free (sent_us);
}

/*  One request, one answer. Borrowed until the next. */
static span_t ask (requests_t *client, span_t json, span_t bytes)
{
    static uint64_t tag = 1ull << 40;
    uint64_t got = 0, until_us = clock_mono_us () + PATIENCE_US;
    span_t answer = SPAN_EMPTY;
    requests_send (client, ++tag, json, bytes);
    while (!requests_answer (client, &got, &answer)) {
        zmq_poll (&(zmq_pollitem_t){ .socket = client->socket, .events = ZMQ_POLLIN }, 1, 1000);
        if (clock_mono_us () > until_us)
            die ("no answer came", json);
    }
    if (got != tag)
        die ("an answer to another question came", answer);
    return answer;
}

static uint64_t field (span_t json, const char *name)
{
    char key[64];
    int size = snprintf (key, sizeof key, "\"%s\":", name);
    const char *at = memmem (json.data, json.size, key, (size_t)size);
    if (!at)
        die ("an answer has no such field", json);
    return strtoull (at + size, NULL, 10);
}

static void print_latencies (str_t *out, uint32_t *latencies_us, size_t count)
{
    qsort (latencies_us, count, sizeof *latencies_us, compare);
    str_key_u64 (out, "p50_us", quantile (latencies_us, count, 0.50));
    str_key_u64 (out, "p90_us", quantile (latencies_us, count, 0.90));
    str_key_u64 (out, "p99_us", quantile (latencies_us, count, 0.99));
    str_key_u64 (out, "max_us", quantile (latencies_us, count, 1.0));
}

static void open_all (requests_t *clients, size_t count, void *context, const char *endpoint)
{
    for (size_t i = 0; i < count; i++) {
        requests_open (&clients[i], context, endpoint);
        ask (&clients[i], SPAN_LIT ("{\"method\":\"GET\",\"path\":\"/readyz\"}"), SPAN_EMPTY); /* connected by now */
    }
}

static void run_submit (const options_t *options, requests_t *clients, size_t client_count, str_t *out)
{
    size_t count = options_number (options, "count"), bytes = options_number (options, "bytes");
    size_t outstanding = options_number (options, "outstanding");
    str_t memory = STR_INIT;
    span_t *items = malloc ((count + 1) * sizeof *items);
    uint32_t *latencies = calloc (count + 1, sizeof *latencies);
    if (!items || !latencies)
        abort ();
    static const char filler[] = "All work and no play makes a dull note, but notes are what is measured here. ";
    for (size_t i = 0; i < count; i++) {
        size_t start = memory.size;
        str_format (&memory, "%s, note %zu. ", options_text (options, "name"), i);
        while (memory.size - start < bytes) {
            size_t left = bytes - (memory.size - start);
            str_add (&memory, span (filler, left < sizeof filler - 1 ? left : sizeof filler - 1));
        }
        memory.size = start + bytes;
    }
    for (size_t i = 0; i < count; i++)
        items[i] = span (memory.data + i * bytes, bytes);
    uint64_t start_us = clock_mono_us ();
    submit_all (clients, client_count, items, count, outstanding, options_text (options, "name"), latencies);
    double seconds = (double)(clock_mono_us () - start_us) / 1e6;
    str_key_u64 (out, "count", count);
    str_format (out, ",\"seconds\":%.6f,\"per_second\":%.1f", seconds, (double)count / seconds);
    print_latencies (out, latencies, count);
    free (latencies);
    free (items);
    str_free (&memory);
}

static const span_t queue_status =
    SPAN_LIT ("{\"method\":\"GET\",\"path\":\"/api/v1/document-processing/queue/status/\"}");

static uint64_t ended (span_t status)
{
    return field (status, "completed_tasks") + field (status, "failed_tasks") + field (status, "cancelled_tasks");
}

static void run_pipeline (const options_t *options, requests_t *clients, size_t client_count, str_t *out)
{
    err_t err;
    documents_t documents;
    const char *texts = options_text (options, "texts");
    if (!texts)
        die ("--texts is needed", SPAN_EMPTY);
    if (documents_make (&documents, texts, options_text (options, "name"), options_number (options, "least"),
                        options_number (options, "most"), options_number (options, "total"), &err) == -1)
        die (err.message, SPAN_EMPTY);
    uint32_t *latencies = calloc (documents.count + 1, sizeof *latencies);
    if (!latencies)
        abort ();
    uint64_t before = ended (ask (&clients[0], queue_status, SPAN_EMPTY));
    uint64_t start_us = clock_mono_us ();
    submit_all (clients, client_count, documents.items, documents.count, options_number (options, "outstanding"),
                options_text (options, "name"), latencies);
    uint64_t submitted_us = clock_mono_us ();
    span_t status;
    while (status = ask (&clients[0], queue_status, SPAN_EMPTY), ended (status) < before + documents.count)
        nanosleep (&(struct timespec){ .tv_nsec = 5000000 }, NULL); /* how finely the end is seen */
    double seconds = (double)(clock_mono_us () - start_us) / 1e6;
    str_key_u64 (out, "documents", documents.count);
    str_key_u64 (out, "bytes", documents.bytes);
    str_key_u64 (out, "failed", field (status, "failed_tasks"));
    str_format (out, ",\"submit_seconds\":%.6f,\"seconds\":%.6f,\"documents_per_second\":%.1f,\"mb_per_second\":%.3f",
                (double)(submitted_us - start_us) / 1e6, seconds, (double)documents.count / seconds,
                (double)documents.bytes / seconds / 1e6);
    free (latencies);
    documents_free (&documents);
}

/*  A word no other note has, of letters only. */
static void rare_word (char word[24], uint64_t number)
{
    memcpy (word, "zq", 2);
    for (int i = 2; i < 20; i++, number /= 20)
        word[i] = "bcdfghjklmnprstvwxyz"[number % 20];
    word[20] = '\0';
}

static void run_latency (const options_t *options, requests_t *client, str_t *out)
{
    size_t count = options_number (options, "count"), bytes = options_number (options, "bytes");
    uint32_t *latencies = calloc (count + 1, sizeof *latencies), *submits = calloc (count + 1, sizeof *submits);
    if (!latencies || !submits)
        abort ();
    str_t note = STR_INIT, json = STR_INIT;
    uint64_t searches = 0, base = clock_wall_ms () * 1000;
    for (size_t i = 0; i < count; i++) {
        char word[24];
        rare_word (word, base + i);
        str_clear (&note);
        while (note.size < bytes)
            str_format (&note, "In the middle of note %zu there is the word %s, which is said again and again.\n\n", i,
                        word);
        nanosleep (&(struct timespec){ .tv_nsec = 30000000 }, NULL); /* idle is what is measured */
        submit_json (&json, word, i);
        uint64_t start_us = clock_mono_us ();
        char *bytes_kept = malloc (note.size); /* until the context ends */
        if (!bytes_kept)
            abort ();
        memcpy (bytes_kept, note.data, note.size);
        span_t answer = ask (client, str_span (&json), span (bytes_kept, note.size));
        submits[i] = (uint32_t)(clock_mono_us () - start_us);
        if (answer_status (answer) != 201)
            die ("a submit was answered", answer);
        str_clear (&json);
        str_format (&json,
                    "{\"method\":\"GET\",\"path\":\"/api/v1/search\",\"query\":{\"q\":\"%s\",\"limit\":1,"
                    "\"mode\":\"text\"}}",
                    word);
        do {
            answer = ask (client, str_span (&json), SPAN_EMPTY);
            searches++;
            if (answer_status (answer) != 200)
                die ("a search was answered", answer);
            if (clock_mono_us () > start_us + PATIENCE_US)
                die ("a note was never found", answer);
        } while (!memmem (answer.data, answer.size, "\"document_id\"", 13));
        latencies[i] = (uint32_t)(clock_mono_us () - start_us);
    }
    str_key_u64 (out, "count", count);
    str_format (out, ",\"searches_each\":%.1f", (double)searches / (double)count);
    print_latencies (out, latencies, count);
    qsort (submits, count, sizeof *submits, compare);
    str_key_u64 (out, "submit_p50_us", quantile (submits, count, 0.5));
    str_free (&note);
    str_free (&json);
    free (latencies);
    free (submits);
}

int main (int argc, char **argv)
{
    err_t err;
    options_t *options = options_new (table, argc, argv, &err);
    if (!options) {
        fprintf (stderr, "bench-load: %s\n", err.message);
        return 2;
    }
    size_t client_count = options_number (options, "clients");
    if (options_help_wanted (options) || options_argc (options) != 1 || client_count < 1 ||
        client_count > CLIENTS_MAX) {
        options_print_help (table, "bench-load submit|pipeline|latency [OPTIONS]");
        return options_help_wanted (options) ? 0 : 2;
    }
    const char *mode = options_arg (options, 0);
    void *context = zmq_ctx_new ();
    requests_t clients[CLIENTS_MAX];
    open_all (clients, client_count, context, options_text (options, "req"));
    str_t out = STR_INIT;
    str_char (&out, '{');
    if (strcmp (mode, "submit") == 0)
        run_submit (options, clients, client_count, &out);
    else if (strcmp (mode, "pipeline") == 0)
        run_pipeline (options, clients, client_count, &out);
    else if (strcmp (mode, "latency") == 0)
        run_latency (options, clients, &out);
    else
        die ("no such measurement", span_str (mode));
    str_text (&out, "}\n");
    fputs (out.data, stdout);
    for (size_t i = 0; i < client_count; i++)
        requests_close (&clients[i]);
    zmq_ctx_term (context);
    str_free (&out);
    options_destroy (&options);
    return 0;
}
