/*  words.h: what a word is to search. One definition, for documents, queries and highlighting alike.
 *
 *  A word is a run of letters and digits, folded (case, compatibility forms, diacritics: "Ação" and "acao" are one)
 *  and cut at WORD_MAX bytes. Scripts written without spaces (Han, kana, Thai, …) yield each character and each pair
 *  of neighbours. Stems: Snowball for English and Portuguese; a document uses that of the language it is guessed
 *  to be in (both, when the guess is unsure), a query uses both, so that what was written can be asked for.
 *
 *  WORDS_VERSION changes whenever the same text would yield other stems: indexes made before are built anew.
 */
#ifndef STORE_WORDS_H
#define STORE_WORDS_H

#include "base/span.h"

#include <stdint.h>

#define WORDS_VERSION 1
#define WORD_MAX      48

typedef enum { LANGUAGE_ENGLISH, LANGUAGE_PORTUGUESE, LANGUAGE_COUNT, LANGUAGE_UNSURE = LANGUAGE_COUNT } language_t;

typedef struct {
    uint32_t start; /* bytes in the text */
    uint32_t end;
    bool in_pair; /* a character of a script without spaces that a pair covers too */
    uint8_t size;
    char folded[WORD_MAX];
} word_t;

/*  Folding tables, stemmers and the memory of stems already made. Not thread-safe: one for each thread. */
typedef struct words words_t;

words_t *words_new (void);
void words_destroy (words_t **self_p);

/*  A walk over the words of a text, which is borrowed. Malformed UTF-8 separates words. */
typedef struct {
    words_t *words;
    span_t text;
    size_t at;
    uint32_t pair_start; /* start + 1 of the character that awaits its pair; 0: none */
} word_scan_t;

word_scan_t words_scan (words_t *self, span_t text);
bool word_next (word_scan_t *scan, word_t *word);

/*  The word's stem, borrowed until the next call. Words with digits or in other scripts are their own. */
span_t words_stem (words_t *self, language_t language, const word_t *word);

/*  A word so common ("the", "de") that a query is better without it. */
bool words_is_common (const words_t *self, const word_t *word);

/*  Guesses from the common words at the start of `text`. */
language_t words_language (words_t *self, span_t text);

#endif
