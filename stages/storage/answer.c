#include "stages/storage/answer.h"
#include "base/clock.h"
#include "base/utf8.h"

#include <stdlib.h>

#define SEARCH_LIMIT 10u /* when the asker says 0 */
#define SEARCH_MOST  200u
#define CHUNKS_LIMIT 100u
#define CHUNKS_MOST  1000u
/*  A reply has to fit into a message of 64 MiB, even when every byte of the text is written as six. */
#define PAGE_BYTES     (8u << 20)  /* a page of chunks that is longer ends, with a cursor */
#define HIT_TEXT_BYTES (32u << 10) /* of one hit's text; chunks that are longer are mostly blanks */
#define HITS_BYTES     (32u << 20) /* hits beyond are left out: only a hostile document makes them so long */

static uint32_t limit_of (uint32_t asked, uint32_t fallback, uint32_t most)
{
    return asked == 0 ? fallback : asked > most ? most : asked;
}

static void add_separator (str_t *body)
{
    if (body->size && body->data[body->size - 1] != '[')
        str_char (body, ',');
}

static void add_place (str_t *body, const content_place_t *place)
{
    if (place->page)
        str_key_u64 (body, "page", place->page);
    if (place->slide)
        str_key_u64 (body, "slide", place->slide);
    if (place->sheet.size)
        str_key_str (body, "sheet", place->sheet);
    if (place->heading.size)
        str_key_str (body, "heading", place->heading);
    if (place->path.size)
        str_key_str (body, "path", place->path);
    if (place->has_time)
        str_key_u64 (body, "time_ms", place->time_ms);
}

static span_t cut_text (span_t text)
{
    return text.size <= HIT_TEXT_BYTES ? text : span (text.data, utf8_cut (text, HIT_TEXT_BYTES));
}

static bool add_hit (void *visitor, const content_hit_t *hit)
{
    str_t *body = visitor;
    char id[UUID_TEXT];
    uuid_text (hit->document, id);
    add_separator (body);
    str_char (body, '{');
    str_key_str (body, "document_id", span_str (id));
    str_key_str (body, "filename", hit->filename.data ? hit->filename : span_str (""));
    str_key_u64 (body, "chunk", hit->chunk);
    str_key (body, "score");
    str_format (body, "%.6g", hit->score);
    str_key_str (body, "text", cut_text (hit->text));
    str_key_str (body, "snippet", hit->snippet);
    add_place (body, &hit->place);
    str_key_u64 (body, "start", hit->start);
    str_key_u64 (body, "end", hit->end);
    str_char (body, '}');
    return body->size < HITS_BYTES;
}

typedef struct {
    str_t *body;
    uint32_t count;
} chunk_page_t;

static bool add_chunk (void *visitor, const content_hit_t *hit)
{
    chunk_page_t *page = visitor;
    str_t *body = page->body;
    add_separator (body);
    str_char (body, '{');
    str_key_u64 (body, "index", hit->chunk);
    str_key_str (body, "text", hit->text);
    str_key_u64 (body, "start", hit->start);
    str_key_u64 (body, "end", hit->end);
    str_key_u64 (body, "tokens", hit->tokens);
    add_place (body, &hit->place);
    str_char (body, '}');
    page->count++;
    return body->size < PAGE_BYTES;
}

/*  A vector without direction (no word in the query) is like nothing. */
static bool has_direction (const float *vector, uint32_t dims)
{
    for (uint32_t i = 0; i < dims; i++)
        if (vector[i] != 0)
            return true;
    return false;
}

static int search (content_reader_t *content, provider_t *provider, const wire_search_t *asked, str_t *body, err_t *err)
{
    uint64_t start = clock_mono_us ();
    uint32_t dims = provider_dims (provider);
    float *vector = calloc (dims + 1, sizeof *vector);
    int rc = -1;
    if (!vector)
        abort ();
    content_query_t query = { .user = asked->user,
                              .text = asked->query,
                              .limit = limit_of (asked->limit, SEARCH_LIMIT, SEARCH_MOST),
                              .mode = (search_mode_t)asked->mode,
                              .document = asked->document,
                              .dims = dims,
                              .model = provider_model (provider) };
    if (asked->mode > SEARCH_VECTOR) {
        err_set (err, ERR_INVALID_PARAMETER, "there is no search mode %u", asked->mode);
        goto out;
    }
    if (query.mode != SEARCH_TEXT && provider_embed (provider, &asked->query, 1, vector, err) < 0)
        goto out;
    query.vector = has_direction (vector, dims) ? vector : NULL;
    str_text (body, "{\"hits\":[");
    if (content_search (content, &query, add_hit, body, err) < 0)
        goto out;
    str_format (body, "],\"took_ms\":%.3f}", (double)(clock_mono_us () - start) / 1000.0);
    rc = 0;
out:
    free (vector);
    return rc;
}

static int chunks (content_reader_t *content, const wire_chunks_t *asked, str_t *body, err_t *err)
{
    uint32_t limit = limit_of (asked->limit, CHUNKS_LIMIT, CHUNKS_MOST);
    uint64_t total = 0;
    str_text (body, "{\"items\":[");
    chunk_page_t page = { .body = body };
    if (content_chunks (content, asked->user, asked->document, asked->cursor, limit, add_chunk, &page, &total, err) < 0)
        return -1;
    str_char (body, ']');
    if (asked->cursor < total && total - asked->cursor > page.count)
        str_format (body, ",\"next_cursor\":\"%llu\"}", (unsigned long long)asked->cursor + page.count);
    else
        str_text (body, ",\"next_cursor\":null}");
    return 0;
}

err_code_t answer (content_reader_t *content, provider_t *provider, const wire_msg_t *query, str_t *body, err_t *err)
{
    size_t before = body->size;
    int rc = 0;
    if (query->kind == WIRE_KIND_SEARCH)
        rc = search (content, provider, &query->search, body, err);
    else if (query->kind == WIRE_KIND_CHUNKS)
        rc = chunks (content, &query->chunks, body, err);
    else {
        if (query->kind == WIRE_KIND_CHECKPOINT)
            rc = content_reader_checkpoint (content, err);
        str_text (body, "{}");
    }
    if (rc == 0)
        return ERR_NONE;
    body->size = before;
    return err->code;
}
