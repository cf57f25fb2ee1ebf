/*  sink.h: where extractors pour text and marks; out come segments.
 *
 *  Text is repaired (malformed bytes become U+FFFD, control characters go), normalised to NFC and cut into segments:
 *  at about 256 KiB wherever a line ends, and at a structural border (page, archive entry, chapter) already from 64
 * KiB. Every segment starts with the marks that hold there.
 *
 *  Every segment has a cursor: "<discard>;<bad>;<inflated>;<entries>;<base>". `base` is a place that the format can
 *  go to by itself ("page=17"), given to sink_border, with what was counted up to it; `discard` counts the segments
 *  since then, which a later run makes again and drops. Formats that cannot seek never name a place: their base stays
 *  "".
 */
#ifndef EXTRACT_SINK_H
#define EXTRACT_SINK_H

#include "base/err.h"
#include "base/str.h"
#include "stages/extract/limits.h"

#define SEGMENT_BYTES   (256 * 1024)
#define STRUCTURE_BYTES (64 * 1024)
#define SINK_BASE_MAX   64

typedef struct sink sink_t;

/*  Where a format can go on, and what was counted when it was there. */
typedef struct {
    uint32_t bad;
    uint64_t inflated;
    uint64_t entries;
    char base[SINK_BASE_MAX];
} place_t;

/*  X (symbol, name): what a document says about itself. */
#define META_KEYS(X)                                                                                                   \
    X (TITLE, "title")                                                                                                 \
    X (AUTHOR, "author")                                                                                               \
    X (SUBJECT, "subject")                                                                                             \
    X (KEYWORDS, "keywords")                                                                                           \
    X (LANGUAGE, "language")                                                                                           \
    X (CREATED, "created")                                                                                             \
    X (MODIFIED, "modified") X (PRODUCER, "producer") X (PAGES, "pages") X (ENTRIES, "entries") X (CHARSET, "charset")
typedef enum {
#define META_ENUM(sym, name) META_##sym,
    META_KEYS (META_ENUM)
#undef META_ENUM
        META_COUNT
} meta_key_t;
const char *meta_name (meta_key_t key);

typedef struct {
    uint32_t number;
    uint32_t permille;
    uint32_t bad; /* parts that could not be read so far */
    span_t text;
    span_t marks;
    span_t cursor;
} sink_segment_t;

/*  Where the output goes. Spans are borrowed for the call. segment and step return 0, or -1: nobody wants more. */
typedef struct {
    void *self;
    int (*segment) (void *self, const sink_segment_t *segment);
    void (*warning) (void *self, err_code_t code, span_t where, span_t message);
    void (*meta) (void *self, meta_key_t key, span_t value);
    /* Progress. `unit`: what is being read now (empty: the same as before), `where`: what people call it. */
    int (*step) (void *self, uint32_t permille, span_t unit, span_t where);
} sink_out_t;

typedef struct {
    sink_out_t out;
    const limits_t *limits; /* borrowed until sink_destroy */
    uint64_t document_bytes;
    span_t cursor;          /* as given with an earlier segment; empty: from the start */
    uint32_t first_segment; /* number of the first segment to give out */
    uint64_t text_offset;   /* bytes of text in the segments before it */
    span_t skip;            /* units not to read, each followed by a newline: an earlier parser died there; borrowed */
} sink_config_t;

/*  Where a segment of `text` ends: all of it up to SEGMENT_BYTES, else after a blank line, a line, a word or a
 * character near there. */
size_t segment_cut (span_t text);

sink_t *sink_new (const sink_config_t *config);
void sink_destroy (sink_t **self_p);

/*  Where to go on; empty: at the start. Borrowed. */
span_t sink_base (const sink_t *self);
/*  An earlier run gave out segments: the document has text. */
bool sink_resumed (const sink_t *self);

void sink_text (sink_t *self, span_t text);
/*  The text so far ends in at least `count` newlines; nothing at the start of a segment. */
void sink_newlines (sink_t *self, unsigned count);
void sink_page (sink_t *self, uint32_t page);
/*  A heading of `level` (from 1) begins here; an empty title ends the one that holds and those below. */
void sink_heading (sink_t *self, unsigned level, span_t title);
/*  Another entry begins: no page and no heading holds. Empty: the outer document. */
void sink_path (sink_t *self, span_t path);
span_t sink_current_path (const sink_t *self); /* borrowed until the next sink_path */

/*  This place, under the name by which the format finds it again. To be taken before anything behind it is counted:
 *  a run that goes on there counts that itself. */
place_t sink_place (const sink_t *self, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
/*  What was counted so far every run counts anew, wherever it goes on: it stays out of places. To be called before
 * there is one; nested: nothing. */
void sink_counted_always (sink_t *self);

/*  Nothing that was poured belongs together with what comes. `place` (NULL: none) is where the format can go on. */
void sink_border (sink_t *self, const place_t *place);
/*  As sink_border, and the segment ends whatever its size. */
void sink_close (sink_t *self, const place_t *place);
/*  Inside a nested document there are no places and no units, and progress is only a sign of life. */
void sink_nest (sink_t *self, int by);

/*  A part (page, entry) could not be read: a warning, and one more bad part. */
void sink_bad (sink_t *self, err_code_t code, span_t where, const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));
/*  A warning that costs nothing. */
void sink_warn (sink_t *self, err_code_t code, span_t where, const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));
void sink_meta (sink_t *self, meta_key_t key, span_t value);

/*  The outer document begins to read `unit`, which people know as `where`; false: skip it. Nested: true. */
bool sink_unit (sink_t *self, const char *unit, span_t where);
void sink_progress (sink_t *self, uint64_t done, uint64_t total);

/*  Counts `bytes` more of unpacked data; -1 and *err when that is more than one document may cost. */
int sink_inflate (sink_t *self, uint64_t bytes, err_t *err);
/*  Counts one archive entry. */
int sink_entry (sink_t *self, err_t *err);
const limits_t *sink_limits (const sink_t *self);
uint64_t sink_document_bytes (const sink_t *self);

/*  Nobody wants more: the text limit is reached, or the output is gone. Extractors return 0 as soon as they see it. */
bool sink_stopped (const sink_t *self);
/*  Bytes of text that came so far; blanks alone do not count. */
uint64_t sink_poured (const sink_t *self);
uint32_t sink_bad_count (const sink_t *self);
/*  The first bad part, for a document of which nothing could be read; ERR_NONE when there was none. */
const err_t *sink_first_bad (const sink_t *self);

/*  Gives out what is left. */
void sink_end (sink_t *self);

#endif
