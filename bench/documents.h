/*  documents.h: documents for measurements, cut from a directory of texts, the same in every run.
 *
 *  Every document begins with a line of its own, so that no two have the same content. Texts that are not UTF-8 are
 *  left out: what is measured is the pipeline, not the decoding.
 */
#ifndef BENCH_DOCUMENTS_H
#define BENCH_DOCUMENTS_H

#include "base/err.h"
#include "base/str.h"

typedef struct {
    span_t *items; /* borrowed from `memory` */
    size_t count;
    size_t bytes;
    str_t memory;
} documents_t;

/*  Documents of `least` to `most` bytes (evenly spread), about `total` bytes in all, from the *.txt below `directory`.
 *  `name` stands in their first lines. 0, or -1 with ERR_IO. */
int documents_make (documents_t *self, const char *directory, const char *name, size_t least, size_t most, size_t total,
                    err_t *err);
void documents_free (documents_t *self);

#endif
