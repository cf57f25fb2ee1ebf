#include "stages/extract/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/*  Stands in the filter for the parser's own pid, which is known only when there is one. */
#define OWN_PID 0x5e1f1d00u

/*  What libraries read while they parse: the tables of CJK encodings. */
static const char *const data_files[] = { "/usr/share/poppler/" };

static const int allowed[] = {
    SCMP_SYS (read),
    SCMP_SYS (readv),
    SCMP_SYS (write),
    SCMP_SYS (writev),
    SCMP_SYS (close),
    SCMP_SYS (fstat),
    SCMP_SYS (lseek),
    SCMP_SYS (munmap),
    SCMP_SYS (mremap),
    SCMP_SYS (madvise),
    SCMP_SYS (brk),
    SCMP_SYS (exit),
    SCMP_SYS (exit_group),
    SCMP_SYS (rt_sigreturn),
    SCMP_SYS (rt_sigaction),
    SCMP_SYS (rt_sigprocmask),
    SCMP_SYS (sigaltstack),
    SCMP_SYS (getpid),
    SCMP_SYS (gettid),
    SCMP_SYS (clock_gettime),
    SCMP_SYS (clock_getres),
    SCMP_SYS (gettimeofday),
    SCMP_SYS (getrandom),
    SCMP_SYS (futex),
    SCMP_SYS (sched_yield),
    SCMP_SYS (sysinfo),
    SCMP_SYS (getrusage),
    SCMP_SYS (restart_syscall),
    SCMP_SYS (sched_getaffinity),
};

/*  Libraries look around, and get on when they are told that there is nothing to see. */
static const int refused[] = {
    SCMP_SYS (stat),       SCMP_SYS (lstat),    SCMP_SYS (statx),  SCMP_SYS (access), SCMP_SYS (faccessat),
    SCMP_SYS (faccessat2), SCMP_SYS (readlink), SCMP_SYS (getcwd), SCMP_SYS (statfs), SCMP_SYS (ioctl),
    SCMP_SYS (readlinkat), SCMP_SYS (openat2),  SCMP_SYS (creat),
};

/*  One after the other: with the second alone there would be no way to send the first one's descriptor. Of the two
 *  verdicts on a call the stricter one counts. */
static struct sock_fprog doors, walls;

static int export(scmp_filter_ctx filter, struct sock_fprog *program)
{
    int file = memfd_create ("filter", MFD_CLOEXEC), rc = -1;
    struct stat info;
    if (file >= 0 && seccomp_export_bpf (filter, file) == 0 && fstat (file, &info) == 0 && info.st_size > 0) {
        size_t size = (size_t)info.st_size;
        program->len = (unsigned short)(size / sizeof (struct sock_filter));
        program->filter = malloc (size);
        if (!program->filter)
            abort ();
        if (pread (file, program->filter, size, 0) == info.st_size)
            rc = 0;
    }
    if (file >= 0)
        close (file);
    return rc;
}

/*  Opening is asked for, all else goes. */
static int make_doors (void)
{
    scmp_filter_ctx filter = seccomp_init (SCMP_ACT_ALLOW);
    int rc = -1;
    if (filter && seccomp_rule_add (filter, SCMP_ACT_NOTIFY, SCMP_SYS (openat), 0) == 0 &&
        seccomp_rule_add (filter, SCMP_ACT_NOTIFY, SCMP_SYS (open), 0) == 0)
        rc = export(filter, &doors);
    seccomp_release (filter);
    return rc;
}

static int make_walls (void)
{
    scmp_filter_ctx filter = seccomp_init (SCMP_ACT_KILL_PROCESS);
    const uint32_t deny = SCMP_ACT_ERRNO (EACCES);
    int rc = -1, bad = !filter;
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed && !bad; i++)
        bad = seccomp_rule_add (filter, SCMP_ACT_ALLOW, allowed[i], 0);
    for (size_t i = 0; i < sizeof refused / sizeof *refused && !bad; i++)
        bad = seccomp_rule_add (filter, deny, refused[i], 0);
    bad = bad || seccomp_rule_add (filter, SCMP_ACT_ALLOW, SCMP_SYS (open), 0) ||
          seccomp_rule_add (filter, SCMP_ACT_ALLOW, SCMP_SYS (openat), 0) || /* the doors have the say */
          seccomp_rule_add (filter, SCMP_ACT_ALLOW, SCMP_SYS (newfstatat), 1,
                            SCMP_A3 (SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH)) ||
          seccomp_rule_add (filter, deny, SCMP_SYS (newfstatat), 1, SCMP_A3 (SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, 0)) ||
          seccomp_rule_add (filter, SCMP_ACT_ALLOW, SCMP_SYS (tgkill), 1, SCMP_A0 (SCMP_CMP_EQ, OWN_PID)) ||
          seccomp_rule_add (filter, SCMP_ACT_ALLOW, SCMP_SYS (fcntl), 1, SCMP_A1 (SCMP_CMP_EQ, F_GETFL)) ||
          seccomp_rule_add (filter, SCMP_ACT_ALLOW, SCMP_SYS (fcntl), 1, SCMP_A1 (SCMP_CMP_EQ, F_GETFD)) ||
          seccomp_rule_add (filter, SCMP_ACT_ALLOW, SCMP_SYS (fcntl), 1, SCMP_A1 (SCMP_CMP_EQ, F_SETFD));
    static const int mappings[] = { SCMP_SYS (mmap), SCMP_SYS (mprotect) };
    for (size_t i = 0; i < sizeof mappings / sizeof *mappings && !bad; i++)
        bad = seccomp_rule_add (filter, SCMP_ACT_ALLOW, mappings[i], 1, SCMP_A2 (SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) ||
              seccomp_rule_add (filter, deny, mappings[i], 1, SCMP_A2 (SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC));
    if (!bad)
        rc = export(filter, &walls);
    seccomp_release (filter);
    return rc;
}

