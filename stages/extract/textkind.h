/*  textkind.h: which kind of text a text is. Content decides; the name and the declared type break ties. */
#ifndef EXTRACT_TEXTKIND_H
#define EXTRACT_TEXTKIND_H

#include "base/span.h"

typedef enum { TEXT_PLAIN, TEXT_MARKDOWN, TEXT_HTML, TEXT_XML, TEXT_FLAT_ODF } text_kind_t;

/*  True when `name` ends in one of `extensions` (" txt log "); case does not count. */
bool name_has_extension (span_t name, const char *extensions);

/*  `start`: the beginning of the text, lower case, without leading blanks, NUL-terminated. *media_type is static. */
text_kind_t text_kind (const char *start, span_t name, span_t declared, const char **media_type);

#endif
