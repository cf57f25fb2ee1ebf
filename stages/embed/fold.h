/*  fold.h: characters made alike for comparison: lower case, no diacritics, compatibility forms resolved. */
#ifndef STAGES_EMBED_FOLD_H
#define STAGES_EMBED_FOLD_H

#include "base/span.h"

#include <stdint.h>

#define FOLD_BREAK 0u /* between words */
#define FOLD_MARK  1u /* combining: belongs to the character before, and is dropped */
#define FOLD_TABLE 0x2000u

typedef struct {
    uint16_t table[FOLD_TABLE]; /* folded character, FOLD_BREAK or FOLD_MARK */
} fold_t;

void fold_init (fold_t *self);

/*  The folded form (one character; the first, where there are several) of `c`, FOLD_BREAK or FOLD_MARK. */
uint32_t fold_char (const fold_t *self, uint32_t c);

/*  True for characters of scripts that are written without spaces: each is a word. */
bool fold_is_word (uint32_t c);

#endif
