/*  unpack.h: the data of one archive entry, counted as it comes. */
#ifndef EXTRACT_UNPACK_H
#define EXTRACT_UNPACK_H

#include "stages/extract/sink.h"

#include <archive.h>

enum {
    UNPACK_OK = 0,
    UNPACK_MORE = 1,     /* stopped at `enough`; call again for the rest */
    UNPACK_DAMAGED = -1, /* the data break off; *bytes holds what came */
    UNPACK_LIMIT = -2,   /* a limit of the document is reached */
    UNPACK_TOO_BIG = -3, /* this entry alone is larger than what is unpacked to memory */
};

/*  Says what is wrong with the archive as libarchive tells it: ERR_MEMORY_EXCEEDED when that is memory, else `code`.
 * -1.
 */
int unpack_fault (struct archive *archive, err_code_t code, const char *what, err_t *err);

/*  Appends the data of the current entry to `bytes`, until its end or, with `enough` > 0, until there are that many. */
int unpack_entry (struct archive *archive, sink_t *sink, size_t enough, str_t *bytes, err_t *err);

/*  Unpacks what is left of the current entry to nowhere, as going to the next one would do unseen where entries cannot
 *  be jumped over. With `counted` it costs the document what it unpacks to. UNPACK_OK, also at damage, which the next
 *  header will tell; UNPACK_LIMIT and *err. */
int unpack_rest (struct archive *archive, sink_t *sink, bool counted, err_t *err);

#endif
