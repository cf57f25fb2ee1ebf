/*  dir.h: directories that are still there after the power went.
 *
 *  A file's sync makes its content durable, not its name: that is the directory's, and a new directory's name is its
 *  parent's.
 */
#ifndef BASE_DIR_H
#define BASE_DIR_H

#include "base/err.h"

/*  Makes the names in a directory durable. -1 with ERR_IO. */
int dir_sync (const char *path, err_t *err);

/*  Makes a directory of mode 0700 unless it is there, and its name durable in either case: whoever made it may have
 * ended before. -1 with ERR_IO. */
int dir_make (const char *path, err_t *err);

#endif
