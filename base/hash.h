/*  hash.h: BLAKE2b-256 content hashes (libsodium). */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/span.h"

#include <sodium.h>
#include <stdint.h>

#define HASH_SIZE 32
#define HASH_TEXT 65 /* 64 hexadecimal digits and a NUL */

typedef struct {
    uint8_t bytes[HASH_SIZE];
} hash_t;

typedef struct {
    crypto_generichash_state state;
} hasher_t;

void hash_start (hasher_t *self);
void hash_feed (hasher_t *self, span_t bytes);
hash_t hash_end (hasher_t *self);

hash_t hash_of (span_t bytes); /* the three in one */
void hash_text (hash_t hash, char text[HASH_TEXT]);

#endif
