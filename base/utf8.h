/*  utf8.h: the few questions about UTF-8 that need no ICU. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/span.h"

/*  Bytes (1-4) of the well-formed character at the start of `text`; 0 when it is empty or malformed
 *  (overlong, surrogate, beyond U+10FFFF, cut short). Source: Unicode 15, table 3-7. */
size_t utf8_width (span_t text);

/*  True when all of `text` is well-formed UTF-8. */
bool utf8_is_valid (span_t text);

/*  The largest size ≤ `size` at which `text` can be cut without splitting a character. */
size_t utf8_cut (span_t text, size_t size);

#endif
