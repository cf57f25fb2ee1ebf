/*  flow.h: the text of structured documents (HTML, office formats, Markdown) on its way to the sink: blanks collapse,
 *  blocks become lines, cells are separated by tabs, headings become marks.
 */
#ifndef EXTRACT_FLOW_H
#define EXTRACT_FLOW_H

#include "stages/extract/sink.h"

/*  What goes before the next text; the strongest wins. */
typedef enum { GAP_NONE, GAP_SPACE, GAP_LINE, GAP_BLOCK } gap_t;

typedef struct {
    sink_t *sink; /* borrowed */
    gap_t gap;
    unsigned tabs;   /* cells begun since the last text */
    bool row;        /* a cell was begun in this row */
    bool fresh_cell; /* nothing was said in this cell: a block that begins here is no new line */
    unsigned level;  /* of the heading being collected; 0: none */
    str_t title;
} flow_t;

void flow_init (flow_t *self, sink_t *sink);
void flow_end (flow_t *self); /* ends an open heading, frees; the sink stays */

void flow_text (flow_t *self, span_t text); /* runs of blanks count as one */
void flow_verbatim (flow_t *self, span_t text);
void flow_line (flow_t *self);  /* what comes begins on a new line */
void flow_block (flow_t *self); /* what comes is a new paragraph */
void flow_br (flow_t *self);    /* a line ends here, whatever comes */
void flow_row (flow_t *self);   /* a table row begins or ends */
void flow_cell (flow_t *self);  /* a cell begins */
void flow_heading (flow_t *self, unsigned level);
void flow_heading_end (flow_t *self);

#endif
