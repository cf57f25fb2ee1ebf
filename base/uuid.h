/*  uuid.h: UUIDv7 identifiers (RFC 9562): 48 bits of Unix milliseconds, then random; sorted bytes are sorted times. */
#ifndef BASE_UUID_H
#define BASE_UUID_H

#include "base/span.h"

#include <stdint.h>

#define UUID_SIZE 16
#define UUID_TEXT 37 /* 36 characters and a NUL */

typedef struct {
    uint8_t bytes[UUID_SIZE];
} uuid_t;

/*  A new id. Ids made by one process rise strictly, also within a millisecond. Not thread-safe. */
uuid_t uuid_new (void);
bool uuid_is_null (uuid_t id); /* all zero: "none" */
bool uuid_eq (uuid_t a, uuid_t b);
int uuid_compare (uuid_t a, uuid_t b); /* as memcmp: by time, then random */
uint64_t uuid_hash (uuid_t id);
void uuid_text (uuid_t id, char text[UUID_TEXT]);
int uuid_parse (span_t text, uuid_t *id); /* 0, or -1 when `text` is no UUID; case does not matter */

#endif
