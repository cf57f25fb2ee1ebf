#include "gateway/file_body.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK (64u << 10)

typedef struct {
    int fd;
    uint64_t bytes;
    char hash[HASH_TEXT];
    hasher_t hasher;
} file_body_t;

static ssize_t read_some (void *owner, uint64_t at, char *out, size_t room)
{
    file_body_t *self = owner;
    ssize_t got;
    while ((got = pread (self->fd, out, room, (off_t)at)) == -1 && errno == EINTR)
        ;
    if (got <= 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    hash_feed (&self->hasher, span (out, (size_t)got));
    if (at + (uint64_t)got < self->bytes)
        return got;
    char text[HASH_TEXT];
    hash_text (hash_end (&self->hasher), text);
    if (strcmp (text, self->hash) == 0)
        return got;
    log_write (LOG_ERROR, "file.damaged", NULL, "the file %s is not what was uploaded: its hash is %s", self->hash,
               text);
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

static void destroy (void *owner)
{
    file_body_t *self = owner;
    close (self->fd);
    free (self);
}

struct MHD_Response *file_body_response (int fd, uint64_t bytes, const char *hash)
{
    file_body_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->fd = fd;
    self->bytes = bytes;
    memcpy (self->hash, hash, HASH_TEXT);
    hash_start (&self->hasher);
    return MHD_create_response_from_callback (bytes, BLOCK, read_some, self, destroy);
}
