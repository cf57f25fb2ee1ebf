/*  death.h: what is known of a parser that ended before its document did, told so that its owner understands it. */
#ifndef EXTRACT_DEATH_H
#define EXTRACT_DEATH_H

#include "base/err.h"
#include "base/span.h"
#include "stages/extract/limits.h"

/*  `status` as waitpid tells it; `where`: what it was reading, or empty. ERR_MEMORY_EXCEEDED, ERR_CPU_EXCEEDED,
 *  ERR_PARSER_CRASHED, or ERR_PARSER_KILLED: somebody else did it, and it may be nobody's fault. */
void death_cause (int status, span_t where, const limits_t *limits, err_t *cause);

#endif
