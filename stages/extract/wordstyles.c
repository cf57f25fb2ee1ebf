#include "stages/extract/wordstyles.h"
#include "stages/extract/xml.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_SIZE  64
#define STYLES_MAX 4096
#define BASES_MAX  10

typedef struct {
    char id[NAME_SIZE];
    char base[NAME_SIZE];
    unsigned level;  /* 0: not said */
    long list;       /* -1: not said; 0: none */
    long list_level; /* -1: not said */
} style_t;

struct word_styles {
    style_t *rows;
    size_t count;
    bool open; /* inside a style */
};

static void copy (char to[NAME_SIZE], span_t from)
{
    snprintf (to, NAME_SIZE, "%.*s", SPAN_ARG (from));
}

/*  "heading 2" → 2, "Title" → 1; 0 for other names. */
static unsigned level_of_name (span_t name)
{
    if (name.size == 9 && strncasecmp (name.data, "heading ", 8) == 0 && isdigit ((unsigned char)name.data[8]))
        return (unsigned)(name.data[8] - '0');
    return name.size == 5 && strncasecmp (name.data, "title", 5) == 0 ? 1 : 0;
}

static int start (void *context, const char *name, const xml_attributes_t *attributes)
{
    word_styles_t *self = context;
    if (strcmp (name, "style") == 0 && self->count < STYLES_MAX) {
        self->rows = realloc (self->rows, (self->count + 1) * sizeof *self->rows);
        if (!self->rows)
            abort ();
        style_t *row = &self->rows[self->count++];
        *row = (style_t){ .level = 0 };
        copy (row->id, xml_attribute (attributes, "styleId"));
        self->open = true;
        return 0;
    }
    if (!self->open)
        return 0;
    style_t *row = &self->rows[self->count - 1];
    span_t value = xml_attribute (attributes, "val");
    if (strcmp (name, "name") == 0 && !row->level)
        row->level = level_of_name (value);
    else if (strcmp (name, "basedOn") == 0)
        copy (row->base, value);
    else if (strcmp (name, "numId") == 0)
        row->list = xml_attribute_number (attributes, "val", -1);
    else if (strcmp (name, "ilvl") == 0)
        row->list_level = xml_attribute_number (attributes, "val", -1);
    else if (strcmp (name, "outlineLvl") == 0) {
        long level = xml_attribute_number (attributes, "val", 9);
        if (level >= 0 && level < 9)
            row->level = (unsigned)level + 1;
    }
    return 0;
}

static int end (void *context, const char *name)
{
    word_styles_t *self = context;
    if (strcmp (name, "style") == 0)
        self->open = false;
    return 0;
}

word_styles_t *word_styles_new (span_t styles_xml)
{
    static const xml_walker_t walker = { start, end, NULL };
    word_styles_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    err_t ignored; /* a document without its styles is still a document */
    if (styles_xml.size)
        xml_walk (styles_xml, NULL, XML_REFUSE_DOCTYPE, &walker, self, &ignored);
    return self;
}

void word_styles_destroy (word_styles_t **self_p)
{
    word_styles_t *self = *self_p;
    if (!self)
        return;
    free (self->rows);
    free (self);
    *self_p = NULL;
}

static const style_t *find (const word_styles_t *self, const char *id)
{
    for (size_t at = 0; at < self->count; at++)
        if (strcmp (self->rows[at].id, id) == 0)
            return &self->rows[at];
    return NULL;
}

unsigned word_styles_level (const word_styles_t *self, span_t id)
{
    char first[NAME_SIZE];
    copy (first, id);
    const style_t *row = find (self, first);
    for (int i = 0; i < BASES_MAX && row && !row->level; i++)
        row = *row->base ? find (self, row->base) : NULL;
    return row ? row->level : 0;
}

long word_styles_list (const word_styles_t *self, span_t id, long *level)
{
    char first[NAME_SIZE];
    copy (first, id);
    const style_t *row = find (self, first);
    *level = row ? row->list_level : -1;
    for (int i = 0; i < BASES_MAX && row && row->list < 0; i++)
        row = *row->base ? find (self, row->base) : NULL;
    return row && row->list > 0 ? row->list : 0;
}
