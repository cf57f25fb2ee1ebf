/*  content.h: what documents hold, and the answers to what is asked about it: the storage stage as a library.
 *
 *  One thread writes (content_apply, content_tidy), one reads (content_reader_t); neither waits for the other. A batch
 *  of changes is one synced commit of the database, then one transaction of the text index, then an update of the
 *  vectors in memory. The database alone decides what is visible: a document's record names the one revision that
 *  is seen. Index and memory may hold more than that, never less.
 */
#ifndef STORE_CONTENT_H
#define STORE_CONTENT_H

#include "base/err.h"
#include "base/str.h"
#include "wire/messages.h"

typedef struct content content_t;
typedef struct content_reader content_reader_t;

typedef struct {
    const char *dir;            /* database and index live in it; made when missing */
    size_t vector_memory_bytes; /* most that vectors in memory may take */
} content_config_t;

/*  Opens; brings the index up to date with the database, or makes it anew. NULL with ERR_LOCKED, ERR_NEWER_FORMAT,
 *  ERR_CORRUPT, ERR_DISK_FULL, ERR_IO. */
content_t *content_open (const content_config_t *config, err_t *err);
void content_close (content_t **self_p); /* readers first */

/*  --- writing --- */

/*  One storage job, and what became of it. */
typedef struct {
    const wire_job_t *job;        /* borrowed, as are the columns */
    span_t columns[COLUMN_COUNT]; /* by bit of the mask; data NULL where there is none */
    int rc;                       /* out: 0, or -1 and `err`: this change was refused, the others were not */
    err_t err;
    uint32_t chunks;     /* out: stored of this segment; of a commit: in the document */
    uint32_t embeddings; /* out: likewise */
} content_change_t;

/*  Applies the changes in order, all in one durable commit.
 *    segment        written once however often it comes; refused when its columns do not fit together. What is older
 *                   than the visible revision, or of a dropped document, is taken and ignored. With `final`: then a
 * commit. commit         the revision replaces the one that was visible. Segments that are not there failed: left out.
 *    drop revision  removed, unless it is the visible one.
 *    drop document  gone at once. Revisions up to the job's (0: all) stay out for good.
 *  -1: nothing is known to be durable; every change has to come again, to a new process (the database may be latched).
 */
int content_apply (content_t *self, content_change_t *changes, size_t count, err_t *err);

/*  Removes a bounded part of what is no longer visible. 0: tidy; 1: there is more; 2: there is more, but a query that
 *  runs may still see it: come again when it has ended; -1: as content_apply. */
int content_tidy (content_t *self, err_t *err);

/*  --- reading --- */

content_reader_t *content_reader_new (content_t *content, err_t *err);
void content_reader_destroy (content_reader_t **self_p);

/*  True once a search found the text index damaged. It was discarded: the next start makes it anew. */
bool content_reader_lost_index (const content_reader_t *self);

/*  Copies the database as of now into `checkpoint/content` of its directory (store/kv_rocks.h). The text index is not
 * in it: it is made from the database. */
int content_reader_checkpoint (content_reader_t *self, err_t *err);

/*  Where a chunk is, as its marks say. 0 or empty: no such mark. */
typedef struct {
    uint32_t page, slide;
    span_t heading, sheet, path;
    uint32_t time_ms;
    bool has_time;
} content_place_t;

/*  A chunk as it is handed to a visitor, which borrows it for the call. */
typedef struct {
    uuid_t document;
    span_t filename;
    uint64_t revision;
    uint32_t segment;
    uint32_t chunk; /* index in the document */
    uint32_t tokens;
    uint64_t start, end; /* bytes in the document's text */
    span_t text;
    content_place_t place;
    double score;   /* search only */
    span_t snippet; /* search only: HTML */
} content_hit_t;
/*  False: it has enough. */
typedef bool content_visit_fn (void *visitor, const content_hit_t *hit);

typedef struct {
    span_t user;
    span_t text; /* anything */
    uint32_t limit;
    search_mode_t mode;
    uuid_t document;     /* null: all */
    const float *vector; /* the text's embedding; NULL: none, then only words count */
    uint32_t dims;
    span_t model; /* that made it: vectors of others are not compared */
} content_query_t;

/*  Visits the best chunks, best first; equal scores by document, then chunk. What is damaged is left out, and told to
 *  the log. */
int content_search (content_reader_t *self, const content_query_t *query, content_visit_fn *visit, void *visitor,
                    err_t *err);

/*  Visits up to `limit` chunks of the visible revision from index `first` on, in order. *total: how many there are.
 *  -1 with ERR_NOT_FOUND when the document has none, ERR_CORRUPT when one of them cannot be read. */
int content_chunks (content_reader_t *self, span_t user, uuid_t document, uint64_t first, uint32_t limit,
                    content_visit_fn *visit, void *visitor, uint64_t *total, err_t *err);

/*  For health and measurements. */
typedef struct {
    uint64_t database_us, index_us, vectors_us; /* writing time, by where it went */
    uint64_t garbage;                           /* revisions waiting to be removed */
} content_stats_t;
content_stats_t content_stats (const content_t *self);

#endif
