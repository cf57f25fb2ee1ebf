#include "stages/embed/spans.h"
#include "wire/columns.h"
#include "wire/vectors.h"

#include <stdlib.h>

#define BATCH 64u

int embed_spans (provider_t *provider, span_t text, span_t spans, buf_t **vectors, uint32_t *rows, err_t *err)
{
    if (chunk_spans_check (spans, text.size, err) == -1)
        return -1;
    uint32_t count = (uint32_t)chunk_span_count (spans), dims = provider_dims (provider);
    buf_t *column = vectors_new (provider_model (provider), count, dims);
    float *values = malloc ((size_t)(count < BATCH ? count : BATCH) * dims * sizeof *values + 1);
    int rc = -1;
    if (!values)
        abort ();
    for (uint32_t done = 0; done < count; done += BATCH) {
        span_t texts[BATCH];
        uint32_t now = count - done < BATCH ? count - done : BATCH;
        for (uint32_t i = 0; i < now; i++) {
            chunk_span_t chunk = chunk_span_at (spans, done + i);
            texts[i] = span (text.data + chunk.start, chunk.end - chunk.start);
        }
        if (provider_embed (provider, texts, now, values, err) == -1)
            goto out;
        vectors_set (column, done, now, values);
    }
    *vectors = buf_ref (column);
    *rows = count;
    rc = 0;
out:
    buf_unref (&column);
    free (values);
    return rc;
}