int sandbox_prepare (err_t *err)
{
    if (walls.filter)
        return 0;
    if (make_doors () || make_walls ())
        return err_set (err, ERR_INTERNAL, "cannot make the filters of the parsers' system calls");
    return 0;
}

static int send_descriptor (int door, int fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE (sizeof fd)];
    } control = { 0 };
    char nothing = 0;
    struct iovec part = { &nothing, 1 };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    control.header =
        (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN (sizeof fd) };
    memcpy (CMSG_DATA (&control.header), &fd, sizeof fd);
    return sendmsg (door, &message, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

int sandbox_enter (int door, err_t *err)
{
    for (unsigned i = 0; i < walls.len; i++)
        if (walls.filter[i].k == OWN_PID)
            walls.filter[i].k = (unsigned)getpid ();
    if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return err_set_errno (err, ERR_INTERNAL, errno, "cannot give up new privileges");
    int listener = (int)syscall (SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &doors);
    if (listener < 0)
        return err_set_errno (err, ERR_INTERNAL, errno, "cannot have the zygote asked about files (seccomp)");
    if (send_descriptor (door, listener))
        return err_set_errno (err, ERR_INTERNAL, errno, "cannot tell the zygote where to answer");
    close (listener);
    close (door);
    if (syscall (SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &walls))
        return err_set_errno (err, ERR_INTERNAL, errno, "cannot lock the parser in (seccomp)");
    return 0;
}

int sandbox_listener (int door)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE (sizeof (int))];
    } control;
    char byte;
    struct iovec part = { &byte, 1 };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    int listener = -1;
    if (recvmsg (door, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != 1)
        return -1;
    struct cmsghdr *header = CMSG_FIRSTHDR (&message);
    if (header && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN (sizeof listener))
        memcpy (&listener, CMSG_DATA (header), sizeof listener);
    return listener;
}

static bool is_data_file (const char *path)
{
    for (size_t i = 0; i < sizeof data_files / sizeof *data_files; i++)
        if (strncmp (path, data_files[i], strlen (data_files[i])) == 0)
            return true;
    return false;
}

/*  Opens what the call asks for, if it may; -1 with errno. The path is read from the parser's memory, once; what is
 *  checked is where it leads to. */
static int open_for (const struct seccomp_notif *call)
{
    bool at = call->data.nr == SYS_openat;
    char path[PATH_MAX], real[PATH_MAX];
    uint64_t address = call->data.args[at ? 1 : 0], flags = call->data.args[at ? 2 : 1];
    struct iovec here = { path, sizeof path - 1 }, there = { (void *)(uintptr_t)address, sizeof path - 1 };
    /* A page border may be nearer than PATH_MAX. */
    size_t to_border = 4096 - (address & 4095);
    ssize_t size = process_vm_readv ((pid_t)call->pid, &here, 1, &there, 1, 0);
    if (size < 0 && to_border < there.iov_len) {
        there.iov_len = to_border;
        size = process_vm_readv ((pid_t)call->pid, &here, 1, &there, 1, 0);
    }
    errno = EACCES;
    if (size <= 0 || !memchr (path, 0, (size_t)size) || path[0] != '/' || (flags & O_ACCMODE) != O_RDONLY ||
        flags & (O_CREAT | O_TRUNC | O_PATH))
        return -1;
    if (!is_data_file (path) || !realpath (path, real) || !is_data_file (real)) {
        errno = is_data_file (path) ? ENOENT : EACCES;
        return -1;
    }
    return open (real, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

int sandbox_answer (int listener)
{
    struct seccomp_notif call = { 0 };
    if (ioctl (listener, SECCOMP_IOCTL_NOTIF_RECV, &call))
        return errno == EINTR || errno == EAGAIN || errno == ENOENT ? 0 : -1;
    int fd = open_for (&call), problem = errno;
    if (ioctl (listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &call.id)) { /* it died meanwhile: that was another's memory */
        if (fd >= 0)
            close (fd);
        return 0;
    }
    if (fd >= 0) {
        struct seccomp_notif_addfd add = {
            .id = call.id, .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = (uint32_t)fd, .newfd_flags = O_CLOEXEC
        };
        int sent = ioctl (listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
        problem = errno;
        close (fd);
        if (sent >= 0)
            return 0;
    }
    struct seccomp_notif_resp response = { .id = call.id, .error = -problem };
    ioctl (listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
    return 0;
}
