/*  extract.h: one whole document, from its bytes to the end of its last segment. */
#ifndef EXTRACT_EXTRACT_H
#define EXTRACT_EXTRACT_H

#include "stages/extract/formats.h"

/*  Pours `source` and ends the sink. 0 when some text was had: what could not be read is told as warnings and counted
 *  as bad parts. -1 and *err when there was none. *detected says what it is in both cases. */
int extract_document (const source_t *source, sink_t *sink, detected_t *detected, err_t *err);

#endif
