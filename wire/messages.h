/*  messages.h: every message that travels between Myelin's processes, as one table of fields.
 *
 *  On a socket a message is frame 1 (the encoded struct) and then payload frames, which the codec never touches:
 *  document bytes, columns of a segment, or the body of a reply. See docs/protocol.md for who says what when.
 */
#ifndef WIRE_MESSAGES_H
#define WIRE_MESSAGES_H

#include "wire/codec.h"

#define WIRE_VERSION 1

/*  The stages, in the order in which a segment passes them. X (symbol, name) */
#define WIRE_STAGES(X) X (EXTRACT, "extract") X (CHUNK, "chunk") X (EMBED, "embed") X (STORAGE, "storage")
typedef enum {
#define WIRE_STAGE_ENUM(sym, name) STAGE_##sym,
    WIRE_STAGES (WIRE_STAGE_ENUM)
#undef WIRE_STAGE_ENUM
        STAGE_COUNT
} stage_t;

/*  Columns of a segment, in frame order. A job or result carries a bit mask of those whose frames follow. */
#define COLUMN_BLOB    1u  /* bytes of the document (only to extract, when it travels inline) */
#define COLUMN_TEXT    2u  /* UTF-8, NFC */
#define COLUMN_MARKS   4u  /* wire/columns.h */
#define COLUMN_SPANS   8u  /* wire/columns.h */
#define COLUMN_VECTORS 16u /* wire/columns.h */
#define COLUMN_COUNT   5

/*  What a storage job does. Jobs of the other stages are always JOB_SEGMENT. */
typedef enum {
    JOB_SEGMENT,       /* process one segment (extract: the document); storage: write it, and if `final`, commit */
    JOB_COMMIT,        /* storage: make `revision` the one that search sees, drop the one before */
    JOB_DROP_REVISION, /* storage: remove what was written of `revision` */
    JOB_DROP_DOCUMENT, /* storage: remove the document from search altogether */
} job_action_t;

typedef enum {
    RESULT_PART,   /* extract: one segment, more follow */
    RESULT_DONE,   /* the job ended well; extract: with the last segment, if `columns` is not 0 */
    RESULT_FAILED, /* the job ended with `code`, `message` */
} result_outcome_t;

/*  --- workers: intake (worker PUSH → broker PULL) and grants (broker PUSH → the worker's own PULL) --- */

/*  First words of a worker; repeated as BEAT, so that a broker that restarted knows it again. */
#define WIRE_WORKER(F, S)                                                                                              \
    F (S, uuid, worker) /* new at every start of the process */                                                        \
    F (S, u8, stage)                                                                                                   \
    F (S, u32, slots) /* jobs it may hold at once, running and waiting */                                              \
    F (S, u64, pid)                                                                                                    \
    F (S, span, host)     /* boot id of its kernel: the pid means something only on the same host */                   \
    F (S, span, endpoint) /* where its PULL is bound */
#define WIRE_HELLO(F, S) WIRE_WORKER (F, S)
#define WIRE_BEAT(F, S)                                                                                                \
    WIRE_WORKER (F, S)                                                                                                 \
    F (S, u64, epoch)                      /* of the broker that welcomed it; 0: none yet */                           \
    F (S, u64, running)                    /* number of the job it works on; 0: idle */                                \
    F (S, u64, progress)                   /* the running job's own counter: moves when it does */
#define WIRE_BYE(F, S) F (S, uuid, worker) /* drained: holds nothing and ends */
#define WIRE_RESULT(F, S)                                                                                              \
    F (S, uuid, worker)                                                                                                \
    F (S, u64, epoch)  /* fence, as in the job */                                                                      \
    F (S, u64, number) /* fence, as in the job */                                                                      \
    F (S, uuid, task)                                                                                                  \
    F (S, u8, stage)                                                                                                   \
    F (S, u8, action)                                                                                                  \
    F (S, u32, segment)                                                                                                \
    F (S, u8, outcome) /* result_outcome_t */                                                                          \
    F (S, span, code)  /* FAILED: name of an error code */                                                             \
    F (S, span, message)                                                                                               \
    F (S, u8, parser_killed)    /* extract FAILED: the document ended the process that parsed it */                    \
    F (S, span, errors)         /* extract FAILED: end of the parser's stderr, control characters escaped */           \
    F (S, u64, cost_us)         /* time spent on this result */                                                        \
    F (S, u32, permille)        /* extract: how much of the input is read, 0-1000 */                                   \
    F (S, u64, text_offset)     /* extract: bytes of text in the segments before this one */                           \
    F (S, span, cursor)         /* extract: opaque; a job with this cursor starts right after this segment */          \
    F (S, u32, segments)        /* extract DONE: segments in all, empty document: 0 */                                 \
    F (S, u32, segments_failed) /* extract DONE: parts (archive entries, …) that could not be read */                \
    F (S, u32, chunks)          /* chunk, storage: chunks in this segment; storage COMMIT: in the document */          \
    F (S, u32, embeddings)      /* embed, storage: vectors made or stored */                                           \
    F (S, span, media_type)     /* extract: what the content is */                                                     \
    F (S, span, metadata)       /* extract: JSON object (title, author, pages, …) or empty */                        \
    F (S, span, warnings)       /* JSON objects {"code","message","where"} separated by commas, or empty */            \
    F (S, u8, columns)          /* mask of the frames that follow */
