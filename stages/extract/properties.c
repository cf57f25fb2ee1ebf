#include "stages/extract/properties.h"
#include "stages/extract/xml.h"

typedef struct {
    sink_t *sink;
    str_t value;
    bool open;
} reading_t;

static const struct {
    const char *element;
    meta_key_t key;
} rows[] = {
    { "title", META_TITLE },       { "creator", META_AUTHOR },     { "initial-creator", META_AUTHOR },
    { "subject", META_SUBJECT },   { "keywords", META_KEYWORDS },  { "keyword", META_KEYWORDS },
    { "language", META_LANGUAGE }, { "created", META_CREATED },    { "creation-date", META_CREATED },
    { "modified", META_MODIFIED }, { "generator", META_PRODUCER },
};

static int start (void *self, const char *name, const xml_attributes_t *attributes)
{
    reading_t *reading = self;
    str_clear (&reading->value);
    reading->open = true;
    return 0;
}

static int end (void *self, const char *name)
{
    reading_t *reading = self;
    for (size_t i = 0; reading->open && i < sizeof rows / sizeof *rows; i++)
        if (strcmp (rows[i].element, name) == 0)
            sink_meta (reading->sink, rows[i].key, str_span (&reading->value));
    reading->open = false;
    return 0;
}

static int text (void *self, span_t text, size_t consumed)
{
    reading_t *reading = self;
    if (reading->open)
        str_add (&reading->value, text);
    return 0;
}

void properties_pour (span_t xml, sink_t *sink)
{
    static const xml_walker_t walker = { start, end, text };
    reading_t reading = { .sink = sink };
    err_t ignored;
    if (xml.size)
        xml_walk (xml, NULL, XML_REFUSE_DOCTYPE, &walker, &reading, &ignored);
    str_free (&reading.value);
}
