/*  nfc.h: Unicode normalisation form C for UTF-8 (ICU behind it). */
#ifndef EXTRACT_NFC_H
#define EXTRACT_NFC_H

#include "base/str.h"

/*  True without a closer look when no character of well-formed `text` is U+0300 or above: all below are in NFC. */
bool nfc_is_trivial (span_t text);

/*  Appends `text` (well-formed UTF-8) to `out` in NFC. Exact when `text` starts and ends where characters do not
 *  combine: see nfc_cut. */
void nfc_append (str_t *out, span_t text);

/*  The largest size ≤ text.size at which `text` can be cut so that its two parts can be normalised one by one;
 *  0 when there is none. */
size_t nfc_cut (span_t text);

#endif
