/*  spans.h: one vector for each chunk of a segment. */
#ifndef STAGES_EMBED_SPANS_H
#define STAGES_EMBED_SPANS_H

#include "base/buf.h"
#include "stages/embed/provider.h"

/*  Makes the vectors column (wire/columns.h) of the chunks that the `spans` column says lie in `text`. *vectors gets
 *  one reference; *rows is how many there are. 0, or -1 with ERR_PROTOCOL (damaged spans) or the provider's error. */
int embed_spans (provider_t *provider, span_t text, span_t spans, buf_t **vectors, uint32_t *rows, err_t *err);

#endif
