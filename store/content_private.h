/*  content_private.h: what the writing and the reading half of the content share. */
#ifndef STORE_CONTENT_PRIVATE_H
#define STORE_CONTENT_PRIVATE_H

#include "store/content.h"
#include "store/content_records.h"
#include "store/index.h"
#include "store/vector_cache.h"

#include <pthread.h>
#include <stdatomic.h>

/*  A revision that nobody sees, or all up to it, waiting to be removed. */
typedef struct {
    str_t user;
    uuid_t document;
    uint64_t revision;
    bool is_all;                 /* and every earlier one */
    bool is_gone, is_unreadable; /* removed by the open batch; left for the next start */
    uint64_t stamp;              /* the turn in which it became garbage: readers that began by then may still see it */
} garbage_t;

/*  A segment that the open batch writes: iterators do not see it yet. */
typedef struct {
    uuid_t document;
    uint64_t revision;
    uint32_t segment, chunks, embeddings;
    uint64_t row;
} written_t;

/*  Something to be told to the index: a removal before the commit, an addition after it. */
typedef struct {
    bool remove;
    span_t user, text, spans; /* an addition's: of the job; a removal's: into `own` */
    uint64_t row;
    str_t own;
} index_change_t;

/*  Rows that become visible, to be told to the vector cache. */
typedef struct {
    span_t user;
    uuid_t document;
    uint64_t revision;
    str_t parts;
} vector_change_t;

/*  The record of a document that has a visible revision and gets another: put when index and cache know the new one. */
typedef struct {
    span_t user;
    uuid_t document;
    uint64_t old_revision;
    str_t record;
} switch_t;

/*  A reader, as the writer sees it. */
typedef struct reader_mark {
    struct reader_mark *next;
    atomic_uint_fast64_t since; /* the turn in which its query began; 0: idle */
} reader_mark_t;

struct content {
    kv_t *kv;
    content_state_t state;
    bool state_changed;
    bool is_broken; /* a flush failed: database, index and memory may differ until the next start */
    err_t trouble;  /* why */
    index_writer_t *index;
    char *index_path, *checkpoint_path;
    vector_cache_t *cache;
    garbage_t *garbage; /* oldest first */
    size_t garbage_count, garbage_room;
    written_t *written;
    size_t written_count, written_room;
    index_change_t *index_changes;
    size_t index_change_count, index_change_room;
    vector_change_t *vector_changes;
    size_t vector_change_count, vector_change_room;
    switch_t *switches;
    size_t switch_count, switch_room;
    atomic_uint_fast64_t turn; /* rises with every flush, from 1 */
    pthread_mutex_t readers_lock;
    reader_mark_t *readers;
    str_t key;
    content_stats_t stats;
};

/*  Makes room for one more item in an array that doubles. */
void *content_grow (void *items, size_t count, size_t *room, size_t item_size);

/*  content_commit.c: ends the open batch. What a reader may see is in index and cache before the database says that it
 *  is visible, and stays there until no reader sees it any more: so a document that gets a new revision is
 *  found all the time. (A new document becomes visible first; nobody was told of it yet.) */
int content_flush (content_t *self, bool sync, err_t *err);
void content_forget_changes (content_t *self);
/*  Room for one more change of the index in the open batch. */
index_change_t *content_index_change (content_t *self);

/*  content_index.c: makes the index hold what the database does, given that it was complete below `next_row`: adds what
 *  came later, and what left the index for a commit that never was. */
int content_index_catch_up (content_t *self, uint64_t next_row, err_t *err);

/*  content_garbage.c */
/*  Takes the rows of a segment out of database and index. `text` NULL: it is damaged; the index keeps them, where
 *  readers pass over them. */
void content_drop_rows (content_t *self, span_t user, const content_segment_t *segment, const span_t *text);
int content_garbage_load (content_t *self, err_t *err);
void content_garbage_add (content_t *self, span_t user, uuid_t document, uint64_t revision, bool is_all);
/*  Removes what is left of a revision that is to be written again, if it is waiting. It was never visible. */
int content_garbage_clear (content_t *self, uuid_t document, uint64_t revision, err_t *err);
void content_garbage_free (content_t *self);

#endif
