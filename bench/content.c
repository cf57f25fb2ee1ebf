/*  content.c: measures the content library alone, in one process.
 *
 *    bench-content retrieval DIR…      nDCG@10 of text, vector and hybrid search on sets of docs.jsonl, queries.jsonl
 *                                      and qrels.tsv
 *    bench-content write DIR [NOTES]   writes NOTES notes of about 5 KB, cut from the *.txt below DIR, in batches of
 * 64, and then searches them The database is made in a new directory below $TMPDIR and removed at the end.
 */
#include "store/content.h"
#include "base/clock.h"
#include "stages/embed/provider.h"
#include "wire/columns.h"
#include "wire/vectors.h"

#include <dirent.h>
#include <ftw.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define BATCH      64u
#define CHUNK_SIZE 1000u
#define NOTE_SIZE  5000u

static void check (int rc, const err_t *err)
{
    if (rc < 0) {
        fprintf (stderr, "bench-content: %s\n", err->message);
        exit (1);
    }
}

static int remove_one (const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    return remove (path);
}

static char *make_dir (void)
{
    char *dir = NULL;
    const char *parent = getenv ("TMPDIR");
    if (asprintf (&dir, "%s/myelin-bench-XXXXXX", parent ? parent : "/tmp") < 0 || !mkdtemp (dir))
        exit (1);
    return dir;
}

static str_t read_all (const char *path)
{
    str_t text = STR_INIT;
    FILE *file = fopen (path, "rb");
    char piece[65536];
    for (size_t got; file && (got = fread (piece, 1, sizeof piece, file)) > 0;)
        str_add (&text, span (piece, got));
    if (file)
        fclose (file);
    return text;
}

/*  Chunks of about CHUNK_SIZE bytes that end with a sentence. */
static void cut_chunks (span_t text, str_t *spans)
{
    for (size_t start = 0; start < text.size;) {
        size_t end = start + CHUNK_SIZE;
        if (end >= text.size) {
            end = text.size;
        } else {
            size_t at = end;
            while (at > start + CHUNK_SIZE / 2 && !(text.data[at - 1] == '.' && (unsigned char)text.data[at] <= ' '))
                at--;
            while (at == start + CHUNK_SIZE / 2 && end < text.size && (unsigned char)text.data[end] > ' ')
                end++;
            end = at > start + CHUNK_SIZE / 2 ? at : end;
        }
        chunk_span_add (spans, (chunk_span_t){ (uint32_t)start, (uint32_t)end, (uint32_t)(end - start) / 5 });
        start = end;
        while (start < text.size && (unsigned char)text.data[start] <= ' ')
            start++;
    }
}

typedef struct {
    wire_job_t job;
    str_t text, spans;
    buf_t *vectors;
} note_t;

static note_t make_note (provider_t *provider, const char *user, span_t text)
{
    note_t note = { .job = { .user = span_str (user),
                             .document = uuid_new (),
                             .action = JOB_SEGMENT,
                             .revision = 1,
                             .filename = span_str ("note.txt"),
                             .final = 1,
                             .segments = 1 } };
    err_t err;
    str_add (&note.text, text);
    cut_chunks (str_span (&note.text), &note.spans);
    size_t count = chunk_span_count (str_span (&note.spans));
    float *rows = calloc (count + 1, provider_dims (provider) * sizeof *rows);
    note.vectors = vectors_new (provider_model (provider), (uint32_t)count, provider_dims (provider));
    span_t *texts = calloc (count + 1, sizeof *texts);
    for (size_t i = 0; i < count; i++) {
        chunk_span_t chunk = chunk_span_at (str_span (&note.spans), i);
        texts[i] = span (note.text.data + chunk.start, chunk.end - chunk.start);
    }
    check (provider_embed (provider, texts, count, rows, &err), &err);
    vectors_set (note.vectors, 0, (uint32_t)count, rows);
    free (rows);
    free (texts);
    return note;
}

static void free_note (note_t *note)
{
    str_free (&note->text);
    str_free (&note->spans);
    buf_unref (&note->vectors);
}

