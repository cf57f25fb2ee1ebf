/*  records.h: what the broker's database holds: families, keys, and the record in each, as tables of fields.
 *
 *  A key of a user's data starts with a 16-bit partition (hash of the user id), the unit that can move to another
 *  machine; then u8 length + user id; then what is listed below, ids as 16 bytes, numbers big-endian.
 */
#ifndef STORE_RECORDS_H
#define STORE_RECORDS_H

#include "store/kv.h"
#include "store/kv_rocks.h"
#include "wire/codec.h"

#define RECORDS_FORMAT 1 /* of the database as a whole; an unknown newer one refuses to open */

/*  X (symbol, name, point lookups, large values)  key → value */
#define RECORD_FAMILIES(X)                                                                                             \
    X (META, "meta", 0, 0)                     /* "state" → meta */                                                  \
    X (USERS, "users", 0, 0)                   /* user → user */                                                     \
    X (DOCUMENTS, "documents", 1, 0)           /* user, document → document */                                       \
    X (TASKS, "tasks", 1, 0)                   /* user, task → task */                                               \
    X (LIVE, "live", 0, 0)                     /* user, task → live: every task that has not ended */                \
    X (ENDED, "ended", 0, 0)                   /* user, u8 status, task → nothing: index of the others */            \
    X (DOCUMENT_TASKS, "document_tasks", 0, 0) /* user, document, task → nothing: all but a document's first task */ \
    X (HASHES, "hashes", 1, 0)                 /* user, content hash → document id */                                \
    X (BLOBS, "blobs", 0, 1)     /* user, document → bytes, when small; ids rise, so inserts are cheap */            \
    X (HISTORY, "history", 0, 0) /* user, task, u64 number of the first → JSON objects, one a line */                \
    X (WORK, "work", 0, 0)       /* user, task → resume: how far a long task got */                                  \
    X (PURGES, "purges", 0, 0)   /* user, document, u64 revision (0: all) → nothing: storage is to drop it */        \
    X (IDEMPOTENCY, "idempotency", 1, 0) /* user, key → first_answer */                                              \
    X (FAULTS, "faults", 1, 0)           /* user, task → fault: of a failed task, where and how */                   \
    X (POISON, "poison", 1, 0)           /* user, content hash → poison: content that ended its parser */

typedef enum {
#define RECORD_FAMILY_ENUM(sym, name, point, large) FAMILY_##sym,
    RECORD_FAMILIES (RECORD_FAMILY_ENUM)
#undef RECORD_FAMILY_ENUM
        FAMILY_COUNT
} record_family_t;

#define RECORD_META(F, S) F (S, u32, format) F (S, u64, epoch) /* bumped at every start */
#define RECORD_USER(F, S)                                                                                              \
    F (S, u64, seq) /* of the last event */                                                                            \
    F (S, u64, documents)                                                                                              \
    F (S, u64, bytes) /* of all documents */                                                                           \
    F (S, u64, completed)                                                                                              \
    F (S, u64, failed) F (S, u64, cancelled) F (S, u64, processing_ms) /* sum over completed tasks */
#define RECORD_DOCUMENT(F, S)                                                                                          \
    F (S, span, filename)                                                                                              \
    F (S, span, media_type) /* declared, then as found by extract */                                                   \
    F (S, u64, bytes)                                                                                                  \
    F (S, span, hash)                                                                                                  \
    F (S, u8, in_file)                                                                                                 \
    F (S, u64, created_at)                                                                                             \
    F (S, u64, updated_at)                                                                                             \
    F (S, uuid, task)       /* the newest; null: none yet */                                                           \
    F (S, uuid, first_task) /* null: none yet */                                                                       \
    F (S, u64, revisions)   /* numbers given out */                                                                    \
    F (S, u64, revision)    /* the one that search sees; 0: none */                                                    \
    F (S, u64, processed_at) F (S, u32, chunks) F (S, span, metadata)
/*  While a task lives its `live` record (and memory) has the moving parts; here they are as of the end. */
#define RECORD_TASK(F, S)                                                                                              \
    F (S, uuid, document)                                                                                              \
    F (S, u8, status)                                                                                                  \
    F (S, u8, stage)                                                                                                   \
    F (S, u8, priority)                                                                                                \
    F (S, u8, progress)                                                                                                \
    F (S, span, error_code)                                                                                            \
    F (S, span, error_message) F (S, u32, attempts) F (S, u32, segments) F (S, u32, segments_done)                     \
        F (S, u32, segments_failed) F (S, u64, created_at) F (S, u64, updated_at) F (S, u64, started_at)               \
            F (S, u64, completed_at) F (S, u64, revision) F (S, span, options) F (S, u8, has_result)                   \
                F (S, u8, partial) F (S, u32, chunks) F (S, u32, embeddings) F (S, u64, processing_ms)                 \
                    F (S, span, warnings) /* JSON objects, comma-separated */
