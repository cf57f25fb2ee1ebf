#include "stages/extract/wordnumbers.h"
#include "stages/extract/xml.h"

#include <stdio.h>
#include <stdlib.h>

#define LEVELS    9
#define LISTS_MAX 4096
#define TEXT_SIZE 64
#define NAME_SIZE 64

typedef enum { NUMBER_DECIMAL, NUMBER_ZERO, NUMBER_LETTER, NUMBER_ROMAN, NUMBER_NONE } number_t;

typedef struct {
    char style[NAME_SIZE]; /* paragraph style bound to this level */
    char text[TEXT_SIZE];  /* "%1.%2)" */
    number_t number;
    bool upper;
    bool legal; /* all numbers in it are decimal */
    long start;
} level_t;

/*  An abstractNum: how a list looks, and how far it has counted. */
typedef struct {
    long id;
    level_t levels[LEVELS];
    long counters[LEVELS];
    bool counted[LEVELS];
} list_t;

/*  A num: what paragraphs refer to. */
typedef struct {
    long id;
    long list;
    long starts[LEVELS]; /* -1: as the list says */
    bool used[LEVELS];
} num_t;

struct word_numbers {
    list_t *lists;
    size_t list_count;
    num_t *nums;
    size_t num_count;
    level_t *level; /* being read */
    bool in_num;
    long override; /* level being overridden */
};

static const struct {
    const char *name;
    number_t number;
    bool upper;
} formats[] = {
    { "bullet", NUMBER_NONE, false },       { "none", NUMBER_NONE, false },
    { "decimalZero", NUMBER_ZERO, false },  { "lowerLetter", NUMBER_LETTER, false },
    { "upperLetter", NUMBER_LETTER, true }, { "lowerRoman", NUMBER_ROMAN, false },
    { "upperRoman", NUMBER_ROMAN, true },
};

static void *one_more (void *rows, size_t count, size_t size)
{
    char *more = realloc (rows, (count + 1) * size);
    if (!more)
        abort ();
    memset (more + count * size, 0, size);
    return more;
}

static void start_level (word_numbers_t *self, long index)
{
    self->level = NULL;
    if (index < 0 || index >= LEVELS || !self->list_count || self->in_num)
        return;
    self->level = &self->lists[self->list_count - 1].levels[index];
    self->level->start = 1;
}

static void see_level (level_t *level, const char *name, const xml_attributes_t *attributes)
{
    span_t value = xml_attribute (attributes, "val");
    if (strcmp (name, "start") == 0)
        level->start = xml_attribute_number (attributes, "val", 1);
    else if (strcmp (name, "lvlText") == 0)
        snprintf (level->text, sizeof level->text, "%.*s", SPAN_ARG (value));
    else if (strcmp (name, "pStyle") == 0)
        snprintf (level->style, sizeof level->style, "%.*s", SPAN_ARG (value));
    else if (strcmp (name, "isLgl") == 0)
        level->legal = true;
    else if (strcmp (name, "numFmt") == 0)
        for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
            if (span_is (value, formats[i].name)) {
                level->number = formats[i].number;
                level->upper = formats[i].upper;
            }
}

static int start (void *context, const char *name, const xml_attributes_t *attributes)
{
    word_numbers_t *self = context;
    if (strcmp (name, "abstractNum") == 0 && self->list_count < LISTS_MAX) {
        self->lists = one_more (self->lists, self->list_count, sizeof *self->lists);
        self->lists[self->list_count++].id = xml_attribute_number (attributes, "abstractNumId", -1);
        self->in_num = false;
    } else if (strcmp (name, "num") == 0 && self->num_count < LISTS_MAX) {
        self->nums = one_more (self->nums, self->num_count, sizeof *self->nums);
        num_t *num = &self->nums[self->num_count++];
        *num = (num_t){ .id = xml_attribute_number (attributes, "numId", -1), .list = -1 };
        for (int i = 0; i < LEVELS; i++)
            num->starts[i] = -1;
        self->in_num = true;
        self->level = NULL;
    } else if (strcmp (name, "lvl") == 0) {
        start_level (self, xml_attribute_number (attributes, "ilvl", -1));
    } else if (self->level) {
        see_level (self->level, name, attributes);
    } else if (self->in_num && self->num_count) {
        num_t *num = &self->nums[self->num_count - 1];
        if (strcmp (name, "abstractNumId") == 0)
            num->list = xml_attribute_number (attributes, "val", -1);
        else if (strcmp (name, "lvlOverride") == 0)
            self->override = xml_attribute_number (attributes, "ilvl", -1);
        else if (strcmp (name, "startOverride") == 0 && self->override >= 0 && self->override < LEVELS)
            num->starts[self->override] = xml_attribute_number (attributes, "val", -1);
    }
    return 0;
}

