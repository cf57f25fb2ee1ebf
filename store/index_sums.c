#include "store/index_sums.h"
#include "base/str.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define SUM        8   /* bytes at the end of a page */
#define SMALL_READ 512 /* of the header, before SQLite knows the size of a page */

static uint64_t sum_of (const char *page, sqlite3_int64 offset)
{
    uint64_t h = 0x9e3779b97f4a7c15u ^ (uint64_t)offset; /* a page in another's place does not fit either */
    for (size_t i = 0; i + SUM < INDEX_PAGE; i += 8) {
        uint64_t word;
        memcpy (&word, page + i, 8);
        h = (h ^ word) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return h;
}

/*  --- the layer: SQLite's own file follows ours in memory --- */

typedef struct {
    sqlite3_file base;
    bool has_sums;
} file_t;

static sqlite3_vfs layer;
static sqlite3_vfs *disk;
static sqlite3_io_methods methods;

static sqlite3_file *under (sqlite3_file *file)
{
    return (sqlite3_file *)((file_t *)file + 1);
}

#define FORWARD(name, parameters, ...)                                                                                 \
    static int name parameters                                                                                         \
    {                                                                                                                  \
        sqlite3_file *next = under (file);                                                                             \
        return next->pMethods->__VA_ARGS__;                                                                            \
    }
FORWARD (xTruncate, (sqlite3_file * file, sqlite3_int64 size), xTruncate (next, size))
FORWARD (xSync, (sqlite3_file * file, int flags), xSync (next, flags))
FORWARD (xFileSize, (sqlite3_file * file, sqlite3_int64 *size), xFileSize (next, size))
FORWARD (xLock, (sqlite3_file * file, int level), xLock (next, level))
FORWARD (xUnlock, (sqlite3_file * file, int level), xUnlock (next, level))
FORWARD (xCheckReservedLock, (sqlite3_file * file, int *out), xCheckReservedLock (next, out))
FORWARD (xFileControl, (sqlite3_file * file, int op, void *argument), xFileControl (next, op, argument))
FORWARD (xSectorSize, (sqlite3_file * file), xSectorSize (next))
FORWARD (xDeviceCharacteristics, (sqlite3_file * file), xDeviceCharacteristics (next))
FORWARD (xShmMap, (sqlite3_file * file, int page, int size, int extend, void volatile **out),
         xShmMap (next, page, size, extend, out))
FORWARD (xShmLock, (sqlite3_file * file, int offset, int n, int flags), xShmLock (next, offset, n, flags))
FORWARD (xShmUnmap, (sqlite3_file * file, int remove), xShmUnmap (next, remove))

static void xShmBarrier (sqlite3_file *file)
{
    under (file)->pMethods->xShmBarrier (under (file));
}

static int xClose (sqlite3_file *file)
{
    return under (file)->pMethods->xClose (under (file));
}

static int xRead (sqlite3_file *file, void *bytes, int size, sqlite3_int64 offset)
{
    int rc = under (file)->pMethods->xRead (under (file), bytes, size, offset);
    if (rc != SQLITE_OK || !((file_t *)file)->has_sums || size < SMALL_READ)
        return rc;
    if (size != INDEX_PAGE || offset % INDEX_PAGE)
        return SQLITE_CORRUPT; /* the header must be damaged */
    uint64_t sum = sum_of (bytes, offset);
    return memcmp ((char *)bytes + INDEX_PAGE - SUM, &sum, SUM) == 0 ? SQLITE_OK : SQLITE_CORRUPT;
}

static int xWrite (sqlite3_file *file, const void *bytes, int size, sqlite3_int64 offset)
{
    char page[INDEX_PAGE];
    if (((file_t *)file)->has_sums && size == INDEX_PAGE && offset % INDEX_PAGE == 0) {
        memcpy (page, bytes, INDEX_PAGE);
        uint64_t sum = sum_of (page, offset);
        memcpy (page + INDEX_PAGE - SUM, &sum, SUM);
        bytes = page;
    }
    return under (file)->pMethods->xWrite (under (file), bytes, size, offset);
}

static int xOpen (sqlite3_vfs *self, const char *name, sqlite3_file *file, int flags, int *flags_out)
{
    file->pMethods = NULL;
    int rc = disk->xOpen (disk, name, under (file), flags, flags_out);
    if (under (file)->pMethods)
        file->pMethods = &methods;
    ((file_t *)file)->has_sums = flags & SQLITE_OPEN_MAIN_DB;
    return rc;
}

static void make_layer (void)
{
    methods = (sqlite3_io_methods){ .iVersion = 2, /* not 3: nothing is read past us through mapped memory */
                                    .xClose = xClose,
                                    .xRead = xRead,
                                    .xWrite = xWrite,
                                    .xTruncate = xTruncate,
                                    .xSync = xSync,
                                    .xFileSize = xFileSize,
                                    .xLock = xLock,
                                    .xUnlock = xUnlock,
                                    .xCheckReservedLock = xCheckReservedLock,
                                    .xFileControl = xFileControl,
                                    .xSectorSize = xSectorSize,
                                    .xDeviceCharacteristics = xDeviceCharacteristics,
                                    .xShmMap = xShmMap,
                                    .xShmLock = xShmLock,
                                    .xShmBarrier = xShmBarrier,
                                    .xShmUnmap = xShmUnmap };
    disk = sqlite3_vfs_find (NULL);
    layer = *disk; /* all but opening is done as SQLite does it */
    layer.zName = "myelin";
    layer.pNext = NULL;
    layer.szOsFile = disk->szOsFile + (int)sizeof (file_t);
    layer.xOpen = xOpen;
    sqlite3_vfs_register (&layer, 0);
}

const char *index_sums_layer (void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once (&once, make_layer);
    return layer.zName;
}

void index_sums_begin (sqlite3 *db)
{
    int room = SUM;
    sqlite3_file_control (db, "main", SQLITE_FCNTL_RESERVE_BYTES, &room);
}

/*  --- the log (sqlite.org/walformat.html): a header, then frames, whose sums go on from one to the next --- */

#define LOG_HEADER  32
#define LOG_FRAME   (24 + INDEX_PAGE)
#define LOG_MAGIC   0x377f0682u
#define LOG_VERSION 3007000u

static uint32_t word_at (const unsigned char *at, bool big)
{
    return big ? (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]
               : (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

static void go_on (uint32_t sum[2], const unsigned char *bytes, size_t size, bool big)
{
    for (size_t i = 0; i < size; i += 8) {
        sum[0] += word_at (bytes + i, big) + sum[1];
        sum[1] += word_at (bytes + i + 4, big) + sum[0];
    }
}

static bool fits (const uint32_t sum[2], const unsigned char *at)
{
    return sum[0] == word_at (at, true) && sum[1] == word_at (at + 4, true);
}

static bool log_is_damaged (int fd)
{
    unsigned char header[LOG_HEADER], frame[LOG_FRAME];
    if (pread (fd, header, sizeof header, 0) != sizeof header)
        return false;
    uint32_t sum[2] = { 0 };
    bool big = word_at (header, true) & 1;
    go_on (sum, header, 24, big);
    bool good = (word_at (header, true) & ~1u) == LOG_MAGIC && word_at (header + 4, true) == LOG_VERSION &&
                word_at (header + 8, true) == INDEX_PAGE && fits (sum, header + 24);
    if (!good) /* it is synced before the first frame is written */
        return pread (fd, frame, sizeof frame, LOG_HEADER) == (ssize_t)sizeof frame;
    for (off_t at = LOG_HEADER; pread (fd, frame, sizeof frame, at) == (ssize_t)sizeof frame; at += LOG_FRAME) {
        bool is_of_now = memcmp (frame + 8, header + 16, 8) == 0; /* not left from before the log began again */
        if (good && is_of_now) {
            go_on (sum, frame, 8, big);
            go_on (sum, frame + 24, INDEX_PAGE, big);
            good = fits (sum, frame + 16);
        } else if (is_of_now) {
            return true; /* there is something behind what does not fit */
        } else {
            good = false;
        }
    }
    return false;
}

bool index_sums_log_is_damaged (const char *path)
{
    str_t name = STR_INIT;
    str_format (&name, "%s-wal", path);
    int fd = open (name.data, O_RDONLY | O_CLOEXEC);
    str_free (&name);
    bool damaged = fd >= 0 && log_is_damaged (fd);
    if (fd >= 0)
        close (fd);
    return damaged;
}
