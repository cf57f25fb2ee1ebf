/*  rar5.h: what libarchive 3.6 does not tell about a RAR 5 archive: which of its entries are encrypted (it reads stored
 *  ones as if they were not), and whether it is solid. Walks the headers only; source: RAR 5.0 archive format,
 * rarlab.com.
 */
#ifndef EXTRACT_RAR5_H
#define EXTRACT_RAR5_H

#include "base/span.h"

typedef struct {
    span_t bytes; /* the archive; borrowed */
    size_t at;    /* where the next block begins */
    bool solid;   /* entries are unpacked one out of the other */
} rar5_t;

/*  `bytes` may be anything; what is no RAR 5 archive has no entries. */
void rar5_init (rar5_t *self, span_t bytes);

/*  Goes on to the next entry: true when it is encrypted. False behind the last one, and behind damage. */
bool rar5_next_is_encrypted (rar5_t *self);

#endif
