#include "store/rocks_log.h"
#include "store/crc32c.h"

uint64_t rocks_log_number (const char *at, size_t width)
{
    uint64_t value = 0;
    for (size_t i = width; i-- > 0;)
        value = value << 8 | (unsigned char)at[i];
    return value;
}

int rocks_log_record (const char *block, size_t size, size_t at)
{
    if (size - at < ROCKS_LOG_HEADER)
        return -1;
    size_t payload = (size_t)rocks_log_number (block + at + 4, 2);
    unsigned type = (unsigned char)block[at + 6];
    if (type < ROCKS_LOG_FULL || type > ROCKS_LOG_LAST || payload > size - at - ROCKS_LOG_HEADER)
        return -1;
    uint32_t masked = (uint32_t)rocks_log_number (block + at, 4) - 0xa282ead8u;
    return (masked >> 17 | masked << 15) == crc32c (span (block + at + 6, 1 + payload)) ? (int)payload : -1;
}
