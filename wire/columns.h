/*  columns.h: the flat arrays that a segment is made of, and how to write and walk them.
 *
 *  text     UTF-8 in NFC, at most about 256 KiB (a single huge paragraph is cut at a character).
 *  marks    where in the text things begin: {u32 offset, u8 kind, u32 number, u32 size, bytes} in offset order.
 *           A mark holds until the next of its kind; every segment starts with the marks that hold at its start,
 *           so that it can be understood alone.
 *  spans    chunks: {u32 start, u32 end, u32 tokens}, offsets into text, rising starts; neighbours may overlap.
 *  vectors  embeddings, a row for each chunk: wire/vectors.h.
 *  Integers are little-endian. Readers check every bound: a column may come from a hostile child.
 */
#ifndef WIRE_COLUMNS_H
#define WIRE_COLUMNS_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

/*  X (symbol, name, what `number` and `text` are) */
#define MARK_KINDS(X)                                                                                                  \
    X (PAGE, "page", "number: the page, from 1")                                                                       \
    X (HEADING, "heading", "number: its level, from 1; text: the path, levels joined by ' > '; empty: none holds")     \
    X (SHEET, "sheet", "text: name of the sheet")                                                                      \
    X (SLIDE, "slide", "number: the slide, from 1")                                                                    \
    X (TIME, "time", "number: milliseconds from the start")                                                            \
    X (PATH, "path", "text: path inside the archive or message; nested ones joined by '!/'; empty: the outer document")

typedef enum {
#define MARK_ENUM(sym, name, what) MARK_##sym,
    MARK_KINDS (MARK_ENUM)
#undef MARK_ENUM
        MARK_COUNT
} mark_kind_t;

typedef struct {
    uint32_t offset; /* bytes into the segment's text */
    mark_kind_t kind;
    uint32_t number;
    span_t text; /* borrowed from the column */
} mark_t;

void mark_add (str_t *column, mark_t mark);
/*  Next mark at *at (start with 0); 1 and *mark filled, 0 at the end, -1 when the column is damaged. */
int mark_next (span_t column, size_t *at, mark_t *mark);

typedef struct {
    uint32_t start;
    uint32_t end;
    uint32_t tokens;
} chunk_span_t;

void chunk_span_add (str_t *column, chunk_span_t value);
size_t chunk_span_count (span_t column);
chunk_span_t chunk_span_at (span_t column, size_t index);
/*  All spans rise, end after they start and within `text_bytes`; 0, or -1 with ERR_PROTOCOL. */
int chunk_spans_check (span_t column, size_t text_bytes, err_t *err);

#endif
