#include "stages/extract/extract.h"

int extract_document (const source_t *source, sink_t *sink, detected_t *detected, err_t *err)
{
    err_t why;
    int rc = extract_source (source, sink, detected, &why);
    bool some = sink_poured (sink) || sink_resumed (sink);
    if (rc && some)
        sink_bad (sink, why.code, SPAN_EMPTY, "%s", why.message);
    sink_end (sink);
    if (rc && !some) {
        *err = why;
        return -1;
    }
    return 0;
}
