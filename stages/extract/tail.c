#include "stages/extract/tail.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define READ_MAX   (64 * 1024) /* a turn: as much as a pipe holds */
#define READ_BYTES 4096
#define ESCAPE     4 /* bytes of \xNN */

int tail_open (tail_t *self, err_t *err)
{
    int pair[2];
    tail_close (self);
    if (pipe2 (pair, O_CLOEXEC | O_NONBLOCK)) /* both ends: a full pipe must not hold up a parser */
        return err_set_errno (err, ERR_UNAVAILABLE, errno, "cannot make a pipe for the parser's stderr");
    self->fd = pair[0];
    return pair[1];
}

void tail_close (tail_t *self)
{
    if (self->fd >= 0)
        close (self->fd);
    self->fd = -1;
}

void tail_clear (tail_t *self)
{
    self->size = 0;
}

void tail_add (tail_t *self, span_t bytes)
{
    if (bytes.size > TAIL_MAX)
        bytes = span (bytes.data + bytes.size - TAIL_MAX, TAIL_MAX);
    size_t room = TAIL_MAX - bytes.size, drop = self->size > room ? self->size - room : 0;
    memmove (self->bytes, self->bytes + drop, self->size - drop);
    self->size -= drop;
    if (bytes.size)
        memcpy (self->bytes + self->size, bytes.data, bytes.size);
    self->size += bytes.size;
}

void tail_read (tail_t *self)
{
    char some[READ_BYTES];
    for (size_t total = 0; self->fd >= 0 && total < READ_MAX;) {
        ssize_t got = read (self->fd, some, sizeof some);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0)
            tail_close (self);
        else
            tail_add (self, span (some, (size_t)got));
        total += got > 0 ? (size_t)got : 0;
    }
}

/*  How many bytes the next character takes; *shown: how many when it is shown. */
static size_t next (span_t rest, size_t *shown)
{
    size_t width = utf8_width (rest);
    unsigned char first = (unsigned char)*rest.data, second = width == 2 ? (unsigned char)rest.data[1] : 0;
    bool plain = first == '\n' || first == '\t' || (first >= 0x20 && first != 0x7f);
    bool c1 = first == 0xc2 && second < 0xa0; /* U+0080 to U+009F: terminals obey them as well */
    *shown = width && plain && !c1 ? width : ESCAPE;
    return *shown == ESCAPE && !(width == ESCAPE && plain) ? 1 : width;
}

void tail_text (const tail_t *self, str_t *out)
{
    size_t total = 0, shown, from = 0;
    span_t all = span (self->bytes, self->size);
    for (size_t at = 0; at < all.size; total += shown)
        at += next (span (all.data + at, all.size - at), &shown);
    while (total > TAIL_MAX) { /* the end is worth more than the beginning */
        from += next (span (all.data + from, all.size - from), &shown);
        total -= shown;
    }
    while (from < all.size) {
        span_t rest = span (all.data + from, all.size - from);
        size_t width = next (rest, &shown);
        if (shown == ESCAPE && width == 1)
            str_format (out, "\\x%02x", (unsigned char)*rest.data);
        else
            str_add (out, span (rest.data, width));
        from += width;
    }
}