#define WIRE_WELCOME(F, S)                                                                                             \
    F (S, u64, epoch) F (S, u32, beat_ms) F (S, u8, fresh) /* 1: whatever the worker still holds is void */
#define WIRE_JOB(F, S)                                                                                                 \
    F (S, u64, epoch)  /* fence: bumped durably at every broker start */                                               \
    F (S, u64, number) /* fence: rises with every job of this epoch, from 1 */                                         \
    F (S, uuid, task)                                                                                                  \
    F (S, uuid, document)                                                                                              \
    F (S, span, user)                                                                                                  \
    F (S, u8, stage)                                                                                                   \
    F (S, u8, action) /* job_action_t */                                                                               \
    F (S, u32, segment)                                                                                                \
    F (S, u64, revision)                                                                                               \
    F (S, u32, tries) /* genuine failures of this segment at this stage so far */                                      \
    F (S, span, filename)                                                                                              \
    F (S, span, media_type)   /* as declared by the client; storage: as found by extract */                            \
    F (S, span, blob_path)    /* extract: file with the bytes; empty: they are in the BLOB frame */                    \
    F (S, u64, bytes)         /* extract: size of the document */                                                      \
    F (S, span, options)      /* JSON object of the task, or empty */                                                  \
    F (S, span, cursor)       /* extract: where to go on; empty: at the start */                                       \
    F (S, u32, first_segment) /* extract: number of the first segment to send (the one after `cursor`) */              \
    F (S, u32, limit)         /* extract: segments with numbers below this may be sent; ACKs raise it */               \
    F (S, u64, text_offset)   /* bytes of text in the segments before this one */                                      \
    F (S, u8, final)          /* storage: commit the revision together with this segment; DROP_REVISION: also when it  \
                                 is the visible one */                                                                 \
    F (S, u32, segments)      /* storage commit: segments in the revision */                                           \
    F (S, u8, columns)
/*  The result for (number, segment) is durable or rejected: forget it. `limit` as in the job. */
#define WIRE_ACK(F, S)    F (S, u64, epoch) F (S, u64, number) F (S, u32, segment) F (S, u32, limit)
#define WIRE_CANCEL(F, S) F (S, u64, epoch) F (S, u64, number)
#define WIRE_DRAIN(F, S)  F (S, u64, epoch) /* end the job in hand, take no other, say BYE and exit */

/*  --- requests: gateway DEALER → broker ROUTER; the first two fields are the same in all --- */
#define WIRE_REQUEST(F, S)                                                                                             \
    F (S, u64, req) /* chosen by the asker; the reply repeats it */                                                    \
    F (S, span, user)
#define WIRE_IDEM(F, S)                                                                                                \
    F (S, span, idem_key)  /* Idempotency-Key, or empty */                                                             \
    F (S, span, idem_hash) /* hash of method, path, query and body */
#define WIRE_SUBMIT(F, S)                                                                                              \
    WIRE_REQUEST (F, S)                                                                                                \
    F (S, uuid, document) /* ids to use for what is made */                                                            \
    F (S, uuid, task)     /* null: store only */                                                                       \
    F (S, span, filename)                                                                                              \
    F (S, span, media_type) /* declared; may be empty */                                                               \
    F (S, u64, bytes)                                                                                                  \
    F (S, span, hash)  /* 32 bytes, BLAKE2b of the content */                                                          \
    F (S, u8, in_file) /* 1: the blob file is in place; 0: payload frame 1 holds the bytes */                          \
    F (S, u8, priority)                                                                                                \
    F (S, u8, reprocess) /* on_duplicate=reprocess */                                                                  \
    F (S, u8, admitted)  /* an ADMIT of it was answered with 204 */                                                    \
    F (S, u8, force)     /* also what ended its parser before */                                                       \
    F (S, span, options)                                                                                               \
    WIRE_IDEM (F, S)
/*  May a submit come? Asked before its body is taken, when that is large. 204, or what the submit would be refused
 *  with; the submit is looked at again, but for the rate. */