static void apply (content_t *content, note_t *notes, size_t count)
{
    content_change_t changes[BATCH] = { 0 };
    err_t err;
    for (size_t i = 0; i < count; i++) {
        changes[i].job = &notes[i].job;
        changes[i].columns[1] = str_span (&notes[i].text);
        if (!changes[i].columns[1].data)
            changes[i].columns[1].data = "";
        changes[i].columns[3] = str_span (&notes[i].spans);
        changes[i].columns[4] = buf_span (notes[i].vectors);
    }
    check (content_apply (content, changes, count, &err), &err);
    for (size_t i = 0; i < count; i++)
        check (changes[i].rc, &changes[i].err);
}

/*  --- retrieval --- */

typedef struct {
    uuid_t document;
    char name[128];
} doc_t;

typedef struct {
    uuid_t documents[200];
    size_t count;
} ranking_t;

static bool rank (void *visitor, const content_hit_t *hit)
{
    ranking_t *ranking = visitor;
    for (size_t i = 0; i < ranking->count; i++)
        if (uuid_eq (ranking->documents[i], hit->document))
            return true;
    ranking->documents[ranking->count++] = hit->document;
    return true;
}

static double gain (const str_t *qrels, const char *query, const char *document)
{
    char key[400];
    snprintf (key, sizeof key, "\n%s\t%s\t", query, document);
    const char *at = strstr (qrels->data, key);
    return at ? atof (at + strlen (key)) : 0;
}

