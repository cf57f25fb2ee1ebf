/*  child.h: one child process of the supervisor: its command line, its life, and its `ready` line.
 *
 *  A child dies with its parent (PR_SET_PDEATHSIG), is in a process group of its own (Ctrl-C is for the parent to
 *  hand on in order), shares stderr, and has a pipe as stdout, on which it says `ready name=value …` once it serves,
 *  and `failed REASON` when it cannot go on.
 */
#ifndef CLIENT_CHILD_H
#define CLIENT_CHILD_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>
#include <sys/types.h>

#define CHILD_ARGS_MAX 48

typedef struct {
    char name[32];                  /* "extract-1" */
    char *args[CHILD_ARGS_MAX + 1]; /* owned; args[0] is the program's path */
    int arg_count;
    pid_t pid;      /* 0: not running */
    int pid_fd;     /* readable when it ended; -1: not running */
    int out_fd;     /* its stdout; -1: closed */
    str_t out;      /* what was read and not yet taken as a line */
    str_t line;     /* the last line taken */
    str_t why;      /* why it could not go on, in its own words; empty: it said nothing */
    bool spare;     /* not wanted now: is not started, nor started again when it ends */
    int nice;       /* scheduling priority it runs at, as of nice(2) */
    int keep_fd;    /* descriptor the process inherits; -1: none; borrowed */
    bool ready;     /* said so since its last start */
    bool was_ready; /* said so once */
    uint64_t started_ms;
    uint64_t restart_ms; /* when to start it again; 0: not waiting for that */
    unsigned failures;   /* in a row, each soon after the start before */
} child_t;

void child_init (child_t *self, const char *name, const char *directory, const char *program);
void child_free (child_t *self); /* the process must have ended */

/*  Appends `--option value`. Both are copied. */
void child_arg (child_t *self, const char *option, const char *value);
/*  Replaces the value of an option that was added before. */
void child_set_arg (child_t *self, const char *option, const char *value);

/*  Starts the process. 0, or -1 with ERR_IO; then there is none. */
int child_start (child_t *self, uint64_t now_ms, err_t *err);

/*  Reads what is on its stdout. 1 when the `ready` line came now: *line holds what follows the word, borrowed until
 *  the next call. `failed REASON` is kept in `why`; other lines are logged. */
int child_read (child_t *self, span_t *line);

/*  Call when pid_fd is readable: reaps. Returns the status as of waitpid. */
int child_reap (child_t *self);

/*  Value of `name` in a ready line such as "http=… req=…"; empty when it has none. */
span_t child_ready_value (span_t line, const char *name);

#endif
