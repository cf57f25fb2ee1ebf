/*  wordnumbers.h: the labels of numbered paragraphs in a DOCX ("2.1", "iv)"), which its text does not contain. */
#ifndef EXTRACT_WORDNUMBERS_H
#define EXTRACT_WORDNUMBERS_H

#include "base/str.h"

typedef struct word_numbers word_numbers_t;

word_numbers_t *word_numbers_new (span_t numbering_xml); /* never NULL; the bytes are borrowed for the call */
void word_numbers_destroy (word_numbers_t **self_p);

/*  Counts one more paragraph of list `num` at `level` (from 0; -1: the level that is bound to paragraph style `style`)
 *  and appends its label: nothing for bullets and unknown lists. */
void word_numbers_next (word_numbers_t *self, long num, long level, span_t style, str_t *label);

#endif
