#include "base/uuid.h"
#include "base/clock.h"

#include <sodium.h>

uuid_t uuid_new (void)
{
    /* RFC 9562, method 2: the 74 random bits are a counter that starts at random in each new millisecond. */
    static uint64_t last_ms;
    static uint64_t low;
    static uint16_t high;
    static uint8_t pool[1024];
    static size_t left;
    uint64_t now = clock_wall_ms ();
    if (left < 10) {
        randombytes_buf (pool, sizeof pool);
        left = sizeof pool;
    }
    const uint8_t *random = pool + (left -= 10);
    if (now > last_ms) {
        last_ms = now;
        memcpy (&low, random, 8);
        memcpy (&high, random + 8, 2);
        high &= 0x07ff; /* room to count up */
        low &= 0x3fffffffffffffff;
    } else {
        uint32_t step;
        memcpy (&step, random, 4);
        low += (uint64_t)step + 1;
        if (low >> 62) {
            low &= 0x3fffffffffffffff;
            if (++high > 0x0fff) {
                high = 0;
                last_ms++;
            }
        }
    }
    uuid_t id;
    for (int i = 0; i < 6; i++)
        id.bytes[i] = (uint8_t)(last_ms >> (40 - 8 * i));
    id.bytes[6] = (uint8_t)(0x70 | (high >> 8));
    id.bytes[7] = (uint8_t)high;
    for (int i = 0; i < 8; i++)
        id.bytes[8 + i] = (uint8_t)(low >> (56 - 8 * i));
    id.bytes[8] |= 0x80;
    return id;
}

bool uuid_is_null (uuid_t id)
{
    static const uuid_t none;
    return uuid_eq (id, none);
}

bool uuid_eq (uuid_t a, uuid_t b)
{
    return memcmp (a.bytes, b.bytes, UUID_SIZE) == 0;
}

int uuid_compare (uuid_t a, uuid_t b)
{
    return memcmp (a.bytes, b.bytes, UUID_SIZE);
}

uint64_t uuid_hash (uuid_t id)
{
    uint64_t high, low;
    memcpy (&high, id.bytes, 8);
    memcpy (&low, id.bytes + 8, 8);
    high = (high ^ low) * 0x9e3779b97f4a7c15u;
    return high ^ (high >> 29);
}

void uuid_text (uuid_t id, char text[UUID_TEXT])
{
    static const char hex[] = "0123456789abcdef";
    char *out = text;
    for (int i = 0; i < UUID_SIZE; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = hex[id.bytes[i] >> 4];
        *out++ = hex[id.bytes[i] & 15];
    }
    *out = 0;
}

static int nibble (char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

int uuid_parse (span_t text, uuid_t *id)
{
    if (text.size != UUID_TEXT - 1)
        return -1;
    uuid_t parsed;
    const char *p = text.data;
    for (int i = 0; i < UUID_SIZE; i++) {
        if ((i == 4 || i == 6 || i == 8 || i == 10) && *p++ != '-')
            return -1;
        int high = nibble (p[0]), low = nibble (p[1]);
        if (high < 0 || low < 0)
            return -1;
        parsed.bytes[i] = (uint8_t)(high << 4 | low);
        p += 2;
    }
    *id = parsed;
    return 0;
}
