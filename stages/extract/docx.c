/*  DOCX: the runs of word/document.xml and of the notes, comments, headers and footers beside it. */
#include "stages/extract/flow.h"
#include "stages/extract/formats.h"
#include "stages/extract/package.h"
#include "stages/extract/properties.h"
#include "stages/extract/wordnumbers.h"
#include "stages/extract/wordstyles.h"
#include "stages/extract/xml.h"

#include <stdio.h>

#define BOXES_MAX  16
#define STYLE_SIZE 64

/*  What is known of the paragraph being read. */
typedef struct {
    bool begun;     /* something of it was poured */
    unsigned level; /* heading */
    bool own_list;  /* it says itself which list it belongs to */
    long list;      /* 0: none */
    long list_level;
    char style[STYLE_SIZE];
} paragraph_t;

typedef struct {
    flow_t flow;
    word_styles_t *styles;   /* borrowed */
    word_numbers_t *numbers; /* borrowed */
    size_t size;
    unsigned depth;     /* open elements */
    unsigned skip_from; /* depth of the element that is left out; 0: none */
    unsigned in_properties;
    unsigned in_text;
    unsigned in_cell;
    paragraph_t paragraph;
    paragraph_t outer[BOXES_MAX]; /* paragraphs around the text box we are in */
    unsigned boxes;
} reading_t;

static bool is_any (const char *name, const char *names)
{
    size_t size = strlen (name);
    for (const char *at = strstr (names, name); at; at = strstr (at + 1, name))
        if ((at == names || at[-1] == ' ') && (at[size] == ' ' || !at[size]))
            return true;
    return false;
}

static void begin_paragraph (reading_t *reading)
{
    paragraph_t *paragraph = &reading->paragraph;
    if (paragraph->begun)
        return;
    paragraph->begun = true;
    if (!paragraph->own_list && *paragraph->style)
        paragraph->list = word_styles_list (reading->styles, span_str (paragraph->style), &paragraph->list_level);
    str_t label = STR_INIT;
    if (paragraph->list > 0)
        word_numbers_next (reading->numbers, paragraph->list, paragraph->list_level, span_str (paragraph->style),
                           &label);
    if (paragraph->level && !reading->in_cell && !reading->boxes)
        flow_heading (&reading->flow, paragraph->level);
    else if (paragraph->list > 0 || reading->in_cell)
        flow_line (&reading->flow);
    else
        flow_block (&reading->flow);
    if (label.size) {
        flow_text (&reading->flow, str_span (&label));
        flow_text (&reading->flow, SPAN_LIT (" "));
    }
    str_free (&label);
}

static void end_paragraph (reading_t *reading)
{
    flow_heading_end (&reading->flow);
    flow_line (&reading->flow);
    reading->paragraph = (paragraph_t){ .begun = false };
}

static void start_property (reading_t *reading, const char *name, const xml_attributes_t *attributes)
{
    paragraph_t *paragraph = &reading->paragraph;
    if (strcmp (name, "pStyle") == 0) {
        span_t style = xml_attribute (attributes, "val");
        snprintf (paragraph->style, sizeof paragraph->style, "%.*s", SPAN_ARG (style));
        if (!paragraph->level)
            paragraph->level = word_styles_level (reading->styles, style);
    } else if (strcmp (name, "numId") == 0) {
        paragraph->own_list = true;
        paragraph->list = xml_attribute_number (attributes, "val", 0);
    } else if (strcmp (name, "ilvl") == 0)
        paragraph->list_level = xml_attribute_number (attributes, "val", 0);
    else if (strcmp (name, "outlineLvl") == 0) {
        long level = xml_attribute_number (attributes, "val", 9);
        paragraph->level = level >= 0 && level < 9 ? (unsigned)level + 1 : 0;
    }
}

static void start_box (reading_t *reading)
{
    flow_heading_end (&reading->flow);
    if (reading->boxes < BOXES_MAX)
        reading->outer[reading->boxes] = reading->paragraph;
    reading->boxes++;
    reading->paragraph = (paragraph_t){ .begun = false };
    flow_block (&reading->flow);
}

static void end_box (reading_t *reading)
{
    if (!reading->boxes)
        return;
    reading->boxes--;
    if (reading->boxes < BOXES_MAX)
        reading->paragraph = reading->outer[reading->boxes];
    reading->paragraph.begun = false;
    flow_block (&reading->flow);
}