#define RECORD_LIVE(F, S)                                                                                              \
    F (S, uuid, document)                                                                                              \
    F (S, u8, priority)                                                                                                \
    F (S, u8, front)                                                                                                   \
    F (S, u8, progress)                                                                                                \
    F (S, u8, stage)                                                                                                   \
    F (S, u32, attempts)                                                                                               \
    F (S, u64, order) F (S, u64, created_at) F (S, u64, updated_at) F (S, u64, started_at) F (S, u64, revision)        \
        F (S, u32, history)   /* history entries written */                                                            \
        F (S, u8, committing) /* storage was told to commit; whether it did is known only from its answer */           \
        F (S, u64, last_seq) F (S, u8, last_event) /* for replays on the feed */
#define RECORD_RESUME(F, S)                                                                                            \
    F (S, u64, revision) /* of which this is the checkpoint */                                                         \
    F (S, u32, segments) /* all below this are stored (or failed for good) */                                          \
    F (S, u32, failed)                                                                                                 \
    F (S, u64, text_bytes)                                                                                             \
    F (S, span, cursor)                                                                                                \
    F (S, u32, permille)                                                                                               \
    F (S, u32, chunks) F (S, u32, embeddings) F (S, span, warnings) F (S, span, media_type) F (S, span, metadata)
/*  What the task's own record does not say: its code and message are there. */
#define RECORD_FAULT(F, S)                                                                                             \
    F (S, u64, at)                                                                                                     \
    F (S, u8, stage)                                                                                                   \
    F (S, u8, has_segment)                                                                                             \
    F (S, u32, segment)                                                                                                \
    F (S, u32, attempts) /* that failed one after the other */                                                         \
    F (S, span, worker)                                                                                                \
    F (S, u8, poison)   /* its content is remembered for it */                                                         \
    F (S, span, errors) /* end of the parser's stderr, escaped */
#define RECORD_POISON(F, S)                                                                                            \
    F (S, u64, at) F (S, uuid, task) /* that failed */ F (S, span, code) F (S, span, message) F (S, span, filename)
#define RECORD_FIRST_ANSWER(F, S)                                                                                      \
    F (S, span, request) /* hash of the request */                                                                     \
    F (S, u64, at) F (S, u32, status) F (S, span, code) F (S, span, detail) F (S, span, location) F (S, span, body)

/*  X (symbol, lower-case name, version) */
#define RECORDS(X)                                                                                                     \
    X (META, meta, 1)                                                                                                  \
    X (USER, user, 2)                                                                                                  \
    X (DOCUMENT, document, 1)                                                                                          \
    X (TASK, task, 1)                                                                                                  \
    X (LIVE, live, 1)                                                                                                  \
    X (RESUME, resume, 1)                                                                                              \
    X (FIRST_ANSWER, first_answer, 1)                                                                                  \
    X (FAULT, fault, 1)                                                                                                \
    X (POISON, poison, 1)

typedef enum {
    RECORD_NONE,
#define RECORD_KIND_ENUM(SYM, name, version) RECORD_KIND_##SYM,
    RECORDS (RECORD_KIND_ENUM)
#undef RECORD_KIND_ENUM
} record_kind_t;

#define RECORD_DEFINE(SYM, name, version)                                                                              \
    CODEC_STRUCT (RECORD_##SYM, record_##name##_t)                                                                     \
    extern const codec_shape_t record_##name##_shape;
RECORDS (RECORD_DEFINE)
#undef RECORD_DEFINE

/*  Opens the broker database in `dir` (made when missing). NULL with an error as kv_rocks_open, or ERR_NEWER_FORMAT. */
kv_t *records_open (const char *dir, err_t *err);
/*  The same in another mode (store/kv_rocks.h): to look at what is there, or to repair it. */
kv_t *records_open_mode (const char *dir, kv_rocks_mode_t mode, err_t *err);
const char *record_family_name (record_family_t family);

/*  Partition of a user. */
uint16_t record_partition (span_t user);

/*  Keys: each replaces what *key holds. */
void record_key_user (str_t *key, span_t user);       /* prefix of all of a user's keys */
void record_key (str_t *key, span_t user, uuid_t id); /* user, id */
void record_key_ended (str_t *key, span_t user, uint8_t status, uuid_t id);
void record_key_pair (str_t *key, span_t user, uuid_t a, uuid_t b); /* user, id, id */
void record_key_number (str_t *key, span_t user, uuid_t id, uint64_t number);
void record_key_bytes (str_t *key, span_t user, span_t bytes); /* user, bytes */

/*  The parts of a key made above: 0, or -1 when it is none. `rest` is what follows the user. */
int record_key_parse (span_t key, span_t *user, span_t *rest);
uuid_t record_key_id (span_t bytes);    /* the first 16 of ≥ 16 bytes */
uint64_t record_key_u64 (span_t bytes); /* the first 8 of ≥ 8 bytes, big-endian */

/*  Encodes *value by `shape` and puts it. */
void record_put (kv_t *kv, record_family_t family, span_t key, const codec_shape_t *shape, const void *value);
/*  1 and *value filled (its spans point into *bytes, which is replaced), 0 when there is none, -1 on an error. */
int record_get (kv_t *kv, record_family_t family, span_t key, const codec_shape_t *shape, void *value, str_t *bytes,
                err_t *err);

#endif
