/*  blob.h: documents too large for the database: content-addressed files.
 *
 *  DATA/blobs/u-<user id in hex>/<first 2 digits>/<64 hex digits of the BLAKE2b-256 of the content>. A file is written
 *  under DATA/blobs/tmp, synced, renamed, and its directory synced: it is there whole or not at all.
 */
#ifndef STORE_BLOB_H
#define STORE_BLOB_H

#include "base/err.h"
#include "base/hash.h"
#include "base/str.h"

#include <stdint.h>

#define BLOB_INLINE_MAX (256u << 10) /* up to here documents live in the database, committed with their task */

/*  Replaces *path by where the blob of `user` lies. */
void blob_path (str_t *path, const char *data_dir, span_t user, hash_t hash);

typedef struct blob_writer blob_writer_t;

/*  A new temporary file; directories are made as needed. It leaves `reserve_bytes` of the disk free: NULL with
 *  ERR_DISK_FULL or ERR_IO, and so does each blob_writer_add end: -1. */
blob_writer_t *blob_writer_new (const char *data_dir, uint64_t reserve_bytes, err_t *err);
int blob_writer_add (blob_writer_t *self, span_t bytes, err_t *err);
hash_t blob_writer_hash (blob_writer_t *self); /* of all that was added; nothing may be added afterwards */
uint64_t blob_writer_size (const blob_writer_t *self);
/*  Makes the blob durable under its name; after blob_writer_hash. Like the rest it blocks for as long as the disk
 *  takes. */
int blob_writer_commit (blob_writer_t *self, span_t user, err_t *err);
/*  Removes the temporary file unless it was committed. */
void blob_writer_destroy (blob_writer_t **self_p);

/*  Removes what crashed writers left in DATA/blobs/tmp: files untouched for an hour. Returns in how many seconds there
 *  may be more to remove: when the next of those that are there comes of age, an hour at most. */
uint64_t blob_sweep (const char *data_dir);

#endif
