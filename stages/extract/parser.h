/*  parser.h: the worker's side of a parser process: starts it, reads and checks what it says, watches that it gets on,
 *  and tells why it died. Never blocks.
 *
 *  A parser that crashes, hangs or runs out of memory while it reads one unit (a page, an archive entry) costs that
 *  unit: it is started again behind the last segment and told to skip it, a few times per document. One that somebody
 *  else killed gets its unit once more.
 */
#ifndef EXTRACT_PARSER_H
#define EXTRACT_PARSER_H

#include "base/buf.h"
#include "stages/extract/sink.h"
#include "stages/extract/zygote.h"

typedef struct parser parser_t;

typedef struct {
    int document; /* descriptor; taken: closed when the parser is done */
    span_t name;
    span_t media_type;
    span_t cursor;
    uint32_t first_segment;
    uint64_t text_offset;
} parser_request_t;

typedef enum {
    PARSER_IDLE,    /* nothing new; wait for its descriptors */
    PARSER_SEGMENT, /* `segment` is filled */
    PARSER_DONE,    /* the document is at its end */
    PARSER_FAILED,  /* it gave nothing, or is damaged beyond that, or cannot be read to its end now: *err */
    PARSER_BROKEN,  /* the zygote is gone: *err; this worker has to end */
} parser_state_t;

/*  One segment; whoever takes it out of the parser owns `text` and `marks`. The spans live until the next call. */
typedef struct {
    uint32_t number;
    uint32_t permille;
    uint64_t text_offset; /* of its first byte, in the document */
    buf_t *text;
    buf_t *marks;
    span_t cursor;
    span_t warnings; /* JSON objects, separated by commas */
} parser_segment_t;

/*  `zygote` and `limits` are borrowed for the life of the object. */
parser_t *parser_new (zygote_t *zygote, const limits_t *limits);
void parser_destroy (parser_t **self_p); /* kills what runs */

/*  Starts on a document. 0; or -1 and *err, the document being closed. There must be none in work. */
int parser_start (parser_t *self, const parser_request_t *request, err_t *err);

/*  What happened since (also without a document: parsers of earlier ones end). Call until it says PARSER_IDLE, and
 * again when a descriptor is readable or parser_timeout_ms is over. A call takes a bounded time whatever the parser
 * says: then it is PARSER_IDLE with a timeout of 0. After DONE, FAILED and BROKEN the parser is free
 * for the next document. */
parser_state_t parser_next (parser_t *self, parser_segment_t *segment, err_t *err);

int parser_output_fd (const parser_t *self); /* not polled for: the parser blocks, which holds its memory */
int parser_zygote_fd (const parser_t *self);
int parser_errors_fd (const parser_t *self); /* its stderr; -1: none */
int parser_timeout_ms (const parser_t *self);

/*  Instead of parser_next while nobody wants more: the parser is not to blame for making no progress. Reads what the
 *  zygote says, or a poll on its descriptor would never wait. 0, or -1 and *err: PARSER_BROKEN. */
int parser_hold (parser_t *self, err_t *err);

void parser_kill (parser_t *self); /* gives the document up at once */

/*  About the document, valid after DONE and FAILED until the next start. */
span_t parser_media_type (const parser_t *self);
void parser_metadata (const parser_t *self, str_t *json); /* appends a JSON object, or nothing */
span_t parser_warnings (const parser_t *self);            /* those after the last segment */
uint32_t parser_bad (const parser_t *self);
bool parser_was_killed (const parser_t *self);          /* FAILED because processes died of the document */
void parser_errors (const parser_t *self, str_t *text); /* appends the end of what they wrote on stderr (tail.h) */
uint64_t parser_counter (const parser_t *self);         /* moves when it gets on */
uint32_t parser_permille (const parser_t *self);

#endif
