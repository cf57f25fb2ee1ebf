/*  str.h: a growing byte string, for building JSON, keys and records without counting.
 *
 *  Plain visible struct; STR_INIT or all zero is an empty one. Aborts when memory is out.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/span.h"

#include <stdint.h>

typedef struct {
    char *data; /* NUL-terminated once anything was appended; NULL before */
    size_t size;
    size_t room;
} str_t;

#define STR_INIT                                                                                                       \
    {                                                                                                                  \
        NULL, 0, 0                                                                                                     \
    }

void str_free (str_t *self);               /* frees and empties */
void str_clear (str_t *self);              /* empties, keeps the memory */
char *str_grow (str_t *self, size_t more); /* appends `more` undefined bytes, returns where they start */
void str_add (str_t *self, span_t bytes);
void str_text (str_t *self, const char *text);
void str_char (str_t *self, char c);
void str_u64 (str_t *self, uint64_t value); /* decimal */
void str_i64 (str_t *self, int64_t value);
void str_format (str_t *self, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
span_t str_span (const str_t *self);

/*  JSON. str_json quotes and escapes; bytes that are not UTF-8 become U+FFFD, so the output is always valid. */
void str_json (str_t *self, span_t text);
/*  Appends `,` unless the string ends in one of `{[:,` (or is empty), then "name": . For objects built in order. */
void str_key (str_t *self, const char *name);
void str_key_str (str_t *self, const char *name, span_t text); /* null when text.data is NULL */
void str_key_u64 (str_t *self, const char *name, uint64_t value);
void str_key_raw (str_t *self, const char *name, span_t json); /* null when empty */
/*  RFC 3339 UTC with milliseconds, quoted; null for 0. */
void str_key_time (str_t *self, const char *name, uint64_t wall_ms);

#endif
