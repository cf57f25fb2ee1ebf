/*  top.h: the best k of many: rows with scores, higher first, ties by the lower row. */
#ifndef STORE_TOP_H
#define STORE_TOP_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t row;
    float score;
} scored_t;

typedef struct {
    scored_t *items; /* a heap with the worst first, until top_finish */
    size_t count, limit;
} top_t;

top_t top_new (size_t limit); /* limit > 0 */
void top_free (top_t *self);
void top_push (top_t *self, uint64_t row, float score);

/*  Sorts *items: best first. */
void top_finish (top_t *self);

/*  What a score must exceed to get in: for scans, to skip the call. */
static inline float top_floor (const top_t *self)
{
    return self->count < self->limit ? -3.0e38f : self->items[0].score;
}

#endif
