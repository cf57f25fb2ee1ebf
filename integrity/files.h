/*  files.h: files and directories as backups need them: durable, hashed, linked where that is possible. */
#ifndef INTEGRITY_FILES_H
#define INTEGRITY_FILES_H

#include "base/err.h"
#include "base/hash.h"
#include "base/str.h"

/*  Each: 0, or -1 with ERR_IO, ERR_DISK_FULL, or as said. */
int files_make_dir (const char *path, err_t *err);    /* with its parents; one that is there is fine */
int files_sync_parent (const char *path, err_t *err); /* the name itself */
int files_remove (const char *path, err_t *err);      /* with all that is in it; none is fine */
int files_is_empty (const char *path, err_t *err);    /* 1: an empty directory, or none at all; 0: something is there */

/*  Reads the file. `sync`: it is on disk afterwards. */
int files_hash (const char *path, bool sync, hash_t *hash, uint64_t *bytes, err_t *err);

/*  A copy that is on disk when this returns; hash and size (NULL: not wanted) are those of what was read. */
int files_copy (const char *from, const char *to, hash_t *hash, uint64_t *bytes, err_t *err);

/*  A second name for the file; a copy where that cannot be. */
int files_link (const char *from, const char *to, err_t *err);

/*  Every file below `dir`: *path is relative to it. The first -1 of `visit` ends the walk. A directory that is not
 * there is empty. */
typedef int files_visit_fn (void *context, const char *path, err_t *err);
int files_walk (const char *dir, files_visit_fn *visit, void *context, err_t *err);
/*  Syncs every directory below and including `dir`. */
int files_sync_tree (const char *dir, err_t *err);

#endif
