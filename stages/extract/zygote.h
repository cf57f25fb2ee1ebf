/*  zygote.h: a small process that forks one parser per document.
 *
 *  It is forked from the worker before that has opened anything, so that a parser inherits nothing but the three
 *  descriptors it is given. Being the parsers' parent it knows which of them live: it kills by request and tells how
 *  each ended. It ends when the worker does.
 */
#ifndef EXTRACT_ZYGOTE_H
#define EXTRACT_ZYGOTE_H

#include "stages/extract/limits.h"
#include "stages/extract/records.h"

typedef struct zygote zygote_t;

/*  Forks. Call before threads, sockets and files. `limits` hold for all parsers. NULL and *err on failure. */
zygote_t *zygote_new (const limits_t *limits, err_t *err);
void zygote_destroy (zygote_t **self_p); /* it and its parsers end */

int zygote_pid (const zygote_t *self);
int zygote_fd (const zygote_t *self); /* readable: zygote_read has something to tell */

/*  Asks for a parser of the document behind `document` that writes its records to `output`, and what it has for stderr
 *  to `errors` (all borrowed). An answer STARTED comes, with the ticket that `spawn` gets here. 0, or -1 with
 *  ERR_UNAVAILABLE when the zygote is gone. */
int zygote_spawn (zygote_t *self, record_spawn_t *spawn, int document, int output, int errors, err_t *err);
void zygote_kill (zygote_t *self, uint64_t pid); /* SIGKILL, if it still lives */

/*  The next STARTED or EXITED: 1, 0 when there is none now, -1 with ERR_UNAVAILABLE when the zygote is gone. */
int zygote_read (zygote_t *self, record_t *record, err_t *err);

#endif
