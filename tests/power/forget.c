/*  forget.c: a preloaded shim that writes down all that is done to the files below one directory, so that tests can
 * make of it what a disk would hold after the power went at any moment (tests/power/disk.py).
 *
 *      LD_PRELOAD=libforget.so  FORGET_ROOT=/real/path  FORGET_JOURNAL=/a/file/elsewhere
 *
 *  The journal is one file that all processes append to, one record a call, each written when the call has been made
 *  and before the program knows: so its length, read after an answer came, is a moment at which all that led to
 *  the answer had been done. A sync has two records: what was written before the first is durable from the second on.
 *
 *  A record, little-endian: u8 op, u8 flags, u16 path size, u16 second path size, u16 0, u32 data size, u32 0, u64
 * inode, u64 number; then both paths, then the data. Paths are relative to the root. What stdio does inside the C
 * library is not seen; neither are RocksDB nor SQLite made of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, RENAME, UNLINK, LINK, MKDIR, RMDIR, MAPPED };
enum { DIRECTORY = 1, EMPTIED = 2 };

#define FILES_MAX 65536
#define JOURNAL   900 /* a descriptor nobody else comes to */

typedef struct __attribute__ ((packed)) {
    uint8_t op, flags;
    uint16_t path_size, second_size, zero;
    uint32_t data_size, zero_too;
    uint64_t inode, number;
} record_t;

static char root[PATH_MAX];
static size_t root_size;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t inodes[FILES_MAX]; /* by descriptor; 0: none of ours */
static bool is_open;

__attribute__ ((constructor)) static void start (void)
{
    const char *at = getenv ("FORGET_ROOT");
    if (at && getenv ("FORGET_JOURNAL"))
        root_size = (size_t)snprintf (root, sizeof root, "%s/", at);
}

static void die (const char *what)
{
    dprintf (2, "forget: %s: %s\n", what, strerror (errno));
    _exit (99);
}

