/*  Speed matters: every byte that is stored passes here. ASCII never leaves this file; other characters are folded by
 *  ICU once and remembered; stems are remembered per folded word, which spares nine of ten calls to Snowball.
 */
#include "store/words.h"
#include "base/utf8.h"

#include <libstemmer.h>
#include <stdlib.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/utf8.h>

#define FOLDS_SIZE   0x600u /* Latin, Greek, Cyrillic, Hebrew; beyond, ICU is asked each time */
#define FOLD_MAX     12
#define STEMS_SIZE   16384u
#define STEM_KEY_MAX 23
#define COMMON_SIZE  1024u
#define SAMPLE_BYTES 1500u

typedef struct {
    uint8_t size; /* 255: not yet known; 0: no part of a word */
    char bytes[FOLD_MAX];
} fold_t;

typedef struct {
    uint8_t key_size, stem_size;
    char key[STEM_KEY_MAX], stem[STEM_KEY_MAX];
} stem_t;

typedef struct {
    uint64_t word; /* up to 8 bytes, zero-padded */
    uint8_t languages;
} common_t;

struct words {
    const UNormalizer2 *casefold, *decompose;
    struct sb_stemmer *stemmers[LANGUAGE_COUNT];
    fold_t folds[FOLDS_SIZE];
    common_t common[COMMON_SIZE];
    char stem[2 * WORD_MAX];
    stem_t *stems[LANGUAGE_COUNT]; /* direct-mapped */
};

/*  Folded, at most 8 letters, most frequent first. */
static const char *const common_words[LANGUAGE_COUNT] = {
    [LANGUAGE_ENGLISH] =
        "the of and to in a is that for it as was with be by on not he his but at are this have from or had an they "
        "which one you were her all she there would their we him been has when who will more no if out so what up said "
        "its about than into them can only other some could these two may then do first any my now such like our over "
        "me even most also after did many before must through where much your how should each those being because i "
        "does here why under while both between us am off too very",
    [LANGUAGE_PORTUGUESE] =
        "de a o que e do da em um para com nao uma os no se na por mais as dos como mas ao ele das seu sua ou quando "
        "muito nos ja eu tambem so pelo pela ate isso ela entre depois sem mesmo aos seus quem nas me esse eles voce "
        "essa num nem suas meu minha numa pelos elas qual lhe deles essas esses pelas este dele tu te voces vos lhes "
        "meus minhas nosso nossa nossos nossas dela delas esta estes estas aquele aquela isto aquilo foi ser sao tem "
        "era pode sobre onde ha cada quais quanto foram sido porque apos ainda assim",
};

/*  Words that both lists have decide nothing: they are marked with both languages. */
static uint64_t pack (const char *text, size_t size)
{
    uint64_t word = 0;
    memcpy (&word, text, size);
    return word;
}

static size_t common_slot (const words_t *self, uint64_t word)
{
    size_t at = (word * 0x9E3779B97F4A7C15u) >> 54;
    while (self->common[at].word && self->common[at].word != word)
        at = (at + 1) % COMMON_SIZE;
    return at;
}

static uint8_t common_languages (const words_t *self, const word_t *word)
{
    if (word->size > 8)
        return 0;
    return self->common[common_slot (self, pack (word->folded, word->size))].languages;
}

words_t *words_new (void)
{
    UErrorCode status = U_ZERO_ERROR;
    words_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->casefold = unorm2_getNFKCCasefoldInstance (&status);
    self->decompose = unorm2_getNFKDInstance (&status);
    self->stemmers[LANGUAGE_ENGLISH] = sb_stemmer_new ("english", "UTF_8");
    self->stemmers[LANGUAGE_PORTUGUESE] = sb_stemmer_new ("portuguese", "UTF_8");
    if (U_FAILURE (status))
        abort ();
    for (size_t i = 0; i < FOLDS_SIZE; i++)
        self->folds[i].size = 255;
    for (int language = 0; language < LANGUAGE_COUNT; language++) {
        self->stems[language] = calloc (STEMS_SIZE, sizeof (stem_t));
        if (!self->stemmers[language] || !self->stems[language])
            abort ();
        for (const char *at = common_words[language]; *at;) {
            size_t size = strcspn (at, " ");
            size_t slot = common_slot (self, pack (at, size));
            self->common[slot].word = pack (at, size);
            self->common[slot].languages |= (uint8_t)(1u << language);
            at += size + (at[size] == ' ');
        }
    }
    return self;
}

