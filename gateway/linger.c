#include "gateway/linger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINGER_MS    2000
#define LINGER_COUNT 64
#define LINGER_BYTES (256ll << 20)

typedef struct {
    int fd; /* -1: free */
    uint64_t until_ms;
    int64_t bytes_left;
} lingerer_t;

struct linger_set {
    int epoll_fd;
    int used;
    lingerer_t set[LINGER_COUNT];
};

linger_set_t *linger_new (void)
{
    linger_set_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    for (int i = 0; i < LINGER_COUNT; i++)
        self->set[i].fd = -1;
    self->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
    if (self->epoll_fd == -1)
        linger_destroy (&self);
    return self;
}

static void end (linger_set_t *self, lingerer_t *lingerer)
{
    close (lingerer->fd);
    lingerer->fd = -1;
    self->used--;
}

void linger_destroy (linger_set_t **self_p)
{
    linger_set_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (int i = 0; i < LINGER_COUNT; i++)
        if (self->set[i].fd != -1)
            end (self, &self->set[i]);
    if (self->epoll_fd != -1)
        close (self->epoll_fd);
    free (self);
}

void linger_add (linger_set_t *self, int fd, uint64_t now_ms)
{
    lingerer_t *lingerer = self->set;
    while (lingerer < self->set + LINGER_COUNT && lingerer->fd != -1)
        lingerer++;
    if (lingerer == self->set + LINGER_COUNT)
        return;
    lingerer->fd = fcntl (fd, F_DUPFD_CLOEXEC, 0);
    if (lingerer->fd == -1)
        return;
    self->used++;
    lingerer->until_ms = now_ms + LINGER_MS;
    lingerer->bytes_left = LINGER_BYTES;
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = lingerer };
    if (epoll_ctl (self->epoll_fd, EPOLL_CTL_ADD, lingerer->fd, &event) == -1)
        end (self, lingerer);
}

size_t linger_count (const linger_set_t *self)
{
    return (size_t)self->used;
}

int linger_fd (const linger_set_t *self)
{
    return self->epoll_fd;
}

/*  Reads and forgets; false when it is over. */
static bool swallow (lingerer_t *lingerer)
{
    static char waste[65536];
    for (int i = 0; i < 16; i++) {
        ssize_t got = recv (lingerer->fd, waste, sizeof waste, MSG_DONTWAIT);
        if (got == -1)
            return errno == EAGAIN || errno == EINTR;
        lingerer->bytes_left -= got;
        if (got == 0 || lingerer->bytes_left <= 0)
            return false;
    }
    return true;
}

void linger_turn (linger_set_t *self, uint64_t now_ms)
{
    if (!self->used)
        return;
    struct epoll_event events[LINGER_COUNT];
    int count = epoll_wait (self->epoll_fd, events, LINGER_COUNT, 0);
    for (int i = 0; i < count; i++)
        if (!swallow (events[i].data.ptr))
            end (self, events[i].data.ptr);
    for (int i = 0; i < LINGER_COUNT; i++)
        if (self->set[i].fd != -1 && now_ms >= self->set[i].until_ms)
            end (self, &self->set[i]);
}

uint64_t linger_deadline (const linger_set_t *self)
{
    uint64_t soonest = UINT64_MAX;
    for (int i = 0; self->used && i < LINGER_COUNT; i++)
        if (self->set[i].fd != -1 && self->set[i].until_ms < soonest)
            soonest = self->set[i].until_ms;
    return soonest;
}
