/*  records.h: what worker, zygote and parser say to each other, as tables of fields for the one codec.
 *
 *  From the parser to the worker, on a pipe: u32 length (little-endian), then a record. Everything that comes from a
 *  parser is hostile until checked. Between worker and zygote, on a SOCK_SEQPACKET pair: one record a packet.
 */
#ifndef EXTRACT_RECORDS_H
#define EXTRACT_RECORDS_H

#include "wire/codec.h"

#define RECORD_MAX  (1024 * 1024)
#define REQUEST_MAX (32 * 1024)
#define UNIT_MAX    64

/*  parser → worker */
#define RECORD_SEGMENT(F, S)                                                                                           \
    F (S, u32, number) F (S, u32, permille) F (S, u32, bad) F (S, span, text) F (S, span, marks) F (S, span, cursor)
#define RECORD_WARNING(F, S) F (S, span, code) F (S, span, where) F (S, span, message) /* of the next segment */
#define RECORD_META(F, S)    F (S, u32, key) F (S, span, value)
/*  unit empty: the same as before; where: what people call it */
#define RECORD_STEP(F, S) F (S, u32, permille) F (S, span, unit) F (S, span, where)
#define RECORD_END(F, S)                                                                                               \
    F (S, u32, bad)                                                                                                    \
    F (S, span, media_type)                                                                                            \
    F (S, span, code) /* empty: it went well */                                                                        \
    F (S, span, message)

/*  worker → zygote; with SPAWN go three descriptors: the document, where the records go, and stderr */
#define RECORD_SPAWN(F, S)                                                                                             \
    F (S, span, name)                                                                                                  \
    F (S, span, media_type)                                                                                            \
    F (S, span, cursor)                                                                                                \
    F (S, u32, first_segment)                                                                                          \
    F (S, u64, text_offset)                                                                                            \
    F (S, span, skip)                                                                                                  \
    F (S, u64, ticket) /* comes back with STARTED */
#define RECORD_KILL(F, S) F (S, u64, pid)

/*  zygote → worker */
#define RECORD_STARTED(F, S) F (S, u64, ticket) F (S, u64, pid) /* pid 0: there is none, fork failed */
#define RECORD_EXITED(F, S)  F (S, u64, pid) F (S, u32, status) /* as waitpid tells it */

/*  X (symbol, lower-case name); the number is the place, from 1. */
#define RECORDS(X)                                                                                                     \
    X (SEGMENT, segment)                                                                                               \
    X (WARNING, warning)                                                                                               \
    X (META, meta)                                                                                                     \
    X (STEP, step)                                                                                                     \
    X (END, end)                                                                                                       \
    X (SPAWN, spawn)                                                                                                   \
    X (KILL, kill)                                                                                                     \
    X (STARTED, started)                                                                                               \
    X (EXITED, exited)

typedef enum {
    RECORD_NONE,
#define RECORD_ENUM(SYM, name) RECORD_KIND_##SYM,
    RECORDS (RECORD_ENUM)
#undef RECORD_ENUM
        RECORD_COUNT
} record_kind_t;

#define RECORD_DEFINE(SYM, name) CODEC_STRUCT (RECORD_##SYM, record_##name##_t)
RECORDS (RECORD_DEFINE)
#undef RECORD_DEFINE

/*  Any record; spans are borrowed. */
typedef struct {
    record_kind_t kind;
    union {
#define RECORD_UNION(SYM, name) record_##name##_t name;
        RECORDS (RECORD_UNION)
#undef RECORD_UNION
    };
} record_t;

void record_encode (const record_t *record, str_t *out);        /* appended */
int record_decode (span_t bytes, record_t *record, err_t *err); /* as codec_decode; finds the kind by itself */

#endif
