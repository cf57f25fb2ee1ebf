/*  map.h: uuid → pointer, open addressing. The values hold their key first: an entry is a pointer and nothing else. */
#ifndef BROKER_CORE_MAP_H
#define BROKER_CORE_MAP_H

#include "base/uuid.h"

typedef struct {
    void **slots; /* each points to an object, whose key is `key_offset` bytes in */
    size_t room, count, key_offset;
} map_t;

void map_init (map_t *self, size_t key_offset);
void map_free (map_t *self); /* the objects stay */
void *map_get (const map_t *self, uuid_t key);
void map_put (map_t *self, void *object); /* its key must not be in the map */
void map_remove (map_t *self, uuid_t key);
/*  Objects in no special order: start with *at = 0; NULL at the end. The map must not change meanwhile. */
void *map_next (const map_t *self, size_t *at);

#endif
