/*  The content's segments: their four families side by side, in the order of their common key, so that each value is
 *  read once; and the text index against them.
 */
#include "integrity/verify_private.h"

#include "store/index_check.h"
#include "store/kv_skip.h"
#include "wire/columns.h"

#define KEY_REST (UUID_SIZE + 8 + 4)

static const content_family_t columns[] = { CONTENT_SEGMENTS, CONTENT_TEXT, CONTENT_MARKS, CONTENT_VECTORS };
enum { SEGMENT, TEXT, MARKS, VECTORS, COLUMNS };

typedef struct {
    verify_t *verify;
    kv_iter_t *its[COLUMNS];
    str_t last[COLUMNS];
    index_check_t *index;
    /* the document of the last segment */
    str_t document_key, document_bytes;
    content_document_t document;
    int got_document;
} walk_t;

/*  --- the walk --- */

/*  Stands on something that can be read, or at the end. */
static void settle (walk_t *self, int column)
{
    kv_iter_t *it = self->its[column];
    err_t err;
    while (!it->ops->valid (it) && it->ops->check (it, &err) < 0) {
        span_t last = str_span (&self->last[column]);
        finding_t finding = verify_finding (PLACE_CONTENT, columns[column], FINDING_UNREADABLE, last, FIX_SALVAGE);
        report (self->verify->report, &finding, "what follows %s cannot be read: %s",
                last.size ? "this record" : "the beginning", err.message);
        if (!kv_iter_skip (it, last))
            return;
    }
    if (it->ops->valid (it)) {
        self->verify->report->records++;
        self->verify->report->record_bytes += it->ops->key (it).size + it->ops->value (it).size;
        str_clear (&self->last[column]);
        str_add (&self->last[column], it->ops->key (it));
    }
}

static void step (walk_t *self, int column)
{
    self->its[column]->ops->step (self->its[column], true);
    settle (self, column);
}

static int compare (span_t a, span_t b)
{
    size_t least = a.size < b.size ? a.size : b.size;
    int order = memcmp (a.data, b.data, least);
    return order ? order : a.size < b.size ? -1 : a.size > b.size;
}

/*  The smallest key that any of the four stands on; false at the end. */
static bool next_key (walk_t *self, str_t *key)
{
    span_t least = SPAN_EMPTY;
    for (int i = 0; i < COLUMNS; i++) {
        kv_iter_t *it = self->its[i];
        if (it->ops->valid (it) && (!least.data || compare (it->ops->key (it), least) < 0))
            least = it->ops->key (it);
    }
    str_clear (key);
    if (least.data)
        str_add (key, least);
    return least.data != NULL;
}

static bool stands_on (const walk_t *self, int column, span_t key)
{
    kv_iter_t *it = self->its[column];
    return it->ops->valid (it) && span_eq (it->ops->key (it), key);
}

/*  --- one segment --- */

typedef struct {
    span_t key, user;
    uuid_t document;
    uint64_t revision;
    uint32_t segment;
} name_t;

static uint32_t number_at (const char *at)
{
    uint32_t number = 0;
    for (int i = 0; i < 4; i++)
        number = number << 8 | (unsigned char)at[i];
    return number;
}

static void find_document (walk_t *self, const name_t *name)
{
    record_key (&self->verify->key, name->user, name->document);
    if (span_eq (str_span (&self->verify->key), str_span (&self->document_key)))
        return;
    str_clear (&self->document_key);
    str_add (&self->document_key, str_span (&self->verify->key));
    self->document = (content_document_t){ 0 };
    self->got_document = verify_get_content (self->verify, CONTENT_DOCUMENTS, str_span (&self->document_key),
                                             &content_document_shape, &self->document, &self->document_bytes);
}