static int end (void *context, const char *name)
{
    word_numbers_t *self = context;
    if (strcmp (name, "lvl") == 0)
        self->level = NULL;
    return 0;
}

word_numbers_t *word_numbers_new (span_t numbering_xml)
{
    static const xml_walker_t walker = { start, end, NULL };
    word_numbers_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    err_t ignored; /* a document without its numbers is still a document */
    if (numbering_xml.size)
        xml_walk (numbering_xml, NULL, XML_REFUSE_DOCTYPE, &walker, self, &ignored);
    self->level = NULL;
    return self;
}

void word_numbers_destroy (word_numbers_t **self_p)
{
    word_numbers_t *self = *self_p;
    if (!self)
        return;
    free (self->lists);
    free (self->nums);
    free (self);
    *self_p = NULL;
}

/*  a … z, aa, bb … */
static void letters (long value, bool upper, str_t *out)
{
    for (long i = 0; i <= (value - 1) / 26 && i < 8; i++)
        str_char (out, (char)((upper ? 'A' : 'a') + (value - 1) % 26));
}

static void roman (long value, bool upper, str_t *out)
{
    static const struct {
        long value;
        const char *digits;
    } steps[] = { { 1000, "m" }, { 900, "cm" }, { 500, "d" }, { 400, "cd" }, { 100, "c" }, { 90, "xc" }, { 50, "l" },
                  { 40, "xl" },  { 10, "x" },   { 9, "ix" },  { 5, "v" },    { 4, "iv" },  { 1, "i" } };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        for (; value >= steps[i].value; value -= steps[i].value)
            for (const char *digit = steps[i].digits; *digit; digit++)
                str_char (out, (char)(upper ? *digit - 32 : *digit));
}

static void number (const level_t *level, bool legal, long value, str_t *out)
{
    if (value < 1 || value > 32767 || legal || level->number == NUMBER_DECIMAL || level->number == NUMBER_NONE)
        str_i64 (out, value);
    else if (level->number == NUMBER_ZERO)
        str_format (out, "%02ld", value);
    else if (level->number == NUMBER_LETTER)
        letters (value, level->upper, out);
    else
        roman (value, level->upper, out);
}

static void write_label (const list_t *list, long at, str_t *out)
{
    const level_t *level = &list->levels[at];
    if (level->number == NUMBER_NONE)
        return;
    for (const char *c = level->text; *c; c++) {
        if (*c == '%' && c[1] >= '1' && c[1] <= '9') {
            long other = *++c - '1';
            number (&list->levels[other], level->legal && other != at, list->counters[other], out);
        } else
            str_char (out, *c);
    }
}

void word_numbers_next (word_numbers_t *self, long num_id, long at, span_t style, str_t *label)
{
    num_t *num = NULL;
    list_t *list = NULL;
    for (size_t i = 0; i < self->num_count && !num; i++)
        num = self->nums[i].id == num_id ? &self->nums[i] : NULL;
    for (size_t i = 0; num && i < self->list_count && !list; i++)
        list = self->lists[i].id == num->list ? &self->lists[i] : NULL;
    if (!list)
        return;
    for (long i = 0; at < 0 && i < LEVELS && style.size; i++)
        at = span_is (style, list->levels[i].style) ? i : at;
    at = at < 0 ? 0 : at < LEVELS ? at : LEVELS - 1;
    if (num->starts[at] >= 0 && !num->used[at]) {
        list->counters[at] = num->starts[at];
        list->counted[at] = true;
    } else if (list->counted[at])
        list->counters[at]++;
    else {
        list->counters[at] = list->levels[at].start;
        list->counted[at] = true;
    }
    num->used[at] = true;
    for (long i = 0; i < at; i++) /* levels that were skipped count as begun */
        if (!list->counted[i]) {
            list->counters[i] = list->levels[i].start;
            list->counted[i] = true;
        }
    for (long i = at + 1; i < LEVELS; i++)
        list->counted[i] = false;
    write_label (list, at, label);
}
