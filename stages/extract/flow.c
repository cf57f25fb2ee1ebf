#include "stages/extract/flow.h"

#define TITLE_BYTES 1024
#define TABS_MAX    32

void flow_init (flow_t *self, sink_t *sink)
{
    *self = (flow_t){ .sink = sink };
}

void flow_end (flow_t *self)
{
    flow_heading_end (self);
    str_free (&self->title);
}

static void raise_gap (flow_t *self, gap_t gap)
{
    if (gap > self->gap)
        self->gap = gap;
}

/*  Writes what separates the text so far from what comes. */
static void write_gap (flow_t *self)
{
    if (self->gap == GAP_BLOCK)
        sink_newlines (self->sink, 2);
    else if (self->gap == GAP_LINE)
        sink_newlines (self->sink, 1);
    if (self->tabs)
        sink_text (self->sink, span ("\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t", self->tabs));
    else if (self->gap == GAP_SPACE)
        sink_text (self->sink, SPAN_LIT (" "));
    self->gap = GAP_NONE;
    self->tabs = 0;
    self->fresh_cell = false;
}

static bool is_blank (char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static void word (flow_t *self, span_t text)
{
    if (self->level) {
        if (self->gap && self->title.size)
            str_char (&self->title, ' ');
        self->gap = GAP_NONE;
        str_add (&self->title, text);
        if (self->title.size > TITLE_BYTES) /* someone never closed a heading */
            flow_heading_end (self);
        return;
    }
    write_gap (self);
    sink_text (self->sink, text);
}

void flow_text (flow_t *self, span_t text)
{
    size_t at = 0;
    while (at < text.size) {
        if (is_blank (text.data[at])) {
            raise_gap (self, GAP_SPACE);
            at++;
            continue;
        }
        size_t end = at;
        /* One blank inside a run of words goes along. */
        while (end < text.size && (!is_blank (text.data[end]) ||
                                   (text.data[end] == ' ' && end + 1 < text.size && !is_blank (text.data[end + 1]))))
            end++;
        word (self, span (text.data + at, end - at));
        at = end;
    }
}

void flow_verbatim (flow_t *self, span_t text)
{
    if (self->level) {
        flow_text (self, text);
        return;
    }
    if (!text.size)
        return;
    write_gap (self);
    sink_text (self->sink, text);
}

void flow_line (flow_t *self)
{
    if (!self->fresh_cell)
        raise_gap (self, GAP_LINE);
}

void flow_block (flow_t *self)
{
    if (!self->fresh_cell)
        raise_gap (self, GAP_BLOCK);
}

void flow_br (flow_t *self)
{
    if (self->level) {
        raise_gap (self, GAP_SPACE);
        return;
    }
    if (self->gap == GAP_LINE) /* two in a row are a blank line */
        self->gap = GAP_BLOCK;
    raise_gap (self, GAP_LINE);
}

void flow_row (flow_t *self)
{
    self->row = self->fresh_cell = false;
    self->tabs = 0;
    raise_gap (self, GAP_LINE);
}

void flow_cell (flow_t *self)
{
    if (self->row) {
        if (self->tabs < TABS_MAX)
            self->tabs++;
        self->gap = GAP_NONE;
    }
    self->row = self->fresh_cell = true;
}

void flow_heading (flow_t *self, unsigned level)
{
    flow_heading_end (self);
    raise_gap (self, GAP_BLOCK);
    self->fresh_cell = false;
    self->level = level;
}

void flow_heading_end (flow_t *self)
{
    if (!self->level)
        return;
    unsigned level = self->level;
    self->level = 0;
    if (self->title.size) {
        self->gap = GAP_BLOCK;
        write_gap (self);
        sink_heading (self->sink, level, str_span (&self->title));
        sink_text (self->sink, str_span (&self->title));
        str_clear (&self->title);
    }
    self->gap = GAP_BLOCK;
}