/*  What the key's columns hold, as far as it is wrong; else NULL, and the index is told. */
static const char *check_columns (walk_t *self, const name_t *name, err_t *why)
{
    span_t value[COLUMNS] = { 0 };
    content_segment_t segment;
    content_rows_of_t rows;
    vectors_t vectors = { 0 };
    mark_t mark;
    size_t at = 0;
    int more;
    verify_t *verify = self->verify;
    for (int i = 0; i < COLUMNS; i++)
        if (stands_on (self, i, name->key))
            value[i] = self->its[i]->ops->value (self->its[i]);
    if (content_decode (&content_segment_shape, value[SEGMENT], &segment, why) < 0)
        return why->message;
    if (!value[TEXT].data)
        return "its text is missing";
    if (!value[TEXT].size || (value[MARKS].data && !value[MARKS].size))
        return "its text or marks are damaged";
    span_t text = span (value[TEXT].data + 1, value[TEXT].size - 1); /* behind the format byte */
    if (chunk_spans_check (segment.spans, text.size, why) < 0)
        return why->message;
    span_t marks = value[MARKS].data ? span (value[MARKS].data + 1, value[MARKS].size - 1) : SPAN_EMPTY;
    while ((more = mark_next (marks, &at, &mark)) == 1)
        ;
    if (more < 0)
        return "its marks are damaged";
    if (value[VECTORS].data && content_vectors (value[VECTORS], &vectors, why) < 0)
        return why->message;
    if (vectors.rows != segment.embeddings)
        return value[VECTORS].data ? "it has another number of vectors" : "its vectors are missing";
    content_key_row (&verify->key, segment.row);
    int got = verify_get_content (verify, CONTENT_ROWS, str_span (&verify->key), &content_rows_of_shape, &rows,
                                  &verify->value);
    if (got != 1 || !span_eq (rows.user, name->user) || !uuid_eq (rows.document, name->document) ||
        rows.revision != name->revision || rows.segment != name->segment ||
        rows.count != chunk_span_count (segment.spans))
        return "its rows are not there, or are those of another";
    verify->report->segments++;
    verify->report->chunks += rows.count;
    verify->report->vectors += vectors.rows;
    if (self->index)
        index_check_segment (self->index, name->user, segment.row, text, segment.spans);
    return NULL;
}

/*  Something will remove the revision. */
static bool is_garbage (walk_t *self, const name_t *name)
{
    verify_t *verify = self->verify;
    kv_iter_t *it = kv_iterate (verify->content, CONTENT_GARBAGE);
    bool found = false;
    span_t prefix = str_span (&self->document_key);
    content_key_revision (&verify->key, name->user, name->document, name->revision);
    for (it->ops->seek (it, str_span (&verify->key)); !found && it->ops->valid (it); it->ops->step (it, true)) {
        span_t key = it->ops->key (it);
        if (key.size != prefix.size + 8 || memcmp (key.data, prefix.data, prefix.size) != 0)
            break;
        found = span_is (it->ops->value (it), "all") || span_eq (key, str_span (&verify->key));
    }
    kv_iter_destroy (&it);
    return found;
}

static void check_segment (walk_t *self, const name_t *name)
{
    verify_t *verify = self->verify;
    err_t why;
    find_document (self, name);
    const content_document_t *document = &self->document;
    finding_t finding =
        verify_finding (PLACE_CONTENT, CONTENT_SEGMENTS, FINDING_CONTENT_DAMAGED, name->key, FIX_FORGET_REVISION);
    finding.user = name->user;
    finding.document = name->document;
    finding.revision = name->revision;
    bool is_visible = document->revision && name->revision == document->revision;
    if (is_visible)
        finding.fix = FIX_FORGET;
    const char *wrong = check_columns (self, name, &why);
    if (wrong) {
        report (verify->report, &finding, "%s", wrong);
        return;
    }
    if (is_visible && part_find (document->parts, name->segment) < 0) {
        finding.kind = FINDING_DANGLING;
        finding.fix = FIX_DELETE;
        report (verify->report, &finding, "the document does not list this segment");
    } else if (self->got_document >= 0 && !is_visible &&
               (name->revision < document->revision || name->revision <= document->dropped_through) &&
               !is_garbage (self, name)) {
        finding.kind = FINDING_DANGLING;
        report (verify->report, &finding, "nobody sees this revision any more, and nothing will remove it");
    }
}

