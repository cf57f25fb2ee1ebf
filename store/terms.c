#include "store/terms.h"

static term_t term_of (words_t *words, const word_t *word)
{
    term_t term = { 0 };
    for (int language = 0; language < LANGUAGE_COUNT; language++) {
        span_t stem = words_stem (words, (language_t)language, word);
        term.size[language] = (uint8_t)(stem.size < WORD_MAX ? stem.size : WORD_MAX);
        memcpy (term.stem[language], stem.data, term.size[language]);
    }
    return term;
}

/*  Forms of one word in the language of either stemmer. */
static bool share_a_stem (const term_t *a, const term_t *b)
{
    for (int language = 0; language < LANGUAGE_COUNT; language++)
        if (a->size[language] == b->size[language] &&
            memcmp (a->stem[language], b->stem[language], a->size[language]) == 0)
            return true;
    return false;
}

static bool is_same (const term_t *a, const term_t *b)
{
    return memcmp (a->size, b->size, sizeof a->size) == 0 && memcmp (a->stem, b->stem, sizeof a->stem) == 0;
}

static void collect (terms_t *self, words_t *words, span_t query, bool common_too)
{
    self->count = 0;
    word_scan_t scan = words_scan (words, query);
    for (word_t word; word_next (&scan, &word);) {
        if (word.in_pair || (!common_too && words_is_common (words, &word)))
            continue;
        term_t term = term_of (words, &word);
        size_t i = 0;
        while (i < self->count && !is_same (&self->items[i], &term))
            i++;
        if (i == self->count && i < TERMS_MAX)
            self->items[self->count++] = term;
        if (i < self->count && self->items[i].weight < UINT8_MAX)
            self->items[i].weight++;
    }
}

void terms_parse (terms_t *self, words_t *words, span_t query)
{
    collect (self, words, query, false);
    if (!self->count)
        collect (self, words, query, true);
}

int terms_find (const terms_t *self, words_t *words, const word_t *word)
{
    if (!self->count)
        return -1;
    term_t term = term_of (words, word);
    for (size_t i = 0; i < self->count; i++)
        if (share_a_stem (&self->items[i], &term))
            return (int)i;
    return -1;
}
