/*  pdftext.h: what poppler gives for a page, made readable. */
#ifndef EXTRACT_PDFTEXT_H
#define EXTRACT_PDFTEXT_H

#include "base/str.h"

/*  Appends `page` to `out`: ligatures become letters, a word that was hyphenated at a line's end is one again. */
void pdf_clean_page (span_t page, str_t *out);

#endif
