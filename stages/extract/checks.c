#include "stages/extract/checks.h"
#include "base/utf8.h"
#include "wire/columns.h"

#define WORDS_MAX  8192
#define CURSOR_MAX 160
#define TYPE_MAX   100

static int text_of (span_t text, size_t most, const char *what, err_t *err)
{
    if (text.size > most)
        return err_set (err, ERR_PROTOCOL, "a %s of %zu bytes is too long", what, text.size);
    if (!utf8_is_valid (text))
        return err_set (err, ERR_PROTOCOL, "a %s is not UTF-8", what);
    return 0;
}

static int check_marks (span_t marks, size_t text_bytes, err_t *err)
{
    size_t at = 0;
    uint32_t last = 0;
    mark_t mark;
    int more;
    while ((more = mark_next (marks, &at, &mark)) == 1) {
        if (mark.offset < last || mark.offset > text_bytes)
            return err_set (err, ERR_PROTOCOL, "a mark at %u does not fit a text of %zu bytes", mark.offset,
                            text_bytes);
        if (text_of (mark.text, WORDS_MAX, "mark", err))
            return -1;
        last = mark.offset;
    }
    return more ? err_set (err, ERR_PROTOCOL, "the marks are damaged") : 0;
}

int check_segment (const record_segment_t *segment, err_t *err)
{
    if (!segment->text.size)
        return err_set (err, ERR_PROTOCOL, "segment %u is empty", segment->number);
    if (segment->permille > 1000)
        return err_set (err, ERR_PROTOCOL, "permille %u", segment->permille);
    if (text_of (segment->text, SEGMENT_BYTES, "text", err) || text_of (segment->cursor, CURSOR_MAX, "cursor", err))
        return -1;
    return check_marks (segment->marks, segment->text.size, err);
}

static int check_code (span_t code, err_t *err)
{
    for (err_code_t known = ERR_NONE + 1; known < ERR_COUNT; known++)
        if (span_is (code, err_name (known)))
            return 0;
    return err_set (err, ERR_PROTOCOL, "there is no such error code");
}

int check_warning (const record_warning_t *warning, err_t *err)
{
    if (check_code (warning->code, err) || text_of (warning->where, WORDS_MAX, "place", err))
        return -1;
    return text_of (warning->message, WORDS_MAX, "message", err);
}

int check_meta (const record_meta_t *meta, err_t *err)
{
    if (meta->key >= META_COUNT)
        return err_set (err, ERR_PROTOCOL, "there is no metadata key %u", meta->key);
    return text_of (meta->value, WORDS_MAX, "value", err);
}

int check_step (const record_step_t *step, err_t *err)
{
    if (step->permille > 1000 || (step->unit.size && memchr (step->unit.data, '\n', step->unit.size)))
        return err_set (err, ERR_PROTOCOL, "permille %u", step->permille);
    return text_of (step->unit, UNIT_MAX, "unit", err) || text_of (step->where, WORDS_MAX, "place", err) ? -1 : 0;
}

int check_end (const record_end_t *end, err_t *err)
{
    if ((end->code.size && check_code (end->code, err)) || text_of (end->media_type, TYPE_MAX, "media type", err))
        return -1;
    return text_of (end->message, WORDS_MAX, "message", err);
}
