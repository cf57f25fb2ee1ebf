/*  err.h: the one error type and the one table of error codes.
 *
 *  Functions that can fail take an `err_t *` last, return -1 or NULL and fill it; on success they leave it
 *  alone. A code says three things: its name (what API clients see), the HTTP status it is answered with, and
 *  its class (what the caller can do about it). Libraries' own errors are translated in their adapter.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

/*  Class of a code: what helps.
 *    RETRY   the same call may succeed later (a resource was short, a peer was away)
 *    REJECT  the input is at fault; the same call will fail again
 *    GIVEUP  this process cannot go on (corrupt data, a bug, a wrong set-up)
 */
typedef enum { ERR_RETRY, ERR_REJECT, ERR_GIVEUP } err_class_t;

/*  X (symbol, name, HTTP status, class, title) */
#define ERR_CODES(X)                                                                                                   \
    /* requests */                                                                                                     \
    X (MALFORMED, "malformed", 400, REJECT, "The request could not be read")                                           \
    X (UNKNOWN_PARAMETER, "unknown_parameter", 400, REJECT, "A query parameter is not known here")                     \
    X (INVALID_PARAMETER, "invalid_parameter", 400, REJECT, "A query parameter has a value that is not allowed")       \
    X (UNAUTHORIZED, "unauthorized", 401, REJECT, "A valid token is needed")                                           \
    X (FORBIDDEN, "forbidden", 403, REJECT, "Not allowed")                                                             \
    X (NOT_FOUND, "not_found", 404, REJECT, "There is nothing here under that name")                                   \
    X (METHOD_NOT_ALLOWED, "method_not_allowed", 405, REJECT, "The method is not allowed on this path")                \
    X (CONFLICT, "conflict", 409, REJECT, "The state of the object forbids this")                                      \
    X (LENGTH_REQUIRED, "length_required", 411, REJECT, "A Content-Length is needed")                                  \
    X (BODY_TOO_LARGE, "body_too_large", 413, REJECT, "The body is larger than this server accepts")                   \
    X (UNSUPPORTED_BODY_TYPE, "unsupported_body_type", 415, REJECT, "The Content-Type is not accepted here")           \
    X (UNKNOWN_FIELD, "unknown_field", 422, REJECT, "A field of the body is not known here")                           \
    X (INVALID_VALUE, "invalid_value", 422, REJECT, "A field of the body has a value that is not allowed")             \
    X (IDEMPOTENCY_MISMATCH, "idempotency_mismatch", 422, REJECT, "This Idempotency-Key was used with another body")   \
    X (QUEUE_FULL, "queue_full", 429, RETRY, "Too many tasks are waiting")                                             \
    X (RATE_LIMITED, "rate_limited", 429, RETRY, "Work is handed in faster than is allowed")                           \
    X (QUOTA_EXCEEDED, "quota_exceeded", 429, RETRY, "The documents would take more space than is allowed")            \
    X (INTERNAL, "internal", 500, GIVEUP, "Something went wrong on the server")                                        \
    X (UNAVAILABLE, "unavailable", 503, RETRY, "A part of the service is away for the moment")                         \
    X (DRAINING, "draining", 503, RETRY, "The service is shutting down")                                               \
    X (DISK_FULL, "disk_full", 507, RETRY, "The disk is full")                                                         \
    /* documents: why a task failed, or what a warning is about */                                                     \
    X (UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", 422, REJECT, "No extractor reads this kind of document")      \
    X (EMPTY_DOCUMENT, "empty_document", 422, REJECT, "The document is empty or holds no text")                        \
    X (DAMAGED_DOCUMENT, "damaged_document", 422, REJECT, "The document is damaged")                                   \
    X (ENCRYPTED_DOCUMENT, "encrypted_document", 422, REJECT, "The document is encrypted")                             \
    X (TOO_LARGE, "too_large", 422, REJECT, "The document holds more text than the limit")                             \
    X (INFLATED_TOO_LARGE, "inflated_too_large", 422, REJECT, "The document unpacks to more than the limit")           \
    X (RATIO_EXCEEDED, "ratio_exceeded", 422, REJECT, "The document unpacks at a suspicious ratio")                    \
    X (TOO_MANY_ENTRIES, "too_many_entries", 422, REJECT, "The archive has more entries than the limit")               \
    X (TOO_DEEP, "too_deep", 422, REJECT, "Archives are nested deeper than the limit")                                 \
    X (CPU_EXCEEDED, "cpu_exceeded", 422, REJECT, "The parser used more CPU time than the limit without progress")     \
    X (MEMORY_EXCEEDED, "memory_exceeded", 422, REJECT, "The parser used more memory than the limit")                  \
    X (PARSER_CRASHED, "parser_crashed", 422, RETRY, "The parser crashed on this document")                            \
    X (PARSER_KILLED, "parser_killed", 422, RETRY, "The parser was killed from outside")                               \
    X (KNOWN_POISON, "known_poison", 422, REJECT, "This content has ended its parser before")                          \
    X (WORKER_LOST, "worker_lost", 503, RETRY, "The worker that held this job went away")                              \
    X (TIMEOUT, "timeout", 504, RETRY, "It took too long")                                                             \
    X (CANCELLED, "cancelled", 409, REJECT, "It was cancelled")                                                        \
    /* inside */                                                                                                       \
    X (PROTOCOL, "protocol", 500, REJECT, "A message broke the protocol")                                              \
    X (CORRUPT, "corrupt", 500, GIVEUP, "Stored data is damaged")                                                      \
    X (NEWER_FORMAT, "newer_format", 500, GIVEUP, "The data was written by a newer version")                           \
    X (LOCKED, "locked", 500, GIVEUP, "Another process uses this data directory")                                      \
    X (IO, "io", 500, RETRY, "Input or output failed")                                                                 \
    X (NO_MEMORY, "no_memory", 503, RETRY, "Out of memory")                                                            \
    X (CONFIG, "config", 500, GIVEUP, "An option has a value that cannot be")

typedef enum {
    ERR_NONE,
#define ERR_ENUM(sym, name, status, class, title) ERR_##sym,
    ERR_CODES (ERR_ENUM)
#undef ERR_ENUM
        ERR_COUNT
} err_code_t;

typedef struct {
    err_code_t code;
    uint32_t retry_after_s; /* when the same call may succeed, as well as that is known; 0: it is not */
    char message[512];      /* one sentence that names the cause and the way out; NUL-terminated */
} err_t;

/*  Fills *err (NULL is allowed) and returns -1, so that callers can `return err_set (…)`; retry_after_s is 0 then.
 *  Control characters and malformed UTF-8 become '?': messages may quote untrusted names. What is too long is cut
 *  between characters. */
int err_set (err_t *err, err_code_t code, const char *format, ...) __attribute__ ((format (printf, 3, 4)));
/*  As err_set; `err` is needed. */
void err_setv (err_t *err, err_code_t code, const char *format, va_list args) __attribute__ ((format (printf, 3, 0)));

/*  As err_set, with ": " and the text of errno value `errnum` appended; ENOSPC and EDQUOT turn `code` into
 *  ERR_DISK_FULL. */
int err_set_errno (err_t *err, err_code_t code, int errnum, const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));

const char *err_name (err_code_t code);  /* "not_found"; "none" for ERR_NONE */
const char *err_title (err_code_t code); /* one sentence without a full stop */
int err_status (err_code_t code);        /* HTTP status; 200 for ERR_NONE */
err_class_t err_class (err_code_t code);
err_code_t err_code (const char *name); /* by name; ERR_INTERNAL when unknown */

/*  What a program ends with that cannot run: 2 when its options are wrong (ERR_CONFIG), which no restart cures, else 1.
 */
int err_exit (const err_t *err);

#endif
