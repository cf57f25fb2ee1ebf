#include "stages/extract/charset.h"
#include "base/utf8.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <uchardet/uchardet.h>
#include <unicode/uchar.h>
#include <unicode/ucnv.h>
#include <unicode/utf16.h>

#define LOOK_MAX  (1024 * 1024)
#define SHAPE_MAX 4096
#define BLOCK     (64 * 1024)
/*  Fewer letters do not tell one language from another. */
#define SURE_LETTERS 200

static const struct {
    const char *bytes;
    size_t size;
    const char *name;
} marks[] = {
    { "\xef\xbb\xbf", 3, "UTF-8" }, { "\xff\xfe\0\0", 4, "UTF-32LE" }, { "\0\0\xfe\xff", 4, "UTF-32BE" },
    { "\xff\xfe", 2, "UTF-16LE" },  { "\xfe\xff", 2, "UTF-16BE" },     { "\x84\x31\x95\x33", 4, "gb18030" },
};

/*  Names that ICU does not know or reads too narrowly: browsers read the first of each pair as the second. */
static const char *const better[][2] = {
    { "ISO-8859-1", "windows-1252" },
    { "LATIN1", "windows-1252" },
    { "US-ASCII", "windows-1252" },
    { "ASCII", "windows-1252" },
    { "SHIFT_JIS", "ibm-943_P15A-2003" },
    { "EUC-KR", "windows-949" },
    { "UHC", "windows-949" },
    { "GB2312", "gb18030" },
    { "GBK", "gb18030" },
    { "ISO-8859-9", "windows-1254" },
    { "TIS-620", "windows-874" },
    { "ISO-8859-11", "windows-874" },
    { "MAC-CYRILLIC", "x-mac-cyrillic" },
    { "MAC-CENTRALEUROPE", "x-mac-centraleurroman" },
    { "EBCDIC-INTERNATIONAL", "ibm-500" },
    { "EBCDIC-US", "ibm-37" },
};

/*  True when ICU has a converter; *found gets its name. */
static bool use (span_t name, charset_t *found)
{
    if (!name.size || name.size >= CHARSET_NAME)
        return false;
    char text[CHARSET_NAME];
    memcpy (text, name.data, name.size);
    text[name.size] = 0;
    const char *icu = text;
    for (size_t i = 0; i < sizeof better / sizeof *better; i++)
        if (strcasecmp (text, better[i][0]) == 0)
            icu = better[i][1];
    UErrorCode status = U_ZERO_ERROR;
    UConverter *converter = ucnv_open (icu, &status);
    if (U_FAILURE (status))
        return false;
    ucnv_close (converter);
    snprintf (found->name, sizeof found->name, "%s", icu);
    return true;
}

/*  Valid but for a character cut off at the end of what we look at, and a few that were damaged. */
static bool is_utf8 (span_t bytes)
{
    size_t size = bytes.size, good = 0, bad = 0;
    if (utf8_is_valid (bytes))
        return true;
    for (size_t back = 1; back <= 3 && back <= bytes.size; back++)
        if ((unsigned char)bytes.data[size - back] >= 0xc0) {
            bytes.size -= back;
            break;
        }
    for (size_t at = 0; at < bytes.size;) {
        size_t width = utf8_width (span (bytes.data + at, bytes.size - at));
        good += width > 1;
        bad += !width;
        at += width ? width : 1;
    }
    return good > bad * 10;
}

/*  True when every control character is one that texts have. NULs are allowed one in a thousand; up to a quarter of it
 * in what is UTF-8 without them (a text whose units are wider than a byte has more, or is not), and any number at the
 * end (a log after a power cut). */
static bool looks_like_text (span_t bytes)
{
    size_t odd = 0, nul = 0;
    while (bytes.size && !bytes.data[bytes.size - 1])
        bytes.size--;
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char c = (unsigned char)bytes.data[i];
        nul += c == 0;
        odd += c < 0x20 && !strchr ("\b\t\n\v\f\r\x1a\x1b", c);
    }
    return odd <= bytes.size / 100 && (nul <= bytes.size / 1000 || (nul <= bytes.size / 4 && is_utf8 (bytes)));
}

