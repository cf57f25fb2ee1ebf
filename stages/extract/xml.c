#include "stages/extract/xml.h"

#include <libxml/parser.h>
#include <stdlib.h>

typedef struct {
    const xml_walker_t *walker;
    void *self;
    unsigned flags;
    xmlParserCtxtPtr context;
    bool stopped;
    bool doctype;
} walk_t;

static void stop (walk_t *walk)
{
    walk->stopped = true;
    xmlStopParser (walk->context);
}

static void start (void *self, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri, int namespace_count,
                   const xmlChar **namespaces, int count, int defaulted, const xmlChar **rows)
{
    walk_t *walk = self;
    xml_attributes_t attributes = { rows, count };
    if (!walk->stopped && walk->walker->start && walk->walker->start (walk->self, (const char *)name, &attributes))
        stop (walk);
}

static void end (void *self, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
    walk_t *walk = self;
    if (!walk->stopped && walk->walker->end && walk->walker->end (walk->self, (const char *)name))
        stop (walk);
}

static void characters (void *self, const xmlChar *text, int size)
{
    walk_t *walk = self;
    const xmlParserInput *input = walk->context->input;
    size_t consumed = input ? input->consumed + (size_t)(input->cur - input->base) : 0;
    if (!walk->stopped && walk->walker->text && walk->walker->text (walk->self, span (text, (size_t)size), consumed))
        stop (walk);
}

static void subset (void *self, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
    walk_t *walk = self;
    if (walk->flags & XML_REFUSE_DOCTYPE) {
        walk->doctype = true;
        stop (walk);
    }
}

static void quiet (void *self, const char *format, ...)
{
}

int xml_walk (span_t bytes, const char *encoding, unsigned flags, const xml_walker_t *walker, void *self, err_t *err)
{
    xmlParserCtxtPtr context = xmlNewParserCtxt ();
    if (!context)
        abort ();
    walk_t walk = { walker, self, flags, context, false, false };
    xmlSAXHandler *sax = context->sax;
    memset (sax, 0, sizeof *sax);
    sax->initialized = XML_SAX2_MAGIC;
    sax->startElementNs = start;
    sax->endElementNs = end;
    sax->characters = characters;
    sax->cdataBlock = characters;
    sax->ignorableWhitespace = characters;
    sax->internalSubset = subset;
    sax->error = quiet;
    sax->warning = quiet;
    context->userData = &walk;
    xmlDocPtr tree = xmlCtxtReadMemory (context, bytes.data, (int)bytes.size, NULL, encoding,
                                        XML_PARSE_RECOVER | XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (tree)
        xmlFreeDoc (tree);
    int rc = 0;
    if (walk.doctype)
        rc = err_set (err, ERR_DAMAGED_DOCUMENT, "the XML has a document type, which has no place there");
    else if (!walk.stopped && !context->wellFormed) {
        const xmlError *last = xmlCtxtGetLastError (context);
        char message[200] = "it is not well-formed";
        if (last && last->message) {
            snprintf (message, sizeof message, "%s", last->message);
            message[strcspn (message, "\r\n")] = 0;
        }
        rc = err_set (err, ERR_DAMAGED_DOCUMENT, "the XML is damaged at line %d: %s", last ? last->line : 0, message);
    }
    xmlFreeParserCtxt (context);
    return rc;
}

span_t xml_attribute (const xml_attributes_t *attributes, const char *name)
{
    /* Five pointers a row: local name, prefix, URI, value, end of value. */
    for (int i = 0; i < attributes->count; i++) {
        const unsigned char **row = attributes->rows + i * 5;
        if (strcmp ((const char *)row[0], name) == 0)
            return span (row[3], (size_t)(row[4] - row[3]));
    }
    return SPAN_EMPTY;
}

long xml_attribute_number (const xml_attributes_t *attributes, const char *name, long fallback)
{
    span_t value = xml_attribute (attributes, name);
    char text[24], *end;
    if (!value.size || value.size >= sizeof text)
        return fallback;
    memcpy (text, value.data, value.size);
    text[value.size] = 0;
    long number = strtol (text, &end, 10);
    return *end || end == text ? fallback : number;
}
