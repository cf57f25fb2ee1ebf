#include "stages/extract/death.h"
#include "stages/extract/child.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define WHERE_MAX 120 /* bytes of a place that a message has room for */

void death_cause (int status, span_t where, const limits_t *limits, err_t *cause)
{
    char at[WHERE_MAX + 8] = "";
    if (where.size)
        snprintf (at, sizeof at, " at %.*s", (int)(where.size < WHERE_MAX ? where.size : WHERE_MAX), where.data);
    int code = WIFEXITED (status) ? WEXITSTATUS (status) : 0, number = WIFSIGNALED (status) ? WTERMSIG (status) : 0;
    if (code == CHILD_NO_MEMORY)
        err_set (cause, ERR_MEMORY_EXCEEDED,
                 "the parser needed more than %" PRIu64 " MiB of memory%s; --parser-memory sets how much it may use",
                 limits->memory_bytes / MIB, at);
    else if (code == CHILD_NO_SANDBOX)
        err_set (cause, ERR_INTERNAL, "parsers cannot be locked in here (seccomp), and so are not let at documents");
    else if (number == SIGSYS)
        err_set (cause, ERR_PARSER_CRASHED, "the parser tried what no parser may do%s and was ended by the sandbox",
                 at);
    else if (number == SIGXCPU)
        err_set (cause, ERR_CPU_EXCEEDED, "the parser used more than %" PRIu64 " s of CPU time%s", limits->cpu_s, at);
    else if (number == SIGKILL)
        err_set (cause, ERR_PARSER_KILLED,
                 "the parser was killed by somebody else%s, most likely by the system for want of memory", at);
    else if (number)
        err_set (cause, ERR_PARSER_CRASHED, "the parser crashed%s (signal SIG%s)", at, sigabbrev_np (number));
    else
        err_set (cause, ERR_PARSER_CRASHED,
                 "the parser gave up in the middle of the document%s (exit code %d); its last words are in the "
                 "quarantine",
                 at, code);
}