static void note (record_t record, const char *path, const char *second, const void *data)
{
    int before = errno;
    if (!is_open) {
        int fd = (int)syscall (SYS_openat, AT_FDCWD, getenv ("FORGET_JOURNAL"),
                               O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (fd == -1 || syscall (SYS_dup3, fd, JOURNAL, O_CLOEXEC) == -1)
            die ("cannot open the journal");
        syscall (SYS_close, fd);
        is_open = true;
    }
    record.path_size = path ? (uint16_t)strlen (path) : 0;
    record.second_size = second ? (uint16_t)strlen (second) : 0;
    struct iovec parts[] = { { &record, sizeof record },
                             { (void *)path, record.path_size },
                             { (void *)second, record.second_size },
                             { (void *)data, record.data_size } };
    ssize_t size = (ssize_t)(sizeof record + record.path_size + record.second_size + record.data_size);
    if (syscall (SYS_writev, JOURNAL, parts, 4) != size)
        die ("cannot write the journal");
    errno = before;
}

/*  The path relative to the root, or NULL when it is not below it. */
static const char *ours (int dir, const char *path, char full[PATH_MAX])
{
    char base[PATH_MAX] = "";
    int before = errno;
    if (!root_size || !path)
        return NULL;
    if (path[0] != '/') {
        char link[64];
        snprintf (link, sizeof link, "/proc/self/fd/%d", dir);
        if (dir == AT_FDCWD)
            strcpy (link, "/proc/self/cwd");
        if (syscall (SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1) <= 0) {
            errno = before;
            return NULL;
        }
    }
    size_t size = 0;
    for (const char *part = base;; part = path) {
        for (const char *at = part; *at && size < PATH_MAX - 2; at++)
            if (!(*at == '/' && size && full[size - 1] == '/'))
                full[size++] = *at;
        if (part == path)
            break;
        if (size)
            full[size++] = '/';
    }
    full[size] = 0;
    if (strncmp (full, root, root_size - 1) != 0 || (full[root_size - 1] && full[root_size - 1] != '/'))
        return NULL;
    return full[root_size - 1] ? full + root_size : ""; /* the root itself */
}

static uint64_t inode_of (int fd)
{
    return fd >= 0 && fd < FILES_MAX ? inodes[fd] : 0;
}

/*  --- files --- */

static int open_file (int dir, const char *path, int flags, mode_t mode)
{
    char full[PATH_MAX];
    const char *name = ours (dir, path, full);
    if (!name || flags & O_PATH)
        return (int)syscall (SYS_openat, dir, path, flags, mode);
    pthread_mutex_lock (&lock);
    int fd = (int)syscall (SYS_openat, dir, path, flags, mode);
    struct stat about;
    if (fd >= 0 && fd < FILES_MAX && syscall (SYS_fstat, fd, &about) == 0 &&
        (S_ISREG (about.st_mode) || S_ISDIR (about.st_mode))) {
        inodes[fd] = about.st_ino;
        uint8_t what = S_ISDIR (about.st_mode) ? DIRECTORY : flags & O_TRUNC ? EMPTIED : 0;
        note ((record_t){ .op = OPEN, .flags = what, .inode = about.st_ino }, name, NULL, NULL);
    }
    pthread_mutex_unlock (&lock);
    return fd;
}

#define OPENER(name, parameters, dir)                                                                                  \
    int name parameters;                                                                                               \
    int name parameters                                                                                                \
    {                                                                                                                  \
        va_list list;                                                                                                  \
        va_start (list, flags);                                                                                        \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg (list, mode_t) : 0;                                     \
        va_end (list);                                                                                                 \
        return open_file (dir, path, flags, mode);                                                                     \
    }
#undef open
#undef openat
OPENER (open, (const char *path, int flags, ...), AT_FDCWD)
OPENER (open64, (const char *path, int flags, ...), AT_FDCWD)
OPENER (openat, (int dir, const char *path, int flags, ...), dir)
OPENER (openat64, (int dir, const char *path, int flags, ...), dir)

#define SHORT_OPENER(name, parameters, dir, flags)                                                                     \
    int name parameters;                                                                                               \
    int name parameters                                                                                                \
    {                                                                                                                  \
        return open_file (dir, path, flags, 0600);                                                                     \
    }
SHORT_OPENER (__open_2, (const char *path, int flags), AT_FDCWD, flags)
SHORT_OPENER (__open64_2, (const char *path, int flags), AT_FDCWD, flags)
SHORT_OPENER (__openat_2, (int dir, const char *path, int flags), dir, flags)
SHORT_OPENER (__openat64_2, (int dir, const char *path, int flags), dir, flags)
SHORT_OPENER (creat, (const char *path, mode_t mode), AT_FDCWD, O_WRONLY | O_CREAT | O_TRUNC)
SHORT_OPENER (creat64, (const char *path, mode_t mode), AT_FDCWD, O_WRONLY | O_CREAT | O_TRUNC)

int close (int fd)
{
    if (inode_of (fd))
        inodes[fd] = 0;
    return (int)syscall (SYS_close, fd);
}

static void note_written (int fd, uint64_t offset, const void *data, ssize_t size)
{
    for (ssize_t at = 0; at < size;) { /* a record's size has 32 bits */
        uint32_t some = size - at > 1 << 30 ? 1u << 30 : (uint32_t)(size - at);
        note ((record_t){ .op = WRITE, .data_size = some, .inode = inode_of (fd), .number = offset + (uint64_t)at },
              NULL, NULL, (const char *)data + at);
        at += some;
    }
}

ssize_t write (int fd, const void *data, size_t size)
{
    if (!inode_of (fd))
        return syscall (SYS_write, fd, data, size);
    pthread_mutex_lock (&lock);
    ssize_t written = syscall (SYS_write, fd, data, size);
    if (written > 0) /* where it ended is known, also when it appended */
        note_written (fd, (uint64_t)(syscall (SYS_lseek, fd, 0, SEEK_CUR) - written), data, written);
    pthread_mutex_unlock (&lock);
    return written;
}

ssize_t writev (int fd, const struct iovec *parts, int count)
{
    if (!inode_of (fd))
        return syscall (SYS_writev, fd, parts, count);
    ssize_t sum = 0;
    for (int i = 0; i < count; i++) {
        ssize_t written = write (fd, parts[i].iov_base, parts[i].iov_len);
        if (written < 0)
            return sum ? sum : written;
        sum += written;
        if ((size_t)written < parts[i].iov_len)
            break;
    }
    return sum;
}

ssize_t pwrite64 (int fd, const void *data, size_t size, off64_t offset)
{
    if (!inode_of (fd))
        return syscall (SYS_pwrite64, fd, data, size, offset);
    pthread_mutex_lock (&lock);
    ssize_t written = syscall (SYS_pwrite64, fd, data, size, offset);
    if (written > 0)
        note_written (fd, (uint64_t)offset, data, written);
    pthread_mutex_unlock (&lock);
    return written;
}

ssize_t pwrite (int fd, const void *data, size_t size, off_t offset)
{
    return pwrite64 (fd, data, size, offset);
}

int ftruncate64 (int fd, off64_t size)
{
    if (!inode_of (fd))
        return (int)syscall (SYS_ftruncate, fd, size);
    pthread_mutex_lock (&lock);
    int rc = (int)syscall (SYS_ftruncate, fd, size);
    if (rc == 0)
        note ((record_t){ .op = TRUNCATE, .inode = inode_of (fd), .number = (uint64_t)size }, NULL, NULL, NULL);
    pthread_mutex_unlock (&lock);
    return rc;
}

int ftruncate (int fd, off_t size)
{
    return ftruncate64 (fd, size);
}

/*  Written memory is not seen: such a file may hold anything after the power went, and disk.py wants to know. */
void *mmap64 (void *at, size_t size, int protection, int flags, int fd, off64_t offset)
{
    if (fd >= 0 && inode_of (fd) && protection & PROT_WRITE && flags & MAP_SHARED)
        note ((record_t){ .op = MAPPED, .inode = inode_of (fd) }, NULL, NULL, NULL);
    return (void *)syscall (SYS_mmap, at, size, protection, flags, fd, offset);
}

void *mmap (void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return mmap64 (at, size, protection, flags, fd, offset);
}

/*  --- syncs --- */

static int sync_file (int fd, long call)
{
    static uint32_t count;
    if (!inode_of (fd))
        return (int)syscall (call, fd);
    pthread_mutex_lock (&lock);
    uint64_t number = (uint64_t)getpid () << 32 | ++count, inode = inode_of (fd);
    note ((record_t){ .op = SYNC_BEGIN, .inode = inode, .number = number }, NULL, NULL, NULL);
    pthread_mutex_unlock (&lock);
    int rc = (int)syscall (call, fd);
    if (rc == 0)
        note ((record_t){ .op = SYNC_END, .inode = inode, .number = number }, NULL, NULL, NULL);
    return rc;
}

int fsync (int fd)
{
    return sync_file (fd, SYS_fsync);
}

int fdatasync (int fd)
{
    return sync_file (fd, SYS_fdatasync);
}

/*  --- names --- */

static int change_name (int rc, int dir, const char *path, int second_dir, const char *second, record_t record)
{
    char full[PATH_MAX], second_full[PATH_MAX];
    if (rc == 0)
        note (record, ours (dir, path, full), second ? ours (second_dir, second, second_full) : NULL, NULL);
    pthread_mutex_unlock (&lock);
    return rc;
}

static bool is_ours (int dir, const char *path)
{
    char full[PATH_MAX];
    return ours (dir, path, full);
}

int renameat (int dir, const char *path, int second_dir, const char *second)
{
    if (!is_ours (dir, path) && !is_ours (second_dir, second))
        return (int)syscall (SYS_renameat2, dir, path, second_dir, second, 0);
    pthread_mutex_lock (&lock);
    int rc = (int)syscall (SYS_renameat2, dir, path, second_dir, second, 0);
    return change_name (rc, dir, path, second_dir, second, (record_t){ .op = RENAME });
}

int rename (const char *path, const char *second)
{
    return renameat (AT_FDCWD, path, AT_FDCWD, second);
}

int link (const char *path, const char *second)
{
    if (!is_ours (AT_FDCWD, path) && !is_ours (AT_FDCWD, second))
        return (int)syscall (SYS_link, path, second);
    pthread_mutex_lock (&lock);
    int rc = (int)syscall (SYS_link, path, second);
    return change_name (rc, AT_FDCWD, path, AT_FDCWD, second, (record_t){ .op = LINK });
}

int unlinkat (int dir, const char *path, int flags)
{
    if (!is_ours (dir, path))
        return (int)syscall (SYS_unlinkat, dir, path, flags);
    pthread_mutex_lock (&lock);
    int rc = (int)syscall (SYS_unlinkat, dir, path, flags);
    return change_name (rc, dir, path, 0, NULL, (record_t){ .op = flags & AT_REMOVEDIR ? RMDIR : UNLINK });
}

int unlink (const char *path)
{
    return unlinkat (AT_FDCWD, path, 0);
}

int rmdir (const char *path)
{
    return unlinkat (AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdirat (int dir, const char *path, mode_t mode)
{
    if (!is_ours (dir, path))
        return (int)syscall (SYS_mkdirat, dir, path, mode);
    struct stat about = { 0 };
    pthread_mutex_lock (&lock);
    int rc = (int)syscall (SYS_mkdirat, dir, path, mode);
    if (rc == 0)
        syscall (SYS_newfstatat, dir, path, &about, 0);
    return change_name (rc, dir, path, 0, NULL, (record_t){ .op = MKDIR, .flags = DIRECTORY, .inode = about.st_ino });
}

int mkdir (const char *path, mode_t mode)
{
    return mkdirat (AT_FDCWD, path, mode);
}
