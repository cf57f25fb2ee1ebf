#include "stages/extract/document.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECKED_BYTES (256 << 20) /* more takes so long that the worker would miss its beats */

/*  Compares the file with its name, which is its hash: what changed on the disk shall not be taken for what was handed
 *  in. */
static int check_file (int fd, const char *name, err_t *err)
{
    static char block[1u << 18];
    char text[HASH_TEXT];
    struct stat about;
    hasher_t hasher;
    if (fstat (fd, &about) != 0 || about.st_size > CHECKED_BYTES)
        return 0;
    hash_start (&hasher);
    off_t at = 0;
    for (ssize_t got; (got = pread (fd, block, sizeof block, at)) != 0;) {
        if (got < 0 && errno != EINTR)
            return err_set_errno (err, ERR_IO, errno, "cannot read the document's file");
        if (got > 0)
            hash_feed (&hasher, span (block, (size_t)got));
        at += got > 0 ? got : 0;
    }
    hash_text (hash_end (&hasher), text);
    return strcmp (text, name) == 0 ? 0 : err_set (err, ERR_CORRUPT, "the document's bytes are damaged on the disk");
}

static int open_file (span_t path, err_t *err)
{
    char text[4096];
    if (!path.size || path.size >= sizeof text)
        return err_set (err, ERR_PROTOCOL, "the job has neither bytes nor a file");
    snprintf (text, sizeof text, "%.*s", SPAN_ARG (path));
    int fd = open (text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return err_set_errno (err, ERR_IO, errno, "cannot open the document's file");
    const char *slash = strrchr (text, '/');
    if (check_file (fd, slash ? slash + 1 : text, err) == 0)
        return fd;
    close (fd);
    return -1;
}

int document_read (const worker_job_t *job, buf_t **blob, err_t *err)
{
    if (job->columns[0]) {
        *blob = buf_ref (job->columns[0]);
        return 0;
    }
    int fd = open_file (job->job.blob_path, err);
    if (fd < 0)
        return -1;
    buf_t *bytes = buf_new ((size_t)job->job.bytes);
    size_t have = 0;
    ssize_t got = 1;
    while (have < buf_size (bytes) && (got > 0 || (got < 0 && errno == EINTR))) {
        got = read (fd, buf_bytes (bytes) + have, buf_size (bytes) - have);
        have += got > 0 ? (size_t)got : 0;
    }
    int errnum = errno;
    close (fd);
    if (have == buf_size (bytes)) {
        *blob = bytes;
        return 0;
    }
    buf_unref (&bytes);
    if (got < 0)
        return err_set_errno (err, ERR_IO, errnum, "cannot read the document's file");
    return err_set (err, ERR_IO, "the document's file is shorter than it should be");
}

/*  Parsers map their document: one that came in a message goes to memory that can be passed on. */
static int open_memory (span_t bytes, err_t *err)
{
    int fd = memfd_create ("document", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_set_errno (err, ERR_UNAVAILABLE, errno, "no memory file for the document");
    for (size_t at = 0; at < bytes.size;) {
        ssize_t written = write (fd, bytes.data + at, bytes.size - at);
        if (written < 0 && errno != EINTR) {
            err_set_errno (err, ERR_UNAVAILABLE, errno, "no memory for the document");
            close (fd);
            return -1;
        }
        at += written > 0 ? (size_t)written : 0;
    }
    fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    return fd;
}

int document_open (const worker_job_t *job, err_t *err)
{
    return job->columns[0] ? open_memory (buf_span (job->columns[0]), err) : open_file (job->job.blob_path, err);
}
