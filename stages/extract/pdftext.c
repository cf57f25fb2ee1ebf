#include "stages/extract/pdftext.h"
#include "base/utf8.h"

/*  U+FB00 to U+FB06. */
static const char *const ligatures[] = { "ff", "fi", "fl", "ffi", "ffl", "st", "st" };

static bool is_letter (unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

/*  True when what ends before `out`'s hyphen and what begins at `next` are two halves of a word: letters on both
 *  sides, and the second half is lower case. */
static bool joins (const str_t *out, span_t next)
{
    unsigned char before = out->size ? (unsigned char)out->data[out->size - 1] : 0;
    unsigned char after = next.size ? (unsigned char)next.data[0] : 0;
    return is_letter (before) && ((after >= 'a' && after <= 'z') || after == 0xc3);
}

/*  U+200E, U+200F, U+202A to U+202E: poppler's marks for the direction of writing. */
static bool is_direction (span_t text)
{
    const unsigned char *p = (const unsigned char *)text.data;
    return text.size >= 3 && p[0] == 0xe2 && p[1] == 0x80 &&
           (p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xaa && p[2] <= 0xae));
}

void pdf_clean_page (span_t page, str_t *out)
{
    size_t at = 0;
    while (at < page.size) {
        unsigned char c = (unsigned char)page.data[at];
        span_t rest = span (page.data + at, page.size - at);
        if (c == 0xef && rest.size >= 3 && (unsigned char)rest.data[1] == 0xac && (unsigned char)rest.data[2] >= 0x80 &&
            (unsigned char)rest.data[2] <= 0x86) {
            str_text (out, ligatures[(unsigned char)rest.data[2] - 0x80]);
            at += 3;
        } else if (c == 0xc2 && rest.size >= 2 && (unsigned char)rest.data[1] == 0xad) { /* soft hyphen */
            at += rest.size >= 3 && rest.data[2] == '\n' ? 3 : 2;
        } else if (is_direction (rest)) { /* stands between runs, often instead of a blank */
            if (out->size && out->data[out->size - 1] != ' ' && out->data[out->size - 1] != '\n')
                str_char (out, ' ');
            at += 3;
        } else if (c == ' ' && out->size && out->data[out->size - 1] == ' ') {
            at++;
        } else if (c == '-' && rest.size >= 2 && rest.data[1] == '\n' &&
                   joins (out, span (rest.data + 2, rest.size - 2))) {
            at += 2;
        } else {
            str_char (out, (char)c);
            at++;
        }
    }
}