/*  True when `bytes` read as units of `width` make a text: no unassigned character, mostly letters. */
static bool has_shape (span_t bytes, unsigned width, bool big)
{
    size_t letters = 0, plain = 0, count = 0;
    const unsigned char *p = (const unsigned char *)bytes.data;
    size_t size = bytes.size < SHAPE_MAX ? bytes.size : SHAPE_MAX;
    for (size_t at = 0; at + width <= size; at += width, count++) {
        uint32_t c = 0;
        for (unsigned i = 0; i < width; i++)
            c |= (uint32_t)p[at + i] << 8 * (big ? width - 1 - i : i);
        if (width == 2 && U16_IS_SURROGATE (c)) {
            if (at + 4 > size)
                break;
            uint32_t low = big ? (uint32_t)p[at + 2] << 8 | p[at + 3] : (uint32_t)p[at + 3] << 8 | p[at + 2];
            if (!U16_IS_LEAD (c) || !U16_IS_TRAIL (low))
                return false;
            c = U16_GET_SUPPLEMENTARY (c, low);
            at += 2;
        }
        if (c > 0x10ffff || u_charType ((UChar32)c) == U_UNASSIGNED || u_charType ((UChar32)c) == U_PRIVATE_USE_CHAR ||
            (c < 0x20 && !strchr ("\t\n\f\r", (int)c)) || (c == 0))
            return false;
        letters += u_isalpha ((UChar32)c) != 0;
        plain += c == ' ' || c == '\n' || c == '\r' || (c < 0x80 && u_isalpha ((UChar32)c));
    }
    return count >= 2 && letters * 2 > count && plain > 0;
}

static bool find_shape (span_t bytes, charset_t *found)
{
    static const struct {
        unsigned width;
        bool big;
        const char *name;
    } shapes[] = {
        { 4, false, "UTF-32LE" }, { 4, true, "UTF-32BE" }, { 2, false, "UTF-16LE" }, { 2, true, "UTF-16BE" }
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (has_shape (bytes, shapes[i].width, shapes[i].big))
            return use (span_str (shapes[i].name), found);
    return false;
}

/*  EBCDIC has its blank where ASCII has '@', and nothing where ASCII has its blank. */
static bool is_ebcdic (span_t bytes)
{
    size_t blanks = 0, ats = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        blanks += bytes.data[i] == ' ';
        ats += bytes.data[i] == '@';
    }
    return !blanks && ats * 12 > bytes.size;
}

/*  uchardet takes Serbian and other Cyrillic for Western: there every third letter would have an accent. Which of the
 *  two code pages it is tell the small letters, of which there are more. */
static const char *unmask_cyrillic (span_t bytes)
{
    size_t plain = 0, low = 0, high = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char c = (unsigned char)bytes.data[i];
        plain += isalpha (c) != 0 && c < 0x80;
        low += c >= 0xc0 && c < 0xe0;
        high += c >= 0xe0;
    }
    if ((low + high) * 3 < plain || low + high + plain < SURE_LETTERS)
        return NULL;
    return high > low ? "windows-1251" : "KOI8-R";
}

static bool guess (span_t bytes, charset_t *found)
{
    uchardet_t detector = uchardet_new ();
    bool ok = !uchardet_handle_data (detector, bytes.data, bytes.size);
    uchardet_data_end (detector);
    ok = ok && use (span_str (uchardet_get_charset (detector)), found);
    uchardet_delete (detector);
    return ok;
}

/*  What to decide by: the first MiB, unless it is mere ASCII: then that from the first other byte on. */
static span_t window (span_t bytes)
{
    span_t first = span (bytes.data, bytes.size < LOOK_MAX ? bytes.size : LOOK_MAX);
    size_t at = 0;
    while (at < bytes.size && (unsigned char)bytes.data[at] < 0x80)
        at++;
    if (at < first.size || at == bytes.size || !looks_like_text (first) || memchr (first.data, 0x1b, first.size))
        return first;
    return span (bytes.data + at, bytes.size - at < LOOK_MAX ? bytes.size - at : LOOK_MAX);
}

int charset_find (span_t bytes, span_t declared, charset_t *found)
{
    *found = (charset_t){ .bom = 0 };
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (bytes.size >= marks[i].size && memcmp (bytes.data, marks[i].bytes, marks[i].size) == 0) {
            found->bom = marks[i].size;
            return use (span_str (marks[i].name), found) ? 0 : -1;
        }
    span_t look = window (bytes);
    bool text = looks_like_text (look);
    bool escapes = memchr (look.data ? look.data : "", 0x1b, look.size) != NULL; /* ISO-2022 is ASCII with escapes */
    if (text && !escapes && is_utf8 (look))
        return use (SPAN_LIT ("UTF-8"), found) ? 0 : -1;
    bool lie = declared.size == 5 && strncasecmp (declared.data, "utf-8", 5) == 0; /* it would have been valid */
    if (!lie && use (declared, found))
        return 0;
    if (text && is_ebcdic (look))
        return use (SPAN_LIT ("ibm-500"), found) ? 0 : -1;
    if (!text)
        return memchr (look.data, 0, look.size) && find_shape (look, found) ? 0 : -1;
    if (!guess (look, found) && is_utf8 (look))
        return use (SPAN_LIT ("UTF-8"), found) ? 0 : -1;
    const char *cyrillic =
        !*found->name || strcasecmp (found->name, "windows-1252") == 0 ? unmask_cyrillic (look) : NULL;
    if (cyrillic || !*found->name)
        use (span_str (cyrillic ? cyrillic : "windows-1252"), found);
    return *found->name ? 0 : -1;
}

