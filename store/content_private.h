/*  content_private.h: what the writing and the reading half of the content share. */
#ifndef STORE_CONTENT_PRIVATE_H
#define STORE_CONTENT_PRIVATE_H

#include "store/content.h"
#include "store/content_records.h"
#include "store/index.h"
#include "store/vector_cache.h"

/*  A revision (0: all of the document) that nobody sees, waiting to be removed. */
typedef struct {
    str_t user;
    uuid_t document;
    uint64_t revision;
} garbage_t;

/*  A segment that the open batch writes: iterators do not see it yet. */
typedef struct {
    uuid_t document;
    uint64_t revision;
    uint32_t segment, chunks, embeddings;
    uint64_t row;
} written_t;

/*  Something to be told to the index after the commit. */
typedef struct {
    bool remove;
    span_t user, text, spans; /* of the job, or into `own` */
    uint64_t row;
    str_t own;
} index_change_t;

/*  Rows that became visible (with a document) or invisible, to be told to the vector cache after the commit. */
typedef struct {
    bool remove;
    span_t user;
    uuid_t document;
    uint64_t revision;
    str_t parts;
} vector_change_t;

struct content {
    kv_t *kv;
    content_state_t state;
    bool state_changed;
    bool is_broken; /* a flush failed: database, index and memory may differ until the next start */
    index_writer_t *index;
    char *index_path;
    vector_cache_t *cache;
    garbage_t *garbage; /* oldest first */
    size_t garbage_count, garbage_room;
    written_t *written;
    size_t written_count, written_room;
    index_change_t *index_changes;
    size_t index_change_count, index_change_room;
    vector_change_t *vector_changes;
    size_t vector_change_count, vector_change_room;
    str_t key;
    content_stats_t stats;
};

/*  Makes room for one more item in an array that doubles. */
void *content_grow (void *items, size_t count, size_t *room, size_t item_size);

/*  content_commit.c: ends the open batch: the database, then the index, then the cache. */
int content_flush (content_t *self, bool sync, err_t *err);
void content_forget_changes (content_t *self);
/*  Adds to the index whatever the database has from `row` on. */
int content_index_from (content_t *self, uint64_t row, err_t *err);

/*  content_garbage.c */
int content_garbage_load (content_t *self, err_t *err);
void content_garbage_add (content_t *self, span_t user, uuid_t document, uint64_t revision);
bool content_garbage_holds (const content_t *self, uuid_t document, uint64_t revision);
void content_garbage_free (content_t *self);

#endif
