/*  request.h: one request and its answer, whichever way they travel.
 *
 *  A transport (http.h, zmq_front.h) embeds a request_t, fills in what was asked and hands it to the dispatcher; it
 *  gets exactly one call of its `answer` in return, at once or later, after which the request is the transport's
 *  alone again. Spans are borrowed from the transport until that call.
 */
#ifndef GATEWAY_REQUEST_H
#define GATEWAY_REQUEST_H

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/str.h"
#include "base/uuid.h"
#include "gateway/args.h"

typedef enum { METHOD_GET, METHOD_POST, METHOD_PUT, METHOD_DELETE, METHOD_COUNT } method_t;

/*  Headers that mean something to the dispatcher. X (symbol, name) */
#define REQUEST_HEADERS(X)                                                                                             \
    X (CONTENT_TYPE, "Content-Type")                                                                                   \
    X (CONTENT_ENCODING, "Content-Encoding")                                                                           \
    X (FILENAME, "X-Filename")                                                                                         \
    X (IDEMPOTENCY_KEY, "Idempotency-Key")                                                                             \
    X (REQUEST_ID, "X-Request-Id")                                                                                     \
    X (LAST_EVENT_ID, "Last-Event-ID")
typedef enum {
#define REQUEST_HEADER_ENUM(sym, name) HEADER_##sym,
    REQUEST_HEADERS (REQUEST_HEADER_ENUM)
#undef REQUEST_HEADER_ENUM
        HEADER_COUNT
} request_header_t;

#define REQUEST_SEGMENTS 8
#define REQUEST_PARAMS   24
#define REPLY_HEADERS    6
#define RETRY_AFTER_S    1 /* when nobody knows better */

typedef struct {
    span_t name;
    span_t value;
} param_t;

/*  An answer. Everything is borrowed for the length of the call, but `fd`, which the transport takes over. */
typedef struct {
    int status;
    const char *media_type; /* NULL: there is no body */
    bool is_json;           /* the body is one JSON value */
    buf_t *body;
    int fd; /* ≥ 0: the body is this file, `fd_bytes` long */
    uint64_t fd_bytes;
    char fd_hash[HASH_TEXT]; /* what its bytes must have */
    struct {
        const char *name;
        span_t value;
    } headers[REPLY_HEADERS];
    size_t header_count;
} reply_t;

typedef struct request request_t;
typedef struct gateway gateway_t;
typedef struct upload upload_t;
typedef void request_answer_fn (request_t *self, const reply_t *reply);
typedef void request_stream_fn (request_t *self); /* answers with server-sent events */
typedef void request_more_fn (request_t *self);   /* more of the body can be taken */
typedef void request_then_fn (request_t *self);   /* what comes next (admit.h) */

struct request {
    gateway_t *gateway;
    request_answer_fn *answer;
    request_stream_fn *stream; /* NULL: the transport cannot carry an endless answer */
    request_more_fn *more;     /* NULL: the transport has the whole body at once */
    bool takes_forms;          /* the transport reads multipart/form-data */

    /* what was asked */
    method_t method; /* METHOD_COUNT: none we know */
    str_t target;    /* path and query, decoded in place: the spans below point into it */
    span_t segments[REQUEST_SEGMENTS];
    size_t segment_count;
    param_t params[REQUEST_PARAMS];
    size_t param_count;
    str_t scratch; /* parameters that came as something else than text */
    span_t headers[HEADER_COUNT];

    /* what came with it */
    span_t body;      /* JSON, or empty */
    upload_t *upload; /* document on its way in; NULL: none. The transport destroys it, with the answer at the latest */
    str_t filename;   /* of an upload, decoded */
    str_t media_type; /* of an upload, as declared; may be empty */
    buf_t *bytes;     /* of an upload that travels on; NULL when it is in its blob file */
    bool in_file;
    uint64_t byte_count;
    hash_t hash;
    bool admitted; /* the broker was asked whether the upload may come, and said yes */
    request_then_fn *then;

    /* what the dispatcher made of it */
    const struct route *route;
    uuid_t id; /* in the path */
    args_t args;
    str_t options; /* JSON object, or empty */
    hash_t idem_hash;
};

/*  Empties all but what the transport set once (gateway … takes_forms), keeping memory for the next request. Zero a new
 * one first. */
void request_clear (request_t *self);
void request_free (request_t *self);

method_t method_parse (span_t name); /* HEAD is a GET; METHOD_COUNT when unknown */
const char *method_name (method_t method);

/*  Takes "path" or "path?query" apart into segments and parameters. -1 with ERR_MALFORMED. */
int request_target (request_t *self, span_t target, err_t *err);
/*  One more parameter; borrowed. -1 with ERR_MALFORMED when there are too many. */
int request_param (request_t *self, span_t name, span_t value, err_t *err);

/*  Decodes %XX in place; '+' is a space when `plus`. The new size, or -1 when an escape is malformed or yields NUL. */
ssize_t percent_decode (char *text, size_t size, bool plus);
/*  Appends `text` with everything but unreserved characters as %XX (RFC 5987). */
void percent_encode (str_t *out, span_t text);

/*  Answers: with a ready-made JSON body (NULL: none) … */
void request_reply (request_t *self, int status, buf_t *json);
/*  … or a problem; the detail is one sentence. */
void request_problem (request_t *self, err_code_t code, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));
void request_problem_err (request_t *self, const err_t *err);
/*  405, with the methods that are allowed. */
void request_not_allowed (request_t *self, span_t methods);
/*  Adds a header to an answer under construction; the value is borrowed. */
void reply_header (reply_t *reply, const char *name, span_t value);

#endif
