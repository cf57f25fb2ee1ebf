/*  dice.h: all the chance there is in the simulation: the same seed, the same run. */
#ifndef TESTS_SIM_DICE_H
#define TESTS_SIM_DICE_H

#include "base/uuid.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    uint64_t state;
} dice_t;

static inline uint64_t dice_roll (dice_t *self)
{
    self->state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    uint64_t z = self->state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint32_t dice_below (dice_t *self, uint32_t bound)
{
    return (uint32_t)((dice_roll (self) >> 32) * bound >> 32);
}

static inline bool dice_one_in (dice_t *self, uint32_t times)
{
    return dice_below (self, times) == 0;
}

/*  Ids rise with time, as UUIDv7s do: `ms` is in front. */
static inline uuid_t dice_uuid (dice_t *self, uint64_t ms)
{
    uuid_t id;
    uint64_t rest[2] = { dice_roll (self), dice_roll (self) };
    memcpy (id.bytes, rest, sizeof id.bytes);
    for (int i = 0; i < 6; i++)
        id.bytes[i] = (unsigned char)(ms >> 8 * (5 - i));
    id.bytes[6] = (unsigned char)(0x70 | (id.bytes[6] & 0x0f));
    id.bytes[8] = (unsigned char)(0x80 | (id.bytes[8] & 0x3f));
    return id;
}

#endif
