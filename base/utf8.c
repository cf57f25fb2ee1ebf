#include "base/utf8.h"

#include <stdint.h>

size_t utf8_width (span_t text)
{
    if (!text.size)
        return 0;
    const unsigned char *p = (const unsigned char *)text.data;
    unsigned char c = p[0];
    if (c < 0x80)
        return 1;
    if (c < 0xc2 || c > 0xf4)
        return 0;
    size_t width = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (text.size < width)
        return 0;
    unsigned char low = 0x80, high = 0xbf;
    if (c == 0xe0)
        low = 0xa0;
    else if (c == 0xed)
        high = 0x9f;
    else if (c == 0xf0)
        low = 0x90;
    else if (c == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < width; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return width;
}

bool utf8_is_valid (span_t text)
{
    size_t at = 0;
    while (at < text.size) {
        uint64_t eight;
        if (at + 8 <= text.size && (memcpy (&eight, text.data + at, 8), !(eight & 0x8080808080808080u))) {
            at += 8;
            continue;
        }
        size_t width = utf8_width (span (text.data + at, text.size - at));
        if (!width)
            return false;
        at += width;
    }
    return true;
}

size_t utf8_cut (span_t text, size_t size)
{
    if (size >= text.size)
        return text.size;
    while (size > 0 && ((unsigned char)text.data[size] & 0xc0) == 0x80)
        size--;
    return size;
}
