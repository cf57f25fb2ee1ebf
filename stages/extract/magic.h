/*  magic.h: libmagic, for what the table of signatures does not know. */
#ifndef EXTRACT_MAGIC_H
#define EXTRACT_MAGIC_H

#include "base/span.h"

#include <stddef.h>

/*  Loads the database once per process; done before forking so that parsers need not open it. 0, or -1. */
int magic_preload (void);

/*  The media type of `bytes`, "application/octet-stream" when nobody knows. */
void magic_media_type (span_t bytes, char *text, size_t size);

/*  True when `bytes` are text in an EBCDIC code page. */
bool magic_is_ebcdic (span_t bytes);

#endif
