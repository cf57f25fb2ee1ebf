#include "stages/extract/marks.h"
#include "stages/extract/clean.h"
#include "stages/extract/nfc.h"

#define TITLE_MAX 200
#define PATH_MAX_ 1024

void marks_free (marks_t *self)
{
    str_free (&self->column);
    str_free (&self->path);
    for (int i = 0; i < MARKS_LEVELS; i++)
        str_free (&self->titles[i]);
}

/*  `text` on one line, as the text of segments is written. */
static void set_line (str_t *to, span_t text, size_t most)
{
    str_t line = STR_INIT;
    clean_line (&line, text, most);
    str_clear (to);
    nfc_append (to, str_span (&line));
    str_free (&line);
}

void marks_page (marks_t *self, uint32_t page)
{
    self->page = page;
    self->due[MARK_PAGE] = true;
}

void marks_heading (marks_t *self, unsigned level, span_t title)
{
    if (level < 1)
        level = 1;
    if (level > MARKS_LEVELS)
        level = MARKS_LEVELS;
    for (unsigned i = level; i < MARKS_LEVELS; i++)
        str_clear (&self->titles[i]);
    set_line (&self->titles[level - 1], title, TITLE_MAX);
    self->level = level;
    self->due[MARK_HEADING] = true;
}

void marks_path (marks_t *self, span_t path)
{
    set_line (&self->path, path, PATH_MAX_);
    marks_page (self, 0);
    for (int i = 0; i < MARKS_LEVELS; i++)
        str_clear (&self->titles[i]);
    self->level = 0;
    self->due[MARK_PATH] = self->due[MARK_HEADING] = true;
}

bool marks_are_due (const marks_t *self)
{
    return self->due[MARK_PATH] || self->due[MARK_PAGE] || self->due[MARK_HEADING];
}

static void write_mark (marks_t *self, mark_kind_t kind, size_t offset, uint32_t number, span_t text)
{
    bool holds = kind == MARK_PAGE ? number != 0 : text.size != 0;
    if (holds || self->written[kind])
        mark_add (&self->column, (mark_t){ (uint32_t)offset, kind, number, text });
    self->written[kind] = self->written[kind] || holds;
    self->due[kind] = false;
}

static void write_heading (marks_t *self, size_t offset)
{
    str_t path = STR_INIT;
    unsigned last = 0;
    for (unsigned i = 0; i < self->level; i++)
        if (self->titles[i].size) {
            if (path.size)
                str_text (&path, " > ");
            str_add (&path, str_span (&self->titles[i]));
            last = i + 1;
        }
    write_mark (self, MARK_HEADING, offset, last, str_span (&path));
    str_free (&path);
}

void marks_write (marks_t *self, size_t offset)
{
    if (self->due[MARK_PATH])
        write_mark (self, MARK_PATH, offset, 0, str_span (&self->path));
    if (self->due[MARK_PAGE])
        write_mark (self, MARK_PAGE, offset, self->page, SPAN_EMPTY);
    if (self->due[MARK_HEADING])
        write_heading (self, offset);
}

void marks_restart (marks_t *self)
{
    str_clear (&self->column);
    memset (self->written, 0, sizeof self->written);
    for (int kind = 0; kind < MARK_COUNT; kind++)
        self->due[kind] = true;
}

void marks_split (span_t column, size_t at, str_t *before, str_t *after)
{
    mark_t held[MARK_COUNT], mark;
    bool holds[MARK_COUNT] = { false };
    size_t next = 0;
    str_t behind = STR_INIT;
    while (mark_next (column, &next, &mark) == 1) {
        if (mark.offset < at)
            mark_add (before, mark);
        if (mark.offset <= at) {
            held[mark.kind] = mark;
            holds[mark.kind] = true;
        } else {
            mark.offset -= (uint32_t)at;
            mark_add (&behind, mark);
        }
    }
    for (int kind = 0; kind < MARK_COUNT; kind++)
        if (holds[kind]) {
            held[kind].offset = 0;
            mark_add (after, held[kind]);
        }
    str_add (after, str_span (&behind));
    str_free (&behind);
}
