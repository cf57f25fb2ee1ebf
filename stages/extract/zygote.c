#include "stages/extract/zygote.h"
#include "stages/extract/child.h"
#include "stages/extract/sandbox.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIVING_MAX 64 /* killed ones take a moment to be gone, and cancels may come by the hundred */
#define GIVEN_FDS  3  /* with a wish: document, output, errors */

struct zygote {
    int socket;
    pid_t pid;
    uint64_t tickets; /* given out */
    char packet[256]; /* the last answer; what was decoded from it points here */
};

/*  A parser that lives. `door`: a descriptor will come through it (sandbox.h); `listener`: that one; -1: none. */
typedef struct {
    pid_t pid; /* 0: free */
    int door, listener;
} parser_slot_t;

/*  What the zygote itself knows. */
typedef struct {
    int socket;
    int signals;
    limits_t limits;
    parser_slot_t living[LIVING_MAX];
} nursery_t;

static void answer (nursery_t *self, const record_t *record)
{
    str_t packet = STR_INIT;
    record_encode (record, &packet);
    if (send (self->socket, packet.data, packet.size, MSG_NOSIGNAL) < 0)
        _exit (1); /* nobody is there any more */
    str_free (&packet);
}

static void close_one (int *fd)
{
    if (*fd >= 0)
        close (*fd);
    *fd = -1;
}

static void reap (nursery_t *self)
{
    struct signalfd_siginfo info;
    while (read (self->signals, &info, sizeof info) > 0)
        ;
    int status;
    pid_t pid;
    while ((pid = waitpid (-1, &status, WNOHANG)) > 0) {
        for (int i = 0; i < LIVING_MAX; i++)
            if (self->living[i].pid == pid) {
                close_one (&self->living[i].door);
                close_one (&self->living[i].listener);
                self->living[i].pid = 0;
            }
        answer (self, &(record_t){ .kind = RECORD_KIND_EXITED, .exited = { (uint64_t)pid, (uint32_t)status } });
    }
}

static void spawn (nursery_t *self, const record_spawn_t *wish, const int fds[GIVEN_FDS])
{
    err_t err = { 0 };
    int slot = 0, doors[2] = { -1, -1 };
    while (slot < LIVING_MAX && self->living[slot].pid)
        slot++;
    child_prepare ();
    bool ready = slot < LIVING_MAX && sandbox_prepare (&err) == 0 &&
                 socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, doors) == 0;
    pid_t zygote = getpid (), pid = ready ? fork () : -1;
    if (pid == 0) {
        close (self->socket);
        close (self->signals);
        child_run (wish, &(child_fds_t){ fds[0], fds[1], fds[2], doors[1] }, &self->limits, zygote);
    }
    close_one (&doors[1]);
    if (pid > 0)
        self->living[slot] = (parser_slot_t){ pid, doors[0], -1 };
    else
        close_one (&doors[0]);
    answer (self, &(record_t){ .kind = RECORD_KIND_STARTED, .started = { wish->ticket, pid > 0 ? (uint64_t)pid : 0 } });
}

/*  The parser is in its sandbox, asks for a file, or is gone. */
static void attend (parser_slot_t *slot, short events)
{
    if (slot->door >= 0) {
        slot->listener = sandbox_listener (slot->door);
        close_one (&slot->door);
    } else if (!(events & POLLIN) || sandbox_answer (slot->listener))
        close_one (&slot->listener);
}

static void kill_parser (nursery_t *self, uint64_t pid)
{
    for (int i = 0; i < LIVING_MAX; i++)
        if (self->living[i].pid && (uint64_t)self->living[i].pid == pid)
            kill (self->living[i].pid, SIGKILL);
}

/*  Reads one request; exits when the worker is gone. */
static void serve (nursery_t *self)
{
    static char packet[REQUEST_MAX];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE (GIVEN_FDS * sizeof (int))];
    } control;
    struct iovec part = { packet, sizeof packet };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    ssize_t size = recvmsg (self->socket, &message, MSG_CMSG_CLOEXEC);
    if (size < 0 && errno == EINTR)
        return;
    if (size <= 0)
        _exit (0);
    int fds[GIVEN_FDS] = { -1, -1, -1 };
    struct cmsghdr *header = CMSG_FIRSTHDR (&message);
    if (header && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN (sizeof fds))
        memcpy (fds, CMSG_DATA (header), sizeof fds);
    record_t record;
    err_t err;
    if (record_decode (span (packet, (size_t)size), &record, &err))
        _exit (1); /* a worker of another build */
    if (record.kind == RECORD_KIND_SPAWN && fds[0] >= 0)
        spawn (self, &record.spawn, fds);
    else if (record.kind == RECORD_KIND_KILL)
        kill_parser (self, record.kill.pid);
    for (int i = 0; i < GIVEN_FDS; i++)
        if (fds[i] >= 0)
            close (fds[i]);
}

