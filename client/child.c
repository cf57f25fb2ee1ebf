#include "client/child.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096

static char *copy (const char *text)
{
    char *result = strdup (text);
    assert (result);
    return result;
}

void child_init (child_t *self, const char *name, const char *directory, const char *program)
{
    memset (self, 0, sizeof *self);
    snprintf (self->name, sizeof self->name, "%s", name);
    self->pid_fd = self->out_fd = self->keep_fd = -1;
    char path[PATH_MAX];
    snprintf (path, sizeof path, "%s/%s", directory, program);
    self->args[self->arg_count++] = copy (path);
}

void child_free (child_t *self)
{
    assert (!self->pid);
    if (self->out_fd >= 0)
        close (self->out_fd);
    for (int i = 0; i < self->arg_count; i++)
        free (self->args[i]);
    str_free (&self->out);
    str_free (&self->line);
    str_free (&self->why);
}

void child_arg (child_t *self, const char *option, const char *value)
{
    assert (self->arg_count + 2 <= CHILD_ARGS_MAX);
    self->args[self->arg_count++] = copy (option);
    self->args[self->arg_count++] = copy (value);
}

void child_set_arg (child_t *self, const char *option, const char *value)
{
    for (int i = 1; i + 1 < self->arg_count; i += 2)
        if (strcmp (self->args[i], option) == 0) {
            char *replaced = self->args[i + 1];
            self->args[i + 1] = copy (value);
            free (replaced);
            return;
        }
    assert (false);
}

/*  In the new process: become the program, or say why not. */
static void become (const child_t *self, pid_t parent, int out)
{
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (getppid () != parent) /* it died before the line above */
        _exit (1);
    setpgid (0, 0);
    sigset_t none;
    sigemptyset (&none);
    sigprocmask (SIG_SETMASK, &none, NULL);
    signal (SIGPIPE, SIG_DFL);
    if (self->nice)
        setpriority (PRIO_PROCESS, 0, self->nice);
    int null = open ("/dev/null", O_RDONLY);
    if (null < 0 || dup2 (null, STDIN_FILENO) < 0 || dup2 (out, STDOUT_FILENO) < 0) {
        log_write (LOG_ERROR, "exec_failed", NULL, "cannot start %s: %s", self->name, strerror (errno));
        _exit (1);
    }
    if (null > STDERR_FILENO)
        close (null);
    if (self->keep_fd >= 0)
        fcntl (self->keep_fd, F_SETFD, 0);
    execv (self->args[0], self->args);
    log_write (LOG_ERROR, "exec_failed", NULL, "cannot run %s: %s", self->args[0], strerror (errno));
    _exit (1);
}

int child_start (child_t *self, uint64_t now_ms, err_t *err)
{
    assert (!self->pid);
    if (self->out_fd >= 0) {
        close (self->out_fd);
        self->out_fd = -1;
    }
    str_clear (&self->out);
    str_clear (&self->why);
    self->ready = false;
    self->started_ms = now_ms;

    int pipe_fds[2];
    if (pipe2 (pipe_fds, O_CLOEXEC) != 0)
        return err_set_errno (err, ERR_IO, errno, "cannot start %s", self->name);
    fcntl (pipe_fds[0], F_SETFL, O_NONBLOCK);
    pid_t parent = getpid ();
    pid_t pid = fork ();
    if (pid == 0)
        become (self, parent, pipe_fds[1]);
    int fork_errno = errno;
    close (pipe_fds[1]);
    if (pid < 0) {
        close (pipe_fds[0]);
        return err_set_errno (err, ERR_IO, fork_errno, "cannot start %s", self->name);
    }
    self->pid_fd = pidfd_open (pid, 0);
    if (self->pid_fd < 0) { /* no descriptor to be had; one that cannot be watched is none */
        int reason = errno;
        kill (pid, SIGKILL);
        waitpid (pid, NULL, 0);
        close (pipe_fds[0]);
        return err_set_errno (err, ERR_IO, reason, "cannot watch %s", self->name);
    }
    self->pid = pid;
    self->out_fd = pipe_fds[0];
    return 0;
}

/*  Moves the first line of self->out to self->line; false when there is no whole one. */
static bool take_line (child_t *self)
{
    char *end = self->out.size ? memchr (self->out.data, '\n', self->out.size) : NULL;
    if (!end)
        return false;
    size_t size = (size_t)(end - self->out.data);
    str_clear (&self->line);
    str_add (&self->line, span (self->out.data, size));
    str_t rest = STR_INIT;
    str_add (&rest, span (end + 1, self->out.size - size - 1));
    str_free (&self->out);
    self->out = rest;
    return true;
}

static bool starts (span_t text, span_t with)
{
    return text.size > with.size && memcmp (text.data, with.data, with.size) == 0;
}

int child_read (child_t *self, span_t *line)
{
    while (self->out_fd >= 0) {
        char bytes[LINE_MAX_BYTES];
        ssize_t size = read (self->out_fd, bytes, sizeof bytes);
        if (size > 0 && self->out.size < 16 * LINE_MAX_BYTES) {
            str_add (&self->out, span (bytes, (size_t)size));
            continue;
        }
        if (size == 0) {
            close (self->out_fd);
            self->out_fd = -1;
        }
        break;
    }
    int found = 0;
    while (!found && take_line (self)) {
        span_t text = str_span (&self->line);
        if (!self->ready && (span_is (text, "ready") || starts (text, SPAN_LIT ("ready ")))) {
            self->ready = self->was_ready = true;
            *line = text.size > 6 ? span (text.data + 6, text.size - 6) : SPAN_EMPTY;
            found = 1;
        } else if (starts (text, SPAN_LIT ("failed "))) {
            str_clear (&self->why);
            str_add (&self->why, span (text.data + 7, text.size - 7));
        } else
            log_write (LOG_INFO, "child_output", NULL, "%s: %.*s", self->name, SPAN_ARG (text));
    }
    return found;
}

int child_reap (child_t *self)
{
    int status = 0;
    while (waitpid (self->pid, &status, 0) < 0 && errno == EINTR)
        ;
    close (self->pid_fd);
    self->pid_fd = -1;
    self->pid = 0;
    return status;
}

span_t child_ready_value (span_t line, const char *name)
{
    size_t name_size = strlen (name);
    for (size_t at = 0; at < line.size;) {
        const char *word = line.data + at;
        const char *space = memchr (word, ' ', line.size - at);
        size_t size = space ? (size_t)(space - word) : line.size - at;
        if (size > name_size && word[name_size] == '=' && memcmp (word, name, name_size) == 0)
            return span (word + name_size + 1, size - name_size - 1);
        at += size + 1;
    }
    return SPAN_EMPTY;
}