void words_destroy (words_t **self_p)
{
    words_t *self = *self_p;
    if (!self)
        return;
    for (int language = 0; language < LANGUAGE_COUNT; language++) {
        sb_stemmer_delete (self->stemmers[language]);
        free (self->stems[language]);
    }
    free (self);
    *self_p = NULL;
}

/*  Characters of scripts that put no spaces between words. */
static bool is_unspaced (UChar32 c)
{
    if (c < 0x0E00)
        return false;
    return (c >= 0x3041 && c <= 0x30FF) || u_hasBinaryProperty (c, UCHAR_IDEOGRAPHIC) ||
           u_getIntPropertyValue (c, UCHAR_LINE_BREAK) == U_LB_COMPLEX_CONTEXT;
}

/*  Letters that Unicode does not decompose, though people type them without their stroke. */
static UChar32 without_stroke (UChar32 c)
{
    switch (c) {
    case 0xF8: /* ø */
        return 'o';
    case 0x111: /* đ */
        return 'd';
    case 0x131: /* ı */
        return 'i';
    case 0x142: /* ł */
        return 'l';
    default:
        return c;
    }
}

static void fold (const words_t *self, UChar32 c, fold_t *out)
{
    UErrorCode status = U_ZERO_ERROR;
    UChar source[2], cased[24], bare[48];
    int32_t size = 0, length = 0;
    out->size = 0;
    if (!u_isalnum (c) && !(U_GET_GC_MASK (c) & U_GC_M_MASK) && !is_unspaced (c))
        return;
    U16_APPEND_UNSAFE (source, size, c);
    length = unorm2_normalize (self->casefold, source, size, cased, 24, &status);
    /* Hangul syllables stay whole: decomposed they would be three times the bytes and mean the same. */
    if (c < 0x2000) {
        UErrorCode bare_status = U_ZERO_ERROR;
        int32_t bare_length = unorm2_normalize (self->decompose, cased, length, bare, 48, &bare_status);
        if (U_SUCCESS (bare_status)) {
            memcpy (cased, bare, sizeof cased);
            length = bare_length < 24 ? bare_length : 24;
        }
    }
    if (U_FAILURE (status))
        return;
    for (int32_t i = 0; i < length;) {
        UChar32 part;
        U16_NEXT (cased, i, length, part);
        if (part >= 0x300 && part <= 0x36F) /* combining diacritical marks */
            continue;
        part = without_stroke (part);
        if (out->size + U8_LENGTH (part) > FOLD_MAX)
            break;
        int32_t at = out->size;
        U8_APPEND_UNSAFE (out->bytes, at, part);
        out->size = (uint8_t)at;
    }
}

/*  Bits: 1 the character belongs to a word, 2 it stands for itself (a script without spaces). */
enum { PART_OF_WORD = 1, STANDS_ALONE = 2 };

/*  Folds the character at `at`; its width in *width (1 for a malformed byte). */
static unsigned fold_at (words_t *self, span_t text, size_t at, size_t *width, fold_t *out)
{
    size_t bytes = utf8_width (span (text.data + at, text.size - at));
    *width = bytes ? bytes : 1;
    out->size = 0;
    if (!bytes)
        return 0;
    UChar32 c;
    size_t next = at;
    U8_NEXT_UNSAFE ((const uint8_t *)text.data, next, c);
    if ((uint32_t)c < FOLDS_SIZE) {
        if (self->folds[c].size == 255)
            fold (self, c, &self->folds[c]);
        *out = self->folds[c];
    } else {
        fold (self, c, out);
    }
    if (is_unspaced (c) && out->size)
        return PART_OF_WORD | STANDS_ALONE;
    /* A lone combining mark folds to nothing, but does not end the word that it decorates. */
    return out->size || (U_GET_GC_MASK (c) & U_GC_M_MASK) ? PART_OF_WORD : 0;
}

