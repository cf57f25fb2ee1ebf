/*  args.h: every parameter and body field the API knows, in one table: name, type, bounds.
 *
 *  A route lists by mask which of them it takes in its query and which in its body; both are read by the same rules
 *  and differ only in the error: 400 for a parameter, 422 for a field. One name may have several rows (a `status`
 *  that filters is not the `status` that is set); a route takes at most one of them.
 */
#ifndef GATEWAY_ARGS_H
#define GATEWAY_ARGS_H

#include "base/err.h"
#include "base/hash.h"
#include "base/str.h"
#include "base/uuid.h"

#include <jansson.h>
#include <stdint.h>

typedef enum {
    ARG_IS_NUMBER,     /* whole, least … most */
    ARG_IS_BOOL,       /* true or false → 1 or 0 */
    ARG_IS_ID,         /* → id */
    ARG_IS_TIME,       /* RFC 3339 or a date → Unix milliseconds */
    ARG_IS_TEXT,       /* least … most bytes of UTF-8 */
    ARG_IS_PRIORITIES, /* comma-separated → mask of 1 << priority */
    ARG_IS_STATUSES,   /* comma-separated → mask of 1 << status */
    ARG_IS_CODES,      /* comma-separated names of error codes, as text */
    ARG_IS_WORD,       /* one of the words of its row → its place among them */
    ARG_IS_OBJECT,     /* JSON object → its compact text */
} arg_type_t;

/*  X (symbol, name, type, least, most, words) */
#define ARGS(X)                                                                                                        \
    X (LIMIT, "limit", NUMBER, 1, 200, NULL)                                                                           \
    X (HITS, "limit", NUMBER, 1, 100, NULL)                                                                            \
    X (CURSOR, "cursor", ID, 0, 0, NULL)                                                                               \
    X (POSITION, "cursor", NUMBER, 0, INT64_MAX, NULL)                                                                 \
    X (ORDER, "order", WORD, 0, 0, "desc,asc")                                                                         \
    X (STATUSES, "status", STATUSES, 0, 0, NULL)                                                                       \
    X (NEW_STATUS, "status", WORD, 0, 0, "cancelled")                                                                  \
    X (PRIORITIES, "priority", PRIORITIES, 1, 10, NULL)                                                                \
    X (PRIORITY, "priority", NUMBER, 1, 10, NULL)                                                                      \
    X (DOCUMENT, "document_id", ID, 0, 0, NULL)                                                                        \
    X (TASK, "task_id", ID, 0, 0, NULL)                                                                                \
    X (AFTER, "created_after", TIME, 0, 0, NULL)                                                                       \
    X (BEFORE, "created_before", TIME, 0, 0, NULL)                                                                     \
    X (CODES, "error_code", CODES, 0, 0, NULL)                                                                         \
    X (PROCESS, "process", BOOL, 0, 0, NULL)                                                                           \
    X (FORCE, "force", BOOL, 0, 0, NULL)                                                                               \
    X (DUPLICATE, "on_duplicate", WORD, 0, 0, "existing,reprocess")                                                    \
    X (WAIT, "wait", NUMBER, 0, 60, NULL)                                                                              \
    X (ALL, "all", BOOL, 0, 0, NULL)                                                                                   \
    X (QUERY, "q", TEXT, 1, 4096, NULL)                                                                                \
    X (MODE, "mode", WORD, 0, 0, "hybrid,text,vector")                                                                 \
    X (OPTIONS, "options", OBJECT, 0, 65536, NULL)

typedef enum {
#define ARG_ENUM(sym, name, type, least, most, words) ARG_##sym,
    ARGS (ARG_ENUM)
#undef ARG_ENUM
        ARG_COUNT
} arg_t;

#define ARG_BIT(sym) (1u << ARG_##sym)

typedef struct {
    uint32_t given; /* mask of ARG_BIT; values of others are undefined */
    uint32_t nulls; /* fields of a body that are null: not given, but somebody said so */
    struct {
        uint64_t number;
        uuid_t id;
        span_t text; /* borrowed from the request */
    } values[ARG_COUNT];
} args_t;

/*  Reads a parameter, of those in `known`. -1 with ERR_UNKNOWN_PARAMETER or ERR_INVALID_PARAMETER. */
int args_text (args_t *self, uint32_t known, span_t name, span_t value, err_t *err);
/*  Reads every field of a JSON object, of those in `known`; null means not given. Texts are borrowed from *object,
 *  OPTIONS is written to *options. -1 with ERR_MALFORMED (no object), ERR_UNKNOWN_FIELD or ERR_INVALID_VALUE. */
int args_json (args_t *self, uint32_t known, json_t *object, str_t *options, err_t *err);
/*  As args_text, but it is a field: errors are those of args_json. */
int args_field (args_t *self, uint32_t known, span_t name, span_t value, str_t *options, err_t *err);
/*  Names the first of `required` that was not given: -1 with `code`. */
int args_require (const args_t *self, uint32_t required, err_code_t code, err_t *err);

/*  Feeds the value that was given. */
void args_hash (const args_t *self, arg_t arg, hasher_t *hasher);

bool args_has (const args_t *self, arg_t arg);
uint64_t args_number (const args_t *self, arg_t arg, uint64_t fallback);
uuid_t args_id (const args_t *self, arg_t arg);   /* null when not given */
span_t args_span (const args_t *self, arg_t arg); /* empty when not given */

#endif
