#include "stages/extract/plain.h"
#include "base/str.h"
#include "base/utf8.h"
#include "stages/extract/clean.h"
#include "stages/extract/nfc.h"
#include "stages/extract/sink.h"
#include "stages/extract/textkind.h"

#include <ctype.h>

#define START_MAX 256

/*  What the bytes are made of. */
typedef struct {
    bool cr;   /* line ends are to be changed */
    bool odd;  /* control characters: not plain */
    bool high; /* may not be in NFC */
} look_t;

static look_t look_at (span_t bytes)
{
    unsigned char cr = 0, odd = 0, high = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char c = (unsigned char)bytes.data[i];
        cr |= c == '\r';
        odd |= (unsigned char)(c < 0x20 && c != '\n' && c != '\t' && c != '\r') | (unsigned char)(c == 0x7f);
        high |= c >= 0xcc;
    }
    return (look_t){ cr != 0, odd != 0, high != 0 };
}

/*  True when the declared type allows for plain text in UTF-8. */
static bool may_be_plain (span_t media_type)
{
    static const char *const types[] = { "text/", "application/json", "application/yaml", "application/octet-stream" };
    if (!media_type.size)
        return true;
    const char *charset = memmem (media_type.data, media_type.size, "charset", 7);
    if (charset && strncasecmp (charset, "charset=utf-8", 13) != 0 && strncasecmp (charset, "charset=\"utf-8", 14) != 0)
        return false;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (media_type.size >= strlen (types[i]) && memcmp (media_type.data, types[i], strlen (types[i])) == 0)
            return true;
    return false;
}

/*  True when no other format begins like this. *media_type says which text it is. */
static bool starts_plain (span_t bytes, span_t name, span_t declared, const char **media_type)
{
    char start[START_MAX + 1];
    size_t size = 0, from = 0;
    while (from < bytes.size && strchr (" \t\r\n", bytes.data[from]))
        from++;
    for (; size < START_MAX && from + size < bytes.size; size++)
        start[size] = (char)tolower ((unsigned char)bytes.data[from + size]);
    start[size] = 0;
    if (*start == '<' || strncmp (start, "{\\rtf", 5) == 0 || strncmp (start, "!<arch>", 7) == 0 ||
        memmem (bytes.data, bytes.size < 1024 ? bytes.size : 1024, "%PDF-", 5))
        return false;
    return text_kind (start, name, declared, media_type) == TEXT_PLAIN;
}

static void drop_blob (void *hint)
{
    buf_t *blob = hint;
    buf_unref (&blob);
}

bool extract_plain (buf_t *blob, span_t filename, span_t media_type, buf_t **text, const char **detected)
{
    span_t bytes = buf_span (blob);
    if (!bytes.size || bytes.size > PLAIN_MAX || !may_be_plain (media_type))
        return false;
    bool bom = bytes.size >= 3 && memcmp (bytes.data, "\xef\xbb\xbf", 3) == 0;
    if (bom)
        bytes = span (bytes.data + 3, bytes.size - 3);
    look_t look = look_at (bytes);
    if (!bytes.size || look.odd || !starts_plain (bytes, filename, media_type, detected) || !utf8_is_valid (bytes))
        return false;
    if (!look.cr && !look.high) {
        *text = bom ? buf_wrap (bytes, drop_blob, buf_ref (blob)) : buf_ref (blob);
        return true;
    }
    str_t clean = STR_INIT, composed = STR_INIT;
    if (look.cr) {
        bool last = false;
        clean_append (&clean, bytes, &last);
        bytes = str_span (&clean);
    }
    nfc_append (&composed, bytes);
    str_free (&clean);
    *text = buf_take (composed.data, composed.size);
    return true;
}

size_t plain_cut (span_t text, size_t start)
{
    span_t rest = span (text.data + start, text.size - start);
    return start + segment_cut (rest);
}
