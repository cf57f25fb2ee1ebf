#include "base/str.h"
#include "base/clock.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void str_free (str_t *self)
{
    free (self->data);
    *self = (str_t)STR_INIT;
}

void str_clear (str_t *self)
{
    self->size = 0;
    if (self->data)
        self->data[0] = 0;
}

char *str_grow (str_t *self, size_t more)
{
    if (self->size + more + 1 > self->room) {
        size_t room = self->room ? self->room * 2 : 64;
        while (room < self->size + more + 1)
            room *= 2;
        self->data = realloc (self->data, room);
        if (!self->data)
            abort ();
        self->room = room;
    }
    char *start = self->data + self->size;
    self->size += more;
    self->data[self->size] = 0;
    return start;
}

void str_add (str_t *self, span_t bytes)
{
    if (bytes.size)
        memcpy (str_grow (self, bytes.size), bytes.data, bytes.size);
}

void str_text (str_t *self, const char *text)
{
    str_add (self, span_str (text));
}

void str_char (str_t *self, char c)
{
    *str_grow (self, 1) = c;
}

void str_u64 (str_t *self, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    str_add (self, span (digits + at, sizeof digits - at));
}

void str_i64 (str_t *self, int64_t value)
{
    if (value < 0)
        str_char (self, '-');
    str_u64 (self, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void str_format (str_t *self, const char *format, ...)
{
    va_list args, again;
    va_start (args, format);
    va_copy (again, args);
    int size = vsnprintf (NULL, 0, format, args);
    va_end (args);
    if (size > 0)
        vsnprintf (str_grow (self, (size_t)size), (size_t)size + 1, format, again);
    va_end (again);
}

span_t str_span (const str_t *self)
{
    return span (self->data, self->size);
}

void str_json (str_t *self, span_t text)
{
    static const char hex[] = "0123456789abcdef";
    str_char (self, '"');
    size_t at = 0, plain = 0;
    while (at < text.size) {
        unsigned char c = (unsigned char)text.data[at];
        if (c >= 0x20 && c != '"' && c != '\\' && c < 0x80) {
            at++;
            continue;
        }
        size_t width = c < 0x80 ? 0 : utf8_width (span (text.data + at, text.size - at));
        if (width) {
            at += width;
            continue;
        }
        str_add (self, span (text.data + plain, at - plain));
        switch (c) {
        case '"':
            str_text (self, "\\\"");
            break;
        case '\\':
            str_text (self, "\\\\");
            break;
        case '\n':
            str_text (self, "\\n");
            break;
        case '\t':
            str_text (self, "\\t");
            break;
        case '\r':
            str_text (self, "\\r");
            break;
        default:
            if (c < 0x20) {
                char *out = str_grow (self, 6);
                memcpy (out, "\\u00", 4);
                out[4] = hex[c >> 4];
                out[5] = hex[c & 15];
            } else
                str_text (self, "\xef\xbf\xbd");
        }
        plain = ++at;
    }
    str_add (self, span (text.data + plain, at - plain));
    str_char (self, '"');
}

void str_key (str_t *self, const char *name)
{
    if (self->size && !strchr ("{[:,", self->data[self->size - 1]))
        str_char (self, ',');
    str_char (self, '"');
    str_text (self, name);
    str_text (self, "\":");
}

void str_key_str (str_t *self, const char *name, span_t text)
{
    str_key (self, name);
    if (text.data)
        str_json (self, text);
    else
        str_text (self, "null");
}

void str_key_u64 (str_t *self, const char *name, uint64_t value)
{
    str_key (self, name);
    str_u64 (self, value);
}

void str_key_raw (str_t *self, const char *name, span_t json)
{
    str_key (self, name);
    str_add (self, json.size ? json : SPAN_LIT ("null"));
}

void str_key_time (str_t *self, const char *name, uint64_t wall_ms)
{
    str_key (self, name);
    if (!wall_ms) {
        str_text (self, "null");
        return;
    }
    char text[CLOCK_RFC3339_SIZE];
    clock_rfc3339 (wall_ms, text);
    str_char (self, '"');
    str_text (self, text);
    str_char (self, '"');
}
