/*  blob_walk.h: all blobs of a data directory, one after the other: to find those that no document has. */
#ifndef STORE_BLOB_WALK_H
#define STORE_BLOB_WALK_H

#include "base/hash.h"
#include "base/str.h"

typedef struct blob_walk blob_walk_t;

/*  NULL when there is no such directory yet. */
blob_walk_t *blob_walk_new (const char *data_dir);
void blob_walk_destroy (blob_walk_t **self_p);

/*  The next blob untouched for an hour, in no special order: *user (replaced) and *hash tell which. False at the end.
 *  Younger ones may belong to a submit that is under way. */
bool blob_walk_next (blob_walk_t *self, str_t *user, hash_t *hash);

#endif
