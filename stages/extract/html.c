/*  HTML through libxml2's SAX interface: no tree is built, so memory does not grow with the document. */
#include "stages/extract/html.h"
#include "stages/extract/formats.h"

#include <ctype.h>
#include <libxml/HTMLparser.h>
#include <stdlib.h>

#define META_LOOK    4096
#define SRCDOC_DEPTH 3

typedef enum { TAG_INLINE, TAG_BLOCK, TAG_LINE, TAG_BR, TAG_ROW, TAG_CELL, TAG_PRE, TAG_SKIP, TAG_TITLE } tag_class_t;

/*  Sorted by name, for bsearch. What is not here is inline. */
static const struct {
    const char *name;
    tag_class_t class;
} tags[] = {
    { "address", TAG_BLOCK },   { "article", TAG_BLOCK }, { "aside", TAG_BLOCK },   { "blockquote", TAG_BLOCK },
    { "body", TAG_BLOCK },      { "br", TAG_BR },         { "button", TAG_LINE },   { "caption", TAG_BLOCK },
    { "center", TAG_BLOCK },    { "dd", TAG_LINE },       { "details", TAG_BLOCK }, { "dir", TAG_BLOCK },
    { "div", TAG_LINE },        { "dl", TAG_BLOCK },      { "dt", TAG_LINE },       { "fieldset", TAG_BLOCK },
    { "figcaption", TAG_LINE }, { "figure", TAG_BLOCK },  { "footer", TAG_BLOCK },  { "form", TAG_BLOCK },
    { "header", TAG_BLOCK },    { "hr", TAG_BLOCK },      { "legend", TAG_LINE },   { "li", TAG_LINE },
    { "main", TAG_BLOCK },      { "menu", TAG_BLOCK },    { "nav", TAG_BLOCK },     { "noframes", TAG_BLOCK },
    { "object", TAG_INLINE },   { "ol", TAG_BLOCK },      { "optgroup", TAG_LINE }, { "option", TAG_LINE },
    { "p", TAG_BLOCK },         { "pre", TAG_PRE },       { "script", TAG_SKIP },   { "section", TAG_BLOCK },
    { "style", TAG_SKIP },      { "summary", TAG_LINE },  { "table", TAG_BLOCK },   { "tbody", TAG_LINE },
    { "td", TAG_CELL },         { "template", TAG_SKIP }, { "textarea", TAG_LINE }, { "tfoot", TAG_LINE },
    { "th", TAG_CELL },         { "thead", TAG_LINE },    { "title", TAG_TITLE },   { "tr", TAG_ROW },
    { "ul", TAG_BLOCK },
};

typedef struct {
    flow_t *flow;
    htmlParserCtxtPtr context;
    size_t size;        /* of the document */
    unsigned depth;     /* open elements */
    unsigned skip_from; /* depth of the element whose content is left out; 0: none */
    unsigned pre;
    unsigned nested; /* documents around this one (srcdoc) */
    bool in_title;
    str_t title;
} page_t;

static int by_name (const void *key, const void *row)
{
    return strcmp (key, ((const char *const *)row)[0]);
}

static tag_class_t class_of (const char *name)
{
    const char *colon = strrchr (name, ':');
    const void *found = bsearch (colon ? colon + 1 : name, tags, sizeof tags / sizeof *tags, sizeof *tags, by_name);
    return found ? tags[((const char *)found - (const char *)tags) / sizeof *tags].class : TAG_INLINE;
}

static unsigned heading_level (const char *name)
{
    return name[0] == 'h' && name[1] >= '1' && name[1] <= '6' && !name[2] ? (unsigned)(name[1] - '0') : 0;
}

static const char *attribute (const xmlChar **attributes, const char *name)
{
    for (; attributes && attributes[0]; attributes += 2)
        if (strcasecmp ((const char *)attributes[0], name) == 0)
            return attributes[1] ? (const char *)attributes[1] : "";
    return NULL;
}

static bool is_hidden (const xmlChar **attributes)
{
    const char *style = attribute (attributes, "style");
    return attribute (attributes, "hidden") || (style && strcasestr (style, "display:none")) ||
           (style && strcasestr (style, "display: none"));
}

static void parse (span_t html, flow_t *flow, unsigned nested);

