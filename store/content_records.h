/*  content_records.h: what the storage stage's database holds: families, keys, and the record in each.
 *
 *  Keys are made as the broker's are (store/records.h): partition, user, document, u64 revision, u32 segment. The
 *  database is the truth; the text index is made from it.
 */
#ifndef STORE_CONTENT_RECORDS_H
#define STORE_CONTENT_RECORDS_H

#include "store/kv_rocks.h"
#include "wire/codec.h"
#include "wire/vectors.h"

#define CONTENT_FORMAT 1 /* of the database as a whole; an unknown newer one refuses to open */

/*  X (symbol, name, point lookups, large values)  key → value */
#define CONTENT_FAMILIES(X)                                                                                            \
    X (META, "meta", 0, 0)           /* "state" → state */                                                           \
    X (DOCUMENTS, "documents", 1, 0) /* user, document → document: which revision is visible, and its segments */    \
    X (SEGMENTS, "segments", 1, 0)   /* user, document, revision, segment → segment */                               \
    X (TEXT, "text", 0, 1)           /* user, document, revision, segment → u8 format, the text */                   \
    X (MARKS, "marks", 0, 0)         /* user, document, revision, segment → u8 format, the marks; none: no record */ \
    X (VECTORS, "vectors", 0, 1)     /* user, document, revision, segment → wire/vectors.h; none: no record */       \
    X (ROWS, "rows", 0, 0)           /* u64 first row → rows: whose they are */                                      \
    X (GARBAGE, "garbage", 0, 0) /* user, document, revision → "all" (and earlier ones) or nothing: to be removed */

typedef enum {
#define CONTENT_FAMILY_ENUM(sym, name, point, large) CONTENT_##sym,
    CONTENT_FAMILIES (CONTENT_FAMILY_ENUM)
#undef CONTENT_FAMILY_ENUM
        CONTENT_FAMILY_COUNT
} content_family_t;

#define CONTENT_STATE(F, S)                                                                                            \
    F (S, u32, format)                                                                                                 \
    F (S, uuid, identity) /* of this database: an index of another one is not used */                                  \
    F (S, u64, next_row)  /* rows below it are given out */
/*  `revision` 0: none is visible. A document that was dropped keeps its record, so that what comes late stays out. */
#define CONTENT_DOCUMENT(F, S)                                                                                         \
    F (S, u64, revision)                                                                                               \
    F (S, u64, dropped_through) /* revisions up to here were dropped with the document */                              \
    F (S, span, filename)                                                                                              \
    F (S, span, media_type)                                                                                            \
    F (S, u32, chunks)                                                                                                 \
    F (S, u32, embeddings)                                                                                             \
    F (S, span, parts) /* part_t, one a segment, rising */
#define CONTENT_SEGMENT(F, S)                                                                                          \
    F (S, u64, row)         /* number of its first chunk's row */                                                      \
    F (S, u64, text_offset) /* bytes of text in the segments before it */                                              \
    F (S, u32, embeddings)                                                                                             \
    F (S, span, spans) /* wire/columns.h */
#define CONTENT_ROWS_OF(F, S)                                                                                          \
    F (S, span, user) F (S, uuid, document) F (S, u64, revision) F (S, u32, segment) F (S, u32, count)

/*  X (SYMBOL, name, version) */
#define CONTENT_RECORDS(X)                                                                                             \
    X (STATE, state, 1)                                                                                                \
    X (DOCUMENT, document, 1)                                                                                          \
    X (SEGMENT, segment, 1)                                                                                            \
    X (ROWS_OF, rows_of, 1)

typedef enum {
    CONTENT_KIND_NONE,
#define CONTENT_KIND_ENUM(SYM, name, version) CONTENT_KIND_##SYM,
    CONTENT_RECORDS (CONTENT_KIND_ENUM)
#undef CONTENT_KIND_ENUM
} content_kind_t;

#define CONTENT_DEFINE(SYM, name, version)                                                                             \
    CODEC_STRUCT (CONTENT_##SYM, content_##name##_t)                                                                   \
    extern const codec_shape_t content_##name##_shape;
CONTENT_RECORDS (CONTENT_DEFINE)
#undef CONTENT_DEFINE

#define PART_SIZE 20u /* bytes of one in `parts` */

/*  A segment as its document lists it. */
typedef struct {
    uint32_t segment;
    uint32_t first_chunk; /* of the document */
    uint32_t chunks;
    uint64_t row;
} part_t;

void part_add (str_t *parts, part_t part);
size_t part_count (span_t parts);
part_t part_at (span_t parts, size_t index);
/*  Index of the part that has `segment`, or -1. */
long part_find (span_t parts, uint32_t segment);

/*  Opens the database in `dir` (made when missing; an unknown newer format is refused) and reads or makes its state. */
kv_t *content_records_open (const char *dir, content_state_t *state, err_t *err);

/*  The database alone, in any mode; its state is neither read nor made. */
kv_t *content_records_open_mode (const char *dir, kv_rocks_mode_t mode, err_t *err);
const char *content_family_name (content_family_t family);

/*  Key of a segment; replaces what *key holds. */
void content_key (str_t *key, span_t user, uuid_t document, uint64_t revision, uint32_t segment);
void content_key_revision (str_t *key, span_t user, uuid_t document, uint64_t revision);
void content_key_row (str_t *key, uint64_t row);

void content_put (kv_t *kv, content_family_t family, span_t key, const codec_shape_t *shape, const void *value);
/*  1 and *value filled (its spans point into *bytes, which is replaced), 0 when there is none, -1 on an error. */
int content_get (kv_t *kv, content_family_t family, span_t key, const codec_shape_t *shape, void *value, str_t *bytes,
                 err_t *err);
int content_decode (const codec_shape_t *shape, span_t bytes, void *value, err_t *err);
int content_vectors (span_t record, vectors_t *vectors, err_t *err); /* as vectors_read, but for ERR_CORRUPT */

/*  Flat columns (text, marks) with a format byte in front. */
void content_put_flat (kv_t *kv, content_family_t family, span_t key, span_t column);
/*  As content_get; *column points into *bytes. */
int content_get_flat (kv_t *kv, content_family_t family, span_t key, span_t *column, str_t *bytes, err_t *err);

/*  The text that `spans` cut into chunks; *text points into *bytes. Missing, or too short for them: ERR_CORRUPT. */
int content_get_text (kv_t *kv, span_t key, span_t spans, span_t *text, str_t *bytes, err_t *err);

#endif
