/*  package.h: the members of a zip package (DOCX, ODT, EPUB), unpacked to memory through libarchive. */
#ifndef EXTRACT_PACKAGE_H
#define EXTRACT_PACKAGE_H

#include "stages/extract/sink.h"

typedef struct package package_t;

/*  Unpacks the members that `wanted` asks for, in one pass. Members that are damaged or too big hold what could be
 *  read, and are told as warnings. NULL and *err: not a package at all, encrypted, or a limit of `sink` reached.
 * `bytes` is borrowed for the call. */
typedef bool package_wanted_fn (const char *name);
package_t *package_open (span_t bytes, package_wanted_fn *wanted, sink_t *sink, err_t *err);
void package_destroy (package_t **self_p);

size_t package_count (const package_t *self);
const char *package_name (const package_t *self, size_t index);
span_t package_bytes (const package_t *self, size_t index);
/*  Bytes of the member with this name; data NULL when there is none. */
span_t package_find (const package_t *self, const char *name);

#endif