/*  Lower case of ASCII letters and digits, 0 for the rest. */
static inline char ascii_fold (unsigned char c)
{
    if (c >= 'a' && c <= 'z')
        return (char)c;
    if (c >= 'A' && c <= 'Z')
        return (char)(c + 32);
    return c >= '0' && c <= '9' ? (char)c : 0;
}

word_scan_t words_scan (words_t *self, span_t text)
{
    return (word_scan_t){ .words = self, .text = text };
}

static bool next_stands_alone (const word_scan_t *scan, size_t at, size_t *width, fold_t *part)
{
    if (at >= scan->text.size || (unsigned char)scan->text.data[at] < 0xE0)
        return false;
    return fold_at (scan->words, scan->text, at, width, part) & STANDS_ALONE;
}

static void word_append (word_t *word, const char *bytes, size_t size)
{
    if (word->size + size <= WORD_MAX) {
        memcpy (word->folded + word->size, bytes, size);
        word->size = (uint8_t)(word->size + size);
    }
}

/*  The pair of the character at scan->pair_start - 1 and the one after it, if there is one. */
static bool pair_next (word_scan_t *scan, word_t *word)
{
    size_t start = scan->pair_start - 1, width;
    fold_t a, b;
    scan->pair_start = 0;
    fold_at (scan->words, scan->text, start, &width, &a);
    size_t middle = start + width;
    if (!next_stands_alone (scan, middle, &width, &b))
        return false;
    *word = (word_t){ .start = (uint32_t)start, .end = (uint32_t)(middle + width) };
    word_append (word, a.bytes, a.size);
    word_append (word, b.bytes, b.size);
    return true;
}

bool word_next (word_scan_t *scan, word_t *word)
{
    if (scan->pair_start && pair_next (scan, word))
        return true;
    const unsigned char *data = (const unsigned char *)scan->text.data;
    size_t at = scan->at, size = scan->text.size;
    word->size = 0;
    word->in_pair = false;
    while (at < size) {
        char ascii = data[at] < 0x80 ? ascii_fold (data[at]) : 0;
        if (ascii) {
            if (!word->size)
                word->start = (uint32_t)at;
            if (word->size < WORD_MAX)
                word->folded[word->size++] = ascii;
            at++;
        } else if (data[at] < 0x80) {
            if (word->size)
                break;
            at++;
        } else {
            size_t width;
            fold_t part;
            unsigned kind = fold_at (scan->words, scan->text, at, &width, &part);
            if (word->size && (!kind || (kind & STANDS_ALONE)))
                break;
            if (!word->size)
                word->start = (uint32_t)at;
            at += width;
            word_append (word, part.bytes, part.size);
            if (kind & STANDS_ALONE) {
                scan->pair_start = word->start + 1;
                word->in_pair = next_stands_alone (scan, at, &width, &part);
                break;
            }
        }
    }
    scan->at = at;
    word->end = (uint32_t)at;
    return word->size > 0;
}

bool words_is_common (const words_t *self, const word_t *word)
{
    return common_languages (self, word) != 0;
}

language_t words_language (words_t *self, span_t text)
{
    unsigned seen[LANGUAGE_COUNT] = { 0 };
    if (text.size > SAMPLE_BYTES)
        text.size = SAMPLE_BYTES;
    word_scan_t scan = words_scan (self, text);
    for (word_t word; word_next (&scan, &word);) {
        uint8_t languages = common_languages (self, &word);
        seen[LANGUAGE_ENGLISH] += languages == 1u << LANGUAGE_ENGLISH;
        seen[LANGUAGE_PORTUGUESE] += languages == 1u << LANGUAGE_PORTUGUESE;
    }
    if (seen[LANGUAGE_ENGLISH] >= 3 && seen[LANGUAGE_ENGLISH] > 3 * seen[LANGUAGE_PORTUGUESE])
        return LANGUAGE_ENGLISH;
    if (seen[LANGUAGE_PORTUGUESE] >= 3 && seen[LANGUAGE_PORTUGUESE] > 3 * seen[LANGUAGE_ENGLISH])
        return LANGUAGE_PORTUGUESE;
    return LANGUAGE_UNSURE;
}

