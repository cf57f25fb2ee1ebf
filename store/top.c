#include "store/top.h"

#include <stdbool.h>
#include <stdlib.h>

top_t top_new (size_t limit)
{
    top_t self = { .limit = limit };
    self.items = malloc (limit * sizeof *self.items);
    if (!self.items)
        abort ();
    return self;
}

void top_free (top_t *self)
{
    free (self->items);
    *self = (top_t){ 0 };
}

static bool is_worse (scored_t a, scored_t b)
{
    return a.score != b.score ? a.score < b.score : a.row > b.row;
}

static void sink (scored_t *items, size_t count, size_t at)
{
    scored_t moving = items[at];
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && is_worse (items[child + 1], items[child]))
            child++;
        if (!is_worse (items[child], moving))
            break;
        items[at] = items[child];
    }
    items[at] = moving;
}

void top_push (top_t *self, uint64_t row, float score)
{
    scored_t item = { row, score };
    if (self->count == self->limit) {
        if (is_worse (self->items[0], item)) {
            self->items[0] = item;
            sink (self->items, self->count, 0);
        }
        return;
    }
    size_t at = self->count++;
    for (; at && is_worse (item, self->items[(at - 1) / 2]); at = (at - 1) / 2)
        self->items[at] = self->items[(at - 1) / 2];
    self->items[at] = item;
}

static int best_first (const void *a, const void *b)
{
    return is_worse (*(const scored_t *)a, *(const scored_t *)b)
               ? 1
               : (is_worse (*(const scored_t *)b, *(const scored_t *)a) ? -1 : 0);
}

void top_finish (top_t *self)
{
    qsort (self->items, self->count, sizeof *self->items, best_first);
}