static int descending (const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

static double best_dcg (const str_t *qrels, const char *query)
{
    char key[200];
    double grades[1000], sum = 0;
    size_t count = 0;
    snprintf (key, sizeof key, "\n%s\t", query);
    for (const char *at = qrels->data; (at = strstr (at, key)) && count < 1000;) {
        at += strlen (key);
        at = strchr (at, '\t') + 1;
        grades[count++] = atof (at);
    }
    qsort (grades, count, sizeof *grades, descending);
    for (size_t i = 0; i < count && i < 10; i++)
        sum += grades[i] / log2 ((double)i + 2);
    return sum;
}

static size_t load_docs (content_t *content, provider_t *provider, const char *dir, doc_t **docs)
{
    char path[4096];
    snprintf (path, sizeof path, "%s/docs.jsonl", dir);
    FILE *file = fopen (path, "r");
    char *line = NULL;
    size_t room = 0, count = 0;
    *docs = NULL;
    while (file && getline (&line, &room, file) > 0) {
        json_t *json = json_loads (line, 0, NULL);
        str_t text = STR_INIT;
        const char *title = json_string_value (json_object_get (json, "title"));
        const char *body = json_string_value (json_object_get (json, "text"));
        if (title)
            str_text (&text, title);
        str_text (&text, "\n\n");
        str_text (&text, body ? body : "");
        note_t note = make_note (provider, dir, str_span (&text));
        apply (content, &note, 1);
        *docs = realloc (*docs, (count + 1) * sizeof **docs);
        doc_t *doc = &(*docs)[count++];
        doc->document = note.job.document;
        snprintf (doc->name, sizeof doc->name, "%s", json_string_value (json_object_get (json, "id")));
        free_note (&note);
        str_free (&text);
        json_decref (json);
    }
    free (line);
    if (file)
        fclose (file);
    return count;
}

static double ask (content_reader_t *reader, provider_t *provider, const char *user, const char *id, const char *text,
                   search_mode_t mode, const doc_t *docs, size_t doc_count, const str_t *qrels)
{
    float vector[4096];
    err_t err;
    ranking_t ranking = { 0 };
    span_t query_text = span_str (text);
    check (provider_embed (provider, &query_text, 1, vector, &err), &err);
    content_query_t query = { .user = span_str (user),
                              .text = query_text,
                              .limit = 50,
                              .mode = mode,
                              .vector = vector,
                              .dims = provider_dims (provider),
                              .model = provider_model (provider) };
    check (content_search (reader, &query, rank, &ranking, &err), &err);
    double sum = 0;
    for (size_t i = 0; i < ranking.count && i < 10; i++)
        for (size_t d = 0; d < doc_count; d++)
            if (uuid_eq (docs[d].document, ranking.documents[i]))
                sum += gain (qrels, id, docs[d].name) / log2 ((double)i + 2);
    return sum / best_dcg (qrels, id);
}

static void measure_set (content_t *content, provider_t *provider, const char *dir)
{
    static const char *const modes[] = { "hybrid", "text", "vector" };
    char path[4096];
    doc_t *docs;
    err_t err;
    size_t count = load_docs (content, provider, dir, &docs);
    content_reader_t *reader = content_reader_new (content, &err);
    check (reader ? 0 : -1, &err);
    snprintf (path, sizeof path, "%s/qrels.tsv", dir);
    str_t qrels = read_all (path);
    snprintf (path, sizeof path, "%s/queries.jsonl", dir);
    double sums[3] = { 0 };
    size_t queries = 0;
    FILE *file = fopen (path, "r");
    char *line = NULL;
    size_t room = 0;
    while (file && getline (&line, &room, file) > 0) {
        json_t *json = json_loads (line, 0, NULL);
        const char *id = json_string_value (json_object_get (json, "id"));
        const char *text = json_string_value (json_object_get (json, "text"));
        if (best_dcg (&qrels, id) > 0) {
            for (int mode = 0; mode < 3; mode++)
                sums[mode] += ask (reader, provider, dir, id, text, (search_mode_t)mode, docs, count, &qrels);
            queries++;
        }
        json_decref (json);
    }
    const char *name = strrchr (dir, '/');
    printf ("%-12s %5zu documents %4zu queries  nDCG@10", name ? name + 1 : dir, count, queries);
    for (int mode = 0; mode < 3; mode++)
        printf ("  %s %.3f", modes[mode], sums[mode] / (double)queries);
    printf ("\n");
    free (line);
    if (file)
        fclose (file);
    str_free (&qrels);
    free (docs);
    content_reader_destroy (&reader);
}

/*  --- writing and searching --- */

static int add_text (const char *path, str_t *all)
{
    size_t size = strlen (path);
    if (size < 4 || strcmp (path + size - 4, ".txt") != 0)
        return 0;
    str_t text = read_all (path);
    str_add (all, str_span (&text));
    str_free (&text);
    return 0;
}

static str_t *collected;
static int collect_one (const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    return kind == FTW_F ? add_text (path, collected) : 0;
}

static double cpu_seconds (void)
{
    struct rusage usage;
    getrusage (RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static long resident_kb (void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen ("/proc/self/statm", "r");
    if (file && fscanf (file, "%ld %ld", &pages, &resident) != 2)
        resident = 0;
    if (file)
        fclose (file);
    return resident * 4;
}

static bool ignore (void *visitor, const content_hit_t *hit)
{
    ++*(size_t *)visitor;
    return true;
}

static void measure_search (content_t *content, provider_t *provider, span_t all)
{
    static const char *const modes[] = { "hybrid", "text", "vector" };
    err_t err;
    content_reader_t *reader = content_reader_new (content, &err);
    check (reader ? 0 : -1, &err);
    enum { QUERIES = 300 };
    for (int mode = 0; mode < 3; mode++) {
        double times[QUERIES];
        size_t hits = 0;
        uint64_t seed = 42;
        for (size_t i = 0; i < QUERIES; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            size_t at = (seed >> 20) % (all.size - 100);
            while (at < all.size && (unsigned char)all.data[at] > ' ')
                at++;
            span_t text = span (all.data + at, 30); /* about four words in a row */
            float vector[4096];
            uint64_t start = clock_mono_us ();
            check (provider_embed (provider, &text, 1, vector, &err), &err);
            content_query_t query = { .user = span_str ("bench"),
                                      .text = text,
                                      .limit = 10,
                                      .mode = (search_mode_t)mode,
                                      .vector = vector,
                                      .dims = provider_dims (provider),
                                      .model = provider_model (provider) };
            check (content_search (reader, &query, ignore, &hits, &err), &err);
            times[i] = (double)(clock_mono_us () - start) / 1000;
            if (i == 0)
                printf ("search %-6s first %.2f ms", modes[mode], times[0]);
        }
        qsort (times, QUERIES, sizeof *times, descending);
        printf ("  p50 %.2f ms  p99 %.2f ms  (%zu hits)\n", times[QUERIES / 2], times[QUERIES / 100], hits);
    }
    content_reader_destroy (&reader);
}

static void measure_write (content_t *content, provider_t *provider, const char *dir, size_t wanted)
{
    str_t all = STR_INIT;
    collected = &all;
    nftw (dir, collect_one, 16, FTW_PHYS);
    if (all.size < 2 * NOTE_SIZE)
        exit (1);
    size_t bytes = 0, chunks = 0, done = 0;
    uint64_t spent = 0, worst = 0;
    double cpu = 0;
    for (size_t at = 0; done < wanted;) {
        note_t notes[BATCH];
        size_t count = 0;
        for (; count < BATCH && done + count < wanted; count++) {
            size_t end = at + NOTE_SIZE;
            if (end + 8 > all.size)
                at = 0, end = NOTE_SIZE;
            while (((unsigned char)all.data[end] & 0xC0) == 0x80)
                end++;
            notes[count] = make_note (provider, "bench", span (all.data + at, end - at));
            bytes += end - at;
            chunks += chunk_span_count (str_span (&notes[count].spans));
            at = end;
        }
        double cpu_before = cpu_seconds ();
        uint64_t start = clock_mono_us (), took;
        apply (content, notes, count);
        took = clock_mono_us () - start;
        spent += took;
        worst = took > worst ? took : worst;
        cpu += cpu_seconds () - cpu_before;
        done += count;
        for (size_t i = 0; i < count; i++)
            free_note (&notes[i]);
    }
    content_stats_t stats = content_stats (content);
    double seconds = (double)spent / 1e6;
    printf (
        "write %zu notes, %.1f MB, %zu chunks: %.0f notes/s  %.1f MB/s  (%.2f s, cpu %.2f s, worst batch %.1f ms)\n",
        done, (double)bytes / 1e6, chunks, (double)done / seconds, (double)bytes / 1e6 / seconds, seconds, cpu,
        (double)worst / 1000);
    printf ("  database %.2f s  index %.2f s  vectors in memory %.2f s  preparing %.2f s  resident %ld MB\n",
            (double)stats.database_us / 1e6, (double)stats.index_us / 1e6, (double)stats.vectors_us / 1e6,
            seconds - (double)(stats.database_us + stats.index_us + stats.vectors_us) / 1e6, resident_kb () / 1024);
    measure_search (content, provider, str_span (&all));
    printf ("  resident %ld MB\n", resident_kb () / 1024);
    str_free (&all);
}

int main (int argc, char **argv)
{
    if (argc < 3) {
        fprintf (stderr, "usage: bench-content retrieval DIR… | write DIR [NOTES]\n");
        return 2;
    }
    err_t err;
    char *dir = make_dir ();
    content_config_t config = { dir, 64u << 20 };
    provider_t *provider = provider_new ("hash", &err);
    content_t *content = content_open (&config, &err);
    check (content && provider ? 0 : -1, &err);
    if (strcmp (argv[1], "retrieval") == 0)
        for (int i = 2; i < argc; i++)
            measure_set (content, provider, argv[i]);
    else
        measure_write (content, provider, argv[2], argc > 3 ? (size_t)atol (argv[3]) : 10000);
    content_close (&content);
    provider_destroy (&provider);
    char command[4096];
    snprintf (command, sizeof command, "du -sk '%s'/*", dir);
    fflush (stdout);
    if (system (command) != 0)
        fprintf (stderr, "bench-content: cannot measure %s\n", dir);
    nftw (dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free (dir);
    return 0;
}
