/*  sandbox.h: what a parser may still do once it has its document: compute, take memory, read and write the descriptors
 *  it has, end. The kernel sees to it (seccomp, an allow-list):
 *
 *  - open and openat are put to the zygote, which opens data files of the parsers' libraries for it, read-only, and
 *    refuses everything else;
 *  - other looks at the file system (stat by name, access, readlink) fail with EACCES, as does memory that would be
 *    executable;
 *  - every other system call, such as socket, connect, execve, fork, ptrace, kill, ends the process (SIGSYS).
 */
#ifndef EXTRACT_SANDBOX_H
#define EXTRACT_SANDBOX_H

#include "base/err.h"

/*  In the zygote, before it forks: makes the filters, once. -1 with ERR_INTERNAL: the kernel or the library cannot. */
int sandbox_prepare (err_t *err);

/*  In the parser: from here on. `door` (closed) is one end of a socket pair: it sends the descriptor on which the
 *  kernel puts open calls. -1 with ERR_INTERNAL: it is not locked in and must end. */
int sandbox_enter (int door, err_t *err);

/*  In the zygote: what came through the other end of the door, or -1. */
int sandbox_listener (int door);
/*  Answers one open call that waits on `listener`; call when it is readable. -1: it is over, close it. */
int sandbox_answer (int listener);

#endif