#define WIRE_ADMIT(F, S)                                                                                               \
    WIRE_REQUEST (F, S)                                                                                                \
    F (S, u64, bytes) /* as declared; 0: not known */                                                                  \
    F (S, u8, makes_task)                                                                                              \
    F (S, span, idem_key) /* of the submit: one that was answered may always come again */
#define WIRE_DOCUMENT_GET(F, S)    WIRE_REQUEST (F, S) F (S, uuid, document)
#define WIRE_DOCUMENT_BLOB(F, S)   WIRE_REQUEST (F, S) F (S, uuid, document) /* → the bytes, or their path */
#define WIRE_DOCUMENT_DELETE(F, S) WIRE_REQUEST (F, S) F (S, uuid, document)
#define WIRE_DOCUMENT_LIST(F, S)   WIRE_REQUEST (F, S) F (S, u32, limit) F (S, uuid, cursor) F (S, u8, oldest_first)
#define WIRE_TASK_CREATE(F, S)                                                                                         \
    WIRE_REQUEST (F, S)                                                                                                \
    F (S, uuid, task) F (S, uuid, document) F (S, u8, priority) F (S, u8, force) F (S, span, options) WIRE_IDEM (F, S)
#define WIRE_TASK_GET(F, S) WIRE_REQUEST (F, S) F (S, uuid, task)
/*  Filters; quarantine listings are this with `quarantine` set: failed tasks, each with its document. */
#define WIRE_TASK_LIST(F, S)                                                                                           \
    WIRE_REQUEST (F, S)                                                                                                \
    F (S, u32, statuses)       /* mask of 1 << status; 0: all */                                                       \
    F (S, u32, priorities)     /* mask of 1 << priority; 0: all */                                                     \
    F (S, uuid, document)      /* null: all */                                                                         \
    F (S, u64, created_after)  /* wall ms, exclusive; 0: none */                                                       \
    F (S, u64, created_before) /* wall ms, exclusive; 0: none */                                                       \
    F (S, span, error_codes)   /* comma-separated; empty: all */                                                       \
    F (S, u32, limit)                                                                                                  \
    F (S, uuid, cursor) /* last id of the page before; null: first page */                                             \
    F (S, u8, oldest_first)                                                                                            \
    F (S, u8, quarantine)
#define WIRE_TASK_UPDATE(F, S)                                                                                         \
    WIRE_REQUEST (F, S) F (S, uuid, task) F (S, u8, priority) /* 0: leave */ F (S, u8, cancel)
#define WIRE_TASK_DELETE(F, S)  WIRE_REQUEST (F, S) F (S, uuid, task)
#define WIRE_TASK_PROCESS(F, S) WIRE_REQUEST (F, S) F (S, uuid, task) F (S, u8, force) WIRE_IDEM (F, S)
#define WIRE_TASK_RESULT(F, S)  WIRE_REQUEST (F, S) F (S, uuid, task)
#define WIRE_TASK_EVENTS(F, S)  WIRE_REQUEST (F, S) F (S, uuid, task) F (S, u32, limit) F (S, u64, cursor)
#define WIRE_QUARANTINE_RETRY(F, S)                                                                                    \
    WIRE_REQUEST (F, S)                                                                                                \
    F (S, uuid, task)          /* null: all that match */                                                              \
    F (S, uuid, document)      /* null: any */                                                                         \
    F (S, span, error_codes)   /* comma-separated; empty: any */                                                       \
    F (S, u32, priorities)     /* mask of 1 << priority; 0: any */                                                     \
    F (S, u64, created_after)  /* wall ms, exclusive; 0: none */                                                       \
    F (S, u64, created_before) /* wall ms, exclusive; 0: none */                                                       \
    F (S, u8, force)           /* also what ended its parser before */                                                 \
    WIRE_IDEM (F, S)
#define WIRE_QUEUE_STATUS(F, S) WIRE_REQUEST (F, S) F (S, u8, all)
#define WIRE_HEALTH(F, S)       WIRE_REQUEST (F, S) /* → {"epoch","workers":{stage:n},"draining"}; storage: {} */

/*  → every counter and gauge of the broker as one JSON object, and its workers by process (broker/core/metrics.c) */
#define WIRE_METRICS(F, S) WIRE_REQUEST (F, S)

/*  --- backups: `myelin backup` on this machine → broker ROUTER, and → storage ROUTER --- */

/*  The database is copied into `checkpoint/` of the data directory. The broker's BEGIN also keeps the files of
 * documents that are deleted from then on, until END, or until a minute passed without a KEEP; END answers a conflict
 * when that happened. Storage knows BEGIN alone. */
typedef enum { CHECKPOINT_BEGIN, CHECKPOINT_KEEP, CHECKPOINT_END } checkpoint_action_t;
#define WIRE_CHECKPOINT(F, S) WIRE_REQUEST (F, S) F (S, u8, action) /* checkpoint_action_t */

