/*  terms.h: what a query asks for: its distinct words, each as its stems in every language.
 *
 *  Any text is a query: there is no syntax to get wrong. Common words are left out unless there are no others.
 */
#ifndef STORE_TERMS_H
#define STORE_TERMS_H

#include "store/words.h"

#define TERMS_MAX 64 /* words of a query beyond these are ignored */

typedef struct {
    uint8_t size[LANGUAGE_COUNT];
    uint8_t weight; /* how often the query says it */
    char stem[LANGUAGE_COUNT][WORD_MAX];
} term_t;

typedef struct {
    size_t count;
    term_t items[TERMS_MAX];
} terms_t;

void terms_parse (terms_t *self, words_t *words, span_t query);

/*  Which term a word of a text is a form of; -1: none. */
int terms_find (const terms_t *self, words_t *words, const word_t *word);

#endif
