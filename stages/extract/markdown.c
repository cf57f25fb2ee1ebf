/*  Markdown through cmark-gfm: the readable text of its tree, headings as marks. */
#include "stages/extract/flow.h"
#include "stages/extract/formats.h"
#include "stages/extract/html.h"

#include <cmark-gfm-core-extensions.h>
#include <cmark-gfm.h>
#include <stdlib.h>

/*  The tree takes about 20 times the text: beyond this a file is read as plain text. */
#define TREE_MAX (16 * MIB)

typedef struct {
    flow_t flow;
} reading_t;

static void literal (reading_t *reading, cmark_node *node)
{
    const char *text = cmark_node_get_literal (node);
    flow_text (&reading->flow, span_str (text));
}

/*  Raw HTML in the middle of a line comes tag by tag: only <br> says something. */
static void inline_html (reading_t *reading, cmark_node *node)
{
    const char *tag = cmark_node_get_literal (node);
    if (tag && strncasecmp (tag, "<br", 3) == 0)
        flow_br (&reading->flow);
}

static void block_html (reading_t *reading, cmark_node *node)
{
    span_t html = span_str (cmark_node_get_literal (node));
    flow_block (&reading->flow);
    if (html.size)
        html_pour (html, &reading->flow);
    flow_block (&reading->flow);
}

static void code_block (reading_t *reading, cmark_node *node)
{
    flow_block (&reading->flow);
    flow_verbatim (&reading->flow, span_str (cmark_node_get_literal (node)));
    flow_block (&reading->flow);
}

/*  Extensions have no fixed node types: told by name. */
static void extension (reading_t *reading, cmark_node *node, bool entering)
{
    const char *type = cmark_node_get_type_string (node);
    if (strcmp (type, "table") == 0)
        flow_block (&reading->flow);
    else if (strcmp (type, "table_row") == 0 || strcmp (type, "table_header") == 0)
        flow_row (&reading->flow);
    else if (strcmp (type, "table_cell") == 0 && entering)
        flow_cell (&reading->flow);
    else if (strcmp (type, "tasklist") == 0)
        flow_line (&reading->flow);
}

static void visit (reading_t *reading, cmark_node *node, bool entering)
{
    cmark_node_type type = cmark_node_get_type (node);
    flow_t *flow = &reading->flow;
    if (type == CMARK_NODE_TEXT || type == CMARK_NODE_CODE)
        literal (reading, node);
    else if (type == CMARK_NODE_SOFTBREAK)
        flow_text (flow, SPAN_LIT (" "));
    else if (type == CMARK_NODE_LINEBREAK)
        flow_br (flow);
    else if (type == CMARK_NODE_HTML_INLINE)
        inline_html (reading, node);
    else if (type == CMARK_NODE_HTML_BLOCK)
        block_html (reading, node);
    else if (type == CMARK_NODE_CODE_BLOCK)
        code_block (reading, node);
    else if (type == CMARK_NODE_HEADING && entering)
        flow_heading (flow, (unsigned)cmark_node_get_heading_level (node));
    else if (type == CMARK_NODE_HEADING)
        flow_heading_end (flow);
    else if (type == CMARK_NODE_ITEM)
        flow_line (flow);
    else if (type == CMARK_NODE_PARAGRAPH) {
        cmark_node *parent = cmark_node_parent (node);
        bool tight = parent && cmark_node_get_type (parent) == CMARK_NODE_ITEM;
        if (tight)
            flow_line (flow);
        else
            flow_block (flow);
    } else if (type == CMARK_NODE_LIST || type == CMARK_NODE_BLOCK_QUOTE || type == CMARK_NODE_THEMATIC_BREAK ||
               type == CMARK_NODE_FOOTNOTE_DEFINITION)
        flow_block (flow);
    else
        extension (reading, node, entering);
}

static cmark_node *parse (span_t text)
{
    static const char *const extensions[] = { "table", "strikethrough", "autolink", "tasklist" };
    cmark_gfm_core_extensions_ensure_registered ();
    cmark_parser *parser = cmark_parser_new (CMARK_OPT_FOOTNOTES | CMARK_OPT_VALIDATE_UTF8);
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) {
        cmark_syntax_extension *found = cmark_find_syntax_extension (extensions[i]);
        if (found)
            cmark_parser_attach_syntax_extension (parser, found);
    }
    cmark_parser_feed (parser, text.data, text.size);
    cmark_node *root = cmark_parser_finish (parser);
    cmark_parser_free (parser);
    return root;
}

/*  Bytes of the YAML block between `---` lines at the start; 0 when there is none. */
static size_t front_matter (span_t text)
{
    if (text.size < 8 || memcmp (text.data, "---\n", 4) != 0)
        return 0;
    const char *end = memmem (text.data + 3, text.size - 3, "\n---\n", 5);
    return end ? (size_t)(end - text.data) + 5 : 0;
}

int extract_markdown (const source_t *source, sink_t *sink, err_t *err)
{
    if (source->bytes.size > TREE_MAX)
        return extract_text (source, sink, err);
    str_t text = STR_INIT;
    if (charset_to_utf8 (source->bytes, &source->is->charset, &text, err)) {
        str_free (&text);
        return -1;
    }
    reading_t reading;
    flow_init (&reading.flow, sink);
    size_t head = front_matter (str_span (&text));
    if (head) {
        sink_text (sink, span (text.data + 4, head - 8));
        flow_block (&reading.flow);
    }
    cmark_node *root = parse (span (text.data + head, text.size - head));
    cmark_iter *iter = cmark_iter_new (root);
    cmark_event_type event;
    while ((event = cmark_iter_next (iter)) != CMARK_EVENT_DONE && !sink_stopped (sink))
        visit (&reading, cmark_iter_get_node (iter), event == CMARK_EVENT_ENTER);
    cmark_iter_free (iter);
    cmark_node_free (root);
    flow_end (&reading.flow);
    str_free (&text);
    return 0;
}