/*  --- queries: gateway DEALER → storage ROUTER --- */
#define WIRE_SEARCH(F, S)                                                                                              \
    WIRE_REQUEST (F, S)                                                                                                \
    F (S, span, query) F (S, u32, limit) F (S, u8, mode) /* search_mode_t */ F (S, uuid, document) /* null: all */
#define WIRE_CHUNKS(F, S)                                                                                              \
    WIRE_REQUEST (F, S) F (S, uuid, document) F (S, u32, limit) F (S, u64, cursor) /* index of the first */

/*  Payload frame 1: the JSON body (may be missing), frame 2: bytes. Errors have a code and a detail and no body. */
#define WIRE_REPLY(F, S)                                                                                               \
    F (S, u64, req)                                                                                                    \
    F (S, u32, status) /* HTTP status */                                                                               \
    F (S, span, code)  /* name of an error code; empty: success */                                                     \
    F (S, span, detail)                                                                                                \
    F (S, span, path) /* DOCUMENT_BLOB: file with the bytes, when not in frame 2 */                                    \
    F (S, span, location)                                                                                              \
    F (S, u32, retry_after_s) /* with an error: when it may be over; 0: not known */

typedef enum { SEARCH_HYBRID, SEARCH_TEXT, SEARCH_VECTOR } search_mode_t;

/*  X (symbol, lower-case name). The number of a kind is its place here: append only. */
#define WIRE_MESSAGES(X)                                                                                               \
    X (HELLO, hello)                                                                                                   \
    X (BEAT, beat)                                                                                                     \
    X (BYE, bye)                                                                                                       \
    X (RESULT, result)                                                                                                 \
    X (WELCOME, welcome)                                                                                               \
    X (JOB, job)                                                                                                       \
    X (ACK, ack)                                                                                                       \
    X (CANCEL, cancel)                                                                                                 \
    X (DRAIN, drain)                                                                                                   \
    X (SUBMIT, submit)                                                                                                 \
    X (DOCUMENT_GET, document_get)                                                                                     \
    X (DOCUMENT_BLOB, document_blob)                                                                                   \
    X (DOCUMENT_DELETE, document_delete)                                                                               \
    X (DOCUMENT_LIST, document_list)                                                                                   \
    X (TASK_CREATE, task_create)                                                                                       \
    X (TASK_GET, task_get)                                                                                             \
    X (TASK_LIST, task_list)                                                                                           \
    X (TASK_UPDATE, task_update)                                                                                       \
    X (TASK_DELETE, task_delete)                                                                                       \
    X (TASK_PROCESS, task_process)                                                                                     \
    X (TASK_RESULT, task_result)                                                                                       \
    X (TASK_EVENTS, task_events)                                                                                       \
    X (QUARANTINE_RETRY, quarantine_retry)                                                                             \
    X (QUEUE_STATUS, queue_status)                                                                                     \
    X (HEALTH, health)                                                                                                 \
    X (SEARCH, search)                                                                                                 \
    X (CHUNKS, chunks)                                                                                                 \
    X (REPLY, reply)                                                                                                   \
    X (METRICS, metrics)                                                                                               \
    X (ADMIT, admit)                                                                                                   \
    X (CHECKPOINT, checkpoint)

typedef enum {
    WIRE_NONE, /* no message has kind 0 */
#define WIRE_KIND_ENUM(SYM, name) WIRE_KIND_##SYM,
    WIRE_MESSAGES (WIRE_KIND_ENUM)
#undef WIRE_KIND_ENUM
        WIRE_KIND_COUNT
} wire_kind_t;

#define WIRE_DEFINE(SYM, name) CODEC_STRUCT (WIRE_##SYM, wire_##name##_t)
WIRE_MESSAGES (WIRE_DEFINE)
#undef WIRE_DEFINE

/*  Any message. All spans are borrowed: from the caller when sending, from the received frame when receiving. */
typedef struct {
    wire_kind_t kind;
    union {
#define WIRE_UNION(SYM, name) wire_##name##_t name;
        WIRE_MESSAGES (WIRE_UNION)
#undef WIRE_UNION
    };
} wire_msg_t;

const codec_shape_t *wire_shape (wire_kind_t kind); /* NULL for numbers that are no kind */
void wire_encode (const wire_msg_t *msg, str_t *out);
wire_kind_t wire_kind (span_t frame);                        /* what it says it is, unchecked */
int wire_decode (span_t frame, wire_msg_t *msg, err_t *err); /* as codec_decode; finds the kind by itself */
void wire_print (const wire_msg_t *msg, str_t *out);

const char *stage_name (stage_t stage);        /* "extract" … */
int stage_parse (span_t name, stage_t *stage); /* 0, or -1 */

#endif
