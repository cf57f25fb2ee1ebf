/*  content_view.h: a snapshot of the content, and what a query read of it: rows become places in documents.
 *
 *  A record that is damaged is told to the log and is not there, so that it costs a search nothing but itself.
 */
#ifndef STORE_CONTENT_VIEW_H
#define STORE_CONTENT_VIEW_H

#include "store/content_records.h"

/*  A document as the snapshot has it. */
typedef struct {
    uuid_t id;
    content_document_t record; /* revision 0: nothing of it is visible */
    bool is_damaged;
    str_t bytes;
} seen_t;

/*  A row, and where it is once it was found visible. */
typedef struct {
    uint64_t row;
    double score;
    size_t seen; /* place in the list of documents */
    uint32_t segment, index, chunk;
} found_t;

/*  Plain visible struct; zero it before the first content_view_open. */
typedef struct {
    span_t user; /* borrowed */
    kv_t *kv;
    kv_iter_t *rows;
    seen_t *seen;
    size_t seen_count, seen_room;
    uint32_t *slots; /* of `seen`, by id: index + 1; open addressing */
    size_t slot_count;
    str_t key, bytes, text, marks;
} content_view_t;

/*  Takes a snapshot of `store` as `user` may see it; what was read of an earlier one is forgotten. */
void content_view_open (content_view_t *self, kv_t *store, span_t user);
void content_view_close (content_view_t *self);

/*  The document's place in the list; it gets one if it is not there. -1: an error. */
long content_view_document (content_view_t *self, uuid_t id, err_t *err);

/*  1: found->row is visible, and the rest of *found says where; 0: it is not; -1: an error. */
int content_view_resolve (content_view_t *self, found_t *found, err_t *err);

/*  Reads the records of a visible segment; the spans live until the next call. What does not fit together is
 *  ERR_CORRUPT: segment->spans has the part's chunks, within *text. */
int content_view_segment (content_view_t *self, const seen_t *seen, part_t part, content_segment_t *segment,
                          span_t *text, span_t *marks, err_t *err);

/*  The vectors of a visible segment; they live until the next call. 1, 0: it has none, -1. */
int content_view_vectors (content_view_t *self, const seen_t *seen, uint32_t segment, vectors_t *vectors, err_t *err);

/*  Gives every visible segment's vectors to `take`, of one document or (null) of all, until it returns false. */
typedef bool content_vectors_fn (void *context, uint64_t first_row, const vectors_t *vectors);
int content_view_each_vectors (content_view_t *self, uuid_t document, content_vectors_fn *take, void *context,
                               err_t *err);

#endif
