/*  zipnames.h: what the names inside a zip file say about its kind. Reads names only; libarchive does the rest. */
#ifndef EXTRACT_ZIPNAMES_H
#define EXTRACT_ZIPNAMES_H

#include "base/span.h"

typedef struct {
    bool epub, odf, word, excel, powerpoint;
    char mimetype[100]; /* content of the `mimetype` member; "" when there is none */
} zip_kind_t;

void zip_names (span_t bytes, zip_kind_t *kind);

/*  True when `bytes` end as a zip file does: they are one, whatever they begin with. */
bool zip_ends_here (span_t bytes);

#endif
