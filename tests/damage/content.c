/*  The storage stage's content: documents in the database, their words in the index. */
#include "tests/damage/damage.h"
#include "tests/unit/content_fixture.h"

#define DOCUMENTS 10 /* of a life */
#define SEGMENTS  2
#define ALL       (LIVES * DOCUMENTS)

static uuid_t id_of (int number)
{
    uuid_t id = { { 0x01, 0x90 } };
    id.bytes[15] = (uint8_t)(number + 1);
    return id;
}

static const char *user_of (int number)
{
    return number % 3 ? "ana" : "rui";
}

static void text_of (int number, int segment, int revision, char text[2000])
{
    static const char *const words[] = { "harbour", "lantern", "orchard", "quartz", "velvet", "thunder", "meadow" };
    uint64_t seed = (uint64_t)(number * 10 + segment);
    size_t size = (size_t)sprintf (text, "own%dx%dx%d begins\n", number, segment, revision);
    for (int line = 0; line < 5; line++) {
        for (int i = 0; i < 20; i++)
            size += (size_t)sprintf (text + size, "%s ", words[dice (&seed, 7)]);
        size += (size_t)sprintf (text + size, "line %d\n", line);
    }
}

/*  Every fifth document is written again in the next life: its first revision is removed. Every seventh is dropped. */
static bool is_again (int number)
{
    return number % 5 == 2;
}

static bool is_dropped (int number)
{
    return number % 7 == 4;
}

static void put_document (fixture_t *self, int number, int revision)
{
    char text[2000];
    for (uint32_t segment = 0; segment < SEGMENTS; segment++) {
        text_of (number, (int)segment, revision, text);
        put_segment (self, user_of (number), id_of (number), (uint64_t)revision, segment, text);
    }
    put_commit (self, user_of (number), id_of (number), (uint64_t)revision, SEGMENTS);
}

static void fixture_start (fixture_t *self, const char *dir)
{
    err_t err;
    *self = (fixture_t){ .vector_memory = 8u << 20 };
    snprintf (self->dir, sizeof self->dir, "%s", dir);
    self->provider = provider_new ("hash", &err);
    self->asker = provider_new ("hash", &err);
}

static void content_write (const char *dir, int life)
{
    fixture_t self;
    fixture_start (&self, dir);
    fixture_open (&self);
    for (int number = life * DOCUMENTS; number < (life + 1) * DOCUMENTS; number++) {
        put_document (&self, number, 1);
        int before = number - DOCUMENTS;
        if (before >= 0 && is_again (before))
            put_document (&self, before, 2);
        if (before >= 0 && is_dropped (before))
            apply_job (&self, job_plain (JOB_DROP_DOCUMENT, user_of (before), id_of (before), 0));
        tidy_up (&self);
    }
    if (life + 1 == LIVES)
        _exit (0);
    fixture_close (&self);
    provider_destroy (&self.provider);
    provider_destroy (&self.asker);
}

static int lost_from = ALL; /* documents from here on may be missing, as a whole */

static int revision_now (int number)
{
    bool later = number + DOCUMENTS < ALL;
    return later && is_dropped (number) ? 0 : later && is_again (number) ? 2 : 1;
}

typedef struct {
    fixture_t fixture;
    char *why;
    int damaged;
} look_t;

