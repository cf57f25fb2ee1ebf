#include "client/text.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define WIDTH_LEAST 10 /* what the flexible column gets on a narrow terminal */

typedef struct {
    span_t bytes; /* what to print */
    size_t used;  /* bytes of the input */
    size_t width; /* columns */
} glyph_t;

/*  The first character of `text` (not empty), as it may be shown; `marks`: TEXT_MARK_ON and _OFF pass. */
static glyph_t glyph (span_t text, bool marks)
{
    if (marks && (text.data[0] == *TEXT_MARK_ON || text.data[0] == *TEXT_MARK_OFF))
        return (glyph_t){ span (text.data, 1), 1, 0 };
    size_t size = utf8_width (text);
    if (size == 0)
        return (glyph_t){ SPAN_LIT ("\xEF\xBF\xBD"), 1, 1 };
    wchar_t wide = 0;
    mbstate_t state = { 0 };
    if (mbrtowc (&wide, text.data, size, &state) != size)
        return (glyph_t){ SPAN_LIT ("?"), size, 1 };
    int width = wcwidth (wide);
    if (width < 0 || (wide >= 0x202A && wide <= 0x202E) || (wide >= 0x2066 && wide <= 0x2069)) /* controls, bidi */
        return (glyph_t){ SPAN_LIT ("?"), size, 1 };
    return (glyph_t){ span (text.data, size), size, (size_t)width };
}

static size_t columns_of (span_t text, bool marks)
{
    size_t width = 0;
    for (size_t at = 0; at < text.size;) {
        glyph_t next = glyph (span (text.data + at, text.size - at), marks);
        width += next.width;
        at += next.used;
    }
    return width;
}

size_t text_fit (str_t *out, span_t text, size_t width, bool pad)
{
    bool cut = columns_of (text, false) > width;
    size_t room = cut && width ? width - 1 : width;
    size_t used = 0;
    for (size_t at = 0; at < text.size;) {
        glyph_t next = glyph (span (text.data + at, text.size - at), false);
        if (used + next.width > room)
            break;
        str_add (out, next.bytes);
        used += next.width;
        at += next.used;
    }
    if (cut && width) {
        str_text (out, "…");
        used++;
    }
    for (; pad && used < width; used++)
        str_char (out, ' ');
    return used;
}

static bool is_blank (char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/*  Adds what of `word` fits into *left columns, on an empty line at least a character; the bytes used. */
static size_t add_word (str_t *out, span_t word, size_t *left, bool empty, bool *marked)
{
    size_t at = 0;
    while (at < word.size) {
        glyph_t next = glyph (span (word.data + at, word.size - at), true);
        if (next.width > *left && !(empty && at == 0))
            break;
        if (next.bytes.data[0] == *TEXT_MARK_ON || next.bytes.data[0] == *TEXT_MARK_OFF)
            *marked = next.bytes.data[0] == *TEXT_MARK_ON;
        str_add (out, next.bytes);
        *left -= next.width < *left ? next.width : *left;
        at += next.used;
    }
    return at;
}

void text_wrap (str_t *out, span_t text, size_t indent, size_t width, size_t lines_max)
{
    size_t room = width > indent ? width - indent : 1, left = 0, lines = 0;
    bool marked = false, cut = false;
    for (size_t at = 0; !cut;) {
        size_t before = at;
        while (at < text.size && is_blank (text.data[at]))
            at++;
        if (at == text.size)
            break;
        size_t end = at;
        while (end < text.size && !is_blank (text.data[end]))
            end++;
        span_t word = span (text.data + at, end - at);
        size_t blank = at > before;
        bool empty = lines == 0 || blank + columns_of (word, true) > left;
        cut = empty && lines == lines_max;
        if (cut)
            continue;
        if (empty) {
            str_text (out, lines++ ? "\n" : "");
            for (size_t i = 0; i < indent; i++)
                str_char (out, ' ');
            left = room;
        } else if (blank) {
            str_char (out, ' ');
            left--;
        }
        at += add_word (out, word, &left, empty, &marked);
    }
    if (marked)
        str_text (out, TEXT_MARK_OFF);
    str_text (out, cut ? " …\n" : "\n");
}

void text_size (str_t *out, uint64_t bytes)
{
    static const char *const units[] = { "B", "KB", "MB", "GB", "TB" };
    size_t unit = 0;
    double value = (double)bytes;
    while (value >= 1000 && unit < 4) {
        value /= 1000;
        unit++;
    }
    str_format (out, unit == 0 || value >= 99.95 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

void text_time (str_t *out, const char *rfc3339)
{
    if (strlen (rfc3339) < 19)
        str_char (out, '-');
    else
        str_format (out, "%.10s %.8s", rfc3339, rfc3339 + 11);
}

size_t text_columns (int fd)
{
    struct winsize size;
    return isatty (fd) && ioctl (fd, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

const char *json_text (const json_t *object, const char *name)
{
    const char *text = json_string_value (json_object_get (object, name));
    return text ? text : "";
}

uint64_t json_number (const json_t *object, const char *name)
{
    json_int_t number = json_integer_value (json_object_get (object, name));
    return number > 0 ? (uint64_t)number : 0;
}

void json_print (const json_t *value)
{
    json_dumpf (value, stdout, JSON_COMPACT | (isatty (STDOUT_FILENO) ? JSON_ENSURE_ASCII : 0));
    putchar ('\n');
    fflush (stdout);
}

static void cell (str_t *out, const json_t *value, size_t width, bool last)
{
    str_t text = STR_INIT;
    if (json_is_string (value))
        str_text (&text, json_string_value (value));
    else if (json_is_integer (value))
        str_i64 (&text, json_integer_value (value));
    else
        str_char (&text, '-');
    text_fit (out, str_span (&text), width, !last);
    str_free (&text);
}

void text_table (const column_t *columns, const json_t *items)
{
    size_t fixed = 0;
    for (const column_t *column = columns; column->member; column++)
        fixed += column->width + (column > columns ? 2 : 0);
    size_t total = text_columns (STDOUT_FILENO);
    size_t rest = total > fixed + WIDTH_LEAST ? total - fixed : WIDTH_LEAST;

    str_t line = STR_INIT;
    for (size_t row = 0; row <= json_array_size (items); row++) {
        str_clear (&line);
        for (const column_t *column = columns; column->member; column++) {
            size_t width = column->width ? column->width : rest;
            bool last = !column[1].member;
            if (column > columns)
                str_text (&line, "  ");
            if (row == 0)
                text_fit (&line, span_str (column->heading), width, !last);
            else
                cell (&line, json_object_get (json_array_get (items, row - 1), column->member), width, last);
        }
        printf ("%s\n", line.data);
    }
    str_free (&line);
}
