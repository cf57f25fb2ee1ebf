/*  text.h: output for people: texts from documents and file names made safe and as wide as a terminal's columns. */
#ifndef CLIENT_TEXT_H
#define CLIENT_TEXT_H

#include "base/str.h"

#include <jansson.h>
#include <stdint.h>

/*  Appends `text` with everything a terminal would obey (control characters, bytes that are no UTF-8) replaced, cut
 *  to `width` columns with an ellipsis; `pad`: filled up with blanks. Returns the columns used. */
size_t text_fit (str_t *out, span_t text, size_t width, bool pad);

/*  Stand for the borders of something emphasised; text_wrap lets them pass, without width. */
#define TEXT_MARK_ON  "\x01"
#define TEXT_MARK_OFF "\x02"

/*  Appends `text`, white space folded, in lines of at most `width` columns that start with `indent` blanks; at most
 *  `lines_max` lines. It breaks at blanks; a word that is longer than a line, as whole texts of scripts without blanks
 *  are, anywhere. What is emphasised where the text is cut ends there. Ends with a newline. */
void text_wrap (str_t *out, span_t text, size_t indent, size_t width, size_t lines_max);

/*  "12 B", "3.4 KB", "1.2 GB": at most 7 columns. */
void text_size (str_t *out, uint64_t bytes);

/*  "2024-05-06 07:08:09" from RFC 3339; "-" for NULL. */
void text_time (str_t *out, const char *rfc3339);

/*  Columns of a terminal on descriptor `fd`, 80 when it is none or does not say. */
size_t text_columns (int fd);

/*  Members of JSON objects; "" and 0 when missing or of another type. Borrowed. */
const char *json_text (const json_t *object, const char *name);
uint64_t json_number (const json_t *object, const char *name);

/*  One line on stdout, at once: someone may be waiting for it. To a terminal in ASCII only: JSON escapes few of the
 *  characters that one obeys. */
void json_print (const json_t *value);

/*  A column of a table: the member's name, the heading, and its width; 0: the rest of the line. */
typedef struct {
    const char *member;
    const char *heading;
    size_t width;
} column_t;

/*  Prints the objects of `items` as a table on stdout that is 80 columns wide on 80 columns, headings on top. The
 *  table ends with a NULL member. Members may be texts, whole numbers or null (shown as -). */
void text_table (const column_t *columns, const json_t *items);

#endif
