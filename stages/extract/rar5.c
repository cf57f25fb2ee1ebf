#include "stages/extract/rar5.h"

#include <stdint.h>

#define HEADER_MAX (2 * 1024 * 1024)

enum { BLOCK_MAIN = 1, BLOCK_FILE = 2 };
enum { BLOCK_HAS_EXTRA = 1, BLOCK_HAS_DATA = 2, BLOCK_CONTINUES = 8 }; /* the last: of an entry in another volume */
enum { MAIN_IS_SOLID = 4 };
enum { EXTRA_ENCRYPTION = 1 };

static const char signature[] = "Rar!\x1a\x07\x01"; /* and a NUL */

/*  The number at *at, which moves behind it; false when it does not end before `end`. */
static bool number (span_t bytes, size_t *at, size_t end, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        unsigned char c = (unsigned char)bytes.data[(*at)++];
        *value |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80))
            return true;
    }
    return false;
}

typedef struct {
    uint64_t type, flags;
    size_t fields;     /* where those of its type begin */
    size_t extra, end; /* where the extra records begin and end */
} block_t;

/*  Reads the head of the next block and goes behind its data; false at the end and at damage. */
static bool next_block (rar5_t *self, block_t *block)
{
    uint64_t size, extra = 0, data = 0;
    size_t at = self->at + 4; /* a checksum */
    if (self->at + 4 > self->bytes.size || !number (self->bytes, &at, self->bytes.size, &size) || size > HEADER_MAX ||
        size > self->bytes.size - at)
        return false;
    block->end = at + (size_t)size;
    if (!number (self->bytes, &at, block->end, &block->type) || !number (self->bytes, &at, block->end, &block->flags) ||
        ((block->flags & BLOCK_HAS_EXTRA) && !number (self->bytes, &at, block->end, &extra)) ||
        ((block->flags & BLOCK_HAS_DATA) && !number (self->bytes, &at, block->end, &data)) || extra > block->end - at ||
        data > self->bytes.size - block->end)
        return false;
    block->fields = at;
    block->extra = block->end - (size_t)extra;
    self->at = block->end + (size_t)data;
    return true;
}

static bool is_encrypted (span_t bytes, const block_t *block)
{
    size_t at = block->extra;
    uint64_t size, type;
    while (number (bytes, &at, block->end, &size) && size <= block->end - at) {
        size_t next = at + (size_t)size;
        if (number (bytes, &at, next, &type) && type == EXTRA_ENCRYPTION)
            return true;
        at = next;
    }
    return false;
}

void rar5_init (rar5_t *self, span_t bytes)
{
    *self = (rar5_t){ .bytes = bytes, .at = sizeof signature };
    if (bytes.size < sizeof signature || memcmp (bytes.data, signature, sizeof signature) != 0)
        self->at = bytes.size;
    rar5_t look = *self;
    block_t block;
    uint64_t flags;
    self->solid = next_block (&look, &block) && block.type == BLOCK_MAIN &&
                  number (bytes, &block.fields, block.end, &flags) && (flags & MAIN_IS_SOLID);
}

bool rar5_next_is_encrypted (rar5_t *self)
{
    block_t block;
    while (next_block (self, &block))
        if (block.type == BLOCK_FILE && !(block.flags & BLOCK_CONTINUES))
            return is_encrypted (self->bytes, &block);
    return false;
}
