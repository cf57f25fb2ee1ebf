/*  datadir.h: the data directory of a running Myelin: made, checked, and locked against a second one; and the run
 *  directory, where its processes meet on ipc sockets.
 */
#ifndef CLIENT_DATADIR_H
#define CLIENT_DATADIR_H

#include "base/err.h"
#include "base/str.h"

typedef struct datadir datadir_t;

/*  Makes `path` (and its parents) when missing, locks it, and proves that it can be written. NULL with ERR_LOCKED (the
 *  message names the process), ERR_DISK_FULL, ERR_IO or ERR_CONFIG (the path is too long, or a part of the data is
 * missing); then nothing was left behind but the directory and its lock, which somebody else may wait for already. */
datadir_t *datadir_open (const char *path, err_t *err);

/*  Appends where the data directory is when nobody says: ~/.local/share/myelin, as the XDG base directory specification
 *  has it. */
void datadir_default (str_t *path);

/*  That there is data in it, and all of it: whoever takes an empty directory for a data directory (of a disk that is
 * not mounted, say) would keep nothing, and believe that it was everything. -1 with ERR_NOT_FOUND, or ERR_CONFIG when a
 * restore did not come to its end. */
int datadir_check_data (const char *path, err_t *err);

/*  Keeps everybody else out of a data directory that nobody uses, until the descriptor that it returns is closed. -1
 * with ERR_LOCKED (the message names the process), ERR_NOT_FOUND or ERR_IO. */
int datadir_hold (const char *path, err_t *err);

/*  Appends the directory of the sockets of what uses the data directory. -1 with ERR_UNAVAILABLE or ERR_IO. */
int datadir_find_run (const char *path, str_t *run, err_t *err);

/*  Removes the sockets of the run directory and gives the lock back. */
void datadir_close (datadir_t **self_p);

const char *datadir_path (const datadir_t *self); /* absolute */

/*  The lock lives as long as any process that inherited this descriptor: a database's process must be gone before
 *  another may have the directory. Borrowed. */
int datadir_lock_fd (const datadir_t *self);

/*  Directory for sockets, empty and only for us: `run` in the data directory, or, where the paths of ipc sockets
 *  would be longer than the system allows, a new one in /tmp. */
const char *datadir_run (const datadir_t *self);

#endif