static _Noreturn void run (int socket, const limits_t *limits, pid_t parent)
{
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (getppid () != parent)
        _exit (0);
    prctl (PR_SET_NAME, "extract-zygote");
    nursery_t self = { .socket = socket, .limits = *limits };
    /* Whoever ends the worker ends us: an interrupt from the terminal must not come first. */
    signal (SIGINT, SIG_IGN);
    signal (SIGTERM, SIG_IGN);
    sigset_t set;
    sigemptyset (&set);
    sigaddset (&set, SIGCHLD);
    sigprocmask (SIG_BLOCK, &set, NULL);
    self.signals = signalfd (-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (self.signals < 0)
        _exit (1);
    for (;;) {
        struct pollfd items[2 + LIVING_MAX] = { { self.socket, POLLIN, 0 }, { self.signals, POLLIN, 0 } };
        for (int i = 0; i < LIVING_MAX; i++) { /* poll ignores negative ones */
            const parser_slot_t *slot = &self.living[i];
            items[2 + i] =
                (struct pollfd){ slot->pid ? (slot->door >= 0 ? slot->door : slot->listener) : -1, POLLIN, 0 };
        }
        if (poll (items, 2 + LIVING_MAX, -1) < 0) {
            if (errno == EINTR)
                continue;
            _exit (1);
        }
        for (int i = 0; i < LIVING_MAX; i++)
            if (items[2 + i].revents)
                attend (&self.living[i], items[2 + i].revents);
        if (items[1].revents)
            reap (&self);
        if (items[0].revents)
            serve (&self);
    }
}

zygote_t *zygote_new (const limits_t *limits, err_t *err)
{
    int pair[2];
    if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
        err_set_errno (err, ERR_INTERNAL, errno, "cannot make a socket pair for the parsers");
        return NULL;
    }
    pid_t parent = getpid (), pid = fork ();
    if (pid == 0) {
        close (pair[0]);
        run (pair[1], limits, parent);
    }
    close (pair[1]);
    if (pid < 0) {
        err_set_errno (err, ERR_INTERNAL, errno, "cannot fork the parsers' zygote");
        close (pair[0]);
        return NULL;
    }
    zygote_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->socket = pair[0];
    self->pid = pid;
    return self;
}

void zygote_destroy (zygote_t **self_p)
{
    zygote_t *self = *self_p;
    if (!self)
        return;
    close (self->socket);
    kill (self->pid, SIGKILL); /* its parsers die with it (PDEATHSIG) */
    while (waitpid (self->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    free (self);
    *self_p = NULL;
}

int zygote_pid (const zygote_t *self)
{
    return self->pid;
}

int zygote_fd (const zygote_t *self)
{
    return self->socket;
}

static int gone (err_t *err)
{
    return err_set (err, ERR_UNAVAILABLE, "the zygote that forks the parsers has died");
}

int zygote_spawn (zygote_t *self, record_spawn_t *wish, int document, int output, int errors, err_t *err)
{
    str_t packet = STR_INIT;
    wish->ticket = ++self->tickets;
    record_encode (&(record_t){ .kind = RECORD_KIND_SPAWN, .spawn = *wish }, &packet);
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE (GIVEN_FDS * sizeof (int))];
    } control = { .bytes = { 0 } };
    struct iovec part = { packet.data, packet.size };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    int fds[GIVEN_FDS] = { document, output, errors };
    control.header = (struct cmsghdr){ CMSG_LEN (sizeof fds), SOL_SOCKET, SCM_RIGHTS };
    memcpy (CMSG_DATA (&control.header), fds, sizeof fds);
    ssize_t sent = packet.size <= REQUEST_MAX ? sendmsg (self->socket, &message, MSG_NOSIGNAL) : -1;
    str_free (&packet);
    return sent < 0 ? gone (err) : 0;
}

void zygote_kill (zygote_t *self, uint64_t pid)
{
    str_t packet = STR_INIT;
    record_encode (&(record_t){ .kind = RECORD_KIND_KILL, .kill = { pid } }, &packet);
    send (self->socket, packet.data, packet.size, MSG_NOSIGNAL); /* gone: so is the parser */
    str_free (&packet);
}

int zygote_read (zygote_t *self, record_t *record, err_t *err)
{
    ssize_t size = recv (self->socket, self->packet, sizeof self->packet, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (size <= 0 || record_decode (span (self->packet, (size_t)size), record, err))
        return gone (err);
    return 1;
}
