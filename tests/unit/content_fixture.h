/*  content_fixture.h: a content in a directory of its own, and the jobs that tests speak to it in.
 *
 *  A text's chunks are its lines. Vectors are those of the hash provider.
 */
#ifndef TESTS_UNIT_CONTENT_FIXTURE_H
#define TESTS_UNIT_CONTENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stages/embed/provider.h"
#include "store/content.h"
#include "wire/columns.h"
#include "wire/vectors.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HITS_MAX 64
#ifndef FIXTURE_DIR
#define FIXTURE_DIR "/tmp"
#endif

typedef struct {
    char dir[64];
    size_t vector_memory;
    content_t *content;
    content_reader_t *reader;
    provider_t *provider, *asker; /* of documents; of queries, which another thread may make meanwhile */
} fixture_t;

typedef struct {
    uuid_t document;
    uint32_t chunk, segment, page;
    uint64_t start, end, revision;
    double score;
    char text[400], snippet[600], filename[64], heading[64], path[64];
} hit_t;

typedef struct {
    hit_t items[HITS_MAX];
    size_t count;
    uint64_t total;
} hits_t;

static inline void fixture_open (fixture_t *self)
{
    err_t err = { 0 };
    content_config_t config = { self->dir, self->vector_memory };
    self->content = content_open (&config, &err);
    if (!self->content)
        fail_msg ("%s", err.message);
    self->reader = content_reader_new (self->content, &err);
    assert_non_null (self->reader);
}

static inline void fixture_close (fixture_t *self)
{
    content_reader_destroy (&self->reader);
    content_close (&self->content);
}

static inline int fixture_setup (void **state)
{
    fixture_t *self = calloc (1, sizeof *self);
    err_t err;
    snprintf (self->dir, sizeof self->dir, FIXTURE_DIR "/myelin-content-XXXXXX");
    assert_non_null (mkdtemp (self->dir));
    self->vector_memory = 8u << 20;
    self->provider = provider_new ("hash", &err);
    self->asker = provider_new ("hash", &err);
    assert_non_null (self->provider);
    assert_non_null (self->asker);
    fixture_open (self);
    *state = self;
    return 0;
}

static inline int fixture_remove_one (const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    return remove (path);
}

