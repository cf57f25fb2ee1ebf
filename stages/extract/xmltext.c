/*  Any XML: its character data. The line breaks between elements of the source are kept, for they are all that is known
 *  of its structure. */
#include "stages/extract/flow.h"
#include "stages/extract/formats.h"
#include "stages/extract/xml.h"

typedef struct {
    flow_t flow;
    size_t size;
} reading_t;

static int start_element (void *self, const char *name, const xml_attributes_t *attributes)
{
    reading_t *reading = self;
    flow_text (&reading->flow, SPAN_LIT (" "));
    return 0;
}

static int end_element (void *self, const char *name)
{
    reading_t *reading = self;
    flow_text (&reading->flow, SPAN_LIT (" "));
    return 0;
}

static int text (void *self, span_t text, size_t consumed)
{
    reading_t *reading = self;
    while (text.size) {
        const char *newline = memchr (text.data, '\n', text.size);
        size_t size = newline ? (size_t)(newline - text.data) : text.size;
        flow_text (&reading->flow, span (text.data, size));
        if (newline)
            flow_line (&reading->flow);
        size += newline != NULL;
        text = span (text.data + size, text.size - size);
    }
    sink_progress (reading->flow.sink, consumed, reading->size);
    return sink_stopped (reading->flow.sink) ? -1 : 0;
}

/*  The value of encoding= in the XML declaration. */
static span_t declared_encoding (span_t xml)
{
    const char *close = memmem (xml.data, xml.size < 200 ? xml.size : 200, "?>", 2);
    if (!close)
        return SPAN_EMPTY;
    span_t head = span (xml.data, (size_t)(close - xml.data));
    const char *at = memmem (head.data, head.size, "encoding", 8);
    if (!at)
        return SPAN_EMPTY;
    size_t from = (size_t)(at - head.data) + 8;
    while (from < head.size && strchr (" =\"'", head.data[from] ? head.data[from] : 'x'))
        from++;
    size_t end = from;
    while (end < head.size && !strchr (" \"'", head.data[end] ? head.data[end] : ' '))
        end++;
    return span (head.data + from, end - from);
}

int extract_xml (const source_t *source, sink_t *sink, err_t *err)
{
    static const xml_walker_t walker = { start_element, end_element, text };
    charset_t charset;
    if (charset_find (source->bytes, declared_encoding (source->bytes), &charset))
        charset = source->is->charset;
    str_t utf8 = STR_INIT;
    int rc = charset_to_utf8 (source->bytes, &charset, &utf8, err);
    if (!rc) {
        reading_t reading = { .size = utf8.size };
        flow_init (&reading.flow, sink);
        rc = xml_walk (str_span (&utf8), "UTF-8", 0, &walker, &reading, err);
        flow_end (&reading.flow);
    }
    str_free (&utf8);
    return rc;
}
