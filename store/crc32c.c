#include "store/crc32c.h"

#include <pthread.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */

static uint32_t table[8][256];

static void make_table (void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int step = 1; step < 8; step++)
            table[step][i] = table[step - 1][i] >> 8 ^ table[0][table[step - 1][i] & 0xff];
}

static uint32_t by_table (uint32_t crc, const unsigned char *at, size_t size)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once (&once, make_table);
    for (; size >= 8; at += 8, size -= 8) { /* eight bytes a step, each through a table of its own */
        uint32_t low = crc ^ (at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24);
        crc = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^ table[5][low >> 16 & 0xff] ^ table[4][low >> 24] ^
              table[3][at[4]] ^ table[2][at[5]] ^ table[1][at[6]] ^ table[0][at[7]];
    }
    for (; size; at++, size--)
        crc = crc >> 8 ^ table[0][(crc ^ *at) & 0xff];
    return crc;
}

#ifdef __x86_64__
#include <string.h>

__attribute__ ((target ("sse4.2"))) static uint32_t by_instruction (uint32_t crc, const unsigned char *at, size_t size)
{
    uint64_t wide = crc, word;
    for (; size >= 8; at += 8, size -= 8) {
        memcpy (&word, at, 8);
        wide = __builtin_ia32_crc32di (wide, word);
    }
    crc = (uint32_t)wide;
    for (; size; at++, size--)
        crc = __builtin_ia32_crc32qi (crc, *at);
    return crc;
}
#endif

uint32_t crc32c (span_t bytes)
{
    const unsigned char *at = (const unsigned char *)bytes.data;
#ifdef __x86_64__
    if (__builtin_cpu_supports ("sse4.2"))
        return ~by_instruction (~0u, at, bytes.size);
#endif
    return ~by_table (~0u, at, bytes.size);
}
