/*  wordstyles.h: which paragraph styles of a DOCX are headings. */
#ifndef EXTRACT_WORDSTYLES_H
#define EXTRACT_WORDSTYLES_H

#include "base/span.h"

typedef struct word_styles word_styles_t;

word_styles_t *word_styles_new (span_t styles_xml); /* never NULL; the bytes are borrowed for the call */
void word_styles_destroy (word_styles_t **self_p);

/*  Heading level of the style with this id, from 1; 0: not a heading. */
unsigned word_styles_level (const word_styles_t *self, span_t id);

/*  The list that paragraphs of this style belong to, and its level (-1: the one bound to the style); 0: none. */
long word_styles_list (const word_styles_t *self, span_t id, long *level);

#endif
