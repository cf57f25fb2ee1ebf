#include "base/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int dir_sync (const char *path, err_t *err)
{
    int fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc =
        fd == -1 || fsync (fd) == -1 ? err_set_errno (err, ERR_IO, errno, "cannot sync the directory %s", path) : 0;
    if (fd != -1)
        close (fd);
    return rc;
}

int dir_make (const char *path, err_t *err)
{
    if (mkdir (path, 0700) == -1 && errno != EEXIST)
        return err_set_errno (err, ERR_IO, errno, "cannot make the directory %s", path);
    char *copy = strdup (path);
    if (!copy)
        abort ();
    int rc = dir_sync (dirname (copy), err);
    free (copy);
    return rc;
}
