/*  outline.h: a PDF's outline, as headings of its pages. */
#ifndef EXTRACT_OUTLINE_H
#define EXTRACT_OUTLINE_H

#include "stages/extract/sink.h"

#include <poppler.h>

typedef struct outline outline_t;

outline_t *outline_new (PopplerDocument *document); /* `document` is borrowed for the call */
void outline_destroy (outline_t **self_p);

/*  Sets the headings that hold where `page` begins, for a reader that starts there. */
void outline_enter (const outline_t *self, int page, sink_t *sink);

/*  Pours the text of `page`, with a heading mark at the line that reads as the title of an item on that page, or
 *  before the text when none does. */
void outline_pour (const outline_t *self, int page, span_t text, sink_t *sink);

#endif
