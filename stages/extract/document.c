#include "stages/extract/document.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static int open_file (span_t path, err_t *err)
{
    char text[4096];
    if (!path.size || path.size >= sizeof text)
        return err_set (err, ERR_PROTOCOL, "the job has neither bytes nor a file");
    snprintf (text, sizeof text, "%.*s", SPAN_ARG (path));
    int fd = open (text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 ? fd : err_set_errno (err, ERR_IO, errno, "cannot open the document's file");
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
