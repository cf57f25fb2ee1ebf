#include "stages/extract/unpack.h"

#include <errno.h>
#include <inttypes.h>

int unpack_fault (struct archive *archive, err_code_t code, const char *what, err_t *err)
{
    const char *why = archive_error_string (archive);
    /* Not all of its readers say ENOMEM. */
    if (archive_errno (archive) == ENOMEM || (why && strcasestr (why, "allocate")))
        return err_set (err, ERR_MEMORY_EXCEEDED,
                        "%s: to unpack it takes more memory than a parser may use; --parser-memory sets how much (%s)",
                        what, why ? why : "out of memory");
    return err_set (err, code, "%s: %s", what, why ? why : "the data are damaged");
}

static void tell_progress (struct archive *archive, sink_t *sink)
{
    sink_progress (sink, (uint64_t)archive_filter_bytes (archive, -1), sink_document_bytes (sink));
}

int unpack_entry (struct archive *archive, sink_t *sink, size_t enough, str_t *bytes, err_t *err)
{
    const limits_t *limits = sink_limits (sink);
    for (;;) {
        const void *data;
        size_t size;
        la_int64_t offset;
        int rc = archive_read_data_block (archive, &data, &size, &offset);
        if (rc == ARCHIVE_EOF)
            return UNPACK_OK;
        if (rc < ARCHIVE_WARN) {
            const char *why = archive_error_string (archive);
            bool unknown = why && (strcasestr (why, "nsupported") || strcasestr (why, "not supported"));
            unpack_fault (archive, unknown ? ERR_UNSUPPORTED_MEDIA_TYPE : ERR_DAMAGED_DOCUMENT, "it cannot be unpacked",
                          err);
            return UNPACK_DAMAGED;
        }
        /* Sparse files leave gaps. */
        uint64_t gap = offset > 0 && (uint64_t)offset > bytes->size ? (uint64_t)offset - bytes->size : 0;
        if (gap > limits->entry_bytes || bytes->size + gap + size > limits->entry_bytes) {
            err_set (err, ERR_TOO_LARGE, "it unpacks to more than %" PRIu64 " MiB", limits->entry_bytes / MIB);
            return UNPACK_TOO_BIG;
        }
        if (sink_inflate (sink, gap + size, err))
            return UNPACK_LIMIT;
        if (gap)
            memset (str_grow (bytes, (size_t)gap), 0, (size_t)gap);
        str_add (bytes, span (data, size));
        tell_progress (archive, sink);
        if (enough && bytes->size >= enough)
            return UNPACK_MORE;
    }
}

int unpack_rest (struct archive *archive, sink_t *sink, bool counted, err_t *err)
{
    const void *data;
    size_t size;
    la_int64_t offset;
    while (!sink_stopped (sink)) {
        int rc = archive_read_data_block (archive, &data, &size, &offset);
        if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
            break;
        if (counted && sink_inflate (sink, size, err))
            return UNPACK_LIMIT;
        tell_progress (archive, sink);
    }
    return UNPACK_OK;
}
