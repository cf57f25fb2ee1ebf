/*  escape: a parser that is hostile: everything that a document with control over its parser might try, each from a
 *  process that is locked in as parsers are, and what came of it. Exit code 0 when nothing succeeded.
 *
 *  Runs as a program of its own, because the memory limit does not go with AddressSanitizer.
 */
#include "stages/extract/child.h"
#include "stages/extract/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_SANITIZER 1
#else
#define WITH_SANITIZER 0
#endif

#define DATA_FILE "/usr/share/poppler/nameToUnicode/Greek"

/*  What it inherits that it could abuse. */
static pid_t brother;
static char here[] = "/tmp/escape-XXXXXX";

/*  Each returns whether it got what it wanted. */
static bool opens (const char *path, int flags)
{
    return open (path, flags, 0600) >= 0;
}

static bool reads_a_file (void)
{
    return opens ("/etc/passwd", O_RDONLY);
}

static bool reads_its_own_memory_map (void)
{
    return opens ("/proc/self/maps", O_RDONLY);
}

static bool goes_up_from_where_it_may_read (void)
{
    return opens ("/usr/share/poppler/../../../etc/passwd", O_RDONLY);
}

static bool writes_where_it_may_read (void)
{
    return opens (DATA_FILE, O_RDWR) || opens ("/usr/share/poppler/new", O_WRONLY | O_CREAT);
}

static bool makes_a_file (void)
{
    char path[64];
    snprintf (path, sizeof path, "%s/file", here);
    return opens (path, O_WRONLY | O_CREAT) || creat (path, 0600) >= 0 || mkdir (path, 0700) == 0;
}

static bool lists_a_directory (void)
{
    return opens ("/usr/share/poppler", O_RDONLY | O_DIRECTORY) && opens ("/", O_RDONLY | O_DIRECTORY);
}

static bool opens_with_openat2 (void)
{
    struct {
        uint64_t flags, mode, resolve;
    } how = { O_RDONLY, 0, 0 };
    return syscall (SYS_openat2, AT_FDCWD, "/etc/passwd", &how, sizeof how) >= 0;
}

static bool looks_at_a_file (void)
{
    struct stat info;
    return stat ("/etc/passwd", &info) == 0 || access ("/etc/passwd", F_OK) == 0;
}

static bool removes_a_file (void)
{
    return unlink (here) == 0 || rmdir (here) == 0;
}

static bool makes_a_socket (void)
{
    return socket (AF_INET, SOCK_STREAM, 0) >= 0;
}

static bool makes_a_unix_socket (void)
{
    return socket (AF_UNIX, SOCK_STREAM, 0) >= 0;
}

static bool connects (void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons (80) };
    return connect (0, (struct sockaddr *)&address, sizeof address) == 0 || errno != EACCES;
}

static bool sends (void)
{
    return send (5, "x", 1, 0) == 1;
}

static bool runs_a_program (void)
{
    char *const words[] = { "/bin/true", NULL };
    execv (words[0], words);
    return false;
}

static bool forks (void)
{
    return fork () >= 0;
}

static bool starts_a_thread (void)
{
    static char stack[65536];
    return clone ((int (*) (void *)) (void (*) (void))abort, stack + sizeof stack,
                  CLONE_VM | CLONE_THREAD | CLONE_SIGHAND, NULL) >= 0;
}

static bool traces_its_brother (void)
{
    return ptrace (PTRACE_ATTACH, brother, NULL, NULL) == 0;
}

static bool kills_its_brother (void)
{
    return kill (brother, SIGKILL) == 0;
}

static bool kills_a_thread_of_its_brother (void)
{
    return syscall (SYS_tgkill, brother, brother, SIGKILL) == 0;
}

static bool reads_its_brothers_memory (void)
{
    return syscall (SYS_process_vm_readv, brother, NULL, 0, NULL, 0, 0) >= 0;
}

