/*  manifest.h: RocksDB's list of what its database is made of, as far as it tells whether something is missing.
 */
#ifndef STORE_MANIFEST_H
#define STORE_MANIFEST_H

#include "base/err.h"

#include <stdint.h>

typedef struct {
    uint64_t size, good; /* whole entries are up to `good` */
    uint64_t last_sequence;
    uint64_t first_log; /* number of the first log that is needed: what was in those before it is in tables */
} manifest_t;

/*  Reads the file at `path`. 1; 0 when there is none; -1 with ERR_IO. */
int manifest_read (const char *path, manifest_t *manifest, err_t *err);

#endif
