/*  problem.h: error bodies: application/problem+json (RFC 9457). */
#ifndef GATEWAY_PROBLEM_H
#define GATEWAY_PROBLEM_H

#include "base/err.h"
#include "base/str.h"

#define PROBLEM_MEDIA_TYPE "application/problem+json"

/*  Appends {"type","title","status","detail","code"}; `status` 0: that of the code. ERR_NOT_FOUND always has the same
 *  detail: a missing object and another user's answer byte for byte the same. */
void problem_write (str_t *out, err_code_t code, int status, span_t detail);

#endif