static void check_key (walk_t *self, span_t key)
{
    verify_t *verify = self->verify;
    name_t name = { .key = key };
    span_t rest;
    int first = 0;
    while (!stands_on (self, first, key))
        first++;
    if (!verify_key (verify, PLACE_CONTENT, columns[first], key, KEY_REST, &name.user, &rest))
        return;
    name.document = record_key_id (rest);
    name.revision = record_key_u64 (span (rest.data + UUID_SIZE, 8));
    name.segment = number_at (rest.data + UUID_SIZE + 8);
    if (first == SEGMENT) {
        check_segment (self, &name);
        return;
    }
    for (int i = first; i < COLUMNS; i++)
        if (stands_on (self, i, key)) {
            finding_t finding = verify_finding (PLACE_CONTENT, columns[i], FINDING_DANGLING, key, FIX_DELETE);
            report (verify->report, &finding, "there is no such segment");
        }
}

/*  --- the index --- */

static void report_index (verify_t *self, finding_kind_t kind, const char *text)
{
    finding_t finding = { .kind = kind, .place = PLACE_INDEX, .fix = FIX_INDEX };
    if (kind == FINDING_INDEX_BEHIND) {
        finding.is_note = true;
        finding.fix = FIX_NONE;
    }
    report (self->report, &finding, "%s", text);
}

static void open_index (walk_t *self)
{
    verify_t *verify = self->verify;
    content_state_t state;
    char identity[UUID_TEXT];
    str_t path = STR_INIT;
    err_t err;
    if (verify->config->is_backup || verify_get_content (verify, CONTENT_META, SPAN_LIT ("state"), &content_state_shape,
                                                         &state, &verify->value) != 1)
        return;
    uuid_text (state.identity, identity);
    str_format (&path, "%s/index.sqlite", verify->config->dir);
    self->index = index_check_new (path.data, identity, state.next_row, &err);
    if (!self->index && err.code == ERR_NOT_FOUND)
        report_index (verify, FINDING_INDEX_BEHIND, err.message); /* is made at the next start */
    else if (!self->index)
        report_index (verify, FINDING_INDEX_DIFFERS, err.message);
    str_free (&path);
}

static void end_index (walk_t *self, uint64_t findings_before)
{
    err_t err;
    if (!self->index)
        return;
    /* Where segments are damaged the index cannot be compared; repair makes it anew anyway. */
    if (self->verify->report->findings == findings_before && index_check_end (self->index, &err) < 0)
        report_index (self->verify, FINDING_INDEX_DIFFERS, err.message);
    if (index_check_is_behind (self->index))
        report_index (self->verify, FINDING_INDEX_BEHIND, "the last changes are not in it yet");
    index_check_destroy (&self->index);
}

void verify_segments (verify_t *verify)
{
    walk_t self = { .verify = verify };
    str_t key = STR_INIT;
    uint64_t findings_before = verify->report->findings;
    open_index (&self);
    for (int i = 0; i < COLUMNS; i++) {
        self.its[i] = kv_iterate (verify->content, columns[i]);
        self.its[i]->ops->seek (self.its[i], SPAN_EMPTY);
        settle (&self, i);
    }
    while (next_key (&self, &key)) {
        check_key (&self, str_span (&key));
        for (int i = 0; i < COLUMNS; i++)
            if (stands_on (&self, i, str_span (&key)))
                step (&self, i);
    }
    end_index (&self, findings_before);
    for (int i = 0; i < COLUMNS; i++) {
        kv_iter_destroy (&self.its[i]);
        str_free (&self.last[i]);
    }
    str_free (&self.document_key);
    str_free (&self.document_bytes);
    str_free (&key);
}
