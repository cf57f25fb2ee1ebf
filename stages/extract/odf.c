/*  ODF text: content.xml, and the headers and footers in styles.xml. Notes stand where they are called. */
#include "stages/extract/flow.h"
#include "stages/extract/formats.h"
#include "stages/extract/package.h"
#include "stages/extract/properties.h"
#include "stages/extract/xml.h"

#define SPACES_MAX 64

typedef struct {
    flow_t flow;
    size_t size;
    unsigned depth;
    unsigned skip_from; /* depth of the element that is left out; 0: none */
    unsigned in_text;   /* open paragraphs and headings */
    unsigned in_cell;
    bool margins; /* only what is inside headers and footers counts */
    unsigned in_margin;
    bool first_in_item; /* the paragraph that comes begins a list item */
} reading_t;

typedef enum {
    ELEMENT_OTHER,
    ELEMENT_PARAGRAPH,
    ELEMENT_HEADING,
    ELEMENT_SPACES,
    ELEMENT_TAB,
    ELEMENT_BREAK,
    ELEMENT_ITEM,
    ELEMENT_TABLE,
    ELEMENT_ROW,
    ELEMENT_CELL,
    ELEMENT_MARGIN,
    ELEMENT_NOTE,
    ELEMENT_SKIP,
} element_t;

static const struct {
    const char *name;
    element_t element;
} elements[] = {
    { "p", ELEMENT_PARAGRAPH },        { "h", ELEMENT_HEADING },
    { "s", ELEMENT_SPACES },           { "tab", ELEMENT_TAB },
    { "line-break", ELEMENT_BREAK },   { "list-item", ELEMENT_ITEM },
    { "table", ELEMENT_TABLE },        { "table-row", ELEMENT_ROW },
    { "table-cell", ELEMENT_CELL },    { "covered-table-cell", ELEMENT_CELL },
    { "header", ELEMENT_MARGIN },      { "footer", ELEMENT_MARGIN },
    { "note-body", ELEMENT_NOTE },     { "annotation", ELEMENT_NOTE },
    { "note-citation", ELEMENT_SKIP }, { "tracked-changes", ELEMENT_SKIP },
    { "creator", ELEMENT_SKIP },       { "date", ELEMENT_SKIP },
    { "meta", ELEMENT_SKIP },          { "desc", ELEMENT_SKIP },
    { "binary-data", ELEMENT_SKIP },
};

static element_t element_of (const char *name)
{
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++)
        if (strcmp (elements[i].name, name) == 0)
            return elements[i].element;
    return ELEMENT_OTHER;
}

static void start_paragraph (reading_t *reading)
{
    if (!reading->in_text) { /* not one inside a note */
        if (reading->first_in_item || reading->in_cell)
            flow_line (&reading->flow);
        else
            flow_block (&reading->flow);
    }
    reading->first_in_item = false;
    reading->in_text++;
}

static int start (void *self, const char *name, const xml_attributes_t *attributes)
{
    reading_t *reading = self;
    flow_t *flow = &reading->flow;
    reading->depth++;
    if (reading->skip_from)
        return 0;
    switch (element_of (name)) {
    case ELEMENT_SKIP:
        reading->skip_from = reading->depth;
        break;
    case ELEMENT_HEADING:
        if (!reading->in_text && !reading->in_cell && !reading->margins) {
            long level = xml_attribute_number (attributes, "outline-level", 1);
            flow_heading (flow, level > 0 && level < 10 ? (unsigned)level : 1);
            reading->in_text++;
            break;
        }
        start_paragraph (reading);
        break;
    case ELEMENT_PARAGRAPH:
        start_paragraph (reading);
        break;
    case ELEMENT_SPACES:
    case ELEMENT_TAB:
    case ELEMENT_NOTE:
        flow_text (flow, SPAN_LIT (" "));
        break;
    case ELEMENT_BREAK:
        flow_br (flow);
        break;
    case ELEMENT_ITEM:
        reading->first_in_item = true;
        break;
    case ELEMENT_TABLE:
        flow_block (flow);
        break;
    case ELEMENT_ROW:
        flow_row (flow);
        break;
    case ELEMENT_CELL:
        flow_cell (flow);
        reading->in_cell++;
        break;
    case ELEMENT_MARGIN:
        reading->in_margin++;
        break;
    case ELEMENT_OTHER:
        break;
    }
    return 0;
}