static bool wrong (look_t *self, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
static bool wrong (look_t *self, const char *format, ...)
{
    va_list list;
    va_start (list, format);
    vsnprintf (self->why, WHY_SIZE, format, list);
    va_end (list);
    return false;
}

/*  A failed read: fine when it says that it met damage. */
static bool failed (look_t *self, const err_t *err, const char *doing)
{
    self->damaged++;
    return err->code == ERR_CORRUPT || wrong (self, "%s: %s", doing, err->message);
}

/*  All chunks of a document against what was written. *damaged: its reading failed. */
static bool check_chunks (look_t *self, int number, bool *damaged)
{
    hits_t *hits = calloc (1, sizeof *hits);
    err_t err = { 0 };
    int revision = revision_now (number);
    int rc = content_chunks (self->fixture.reader, span_str (user_of (number)), id_of (number), 0, HITS_MAX, keep_hit,
                             hits, &hits->total, &err);
    bool good = true;
    *damaged = false;
    if (rc < 0 && err.code == ERR_NOT_FOUND && number >= lost_from)
        *damaged = true;
    else if (rc < 0 && err.code == ERR_NOT_FOUND)
        good = revision == 0 || wrong (self, "document %d is missing", number);
    else if (rc < 0)
        good = *damaged = failed (self, &err, "chunks");
    else if (!revision)
        good = wrong (self, "document %d is back", number);
    else if (hits->count != SEGMENTS * 6)
        good = wrong (self, "document %d has %zu chunks", number, hits->count);
    for (size_t i = 0; rc == 0 && good && i < hits->count; i++) {
        char text[2000];
        text_of (number, (int)i / 6, revision, text);
        char *line = text;
        for (size_t skip = 0; skip < i % 6; skip++)
            line = strchr (line, '\n') + 1;
        *strchr (line, '\n') = 0;
        good = strcmp (hits->items[i].text, line) == 0 || wrong (self, "document %d, chunk %zu is wrong", number, i);
    }
    free (hits);
    return good;
}

static int search_one (look_t *self, int number, int segment, int revision, search_mode_t mode, hits_t *hits,
                       err_t *err)
{
    char text[32];
    float *vector = calloc (provider_dims (self->fixture.asker), sizeof *vector);
    sprintf (text, "own%dx%dx%d", number, segment, revision);
    span_t words = span_str (text);
    provider_embed (self->fixture.asker, &words, 1, vector, err);
    content_query_t query = { .user = span_str (user_of (number)),
                              .text = words,
                              .limit = 20,
                              .mode = mode,
                              .vector = vector,
                              .dims = provider_dims (self->fixture.asker),
                              .model = provider_model (self->fixture.asker) };
    memset (hits, 0, sizeof *hits);
    int rc = content_search (self->fixture.reader, &query, keep_hit, hits, err);
    free (vector);
    return rc;
}

/*  The document's own words are found once, and those of what is gone are not. `excused`: it cannot be read. */
static bool check_search (look_t *self, int number, bool excused)
{
    hits_t *hits = calloc (1, sizeof *hits);
    bool good = true;
    for (int revision = 1; revision <= 2 && good; revision++)
        for (int segment = 0; segment < SEGMENTS && good; segment++) {
            err_t err = { 0 };
            size_t wanted = revision == revision_now (number);
            if (search_one (self, number, segment, revision, SEARCH_TEXT, hits, &err) < 0)
                good = failed (self, &err, "search");
            else if (hits->count != wanted && !(excused && hits->count == 0))
                good = wrong (self, "own%dx%dx%d is found %zu times", number, segment, revision, hits->count);
            else if (hits->count && !uuid_eq (hits->items[0].document, id_of (number)))
                good = wrong (self, "own%dx%dx%d is found elsewhere", number, segment, revision);
            if (good && search_one (self, number, segment, revision, SEARCH_HYBRID, hits, &err) < 0)
                good = failed (self, &err, "hybrid search");
            else if (good && wanted && !excused && (!hits->count || !strstr (hits->items[0].text, " begins")))
                good = wrong (self, "own%dx%dx%d is not the first of %zu", number, segment, revision, hits->count);
        }
    free (hits);
    return good;
}

static verdict_t content_check (const char *dir, int lost, char why[WHY_SIZE])
{
    look_t self = { .why = why };
    err_t err = { 0 };
    fixture_start (&self.fixture, dir);
    lost_from = ALL - lost;
    content_config_t config = { dir, self.fixture.vector_memory };
    self.fixture.content = content_open (&config, &err);
    if (self.fixture.content)
        self.fixture.reader = content_reader_new (self.fixture.content, &err);
    bool good = true, damaged;
    verdict_t verdict = VERDICT_REFUSED;
    if (!self.fixture.reader) {
        snprintf (why, WHY_SIZE, "%s", err.message);
        if (err.code != ERR_CORRUPT || !strstr (err.message, dir))
            verdict = VERDICT_WRONG;
    } else {
        for (int number = 0; number < ALL && good; number++)
            good = check_chunks (&self, number, &damaged) && check_search (&self, number, damaged);
        verdict = !good ? VERDICT_WRONG : self.damaged ? VERDICT_PARTLY : VERDICT_WHOLE;
    }
    if (self.fixture.reader)
        content_reader_destroy (&self.fixture.reader);
    content_close (&self.fixture.content);
    provider_destroy (&self.fixture.provider);
    provider_destroy (&self.fixture.asker);
    return verdict;
}

const subject_t content_subject = { "content", content_write, content_check };