/*  Snowball's Portuguese rules know endings by their accents, which folding took away: put those back. They also leave
 *  plurals that change the ending apart from their singular (ações, ação; animais, animal): make them one. */
static const struct {
    const char *bare, *accented;
} portuguese_endings[] = {
    { "coes", "ção" },    { "cao", "ção" },     { "oes", "ão" },        { "aes", "ão" },      { "aos", "ão" },
    { "ao", "ão" },       { "aveis", "ável" },  { "avel", "ável" },     { "iveis", "ível" },  { "ivel", "ível" },
    { "ais", "al" },      { "ois", "ol" },      { "ancias", "ância" },  { "ancia", "ância" }, { "encias", "ência" },
    { "encia", "ência" }, { "iamos", "íamos" }, { "avamos", "ávamos" }, { "ns", "m" },
};

static size_t accent_ending (const word_t *word, char out[2 * WORD_MAX])
{
    memcpy (out, word->folded, word->size);
    for (size_t i = 0; i < sizeof portuguese_endings / sizeof *portuguese_endings; i++) {
        span_t bare = span_str (portuguese_endings[i].bare), accented = span_str (portuguese_endings[i].accented);
        size_t start = word->size - bare.size;
        if (word->size > bare.size && memcmp (out + start, bare.data, bare.size) == 0) {
            memcpy (out + start, accented.data, accented.size);
            return start + accented.size;
        }
    }
    return word->size;
}

static bool can_be_stemmed (const word_t *word)
{
    for (size_t i = 0; i < word->size; i++)
        if (word->folded[i] < 'a' || word->folded[i] > 'z')
            return false;
    return word->size > 2;
}

static span_t snowball (words_t *self, language_t language, const word_t *word)
{
    char source[2 * WORD_MAX];
    size_t size = word->size;
    if (language == LANGUAGE_PORTUGUESE)
        size = accent_ending (word, source);
    else
        memcpy (source, word->folded, size);
    const sb_symbol *stem = sb_stemmer_stem (self->stemmers[language], (const sb_symbol *)source, (int)size);
    if (!stem)
        abort (); /* out of memory */
    span_t text = span (stem, (size_t)sb_stemmer_length (self->stemmers[language]));
    size_t length = 0;
    for (size_t at = 0; at < text.size;) {
        size_t width = 1;
        fold_t part = { 1, { text.data[at] } };
        if ((unsigned char)text.data[at] >= 0x80)
            fold_at (self, text, at, &width, &part);
        if (length + part.size <= sizeof self->stem)
            memcpy (self->stem + length, part.bytes, part.size);
        length += part.size;
        at += width;
    }
    return span (self->stem, length);
}

span_t words_stem (words_t *self, language_t language, const word_t *word)
{
    if (!can_be_stemmed (word))
        return span (word->folded, word->size);
    if (word->size > STEM_KEY_MAX)
        return snowball (self, language, word);
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t i = 0; i < word->size; i++)
        hash = (hash ^ (uint8_t)word->folded[i]) * 0x100000001B3u;
    stem_t *entry = &self->stems[language][(hash ^ hash >> 32) % STEMS_SIZE];
    if (entry->key_size != word->size || memcmp (entry->key, word->folded, word->size) != 0) {
        span_t stem = snowball (self, language, word);
        if (stem.size == 0 || stem.size > STEM_KEY_MAX)
            return stem.size ? stem : span (word->folded, word->size);
        entry->key_size = word->size;
        memcpy (entry->key, word->folded, word->size);
        entry->stem_size = (uint8_t)stem.size;
        memcpy (entry->stem, stem.data, stem.size);
    }
    return span (entry->stem, entry->stem_size);
}
