/*  chars.h: what a character means to chunking, decided from UTF-8 bytes without decoding more than needed. */
#ifndef STAGES_CHUNK_CHARS_H
#define STAGES_CHUNK_CHARS_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    CHAR_LETTER,   /* or digit: seven to a token */
    CHAR_UNSPACED, /* letter of Thai, Lao, Khmer, Burmese: three to a token */
    CHAR_WIDE,     /* Han, kana, Hangul, emoji: a token each */
    CHAR_SPACE,
    CHAR_LINE,     /* line feed */
    CHAR_STOP,     /* . ! ? and the like: ends a sentence before a blank */
    CHAR_FULLSTOP, /* 。！？ । and the like: ends a sentence whatever follows */
    CHAR_CLOSER,   /* closing quote or bracket: belongs to the sentence before */
    CHAR_OTHER,    /* punctuation, symbols */
} char_class_t;

extern const uint8_t char_ascii[128]; /* char_class_t */

/*  Class of the character at `at`, which is no ASCII, and its width within the `left` bytes that there are. Bytes that
 *  are no UTF-8 are CHAR_OTHER, one by one. */
char_class_t char_class (const unsigned char *at, size_t left, size_t *width);

#endif