static bool makes_memory_executable (void)
{
    void *memory = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mprotect (memory, 4096, PROT_READ | PROT_EXEC) == 0 ||
           mmap (NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static bool raises_its_limits (void)
{
    return syscall (SYS_prlimit64, 0, 0, NULL, NULL) == 0;
}

static bool takes_two_gigabytes (void)
{
    size_t size = (size_t)2 << 30;
    char *memory = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory != MAP_FAILED;
}

static bool takes_two_gigabytes_in_pieces (void)
{
    for (int i = 0; i < 2048; i++)
        if (mmap (NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
            return false;
    return true;
}

static bool mounts (void)
{
    return syscall (SYS_unshare, CLONE_NEWUSER) == 0 || syscall (SYS_mount, "none", "/tmp", "tmpfs", 0, NULL) == 0;
}

static bool loads_a_kernel_program (void)
{
    return syscall (SYS_bpf, 0, NULL, 0) >= 0 || syscall (SYS_io_uring_setup, 8, NULL) >= 0;
}

static const struct {
    const char *name;
    bool (*try) (void);
    bool limit; /* of memory: not with AddressSanitizer */
} attempts[] = {
#define ATTEMPT(name)                                                                                                  \
    {                                                                                                                  \
#name, name, false                                                                                             \
    }
    ATTEMPT (reads_a_file),
    ATTEMPT (reads_its_own_memory_map),
    ATTEMPT (goes_up_from_where_it_may_read),
    ATTEMPT (writes_where_it_may_read),
    ATTEMPT (makes_a_file),
    ATTEMPT (lists_a_directory),
    ATTEMPT (opens_with_openat2),
    ATTEMPT (looks_at_a_file),
    ATTEMPT (removes_a_file),
    ATTEMPT (makes_a_socket),
    ATTEMPT (makes_a_unix_socket),
    ATTEMPT (connects),
    ATTEMPT (sends),
    ATTEMPT (runs_a_program),
    ATTEMPT (forks),
    ATTEMPT (starts_a_thread),
    ATTEMPT (traces_its_brother),
    ATTEMPT (kills_its_brother),
    ATTEMPT (kills_a_thread_of_its_brother),
    ATTEMPT (reads_its_brothers_memory),
    ATTEMPT (makes_memory_executable),
    ATTEMPT (raises_its_limits),
    ATTEMPT (mounts),
    ATTEMPT (loads_a_kernel_program),
#undef ATTEMPT
    { "takes_two_gigabytes", takes_two_gigabytes, true },
    { "takes_two_gigabytes_in_pieces", takes_two_gigabytes_in_pieces, true },
};

/*  What a parser must be able to do, or the rest says nothing. */
static bool works (void)
{
    char *memory = malloc (8 << 20);
    int data = open (DATA_FILE, O_RDONLY);
    bool good = memory && write (1, "", 0) == 0 && (data >= 0 || errno == ENOENT);
    memset (memory, 1, 8 << 20);
    free (memory);
    return good;
}

/*  Waits for its end, and answers what it asks meanwhile, as the zygote does. */
static int attend (pid_t pid, int door)
{
    int listener = -1, status;
    while (waitpid (pid, &status, WNOHANG) == 0) {
        struct pollfd item = { listener >= 0 ? listener : door, POLLIN, 0 };
        if (poll (&item, 1, 10) != 1)
            continue;
        if (item.fd == listener && (!(item.revents & POLLIN) || sandbox_answer (listener))) {
            close (listener);
            door = listener = -1;
        } else if (item.fd == door && (listener = sandbox_listener (door)) < 0)
            door = -1;
    }
    if (listener >= 0)
        close (listener);
    return status;
}

#define SUCCEEDED 42
#define REFUSED   43

static int status_of (bool (*try) (void))
{
    int doors[2];
    limits_t limits = LIMITS_DEFAULT;
    err_t err;
    if (sandbox_prepare (&err) || socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, doors))
        abort ();
    fflush (stdout);
    pid_t pid = fork ();
    if (pid == 0) {
        close (doors[0]);
        child_lock_in (&limits, 0, doors[1]);
        _exit (try () ? SUCCEEDED : REFUSED);
    }
    close (doors[1]);
    int status = attend (pid, doors[0]);
    close (doors[0]);
    return status;
}

int main (void)
{
    int escaped = 0;
    if (!mkdtemp (here) || (brother = fork ()) < 0)
        return 2;
    if (brother == 0)
        for (;;)
            pause ();
    int status = status_of (works);
    if (!WIFEXITED (status) || WEXITSTATUS (status) != SUCCEEDED) {
        printf ("a parser cannot even work: status %x\n", status);
        escaped++;
    }
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        if (attempts[i].limit && WITH_SANITIZER) {
            printf ("skipped  %s: AddressSanitizer takes terabytes\n", attempts[i].name);
            continue;
        }
        status = status_of (attempts[i].try);
        bool refused = WIFEXITED (status) && WEXITSTATUS (status) == REFUSED;
        bool killed = WIFSIGNALED (status) && WTERMSIG (status) == SIGSYS;
        printf ("%-8s %s\n", killed ? "killed" : refused ? "refused" : "ESCAPED", attempts[i].name);
        escaped += !killed && !refused;
    }
    if (waitpid (brother, &status, WNOHANG) != 0 || access (here, F_OK)) {
        printf ("ESCAPED  harm was done\n");
        escaped++;
    }
    kill (brother, SIGKILL);
    waitpid (brother, &status, 0);
    rmdir (here);
    printf ("%zu attempts, %d succeeded\n", sizeof attempts / sizeof *attempts, escaped);
    return escaped ? 1 : 0;
}