static inline int fixture_teardown (void **state)
{
    fixture_t *self = *state;
    fixture_close (self);
    provider_destroy (&self->provider);
    provider_destroy (&self->asker);
    nftw (self->dir, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free (self);
    return 0;
}

/*  One job with the columns that belong to it. */
typedef struct {
    wire_job_t job;
    str_t text, spans, marks;
    buf_t *vectors;
} job_t;

static inline void job_clear (job_t *self)
{
    str_free (&self->text);
    str_free (&self->spans);
    str_free (&self->marks);
    buf_unref (&self->vectors);
}

static inline job_t job_plain (job_action_t action, const char *user, uuid_t document, uint64_t revision)
{
    return (job_t){ .job = { .action = (uint8_t)action,
                             .user = span_str (user),
                             .document = document,
                             .revision = revision,
                             .filename = span_str ("note.txt"),
                             .media_type = span_str ("text/plain") } };
}

static inline job_t job_segment (fixture_t *self, const char *user, uuid_t document, uint64_t revision,
                                 uint32_t segment, const char *text)
{
    job_t job = job_plain (JOB_SEGMENT, user, document, revision);
    err_t err;
    span_t lines[256];
    size_t count = 0;
    float *rows;
    job.job.segment = segment;
    str_text (&job.text, text);
    for (const char *at = text; *at;) {
        size_t size = strcspn (at, "\n");
        if (size) {
            uint32_t start = (uint32_t)(at - text);
            chunk_span_add (&job.spans, (chunk_span_t){ start, start + (uint32_t)size, 1 });
            lines[count++] = span (at, size);
        }
        at += size + (at[size] == '\n');
    }
    job.vectors = vectors_new (provider_model (self->provider), (uint32_t)count, provider_dims (self->provider));
    rows = calloc (count + 1, provider_dims (self->provider) * sizeof *rows);
    assert_int_equal (provider_embed (self->provider, lines, count, rows, &err), 0);
    vectors_set (job.vectors, 0, (uint32_t)count, rows);
    free (rows);
    return job;
}

static inline content_change_t job_change (const job_t *job)
{
    content_change_t change = { .job = &job->job };
    if (job->job.action != JOB_SEGMENT)
        return change;
    change.columns[1] = job->text.data ? str_span (&job->text) : span ("", 0);
    change.columns[2] = str_span (&job->marks);
    change.columns[3] = str_span (&job->spans);
    change.columns[4] = buf_span (job->vectors);
    return change;
}

/*  Applies one job and forgets it. */
static inline content_change_t apply_job (fixture_t *self, job_t job)
{
    err_t err = { 0 };
    content_change_t change = job_change (&job);
    if (content_apply (self->content, &change, 1, &err) < 0)
        fail_msg ("%s", err.message);
    job_clear (&job);
    return change;
}

static inline content_change_t put_segment (fixture_t *self, const char *user, uuid_t document, uint64_t revision,
                                            uint32_t segment, const char *text)
{
    return apply_job (self, job_segment (self, user, document, revision, segment, text));
}

/*  A whole document of one segment. */
static inline content_change_t put_note (fixture_t *self, const char *user, uuid_t document, uint64_t revision,
                                         const char *text)
{
    job_t job = job_segment (self, user, document, revision, 0, text);
    job.job.final = 1;
    job.job.segments = 1;
    return apply_job (self, job);
}

static inline content_change_t put_commit (fixture_t *self, const char *user, uuid_t document, uint64_t revision,
                                           uint32_t segments)
{
    job_t job = job_plain (JOB_COMMIT, user, document, revision);
    job.job.segments = segments;
    return apply_job (self, job);
}

static inline void tidy_up (fixture_t *self)
{
    err_t err;
    int more;
    while ((more = content_tidy (self->content, &err)) == 1)
        ;
    assert_int_equal (more, 0);
}

#define KEEP(field, value) snprintf (item->field, sizeof item->field, "%.*s", SPAN_ARG (value))
static inline bool keep_hit (void *visitor, const content_hit_t *hit)
{
    hits_t *hits = visitor;
    assert_true (hits->count < HITS_MAX);
    hit_t *item = &hits->items[hits->count++];
    item->document = hit->document;
    item->chunk = hit->chunk;
    item->segment = hit->segment;
    item->revision = hit->revision;
    item->start = hit->start;
    item->end = hit->end;
    item->score = hit->score;
    item->page = hit->place.page;
    KEEP (text, hit->text);
    KEEP (snippet, hit->snippet);
    KEEP (filename, hit->filename);
    KEEP (heading, hit->place.heading);
    KEEP (path, hit->place.path);
    return true;
}
#undef KEEP

static inline hits_t search_in (fixture_t *self, const char *user, const char *text, search_mode_t mode, uint32_t limit,
                                uuid_t document)
{
    hits_t hits = { 0 };
    err_t err = { 0 };
    float *vector = calloc (provider_dims (self->asker), sizeof *vector);
    span_t words = span_str (text);
    assert_int_equal (provider_embed (self->asker, &words, 1, vector, &err), 0);
    content_query_t query = { .user = span_str (user),
                              .text = words,
                              .limit = limit,
                              .mode = mode,
                              .document = document,
                              .vector = vector,
                              .dims = provider_dims (self->asker),
                              .model = provider_model (self->asker) };
    if (content_search (self->reader, &query, keep_hit, &hits, &err) < 0)
        fail_msg ("%s", err.message);
    free (vector);
    return hits;
}

static inline hits_t search_for (fixture_t *self, const char *user, const char *text, search_mode_t mode)
{
    return search_in (self, user, text, mode, 10, (uuid_t){ 0 });
}

/*  Chunks of the visible revision; count 0 and *code set when there are none. */
static inline hits_t chunks_of (fixture_t *self, const char *user, uuid_t document, uint64_t first, uint32_t limit,
                                err_code_t *code)
{
    hits_t hits = { 0 };
    err_t err = { 0 };
    int rc = content_chunks (self->reader, span_str (user), document, first, limit, keep_hit, &hits, &hits.total, &err);
    *code = rc < 0 ? err.code : ERR_NONE;
    return hits;
}

#endif
