#include "stages/extract/nfc.h"

#include <assert.h>
#include <stdlib.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>
#include <unicode/utf8.h>

bool nfc_is_trivial (span_t text)
{
    /* Lead bytes from 0xcc on start characters from U+0300 on. */
    unsigned char high = 0;
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        high = c > high ? c : high;
    }
    return high < 0xcc;
}

static const UNormalizer2 *nfc (void)
{
    UErrorCode status = U_ZERO_ERROR;
    const UNormalizer2 *instance = unorm2_getNFCInstance (&status);
    assert (U_SUCCESS (status));
    return instance;
}

static void *room (size_t units)
{
    void *memory = malloc ((units + 1) * sizeof (UChar));
    if (!memory)
        abort ();
    return memory;
}

/*  Appends `size` units of UTF-16 as UTF-8. */
static void append_utf16 (str_t *out, const UChar *units, int32_t size)
{
    size_t most = (size_t)size * 3, before = out->size;
    char *at = str_grow (out, most);
    int32_t written = 0;
    UErrorCode status = U_ZERO_ERROR;
    u_strToUTF8WithSub (at, (int32_t)most, &written, units, size, 0xfffd, NULL, &status);
    out->size = before;
    if (U_SUCCESS (status))
        out->size += (size_t)written;
    out->data[out->size] = 0;
}

void nfc_append (str_t *out, span_t text)
{
    if (nfc_is_trivial (text)) {
        str_add (out, text);
        return;
    }
    UErrorCode status = U_ZERO_ERROR;
    int32_t size = 0;
    UChar *units = room (text.size);
    u_strFromUTF8WithSub (units, (int32_t)text.size, &size, text.data, (int32_t)text.size, 0xfffd, NULL, &status);
    assert (U_SUCCESS (status));
    int32_t same = unorm2_spanQuickCheckYes (nfc (), units, size, &status);
    if (U_SUCCESS (status) && same == size) {
        str_add (out, text);
    } else {
        /* Composed text is never longer than three times the input (UAX #15). */
        status = U_ZERO_ERROR;
        UChar *composed = room ((size_t)size * 3);
        int32_t got = unorm2_normalize (nfc (), units, size, composed, size * 3 + 1, &status);
        assert (U_SUCCESS (status));
        append_utf16 (out, composed, got);
        free (composed);
    }
    free (units);
}

size_t nfc_cut (span_t text)
{
    const UNormalizer2 *norm = nfc ();
    const uint8_t *bytes = (const uint8_t *)text.data;
    int32_t at = (int32_t)text.size;
    while (at > 0) {
        UChar32 c;
        U8_PREV_OR_FFFD (bytes, 0, at, c);
        if (unorm2_hasBoundaryBefore (norm, c))
            return (size_t)at;
    }
    return 0;
}
