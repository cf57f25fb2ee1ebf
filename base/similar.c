#include "base/similar.h"

#include <string.h>

#define WORD_MAX 31

static size_t least (size_t a, size_t b)
{
    return a < b ? a : b;
}

/*  Optimal string alignment distance. */
static size_t distance (const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t table[WORD_MAX + 1][WORD_MAX + 1];
    for (size_t i = 0; i <= a_size; i++)
        table[i][0] = i;
    for (size_t j = 0; j <= b_size; j++)
        table[0][j] = j;
    for (size_t i = 1; i <= a_size; i++)
        for (size_t j = 1; j <= b_size; j++) {
            size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
            size_t best = least (table[i - 1][j] + 1, table[i][j - 1] + 1);
            best = least (best, table[i - 1][j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = least (best, table[i - 2][j - 2] + 1);
            table[i][j] = best;
        }
    return table[a_size][b_size];
}

void similar_try (similar_t *self, const char *typed, const char *candidate)
{
    size_t typed_size = strlen (typed);
    size_t size = strlen (candidate);
    if (typed_size > WORD_MAX || size > WORD_MAX || typed_size == 0)
        return;
    size_t found = distance (typed, typed_size, candidate, size);
    /* A third of the word may be wrong, but never all of it. */
    if (found > 1 + size / 3 || found >= size || (self->word && found >= self->distance))
        return;
    self->word = candidate;
    self->distance = found;
}
