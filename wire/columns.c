#include "wire/columns.h"

#define MARK_HEAD 13u
#define SPAN_ROW  12u

static void put_u32 (char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (char)(value >> (8 * i));
}

static uint32_t get_u32 (const char *at)
{
    const unsigned char *p = (const unsigned char *)at;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void mark_add (str_t *column, mark_t mark)
{
    char *at = str_grow (column, MARK_HEAD);
    put_u32 (at, mark.offset);
    at[4] = (char)mark.kind;
    put_u32 (at + 5, mark.number);
    put_u32 (at + 9, (uint32_t)mark.text.size);
    str_add (column, mark.text);
}

int mark_next (span_t column, size_t *at, mark_t *mark)
{
    if (*at == column.size)
        return 0;
    if (*at > column.size || column.size - *at < MARK_HEAD)
        return -1;
    const char *head = column.data + *at;
    uint32_t size = get_u32 (head + 9);
    if (column.size - *at - MARK_HEAD < size || (unsigned char)head[4] >= MARK_COUNT)
        return -1;
    mark->offset = get_u32 (head);
    mark->kind = (mark_kind_t)head[4];
    mark->number = get_u32 (head + 5);
    mark->text = span (head + MARK_HEAD, size);
    *at += MARK_HEAD + size;
    return 1;
}

void chunk_span_add (str_t *column, chunk_span_t value)
{
    char *at = str_grow (column, SPAN_ROW);
    put_u32 (at, value.start);
    put_u32 (at + 4, value.end);
    put_u32 (at + 8, value.tokens);
}

size_t chunk_span_count (span_t column)
{
    return column.size / SPAN_ROW;
}

chunk_span_t chunk_span_at (span_t column, size_t index)
{
    const char *at = column.data + index * SPAN_ROW;
    return (chunk_span_t){ get_u32 (at), get_u32 (at + 4), get_u32 (at + 8) };
}

int chunk_spans_check (span_t column, size_t text_bytes, err_t *err)
{
    if (column.size % SPAN_ROW)
        return err_set (err, ERR_PROTOCOL, "a span column of %zu bytes is not whole", column.size);
    uint32_t last = 0;
    for (size_t i = 0; i < chunk_span_count (column); i++) {
        chunk_span_t row = chunk_span_at (column, i);
        if (row.start < last || row.end <= row.start || row.end > text_bytes)
            return err_set (err, ERR_PROTOCOL, "span %zu (%u to %u) does not fit its text of %zu bytes", i, row.start,
                            row.end, text_bytes);
        last = row.start;
    }
    return 0;
}
