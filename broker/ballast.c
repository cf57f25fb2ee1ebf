#include "broker/ballast.h"
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void path_of (str_t *path, const char *data_dir)
{
    str_format (path, "%s/ballast", data_dir);
}

bool ballast_keep (const char *data_dir, uint64_t bytes)
{
    str_t path = STR_INIT;
    struct stat info;
    path_of (&path, data_dir);
    bool kept = false;
    int fd = open (path.data, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd != -1 && fstat (fd, &info) == 0)
        kept = (uint64_t)info.st_size >= bytes || posix_fallocate (fd, 0, (off_t)bytes) == 0;
    if (fd != -1)
        close (fd);
    if (!kept)
        unlink (path.data);
    str_free (&path);
    return kept;
}

bool ballast_release (const char *data_dir)
{
    str_t path = STR_INIT;
    path_of (&path, data_dir);
    bool released = unlink (path.data) == 0;
    if (released)
        log_write (LOG_WARN, "ballast_released", NULL,
                   "the disk is full: %s is given back, so that work can go on; it "
                   "comes again when there is space",
                   path.data);
    str_free (&path);
    return released;
}
