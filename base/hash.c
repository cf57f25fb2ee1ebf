#include "base/hash.h"

void hash_start (hasher_t *self)
{
    crypto_generichash_init (&self->state, NULL, 0, HASH_SIZE);
}

void hash_feed (hasher_t *self, span_t bytes)
{
    crypto_generichash_update (&self->state, (const unsigned char *)bytes.data, bytes.size);
}

hash_t hash_end (hasher_t *self)
{
    hash_t hash;
    crypto_generichash_final (&self->state, hash.bytes, HASH_SIZE);
    return hash;
}

hash_t hash_of (span_t bytes)
{
    hash_t hash;
    crypto_generichash (hash.bytes, HASH_SIZE, (const unsigned char *)bytes.data, bytes.size, NULL, 0);
    return hash;
}

void hash_text (hash_t hash, char text[HASH_TEXT])
{
    sodium_bin2hex (text, HASH_TEXT, hash.bytes, HASH_SIZE);
}
