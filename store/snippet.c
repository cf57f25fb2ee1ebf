#include "store/snippet.h"
#include "base/utf8.h"

#include <stdlib.h>

#define MATCHES_MAX 512
#define LEAD        60u /* bytes of context wanted before the first match */

typedef struct {
    uint32_t start, end;
    int term;
} match_t;

static size_t find_matches (span_t text, const terms_t *terms, words_t *words, match_t *matches)
{
    size_t count = 0;
    word_scan_t scan = words_scan (words, text);
    for (word_t word; count < MATCHES_MAX && word_next (&scan, &word);) {
        int term = terms_find (terms, words, &word);
        if (term >= 0)
            matches[count++] = (match_t){ word.start, word.end, term };
    }
    return count;
}

/*  The first match of the window that holds most distinct terms, then most matches. */
static size_t best_window (const match_t *matches, size_t count)
{
    size_t best = 0;
    unsigned best_value = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t seen = 0;
        unsigned value = 0;
        for (size_t j = i; j < count && matches[j].end - matches[i].start <= SNIPPET_BYTES - LEAD; j++) {
            uint64_t bit = 1ull << (matches[j].term % 64);
            value += seen & bit ? 1 : 100;
            seen |= bit;
        }
        if (value > best_value) {
            best_value = value;
            best = i;
        }
    }
    return best;
}

static bool is_blank (char c)
{
    return (unsigned char)c <= ' ';
}

/*  Moves a cut to a place between words, if there is one near; never into a character. */
static size_t settle_start (span_t text, size_t at)
{
    for (size_t i = at; i > 0 && at - i < 24; i--)
        if (is_blank (text.data[i - 1]))
            return i;
    return utf8_cut (text, at);
}

static size_t settle_end (span_t text, size_t at, size_t not_before)
{
    if (at >= text.size)
        return text.size;
    for (size_t i = at; i > not_before && at - i < 24; i--)
        if (is_blank (text.data[i]))
            return i;
    size_t cut = utf8_cut (text, at);
    return cut < not_before ? not_before : cut;
}

static void add_escaped (str_t *out, span_t text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '<')
            str_text (out, "&lt;");
        else if (c == '>')
            str_text (out, "&gt;");
        else if (c == '&')
            str_text (out, "&amp;");
        else if (c == '"')
            str_text (out, "&quot;");
        else if (c == '\'')
            str_text (out, "&#39;");
        else if (!is_blank (c))
            str_char (out, c);
        else if (out->size && out->data[out->size - 1] != ' ')
            str_char (out, ' ');
    }
}

void snippet_add (str_t *out, span_t text, const terms_t *terms, words_t *words)
{
    match_t *matches = malloc (MATCHES_MAX * sizeof *matches);
    if (!matches)
        abort ();
    size_t count = find_matches (text, terms, words, matches);
    size_t best = best_window (matches, count);
    size_t from = count ? matches[best].start : 0, start = from > LEAD ? from - LEAD : 0;
    if (start + SNIPPET_BYTES > text.size) /* near the end there is room before */
        start = text.size > SNIPPET_BYTES ? text.size - SNIPPET_BYTES : 0;
    if (start > from)
        start = from;
    if (start)
        start = settle_start (text, start);
    size_t end = settle_end (text, start + SNIPPET_BYTES, count ? matches[best].end : start);
    if (start)
        str_text (out, "…");
    size_t at = start;
    for (size_t i = 0; i < count && matches[i].end <= end; i++) {
        uint32_t first = matches[i].start, last = matches[i].end;
        if (first < at)
            continue;
        while (i + 1 < count && matches[i + 1].start < last && matches[i + 1].end <= end)
            last = matches[++i].end; /* pairs of a script without spaces overlap */
        add_escaped (out, span (text.data + at, first - at));
        str_text (out, "<mark>");
        add_escaped (out, span (text.data + first, last - first));
        str_text (out, "</mark>");
        at = last;
    }
    add_escaped (out, span (text.data + at, end - at));
    if (end < text.size)
        str_text (out, "…");
    free (matches);
}
