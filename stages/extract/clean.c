#include "stages/extract/clean.h"
#include "base/utf8.h"

/*  What becomes of an ASCII byte: 0 keep, 1 drop, 2 line end. */
static int ascii_class (unsigned char c)
{
    if (c == '\f' || c == '\v')
        return 2;
    return (c < 0x20 && c != '\t' && c != '\n') || c == 0x7f;
}

/*  As ascii_class, for the character of `width` bytes at p. */
static int wide_class (const unsigned char *p, size_t width)
{
    if (width == 2 && p[0] == 0xc2 && p[1] < 0xa0) /* C1 controls; U+0085 is a line end */
        return p[1] == 0x85 ? 2 : 1;
    if (width == 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9)) /* line, paragraph separator */
        return 2;
    if (width == 3 && p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf) /* U+FEFF */
        return 1;
    return 0;
}

void clean_append (str_t *out, span_t bytes, bool *cr)
{
    const unsigned char *p = (const unsigned char *)bytes.data;
    size_t at = 0, plain = 0;
    if (*cr && bytes.size && p[0] == '\n')
        at = plain = 1;
    if (bytes.size)
        *cr = p[bytes.size - 1] == '\r';
    while (at < bytes.size) {
        unsigned char c = p[at];
        if (c >= 0x20 && c < 0x7f) {
            at++;
            continue;
        }
        size_t width = c < 0x80 ? 1 : utf8_width (span (bytes.data + at, bytes.size - at));
        int class = !width ? 3 : c == '\r' ? 2 : c < 0x80 ? ascii_class (c) : wide_class (p + at, width);
        if (!class) {
            at += width;
            continue;
        }
        str_add (out, span (bytes.data + plain, at - plain));
        if (class == 2)
            str_char (out, '\n');
        else if (class == 3)
            str_text (out, "\xef\xbf\xbd");
        at += width ? width : 1;
        if (c == '\r' && at < bytes.size && p[at] == '\n')
            at++;
        plain = at;
    }
    str_add (out, span (bytes.data + plain, at - plain));
}

void clean_line (str_t *out, span_t bytes, size_t most)
{
    str_t text = STR_INIT;
    bool cr = false;
    clean_append (&text, span (bytes.data, bytes.size > most * 4 ? most * 4 : bytes.size), &cr);
    size_t start = out->size;
    bool blank = false;
    for (size_t at = 0; at < text.size;) {
        span_t rest = span (text.data + at, text.size - at);
        size_t width = utf8_width (rest);
        if (*rest.data == ' ' || *rest.data == '\t' || *rest.data == '\n' ||
            (width == 2 && memcmp (rest.data, "\xc2\xa0", 2) == 0)) {
            blank = true;
        } else {
            if (out->size - start + width + 1 > most)
                break;
            if (blank && out->size > start)
                str_char (out, ' ');
            blank = false;
            str_add (out, span (rest.data, width));
        }
        at += width;
    }
    str_free (&text);
}
