/*  An entry is an edit (db/version_edit.cc): tagged fields of varints and counted bytes. Those that say what holds for
 *  the whole database come before those that name files.
 */
#include "store/manifest.h"
#include "base/str.h"
#include "store/rocks_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    COMPARATOR = 1,
    LOG_NUMBER = 2,
    NEXT_FILE = 3,
    LAST_SEQUENCE = 4,
    PREVIOUS_LOG = 9,
    MIN_LOG = 10,
    MAX_FAMILY = 203
};

static uint64_t varint (span_t *rest)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && rest->size; shift += 7) {
        unsigned char byte = (unsigned char)rest->data[0];
        *rest = span (rest->data + 1, rest->size - 1);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    *rest = SPAN_EMPTY;
    return 0;
}

static void raise_to (uint64_t *most, uint64_t value)
{
    if (value > *most)
        *most = value;
}

/*  Takes what an edit says of the whole database. */
static void read_edit (manifest_t *manifest, span_t edit)
{
    while (edit.size) {
        uint64_t tag = varint (&edit), value;
        switch (tag) {
        case COMPARATOR:
            value = varint (&edit);
            if (value > edit.size)
                return;
            edit = span (edit.data + value, edit.size - value);
            break;
        case LOG_NUMBER: /* of one column family: others may need older ones */
        case NEXT_FILE:
        case PREVIOUS_LOG:
        case MAX_FAMILY:
            varint (&edit);
            break;
        case MIN_LOG:
            raise_to (&manifest->first_log, varint (&edit));
            break;
        case LAST_SEQUENCE:
            raise_to (&manifest->last_sequence, varint (&edit));
            break;
        default:
            return;
        }
    }
}

/*  Walks over the entries as long as they are whole. */
static void walk (manifest_t *manifest, const char *bytes)
{
    str_t entry = STR_INIT;
    bool inside = false, is_whole = true;
    for (size_t start = 0; start < manifest->size && is_whole; start += ROCKS_LOG_BLOCK) {
        size_t size = manifest->size - start < ROCKS_LOG_BLOCK ? manifest->size - start : ROCKS_LOG_BLOCK, at = 0;
        while (at < size && ROCKS_LOG_BLOCK - at >= ROCKS_LOG_HEADER) {
            int payload = rocks_log_record (bytes + start, size, at);
            int type = payload < 0 ? 0 : bytes[start + at + 6];
            is_whole = payload >= 0 && inside == (type == ROCKS_LOG_MIDDLE || type == ROCKS_LOG_LAST);
            if (!is_whole)
                break;
            if (!inside)
                str_clear (&entry);
            str_add (&entry, span (bytes + start + at + ROCKS_LOG_HEADER, (size_t)payload));
            at += ROCKS_LOG_HEADER + (size_t)payload;
            inside = type == ROCKS_LOG_FIRST || type == ROCKS_LOG_MIDDLE;
            if (inside)
                continue;
            manifest->good = start + at;
            read_edit (manifest, str_span (&entry));
        }
    }
    str_free (&entry);
}

int manifest_read (const char *path, manifest_t *manifest, err_t *err)
{
    struct stat about;
    char *bytes = NULL;
    *manifest = (manifest_t){ 0 };
    int fd = open (path, O_RDONLY | O_CLOEXEC), rc = -1;
    if (fd == -1 && errno == ENOENT)
        return 0;
    if (fd != -1 && fstat (fd, &about) == 0 && !(bytes = malloc ((size_t)about.st_size + 1)))
        abort ();
    while (bytes && manifest->size < (uint64_t)about.st_size) {
        ssize_t got = pread (fd, bytes + manifest->size, (size_t)about.st_size - manifest->size, (off_t)manifest->size);
        if (got <= 0)
            break;
        manifest->size += (uint64_t)got;
    }
    if (!bytes || manifest->size < (uint64_t)about.st_size) {
        err_set_errno (err, ERR_IO, errno, "cannot read %s", path);
    } else {
        walk (manifest, bytes);
        rc = 1;
    }
    free (bytes);
    if (fd != -1)
        close (fd);
    return rc;
}
