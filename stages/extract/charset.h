/*  charset.h: which encoding a text is in, and how it becomes UTF-8 (uchardet and ICU behind it). */
#ifndef EXTRACT_CHARSET_H
#define EXTRACT_CHARSET_H

#include "base/err.h"
#include "base/str.h"

#define CHARSET_NAME 40

typedef struct {
    char name[CHARSET_NAME]; /* as ICU knows it */
    size_t bom;              /* bytes to leave out at the start */
} charset_t;

/*  Finds the encoding: byte order mark, valid UTF-8, `declared` (may be empty), shape of UTF-16 and UTF-32, guess.
 *  0, or -1 when these bytes are no text in any. Looks at one MiB at most, beginning where the
 *  ASCII ends. */
int charset_find (span_t bytes, span_t declared, charset_t *found);

/*  The value of charset= in a media type; empty when there is none. Borrowed from the argument. */
span_t charset_of_media_type (span_t media_type);

/*  Decodes to UTF-8 piece by piece; `out` returns -1 to stop early. 0, or -1 with ERR_DAMAGED_DOCUMENT when the
 *  encoding is not known. What cannot be decoded becomes U+FFFD; a character cut off at the end is left out. */
typedef int charset_out_fn (void *self, span_t utf8, size_t consumed);
int charset_decode (span_t bytes, const charset_t *charset, charset_out_fn *out, void *self, err_t *err);

/*  The whole in one string: appended to `text`. NULs, which end a document for those that parse it, become blanks. */
int charset_to_utf8 (span_t bytes, const charset_t *charset, str_t *text, err_t *err);

#endif
