#include "broker/core/map.h"

#include <stdlib.h>

static uuid_t key_of (const map_t *self, const void *object)
{
    uuid_t key;
    memcpy (&key, (const char *)object + self->key_offset, sizeof key);
    return key;
}

void map_init (map_t *self, size_t key_offset)
{
    *self = (map_t){ .key_offset = key_offset };
}

void map_free (map_t *self)
{
    free (self->slots);
    map_init (self, self->key_offset);
}

static size_t find (const map_t *self, uuid_t key)
{
    size_t at = uuid_hash (key) & (self->room - 1);
    while (self->slots[at] && !uuid_eq (key_of (self, self->slots[at]), key))
        at = (at + 1) & (self->room - 1);
    return at;
}

void *map_get (const map_t *self, uuid_t key)
{
    return self->room ? self->slots[find (self, key)] : NULL;
}

static void grow (map_t *self)
{
    void **old = self->slots;
    size_t old_room = self->room;
    self->room = old_room ? old_room * 2 : 64;
    self->slots = calloc (self->room, sizeof *self->slots);
    if (!self->slots)
        abort ();
    for (size_t i = 0; i < old_room; i++)
        if (old[i])
            self->slots[find (self, key_of (self, old[i]))] = old[i];
    free (old);
}

void map_put (map_t *self, void *object)
{
    if ((self->count + 1) * 3 > self->room * 2)
        grow (self);
    self->slots[find (self, key_of (self, object))] = object;
    self->count++;
}

void map_remove (map_t *self, uuid_t key)
{
    if (!self->room)
        return;
    size_t hole = find (self, key);
    if (!self->slots[hole])
        return;
    self->slots[hole] = NULL;
    self->count--;
    /* Close the hole: move back whoever was pushed past it. */
    size_t mask = self->room - 1;
    for (size_t at = (hole + 1) & mask; self->slots[at]; at = (at + 1) & mask) {
        size_t home = uuid_hash (key_of (self, self->slots[at])) & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            self->slots[hole] = self->slots[at];
            self->slots[at] = NULL;
            hole = at;
        }
    }
}

void *map_next (const map_t *self, size_t *at)
{
    while (*at < self->room) {
        void *object = self->slots[(*at)++];
        if (object)
            return object;
    }
    return NULL;
}
