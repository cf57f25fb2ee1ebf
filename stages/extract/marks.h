/*  marks.h: the page, path and headings that hold in the text being poured, and the marks column of its segment. */
#ifndef EXTRACT_MARKS_H
#define EXTRACT_MARKS_H

#include "base/str.h"
#include "wire/columns.h"

#define MARKS_LEVELS 9

/*  Visible to its owner, the sink; zero it before use, marks_free after. */
typedef struct {
    str_t column; /* of this segment */
    str_t path;
    uint32_t page;
    str_t titles[MARKS_LEVELS];
    unsigned level;           /* of the last heading */
    bool due[MARK_COUNT];     /* to be written before the next text */
    bool written[MARK_COUNT]; /* in this segment */
} marks_t;

void marks_free (marks_t *self);

void marks_page (marks_t *self, uint32_t page);
/*  `level` from 1; deeper ones than MARKS_LEVELS count as that. An empty title ends the one that holds, and those
 *  below. */
void marks_heading (marks_t *self, unsigned level, span_t title);
/*  No page and no heading holds under another path. */
void marks_path (marks_t *self, span_t path);

bool marks_are_due (const marks_t *self);
/*  Writes those that are due: they hold from `offset` in the segment's text on. */
void marks_write (marks_t *self, size_t offset);
/*  Another segment begins: an empty column, everything that holds is due. */
void marks_restart (marks_t *self);

/*  Splits a column at text offset `at`: `before` gets what belongs to the text up to there, `after` what holds there
 *  and what comes behind, moved to its new place. */
void marks_split (span_t column, size_t at, str_t *before, str_t *after);

#endif
