#include "stages/embed/fold.h"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

/*  Case folding first, then the base of the decomposition: both are stable between Unicode versions for characters
 *  that are assigned, so that vectors made today fit those made after an upgrade. */
static uint32_t fold_icu (uint32_t c)
{
    int8_t type = u_charType ((UChar32)c);
    if (type == U_NON_SPACING_MARK || type == U_ENCLOSING_MARK)
        return FOLD_MARK;
    if (!u_isalnum ((UChar32)c) && type != U_COMBINING_SPACING_MARK && type != U_LETTER_NUMBER &&
        type != U_OTHER_NUMBER)
        return FOLD_BREAK;
    UErrorCode status = U_ZERO_ERROR;
    const UNormalizer2 *nfkd = unorm2_getNFKDInstance (&status);
    UChar text[32];
    int32_t size = U_SUCCESS (status) ? unorm2_getDecomposition (nfkd, (UChar32)c, text, 32, &status) : -1;
    UChar32 base = (UChar32)c;
    if (U_SUCCESS (status) && size > 0)
        U16_GET (text, 0, 0, size, base);
    base = u_foldCase (base, U_FOLD_CASE_DEFAULT);
    return u_isalnum (base) ? (uint32_t)base : FOLD_BREAK;
}

void fold_init (fold_t *self)
{
    for (uint32_t c = 0; c < FOLD_TABLE; c++) {
        uint32_t folded = fold_icu (c);
        self->table[c] = folded > UINT16_MAX ? FOLD_BREAK : (uint16_t)folded;
    }
    /* Letters that have no decomposition but are written without their stroke or as one letter where there is no
     * such key. */
    static const uint16_t alike[][2] = { { 0xdf, 's' },  { 0x1e9e, 's' }, { 0xe6, 'a' },  { 0xc6, 'a' },
                                         { 0xf8, 'o' },  { 0xd8, 'o' },   { 0x111, 'd' }, { 0x110, 'd' },
                                         { 0x142, 'l' }, { 0x141, 'l' },  { 0x131, 'i' }, { 0x153, 'o' },
                                         { 0x152, 'o' } };
    for (size_t i = 0; i < sizeof alike / sizeof alike[0]; i++)
        self->table[alike[i][0]] = alike[i][1];
}

uint32_t fold_char (const fold_t *self, uint32_t c)
{
    return c < FOLD_TABLE ? self->table[c] : fold_icu (c);
}

bool fold_is_word (uint32_t c)
{
    return (c >= 0x0e00 && c < 0x0f00)                                   /* Thai, Lao */
           || (c >= 0x1000 && c < 0x10a0) || (c >= 0x1780 && c < 0x1800) /* Myanmar, Khmer */
           || (c >= 0x2e80 && c < 0xa4d0)                                /* CJK, kana, Bopomofo, Yi */
           || (c >= 0xf900 && c < 0xfb00) || (c >= 0x20000 && c < 0x40000);
}
