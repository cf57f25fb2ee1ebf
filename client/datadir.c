#include "client/datadir.h"
#include "base/dir.h"
#include "base/log.h"
#include "integrity/files.h"
#include "integrity/restore.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/*  sockaddr_un holds 107 bytes and a NUL; the longest name a process gives its socket has a stage, a worker's id
 *  and an ending. */
#define SOCKET_PATH_MAX (sizeof (((struct sockaddr_un *)0)->sun_path) - 1)
#define SOCKET_NAME_MAX 56

/*  How long the processes of an `up` that was killed may take to end. */
#define ORPHAN_SECONDS 5

struct datadir {
    char path[PATH_MAX];
    char run[PATH_MAX + 8];
    bool run_is_temporary;
    int lock_fd;
};

void datadir_default (str_t *path)
{
    const char *base = getenv ("XDG_DATA_HOME");
    const char *home = getenv ("HOME");
    if (base && *base == '/')
        str_format (path, "%s/myelin", base);
    else
        str_format (path, "%s/.local/share/myelin", home && *home ? home : ".");
}

static int make_directories (const char *path, err_t *err)
{
    char partial[PATH_MAX];
    if (strlen (path) >= sizeof partial)
        return err_set (err, ERR_CONFIG, "the path of the data directory is too long");
    for (size_t i = 0; path[i]; i++) {
        partial[i] = path[i];
        partial[i + 1] = 0;
        bool complete = path[i + 1] == '/' || !path[i + 1];
        if (!complete || path[i] == '/')
            continue;
        if (mkdir (partial, 0700) == 0) {
            if (dir_make (partial, err)) /* its name survives the power too */
                return -1;
        } else if (errno != EEXIST) {
            return err_set_errno (err, ERR_IO, errno, "cannot make the data directory '%s'", path);
        }
    }
    return 0;
}