static void start (void *self, const xmlChar *tag, const xmlChar **attributes)
{
    page_t *page = self;
    const char *name = (const char *)tag;
    page->depth++;
    if (page->skip_from)
        return;
    tag_class_t class = class_of (name);
    if (class == TAG_SKIP || (is_hidden (attributes) && strcmp (name, "body") != 0)) {
        page->skip_from = page->depth;
        return;
    }
    unsigned level = heading_level (name);
    if (level) {
        flow_heading (page->flow, level);
        return;
    }
    const char *text;
    switch (class) {
    case TAG_BLOCK:
        flow_block (page->flow);
        break;
    case TAG_LINE:
        flow_line (page->flow);
        break;
    case TAG_BR:
        flow_br (page->flow);
        break;
    case TAG_ROW:
        flow_row (page->flow);
        break;
    case TAG_CELL:
        flow_cell (page->flow);
        break;
    case TAG_PRE:
        flow_block (page->flow);
        page->pre++;
        break;
    case TAG_TITLE:
        page->in_title = true;
        break;
    default:
        if (strcmp (name, "img") == 0 && (text = attribute (attributes, "alt"))) {
            flow_text (page->flow, span_str (text));
        } else if (strcmp (name, "iframe") == 0 && (text = attribute (attributes, "srcdoc"))) {
            flow_block (page->flow);
            if (page->nested < SRCDOC_DEPTH)
                parse (span_str (text), page->flow, page->nested + 1);
            flow_block (page->flow);
        }
    }
}

static void end_title (page_t *page)
{
    page->in_title = false;
    if (!page->title.size)
        return;
    sink_meta (page->flow->sink, META_TITLE, str_span (&page->title));
    flow_text (page->flow, str_span (&page->title));
    flow_block (page->flow);
    str_clear (&page->title);
}

static void end (void *self, const xmlChar *tag)
{
    page_t *page = self;
    const char *name = (const char *)tag;
    if (page->skip_from) {
        if (page->depth <= page->skip_from)
            page->skip_from = 0;
        page->depth -= page->depth > 0;
        return;
    }
    page->depth -= page->depth > 0;
    if (heading_level (name)) {
        flow_heading_end (page->flow);
        return;
    }
    switch (class_of (name)) {
    case TAG_BLOCK:
        flow_block (page->flow);
        break;
    case TAG_LINE:
        flow_line (page->flow);
        break;
    case TAG_ROW:
        flow_row (page->flow);
        break;
    case TAG_PRE:
        page->pre -= page->pre > 0;
        flow_block (page->flow);
        break;
    case TAG_TITLE:
        end_title (page);
        break;
    default:
        break;
    }
}

static void characters (void *self, const xmlChar *text, int size)
{
    page_t *page = self;
    span_t piece = span (text, (size_t)size);
    if (page->skip_from)
        return;
    if (page->in_title)
        str_add (&page->title, piece);
    else if (page->pre)
        flow_verbatim (page->flow, piece);
    else
        flow_text (page->flow, piece);
    if (sink_stopped (page->flow->sink))
        xmlStopParser (page->context);
    else if (page->context->input && !page->nested)
        sink_progress (page->flow->sink,
                       page->context->input->consumed +
                           (uint64_t)(page->context->input->cur - page->context->input->base),
                       page->size);
}

static void parse (span_t html, flow_t *flow, unsigned nested)
{
    htmlParserCtxtPtr context = htmlNewParserCtxt ();
    if (!context)
        abort ();
    page_t page = { .flow = flow, .context = context, .size = html.size, .nested = nested };
    memset (context->sax, 0, sizeof *context->sax);
    context->sax->startElement = start;
    context->sax->endElement = end;
    context->sax->characters = characters;
    context->sax->ignorableWhitespace = characters;
    context->userData = &page;
    htmlDocPtr tree = htmlCtxtReadMemory (context, html.data, (int)html.size, NULL, "UTF-8",
                                          HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING |
                                              HTML_PARSE_NONET | HTML_PARSE_IGNORE_ENC | HTML_PARSE_COMPACT);
    if (tree)
        xmlFreeDoc (tree);
    htmlFreeParserCtxt (context);
    str_free (&page.title);
}

void html_pour (span_t html, flow_t *flow)
{
    parse (html, flow, 0);
}

/*  The charset in a <meta> near the start, as the HTML standard's prescan does it; empty when there is none. */
static span_t meta_charset (span_t html)
{
    size_t look = html.size < META_LOOK ? html.size : META_LOOK;
    for (size_t at = 0; at + 5 < look; at++) {
        if (strncasecmp (html.data + at, "<meta", 5) != 0)
            continue;
        const char *close = memchr (html.data + at, '>', look - at);
        if (!close)
            break;
        span_t charset = charset_of_media_type (span (html.data + at, (size_t)(close - html.data) - at));
        if (charset.size)
            return charset;
    }
    return SPAN_EMPTY;
}

int extract_html (const source_t *source, sink_t *sink, err_t *err)
{
    span_t declared = charset_of_media_type (source->media_type);
    if (!declared.size)
        declared = meta_charset (source->bytes);
    charset_t charset;
    if (charset_find (source->bytes, declared, &charset))
        charset = source->is->charset;
    sink_meta (sink, META_CHARSET, span_str (charset.name));
    str_t text = STR_INIT;
    int rc = charset_to_utf8 (source->bytes, &charset, &text, err);
    if (!rc) {
        flow_t flow;
        flow_init (&flow, sink);
        html_pour (str_span (&text), &flow);
        flow_end (&flow);
    }
    str_free (&text);
    return rc;
}
