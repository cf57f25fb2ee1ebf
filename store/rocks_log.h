/*  rocks_log.h: the form of RocksDB's logs (db/log_format.h), of writes and of the manifest alike.
 *
 *  Blocks of 32 KiB; in them records of u32 masked checksum, u16 size, u8 type, payload; an entry is one full record,
 * or a first, middles and a last. Fewer than 7 bytes at the end of a block are filling.
 */
#ifndef STORE_ROCKS_LOG_H
#define STORE_ROCKS_LOG_H

#include <stddef.h>
#include <stdint.h>

#define ROCKS_LOG_BLOCK  32768u
#define ROCKS_LOG_HEADER 7u

typedef enum { ROCKS_LOG_FULL = 1, ROCKS_LOG_FIRST, ROCKS_LOG_MIDDLE, ROCKS_LOG_LAST } rocks_log_type_t;

/*  The record at `at` of a block of which `size` bytes are there: the size of its payload, or -1 when it is not whole
 * and right. Its type is the byte before the payload. */
int rocks_log_record (const char *block, size_t size, size_t at);

/*  A little-endian number. */
uint64_t rocks_log_number (const char *at, size_t width);

#endif