/*  Proves that the disk takes a new file, before anything of a database is made on it. */
static int check_writable (const datadir_t *self, err_t *err)
{
    char name[PATH_MAX + 16];
    static const char block[4096];
    snprintf (name, sizeof name, "%s/.probe", self->path);
    int fd = open (name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno (err, ERR_IO, errno, "cannot write to the data directory '%s'", self->path);
    int rc = -1;
    errno = 0; /* a short write says nothing */
    if (write (fd, block, sizeof block) != (ssize_t)sizeof block || fsync (fd) != 0)
        err_set_errno (err, ERR_IO, errno ? errno : ENOSPC, "cannot write to the data directory '%s'", self->path);
    else
        rc = 0;
    close (fd);
    unlink (name);
    return rc;
}

/*  A backup that was killed left the databases' files under second names, which keep their room. One that is still at
 *  work holds the lock, and may go on copying: what it has is complete, or the new broker tells it that it is not. */
static int remove_checkpoint (const datadir_t *self, err_t *err)
{
    char name[PATH_MAX + 16];
    snprintf (name, sizeof name, "%s/checkpoint", self->path);
    int fd = open (name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd == -1 && errno == ENOENT)
        return 0;
    int rc = fd != -1 && flock (fd, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK ? 0 : files_remove (name, err);
    if (fd != -1)
        close (fd);
    return rc;
}

/*  A restore that was interrupted left a part of the data. */
static int check_whole (const char *path, err_t *err)
{
    char name[PATH_MAX + 16];
    snprintf (name, sizeof name, "%s/" RESTORE_MARK, path);
    if (access (name, F_OK) != 0)
        return 0;
    return err_set (err, ERR_CONFIG, "a restore into '%s' did not come to its end: do it again (myelin restore)", path);
}

static bool has (const char *path, const char *name)
{
    char full[PATH_MAX + 16];
    struct stat about;
    snprintf (full, sizeof full, "%s/%s", path, name);
    return stat (full, &about) == 0 && S_ISDIR (about.st_mode);
}

/*  Content that nobody has records of any more would stay, unseen, beside a new beginning. The records' directory is
 *  made here, before a process makes that of the content: so there is no other way to come by that. */
static int make_records (const char *path, err_t *err)
{
    char name[PATH_MAX + 16];
    if (!has (path, "broker") && has (path, "content"))
        return err_set (err, ERR_CONFIG,
                        "'%s' has a directory content, but none named broker, which is to say whose it is: bring that "
                        "back, restore a backup (myelin restore), or begin anew in another directory",
                        path);
    snprintf (name, sizeof name, "%s/broker", path);
    return dir_make (name, err);
}

static void on_alarm (int signal_number)
{
}

/*  Waits for the lock of an owner that is already dead; its processes die with it, but not in the same instant. */
static int lock_after_orphans (int fd)
{
    struct sigaction action = { .sa_handler = on_alarm }, before; /* no SA_RESTART: flock returns */
    sigaction (SIGALRM, &action, &before);
    alarm (ORPHAN_SECONDS);
    int rc = flock (fd, LOCK_EX);
    alarm (0);
    sigaction (SIGALRM, &before, NULL);
    return rc;
}

static int lock_file (const char *path, err_t *err)
{
    char name[PATH_MAX + 16], text[32] = "";
    snprintf (name, sizeof name, "%s/lock", path);
    int fd = open (name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno (err, ERR_IO, errno, "cannot write to the data directory '%s'", path);
    if (flock (fd, LOCK_EX | LOCK_NB) != 0) {
        if (pread (fd, text, sizeof text - 1, 0) < 0)
            text[0] = 0;
        int pid = atoi (text);
        bool gone = pid > 0 && kill (pid, 0) != 0 && errno == ESRCH;
        if (!gone || lock_after_orphans (fd) != 0) {
            close (fd);
            return err_set (err, ERR_LOCKED,
                            "the data directory '%s' is used by process %d; stop that one, or choose "
                            "another with --data",
                            path, pid);
        }
    }
    int size = snprintf (text, sizeof text, "%d\n", (int)getpid ());
    if (ftruncate (fd, 0) != 0 || pwrite (fd, text, (size_t)size, 0) != size) {
        err_set_errno (err, ERR_IO, errno, "cannot write to the data directory '%s'", path);
        close (fd);
        return -1;
    }
    return fd;
}

/*  The second line of the lock says where the sockets are: for a backup, which talks to the databases' processes. */
static int say_run (const datadir_t *self, err_t *err)
{
    char text[sizeof self->run + 32];
    int size = snprintf (text, sizeof text, "%d\n%s\n", (int)getpid (), self->run);
    if (pwrite (self->lock_fd, text, (size_t)size, 0) == size)
        return 0;
    return err_set_errno (err, ERR_IO, errno, "cannot write to the data directory '%s'", self->path);
}

int datadir_find_run (const char *path, str_t *run, err_t *err)
{
    char name[PATH_MAX + 16], text[PATH_MAX + 64];
    snprintf (name, sizeof name, "%s/lock", path);
    int fd = open (name, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read (fd, text, sizeof text - 1);
    if (fd >= 0)
        close (fd);
    if (size < 0)
        return err_set_errno (err, ERR_IO, errno, "cannot read the lock of the data directory '%s'", path);
    text[size] = 0;
    char *line = strchr (text, '\n'), *end = line ? strchr (line + 1, '\n') : NULL;
    if (!end)
        return err_set (err, ERR_UNAVAILABLE, "what uses the data directory '%s' is starting, or no myelin up", path);
    str_add (run, span (line + 1, (size_t)(end - line - 1)));
    return 0;
}

static int take_lock (datadir_t *self, err_t *err)
{
    self->lock_fd = lock_file (self->path, err);
    return self->lock_fd < 0 ? -1 : 0;
}

/*  Sockets of processes that were killed stay behind. */
static void remove_sockets (const char *path)
{
    DIR *directory = opendir (path);
    if (!directory)
        return;
    for (struct dirent *entry = readdir (directory); entry; entry = readdir (directory)) {
        struct stat about;
        if (fstatat (dirfd (directory), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK (about.st_mode))
            unlinkat (dirfd (directory), entry->d_name, 0);
    }
    closedir (directory);
}

static int make_run (datadir_t *self, err_t *err)
{
    snprintf (self->run, sizeof self->run, "%s/run", self->path);
    if (strlen (self->run) + 1 + SOCKET_NAME_MAX > SOCKET_PATH_MAX) {
        strcpy (self->run, "/tmp/myelin-XXXXXX");
        if (!mkdtemp (self->run))
            return err_set_errno (err, ERR_IO, errno, "cannot make a directory for sockets in /tmp");
        self->run_is_temporary = true;
        log_write (LOG_INFO, "run_directory", NULL, "the data directory's path is too long for sockets: they are in %s",
                   self->run);
        return 0;
    }
    if (mkdir (self->run, 0700) != 0 && errno != EEXIST)
        return err_set_errno (err, ERR_IO, errno, "cannot make the directory '%s'", self->run);
    if (chmod (self->run, 0700) != 0)
        return err_set_errno (err, ERR_IO, errno, "cannot make the directory '%s' ours alone", self->run);
    remove_sockets (self->run);
    return 0;
}

int datadir_hold (const char *path, err_t *err)
{
    struct stat about;
    if (stat (path, &about) != 0 || !S_ISDIR (about.st_mode))
        return err_set (err, ERR_NOT_FOUND, "there is no data directory '%s'", path);
    return lock_file (path, err);
}

int datadir_check_data (const char *path, err_t *err)
{
    if (has (path, "broker"))
        return check_whole (path, err);
    return err_set (err, ERR_NOT_FOUND, "there is no data in '%s': its directory broker is missing", path);
}

datadir_t *datadir_open (const char *path, err_t *err)
{
    datadir_t *self = calloc (1, sizeof *self);
    assert (self);
    self->lock_fd = -1;
    if (make_directories (path, err))
        goto failed;
    if (!realpath (path, self->path)) {
        err_set_errno (err, ERR_IO, errno, "cannot use the data directory '%s'", path);
        goto failed;
    }
    if (take_lock (self, err) || check_whole (self->path, err) || check_writable (self, err) ||
        remove_checkpoint (self, err) || make_run (self, err) || say_run (self, err) || make_records (self->path, err))
        goto failed;
    return self;
failed:
    datadir_close (&self);
    return NULL;
}

void datadir_close (datadir_t **self_p)
{
    datadir_t *self = *self_p;
    if (!self)
        return;
    if (self->run[0]) {
        remove_sockets (self->run);
        if (self->run_is_temporary)
            rmdir (self->run);
    }
    if (self->lock_fd >= 0)
        close (self->lock_fd);
    free (self);
    *self_p = NULL;
}

const char *datadir_path (const datadir_t *self)
{
    return self->path;
}

const char *datadir_run (const datadir_t *self)
{
    return self->run;
}

int datadir_lock_fd (const datadir_t *self)
{
    return self->lock_fd;
}
