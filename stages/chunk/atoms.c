/*  atoms.c: one pass finds sentences and counts tokens.
 *
 *  A sentence ends at a stop that a blank follows, unless the line goes on in lower case or the stop belongs to an
 *  initial or an abbreviation ("J. S. Bach", "e.g. this"); at a full stop of a script without spaces; at a blank
 *  line. Line feeds alone end none: most plain texts are wrapped. Sentences too long for a chunk (tables, code, lists,
 *  texts without stops) are cut at line feeds, blanks, ICU's word borders, characters, whichever comes first.
 */
#include "stages/chunk/atoms.h"
#include "base/utf8.h"
#include "stages/chunk/chars.h"

#include <stdlib.h>
#include <unicode/ubrk.h>
#include <unicode/utext.h>

#define LETTERS_A_TOKEN  7u
#define UNSPACED_A_TOKEN 3u
#define OTHERS_A_TOKEN   16u
#define MARKS_MAX        32 /* that stay with their letter: more are no writing */

void atoms_free (atoms_t *self)
{
    free (self->items);
    if (self->words)
        ubrk_close (self->words);
    *self = (atoms_t){ 0 };
}

static void push (atoms_t *self, atom_t atom)
{
    if (self->count == self->room) {
        self->room = self->room ? self->room * 2 : 64;
        self->items = realloc (self->items, self->room * sizeof *self->items);
        if (!self->items)
            abort ();
    }
    self->items[self->count++] = atom;
}

static inline char_class_t class_at (span_t text, size_t at, size_t to, size_t *width)
{
    unsigned char c = (unsigned char)text.data[at];
    if (c < 0x80) {
        *width = 1;
        return (char_class_t)char_ascii[c];
    }
    return char_class ((const unsigned char *)text.data + at, to - at, width);
}

/*  Tokens of what was read so far. */
typedef struct {
    uint32_t tokens;
    uint32_t letters; /* of the word under way, in sevenths and thirds … */
    uint32_t unspaced;
    uint32_t other; /* punctuation: characters of the run under way */
} counter_t;

static inline void count_char (counter_t *self, char_class_t class)
{
    if (class == CHAR_LETTER) {
        self->tokens += self->letters == 0;
        self->letters = self->letters + 1 == LETTERS_A_TOKEN ? 0 : self->letters + 1;
        self->other = 0;
        return;
    }
    self->letters = 0;
    if (class == CHAR_UNSPACED) {
        self->tokens += self->unspaced == 0;
        self->unspaced = self->unspaced + 1 == UNSPACED_A_TOKEN ? 0 : self->unspaced + 1;
        self->other = 0;
        return;
    }
    self->unspaced = 0;
    if (class == CHAR_WIDE) {
        self->tokens++;
        self->other = 0;
    } else if (class == CHAR_SPACE || class == CHAR_LINE)
        self->other = 0;
    else {
        self->tokens += self->other == 0;
        self->other = self->other + 1 == OTHERS_A_TOKEN ? 0 : self->other + 1;
    }
}

static bool is_blank (char_class_t class)
{
    return class == CHAR_SPACE || class == CHAR_LINE;
}

/*  First character from `at` on that is no blank; *lines counts the line feeds on the way. */
static size_t skip_blanks (span_t text, size_t at, size_t to, unsigned *lines)
{
    while (at < to) {
        size_t width;
        char_class_t class = class_at (text, at, to, &width);
        if (!is_blank (class))
            break;
        *lines += class == CHAR_LINE;
        at += width;
    }
    return at;
}

/*  --- sentences that are too long --- */

/*  ICU's last word border before or at `limit`, or 0 when there is none after `from`. */
static size_t word_border (atoms_t *self, span_t text, size_t from, size_t limit, size_t to)
{
    UErrorCode status = U_ZERO_ERROR;
    if (!self->words)
        self->words = ubrk_open (UBRK_WORD, "", NULL, 0, &status);
    UText utext = UTEXT_INITIALIZER;
    utext_openUTF8 (&utext, text.data + from, (int64_t)(to - from), &status);
    if (U_SUCCESS (status))
        ubrk_setUText (self->words, &utext, &status);
    int32_t at = U_SUCCESS (status) ? ubrk_preceding (self->words, (int32_t)(limit - from) + 1) : UBRK_DONE;
    utext_close (&utext);
    return at == UBRK_DONE || at <= 0 ? 0 : from + (size_t)at;
}

/*  A combining mark, as far as two bytes say; longer ones are in scripts that ICU has word borders for. */
static bool is_mark (span_t text, size_t at, size_t to)
{
    const unsigned char *p = (const unsigned char *)text.data + at;
    return to - at >= 2 && (p[0] == 0xcc || (p[0] == 0xcd && p[1] < 0xb0)) && (p[1] & 0xc0) == 0x80;
}

