/*  clean.h: makes any bytes well-formed UTF-8 without characters that mean nothing in a text. */
#ifndef EXTRACT_CLEAN_H
#define EXTRACT_CLEAN_H

#include "base/str.h"

/*  Appends `bytes` to `out`: malformed sequences become U+FFFD; CR and CR LF become LF, other line ends too; control
 *  characters but tab and LF, and byte order marks, are left out. *cr carries over from call to call whether the last
 *  byte was a CR; start with false. */
void clean_append (str_t *out, span_t bytes, bool *cr);

/*  As clean_append for a title: one line, runs of blanks become one space, at most `most` bytes. */
void clean_line (str_t *out, span_t bytes, size_t most);

#endif
