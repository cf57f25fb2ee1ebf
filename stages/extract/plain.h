/*  plain.h: the short way for what most documents are: a note in UTF-8. No parser, no child, usually no copy. */
#ifndef EXTRACT_PLAIN_H
#define EXTRACT_PLAIN_H

#include "base/buf.h"

#define PLAIN_MAX (1024 * 1024)

/*  True when `blob` is plain UTF-8 text of at most PLAIN_MAX bytes: *text (one reference, for the caller) is that text
 *  in NFC with LF line ends, mostly the very bytes of the blob; *media_type (static) says what it is. False, and
 *  nothing is set: a parser has to look. */
bool extract_plain (buf_t *blob, span_t filename, span_t media_type, buf_t **text, const char **detected);

/*  Where the segment that begins at `start` (< text.size) ends. */
size_t plain_cut (span_t text, size_t start);

#endif