/*  Where the piece that starts at `from` ends: after at most piece_tokens, at the best border on the way. */
static size_t piece_end (atoms_t *self, span_t text, size_t from, size_t to, uint32_t *tokens)
{
    counter_t counter = { 0 };
    size_t at = from, line = 0, blank = 0;
    uint32_t line_tokens = 0, blank_tokens = 0;
    while (at < to) {
        size_t width;
        char_class_t class = class_at (text, at, to, &width);
        if (class == CHAR_LINE && counter.tokens) {
            line = at;
            line_tokens = counter.tokens;
        } else if (class == CHAR_SPACE && counter.tokens) {
            blank = at;
            blank_tokens = counter.tokens;
        }
        counter_t before = counter;
        count_char (&counter, class);
        if (counter.tokens > self->piece_tokens) {
            counter = before;
            break;
        }
        at += width;
    }
    *tokens = counter.tokens;
    if (at == to)
        return to;
    if (line_tokens * 2 > self->piece_tokens || (line && !blank)) {
        *tokens = line_tokens;
        return line;
    }
    if (blank) {
        *tokens = blank_tokens;
        return blank;
    }
    /* Look no further than needed: the run may be the whole segment. */
    size_t window = at + 64 < to ? at + 64 : to;
    while (window < to && ((unsigned char)text.data[window] & 0xc0) == 0x80)
        window++;
    size_t border = word_border (self, text, from, at, window);
    if (!border) { /* one word, or none at all (encoded data): cut anywhere, but keep marks with their letter */
        border = at;
        for (int marks = 0; marks < MARKS_MAX && is_mark (text, border, to); marks++)
            border += utf8_width (span (text.data + border, to - border));
    }
    counter = (counter_t){ 0 };
    for (size_t i = from, width; i < border; i += width)
        count_char (&counter, class_at (text, i, to, &width));
    *tokens = counter.tokens;
    return border;
}

static void push_pieces (atoms_t *self, span_t text, size_t from, size_t to, border_t border)
{
    unsigned lines = 0;
    while (from < to) {
        uint32_t tokens;
        size_t end = piece_end (self, text, from, to, &tokens);
        push (self, (atom_t){ (uint32_t)from, (uint32_t)end, tokens ? tokens : 1, BORDER_WORD });
        from = skip_blanks (text, end, to, &lines);
    }
    self->items[self->count - 1].border = border;
}

static void push_sentence (atoms_t *self, span_t text, size_t from, size_t to, uint32_t tokens, border_t border)
{
    if (tokens > self->atom_tokens)
        push_pieces (self, text, from, to, border);
    else
        push (self, (atom_t){ (uint32_t)from, (uint32_t)to, tokens ? tokens : 1, border });
}

/*  --- sentences --- */

static bool is_lower (span_t text, size_t at, size_t to)
{
    return at < to && text.data[at] >= 'a' && text.data[at] <= 'z';
}

static bool is_word_byte (char c)
{
    return (unsigned char)c >= 0x80 || char_ascii[(unsigned char)c] == CHAR_LETTER;
}

/*  True when the stop at `stop` belongs to an initial, a dotted abbreviation (a single letter stands before it) or a
 *  short form that something always follows. */
static bool is_short_form (span_t text, size_t from, size_t stop)
{
    static const char *const forms[] = { "Mr",  "Mrs", "Ms", "Dr",  "Prof", "St", "vs", "Sr",
                                         "Sra", "Dra", "cf", "fig", "Fig",  "pp", "Eq", "approx" };
    if (text.data[stop] != '.')
        return false;
    size_t start = stop;
    while (start > from && stop - start < 8 && is_word_byte (text.data[start - 1]))
        start--;
    span_t word = span (text.data + start, stop - start);
    if (word.size == 1)
        return word.data[0] > '9';
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (span_is (word, forms[i]))
            return true;
    return false;
}

/*  A stop at `at`: passes it, its like and closers; returns where the sentence ends, or 0 when it goes on. */
static size_t pass_stop (span_t text, size_t from, size_t at, size_t to, size_t *next, counter_t *counter)
{
    size_t stop = at, end = at;
    bool full = false;
    while (end < to) {
        size_t width;
        char_class_t class = class_at (text, end, to, &width);
        if (class != CHAR_STOP && class != CHAR_FULLSTOP && class != CHAR_CLOSER)
            break;
        full |= class == CHAR_FULLSTOP;
        count_char (counter, class);
        end += width;
    }
    *next = end;
    if (full || end == to)
        return end;
    size_t width;
    if (!is_blank (class_at (text, end, to, &width)))
        return 0;
    unsigned lines = 0;
    size_t after = skip_blanks (text, end, to, &lines);
    if (lines < 2 && is_short_form (text, from, stop))
        return 0;
    /* "approx. five", but not "the end . and then", nor what begins a line: some write without capitals. */
    bool tight = stop > from && !is_blank (char_ascii[(unsigned char)text.data[stop - 1] & 0x7f]);
    if (lines == 0 && tight && text.data[stop] == '.' && is_lower (text, after, to))
        return 0;
    return end;
}

void atoms_scan (atoms_t *self, span_t text, size_t from, size_t to, border_t border)
{
    size_t first = self->count;
    unsigned lines = 0;
    size_t at = from = skip_blanks (text, from, to, &lines);
    size_t solid = at; /* end of the last character that is no blank */
    counter_t counter = { 0 };
    while (at < to) {
        size_t width;
        char_class_t class = class_at (text, at, to, &width);
        if (class == CHAR_STOP || class == CHAR_FULLSTOP) {
            size_t next;
            size_t end = pass_stop (text, from, at, to, &next, &counter);
            at = solid = next;
            if (!end)
                continue;
            lines = 0;
            at = skip_blanks (text, end, to, &lines);
            push_sentence (self, text, from, end, counter.tokens, lines > 1 ? BORDER_PARAGRAPH : BORDER_SENTENCE);
        } else if (class == CHAR_LINE) {
            lines = 0;
            count_char (&counter, class);
            at = skip_blanks (text, at, to, &lines);
            if (lines < 2 && at < to)
                continue;
            push_sentence (self, text, from, solid, counter.tokens, BORDER_PARAGRAPH);
        } else {
            count_char (&counter, class);
            at += width;
            if (class != CHAR_SPACE)
                solid = at;
            continue;
        }
        from = solid = at;
        counter = (counter_t){ 0 };
    }
    if (solid > from)
        push_sentence (self, text, from, solid, counter.tokens, BORDER_PARAGRAPH);
    if (self->count > first)
        self->items[self->count - 1].border = border;
}
