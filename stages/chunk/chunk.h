/*  chunk.h: cuts the text of a segment into the pieces that are embedded and found.
 *
 *  Borders are taken in this order: archive paths, headings, sheets and slides (never crossed, except that a piece of
 *  less than an eighth of a chunk, such as a heading without a text, goes with what follows it in the same file),
 *  paragraphs, sentences, lines, words, characters. Neighbours within a section share up to `overlap` tokens of whole
 *  sentences. The same input always gives the same chunks.
 *
 *  Tokens are an estimate of what a wordpiece vocabulary would make: a word counts one for each seven letters begun,
 *  punctuation one for up to sixteen marks in a row, a character of Han, kana, Hangul or an emoji one, and three
 * letters of Thai, Lao, Khmer or Burmese one.
 */
#ifndef STAGES_CHUNK_CHUNK_H
#define STAGES_CHUNK_CHUNK_H

#include "base/err.h"
#include "base/str.h"

#define CHUNK_TOKENS_DEFAULT  200
#define CHUNK_OVERLAP_DEFAULT 30
#define CHUNK_TOKENS_MIN      8
#define CHUNK_TOKENS_MAX      8192

typedef struct {
    uint32_t tokens;  /* most in a chunk; CHUNK_TOKENS_MIN to _MAX */
    uint32_t overlap; /* at most half of `tokens` */
} chunk_options_t;

/*  0, or -1 with ERR_CONFIG when the two do not go together. */
int chunk_options_check (const chunk_options_t *options, err_t *err);

/*  Appends the chunks of `text` to the spans column. `marks` is the segment's marks column. Text without anything
 *  but blanks has none. 0, or -1 with ERR_PROTOCOL when the marks are damaged. */
int chunk_text (span_t text, span_t marks, const chunk_options_t *options, str_t *spans, err_t *err);

#endif
