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

/*  Loads what every parser needs and may not open itself. Called in the zygote before each fork; works once. */
void child_prepare (void);

/*  Locks the process in, parses, exits. It ends with its parent `zygote`, even if that has died already. */
_Noreturn void child_run (const record_spawn_t *spawn, int document, int output, int errors, const limits_t *limits,
                          pid_t zygote);

#endif
