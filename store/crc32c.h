/*  crc32c.h: the checksum (Castagnoli) that RocksDB puts on the records of its logs. */
#ifndef STORE_CRC32C_H
#define STORE_CRC32C_H

#include "base/span.h"

#include <stdint.h>

uint32_t crc32c (span_t bytes);

#endif
