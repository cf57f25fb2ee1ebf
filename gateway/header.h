/*  header.h: values of headers that are a word and parameters: `form-data; name="a"; filename*=UTF-8''b`. */
#ifndef GATEWAY_HEADER_H
#define GATEWAY_HEADER_H

#include "base/str.h"

#include <stdbool.h>

/*  The word (type, disposition) is `word`, in any case. */
bool header_is (span_t header, const char *word);

/*  Replaces *value by that of parameter `name` (in any case). 1: found; 0: there is none; -1: the header is malformed,
 * or has it twice. In a quoted value \" and \\ stand for a quote and a backslash; other backslashes are themselves, as
 * in the paths that old browsers send for file names. */
int header_param (span_t header, const char *name, str_t *value);

#endif
