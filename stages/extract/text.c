/*  Plain text in any encoding, and whatever is best read as it stands (JSON, CSV, source code). */
#include "stages/extract/formats.h"

typedef struct {
    sink_t *sink;
    size_t size;
} pour_t;

static int pour (void *self, span_t utf8, size_t consumed)
{
    pour_t *state = self;
    sink_text (state->sink, utf8);
    sink_progress (state->sink, consumed, state->size);
    return sink_stopped (state->sink) ? -1 : 0;
}

int extract_text (const source_t *source, sink_t *sink, err_t *err)
{
    pour_t state = { sink, source->bytes.size };
    sink_meta (sink, META_CHARSET, span_str (source->is->charset.name));
    return charset_decode (source->bytes, &source->is->charset, pour, &state, err);
}