span_t charset_of_media_type (span_t type)
{
    for (size_t at = 0; at + 8 < type.size; at++)
        if (strncasecmp (type.data + at, "charset=", 8) == 0) {
            size_t start = at + 8, end;
            start += type.data[start] == '"' || type.data[start] == '\'';
            for (end = start; end < type.size && (isalnum ((unsigned char)type.data[end]) ||
                                                  strchr ("-_:.+", type.data[end] ? type.data[end] : '"'));
                 end++)
                ;
            return span (type.data + start, end - start);
        }
    return SPAN_EMPTY;
}

/*  UTF-8 needs no converter: the sink repairs what is malformed. */
static int pass_through (span_t bytes, charset_out_fn *out, void *self)
{
    size_t at = 0;
    while (at < bytes.size) {
        span_t rest = span (bytes.data + at, bytes.size - at);
        size_t size = utf8_cut (rest, BLOCK);
        if (!size)
            size = rest.size < BLOCK ? rest.size : BLOCK;
        at += size;
        if (at == bytes.size) /* a character cut off at the end */
            for (size_t back = 1; back <= 3 && back <= size; back++)
                if ((unsigned char)rest.data[size - back] >= 0xc0) {
                    if (!utf8_width (span (rest.data + size - back, back)))
                        size -= back;
                    break;
                }
        if (out (self, span (rest.data, size), at))
            return 0;
    }
    return 0;
}

int charset_decode (span_t bytes, const charset_t *charset, charset_out_fn *out, void *self, err_t *err)
{
    bytes = span (bytes.data + charset->bom, bytes.size - charset->bom);
    if (strcmp (charset->name, "UTF-8") == 0)
        return pass_through (bytes, out, self);
    UErrorCode status = U_ZERO_ERROR;
    UConverter *from = ucnv_open (charset->name, &status), *to = ucnv_open ("UTF-8", &status);
    int rc = -1;
    char *buffer = malloc (BLOCK);
    UChar *pivot = malloc (BLOCK * sizeof *pivot), *pivot_from = pivot, *pivot_to = pivot;
    if (!buffer || !pivot)
        abort ();
    if (U_FAILURE (status)) {
        err_set (err, ERR_DAMAGED_DOCUMENT, "the encoding '%s' is not known here", charset->name);
        goto out;
    }
    const char *source = bytes.data, *end = bytes.data + bytes.size;
    bool more = true;
    while (more) {
        char *target = buffer;
        status = U_ZERO_ERROR;
        /* Never flushed: a character cut off at the end of the document is left out. */
        ucnv_convertEx (to, from, &target, buffer + BLOCK, &source, end, pivot, &pivot_from, &pivot_to, pivot + BLOCK,
                        false, false, &status);
        more = status == U_BUFFER_OVERFLOW_ERROR;
        if (U_FAILURE (status) && !more) {
            err_set (err, ERR_DAMAGED_DOCUMENT, "the text cannot be decoded as %s: %s", charset->name,
                     u_errorName (status));
            goto out;
        }
        if (target > buffer &&
            out (self, span (buffer, (size_t)(target - buffer)), (size_t)(source - bytes.data) + charset->bom))
            break;
    }
    rc = 0;
out:
    ucnv_close (from);
    ucnv_close (to);
    free (buffer);
    free (pivot);
    return rc;
}

static int append (void *self, span_t utf8, size_t consumed)
{
    str_add (self, utf8);
    return 0;
}

int charset_to_utf8 (span_t bytes, const charset_t *charset, str_t *text, err_t *err)
{
    size_t from = text->size;
    int rc = charset_decode (bytes, charset, append, text, err);
    for (size_t at = from; at < text->size; at++)
        if (!text->data[at])
            text->data[at] = ' ';
    return rc;
}
