/*  snippet.h: the part of a text that shows why it was found. */
#ifndef STORE_SNIPPET_H
#define STORE_SNIPPET_H

#include "base/str.h"
#include "store/terms.h"

#define SNIPPET_BYTES 240

/*  Appends about SNIPPET_BYTES of `text` around where most distinct terms stand close together: HTML-escaped, each
 *  match in <mark>, white space as single blanks, "…" where it was cut. Without a match: the beginning. */
void snippet_add (str_t *out, span_t text, const terms_t *terms, words_t *words);

#endif