static int start (void *self, const char *name, const xml_attributes_t *attributes)
{
    reading_t *reading = self;
    flow_t *flow = &reading->flow;
    reading->depth++;
    if (reading->skip_from)
        return 0;
    if (is_any (name, "Fallback moveFrom pPrChange rPrChange del sectPr")) {
        reading->skip_from = reading->depth;
    } else if (is_any (name, "pPr rPr tblPr trPr tcPr")) {
        reading->in_properties++;
    } else if (reading->in_properties) {
        start_property (reading, name, attributes);
    } else if (strcmp (name, "t") == 0) {
        begin_paragraph (reading);
        reading->in_text++;
    } else if (is_any (name, "tab ptab")) {
        begin_paragraph (reading);
        flow_text (flow, SPAN_LIT (" "));
    } else if (is_any (name, "br cr")) {
        flow_br (flow);
    } else if (strcmp (name, "noBreakHyphen") == 0) {
        begin_paragraph (reading);
        flow_text (flow, SPAN_LIT ("-"));
    } else if (strcmp (name, "tr") == 0) {
        flow_row (flow);
    } else if (strcmp (name, "tc") == 0) {
        flow_cell (flow);
        reading->in_cell++;
    } else if (strcmp (name, "tbl") == 0) {
        flow_block (flow);
    } else if (strcmp (name, "sup") == 0) { /* formulas: as people write them in a line */
        flow_text (flow, SPAN_LIT ("^"));
    } else if (strcmp (name, "sub") == 0) {
        flow_text (flow, SPAN_LIT ("_"));
    } else if (strcmp (name, "den") == 0) {
        flow_text (flow, SPAN_LIT ("/"));
    } else if (strcmp (name, "e") == 0) {
        flow_text (flow, SPAN_LIT (" "));
    } else if (strcmp (name, "txbxContent") == 0) {
        start_box (reading);
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
    if (is_any (name, "pPr rPr tblPr trPr tcPr"))
        reading->in_properties -= reading->in_properties > 0;
    else if (reading->in_properties)
        return 0;
    else if (strcmp (name, "t") == 0)
        reading->in_text -= reading->in_text > 0;
    else if (strcmp (name, "p") == 0)
        end_paragraph (reading);
    else if (strcmp (name, "tc") == 0)
        reading->in_cell -= reading->in_cell > 0;
    else if (strcmp (name, "tr") == 0)
        flow_row (&reading->flow);
    else if (strcmp (name, "tbl") == 0)
        flow_block (&reading->flow);
    else if (strcmp (name, "txbxContent") == 0)
        end_box (reading);
    return sink_stopped (reading->flow.sink) ? -1 : 0;
}

static int text (void *self, span_t text, size_t consumed)
{
    reading_t *reading = self;
    if (!reading->in_text || reading->skip_from)
        return 0;
    flow_text (&reading->flow, text);
    sink_progress (reading->flow.sink, consumed, reading->size);
    return 0;
}

static bool wanted (const char *name)
{
    static const char *const prefixes[] = { "word/document",      "word/styles",    "word/numbering", "word/footnotes",
                                            "word/endnotes",      "word/comments.", "word/header",    "word/footer",
                                            "word/diagrams/data", "docProps/core" };
    name += *name == '/';
    size_t size = strlen (name);
    if (size < 4 || strcmp (name + size - 4, ".xml") != 0)
        return false;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp (name, prefixes[i], strlen (prefixes[i])) == 0)
            return true;
    return false;
}

/*  True when an earlier member has the same bytes: headers of first, odd and even pages are often one. */
static bool is_repeated (const package_t *package, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (span_eq (package_bytes (package, i), package_bytes (package, index)))
            return true;
    return false;
}

/*  Pours every member whose name begins with `prefix`; damage in the main part is the document's. */
static int pour (const package_t *package, const char *prefix, word_styles_t *styles, word_numbers_t *numbers,
                 sink_t *sink, err_t *err)
{
    static const xml_walker_t walker = { start, end, text };
    int rc = 0;
    for (size_t i = 0; i < package_count (package) && !sink_stopped (sink); i++) {
        const char *name = package_name (package, i);
        name += *name == '/';
        if (strncmp (name, prefix, strlen (prefix)) != 0 || is_repeated (package, i))
            continue;
        reading_t reading = { .styles = styles,
                              .numbers = numbers,
                              .size = package_bytes (package, i).size,
                              .paragraph = { .list_level = -1 } };
        flow_init (&reading.flow, sink);
        flow_block (&reading.flow);
        rc |= xml_walk (package_bytes (package, i), NULL, XML_REFUSE_DOCTYPE, &walker, &reading, err);
        flow_end (&reading.flow);
    }
    return rc;
}

static span_t find_prefix (const package_t *package, const char *prefix)
{
    for (size_t i = 0; i < package_count (package); i++) {
        const char *name = package_name (package, i);
        if (strncmp (name + (*name == '/'), prefix, strlen (prefix)) == 0)
            return package_bytes (package, i);
    }
    return SPAN_EMPTY;
}

int extract_docx (const source_t *source, sink_t *sink, err_t *err)
{
    static const char *const beside[] = { "word/footnotes", "word/endnotes", "word/comments",
                                          "word/diagrams",  "word/header",   "word/footer" };
    package_t *package = package_open (source->bytes, wanted, sink, err);
    if (!package)
        return -1;
    int rc = -1;
    properties_pour (find_prefix (package, "docProps/core"), sink);
    word_styles_t *styles = word_styles_new (find_prefix (package, "word/styles"));
    word_numbers_t *numbers = word_numbers_new (find_prefix (package, "word/numbering"));
    if (!find_prefix (package, "word/document").data) {
        err_set (err, ERR_DAMAGED_DOCUMENT, "the document has no word/document.xml");
        goto out;
    }
    rc = pour (package, "word/document", styles, numbers, sink, err);
    sink_heading (sink, 1, SPAN_EMPTY);
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        err_t why;
        if (pour (package, beside[i], styles, numbers, sink, &why))
            sink_bad (sink, why.code, span_str (beside[i]), "%s", why.message);
    }
out:
    word_styles_destroy (&styles);
    word_numbers_destroy (&numbers);
    package_destroy (&package);
    return rc;
}
