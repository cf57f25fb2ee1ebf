/*  similar.h: which known word a mistyped one was probably meant to be. */
#ifndef BASE_SIMILAR_H
#define BASE_SIMILAR_H

#include <stddef.h>

/*  The best candidate so far; zero it before the first similar_try. */
typedef struct {
    const char *word; /* NULL: none is close enough; borrowed from the caller of similar_try */
    size_t distance;
} similar_t;

/*  Compares `typed` with `candidate` (edit distance, a swap of neighbours counts one) and keeps it when it is the
 *  closest so far and close enough to be worth asking about. */
void similar_try (similar_t *self, const char *typed, const char *candidate);

#endif
