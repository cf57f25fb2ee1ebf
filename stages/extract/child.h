/*  child.h: the parser: a process that reads one document behind one descriptor, writes records to another, and may do
 *  nothing else. What its libraries say on stderr goes to a third.
 */
#ifndef EXTRACT_CHILD_H
#define EXTRACT_CHILD_H

#include "stages/extract/limits.h"
#include "stages/extract/records.h"

#include <sys/types.h>

/*  How a parser says that memory ran out: its exit code. */
#define CHILD_NO_MEMORY 77
/*  And that it could not be locked in, and so did nothing. */
#define CHILD_NO_SANDBOX 78

/*  Loads what every parser needs and may not open itself. Called in the zygote before each fork; works once. */
void child_prepare (void);

/*  What a parser is given (borrowed): the document; where its records go; where libraries' words go; the door to the
 *  zygote (sandbox.h). */
typedef struct {
    int document, output, errors, door;
} child_fds_t;

/*  What child_run does before it reads a byte of the document: from here on the process has no rights and `limits`
 *  hold; beyond them it may map the document. Exits when that cannot be had. */
void child_lock_in (const limits_t *limits, uint64_t document_bytes, int door);

/*  Locks the process in, parses, exits. It ends with its parent `zygote`, even if that has died already. */
_Noreturn void child_run (const record_spawn_t *spawn, const child_fds_t *fds, const limits_t *limits, pid_t zygote);

#endif
