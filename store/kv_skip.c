/*  A seek into a damaged block fails, one behind it does not; so the end of the damage is found by halving. Keys are
 *  taken as numbers, most significant byte first.
 */
#include "store/kv_skip.h"

#include <string.h>

#define WIDTH_MAX 320u /* the longest key: partition, user of 255 bytes, three ids */
#define WIDTH_MIN 24u

typedef struct {
    unsigned char bytes[WIDTH_MAX];
} number_t;

static bool can_seek (kv_iter_t *it, const number_t *to, size_t width)
{
    it->ops->seek (it, span (to->bytes, width));
    return it->ops->check (it, NULL) == 0;
}

/*  The last key with 1 added at byte `at`, and nothing after it. False: there is no greater one. */
static bool step_at (number_t *number, size_t at, size_t width)
{
    memset (number->bytes + at + 1, 0, width - at - 1);
    for (size_t i = at + 1; i-- > 0;)
        if (++number->bytes[i])
            return true;
    return false;
}

static number_t middle (const number_t *low, const number_t *high, size_t width)
{
    number_t sum = { { 0 } };
    unsigned carry = 0;
    for (size_t i = width; i-- > 0;) {
        unsigned value = low->bytes[i] + high->bytes[i] + carry;
        sum.bytes[i] = (unsigned char)value;
        carry = value >> 8;
    }
    for (size_t i = 0; i < width; i++) {
        unsigned value = carry << 8 | sum.bytes[i];
        sum.bytes[i] = (unsigned char)(value >> 1);
        carry = value & 1;
    }
    return sum;
}

bool kv_iter_skip (kv_iter_t *self, span_t last)
{
    number_t low = { { 0 } }, high, probe;
    size_t width = last.size < WIDTH_MIN ? WIDTH_MIN : last.size < WIDTH_MAX ? last.size : WIDTH_MAX;
    if (last.size)
        memcpy (low.bytes, last.data, last.size < width ? last.size : width);
    const number_t start = low;
    size_t at = width;
    bool found = false;
    while (at-- > 0 && !found) {
        high = start;
        if (!step_at (&high, at, width))
            return false;
        found = can_seek (self, &high, width);
        if (!found)
            low = high;
    }
    if (!found)
        return false;
    for (size_t i = 0; i < 8 * width; i++) {
        probe = middle (&low, &high, width);
        if (memcmp (probe.bytes, low.bytes, width) == 0)
            break;
        if (can_seek (self, &probe, width))
            high = probe;
        else
            low = probe;
    }
    return can_seek (self, &high, width) && self->ops->valid (self);
}
