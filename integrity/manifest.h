/*  manifest.h: what a backup consists of: `manifest.jsonl` in it. Written last, it makes a directory a backup.
 *
 *  Lines of JSON: {"myelin_backup":1,"version","at","running"}, then for each file {"path","bytes","blake2b"}, then
 *  {"files","bytes","blake2b"}: how many, how large together, and the hash of all lines before. Read and written line
 * by line: a backup may have millions of files.
 */
#ifndef INTEGRITY_MANIFEST_H
#define INTEGRITY_MANIFEST_H

#include "base/err.h"
#include "base/hash.h"
#include "base/str.h"

#define MANIFEST_NAME   "manifest.jsonl"
#define MANIFEST_FORMAT 1

typedef struct {
    uint64_t files, bytes;
} manifest_sums_t;

typedef struct manifest_writer manifest_writer_t;

/*  `running`: the backup was made while Myelin ran. NULL with ERR_IO or ERR_DISK_FULL. */
manifest_writer_t *manifest_writer_new (const char *dir, bool running, err_t *err);
void manifest_add (manifest_writer_t *self, const char *path, uint64_t bytes, hash_t hash);
/*  On disk when this returns 0. */
int manifest_writer_end (manifest_writer_t *self, manifest_sums_t *sums, err_t *err);
void manifest_writer_destroy (manifest_writer_t **self_p);

typedef struct manifest_reader manifest_reader_t;

/*  NULL with ERR_NOT_FOUND (it is no backup), ERR_NEWER_FORMAT or ERR_CORRUPT. */
manifest_reader_t *manifest_reader_new (const char *dir, err_t *err);
bool manifest_was_running (const manifest_reader_t *self);
/*  1: *path (replaced; surely below the directory), *bytes and *hash are the next file's; 0: that was all, and the
 *  manifest is whole; -1: ERR_CORRUPT, or ERR_IO. */
int manifest_next (manifest_reader_t *self, str_t *path, uint64_t *bytes, hash_t *hash, err_t *err);
manifest_sums_t manifest_sums (const manifest_reader_t *self); /* of what was read so far */
void manifest_reader_destroy (manifest_reader_t **self_p);

#endif