static int end (void *self, const char *name)
{
    reading_t *reading = self;
    unsigned depth = reading->depth--;
    if (reading->skip_from) {
        if (depth == reading->skip_from)
            reading->skip_from = 0;
        return 0;
    }
    switch (element_of (name)) {
    case ELEMENT_HEADING:
    case ELEMENT_PARAGRAPH:
        reading->in_text -= reading->in_text > 0;
        if (!reading->in_text) {
            flow_heading_end (&reading->flow);
            flow_line (&reading->flow);
        } else
            flow_text (&reading->flow, SPAN_LIT (" "));
        break;
    case ELEMENT_NOTE:
        flow_text (&reading->flow, SPAN_LIT (" "));
        break;
    case ELEMENT_TABLE:
        flow_block (&reading->flow);
        break;
    case ELEMENT_ROW:
        flow_row (&reading->flow);
        break;
    case ELEMENT_CELL:
        reading->in_cell -= reading->in_cell > 0;
        break;
    case ELEMENT_MARGIN:
        reading->in_margin -= reading->in_margin > 0;
        break;
    default:
        break;
    }
    return sink_stopped (reading->flow.sink) ? -1 : 0;
}

static int text (void *self, span_t text, size_t consumed)
{
    reading_t *reading = self;
    if (reading->skip_from || !reading->in_text || (reading->margins && !reading->in_margin))
        return 0;
    flow_text (&reading->flow, text);
    sink_progress (reading->flow.sink, consumed, reading->size);
    return 0;
}

static int pour (span_t xml, bool margins, sink_t *sink, err_t *err)
{
    static const xml_walker_t walker = { start, end, text };
    reading_t reading = { .size = xml.size, .margins = margins };
    flow_init (&reading.flow, sink);
    flow_block (&reading.flow);
    int rc = xml_walk (xml, NULL, XML_REFUSE_DOCTYPE, &walker, &reading, err);
    flow_end (&reading.flow);
    return rc;
}

static bool wanted (const char *name)
{
    return strcmp (name, "content.xml") == 0 || strcmp (name, "styles.xml") == 0 || strcmp (name, "meta.xml") == 0 ||
           strcmp (name, "META-INF/manifest.xml") == 0;
}

int extract_odf (const source_t *source, sink_t *sink, err_t *err)
{
    package_t *package = package_open (source->bytes, wanted, sink, err);
    if (!package)
        return -1;
    int rc = -1;
    span_t manifest = package_find (package, "META-INF/manifest.xml");
    span_t content = package_find (package, "content.xml"), styles = package_find (package, "styles.xml");
    if (manifest.size && memmem (manifest.data, manifest.size, "encryption-data", 15)) {
        err_set (err, ERR_ENCRYPTED_DOCUMENT, "the document is encrypted with a password");
        goto out;
    }
    if (!content.size) {
        err_set (err, ERR_DAMAGED_DOCUMENT, "the document has no content.xml");
        goto out;
    }
    properties_pour (package_find (package, "meta.xml"), sink);
    rc = pour (content, false, sink, err);
    sink_heading (sink, 1, SPAN_EMPTY);
    err_t why;
    if (styles.size && pour (styles, true, sink, &why))
        sink_bad (sink, why.code, SPAN_LIT ("styles.xml"), "%s", why.message);
out:
    package_destroy (&package);
    return rc;
}

int extract_flat_odf (const source_t *source, sink_t *sink, err_t *err)
{
    return pour (source->bytes, false, sink, err);
}
