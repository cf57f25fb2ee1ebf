/*  form.h: reads multipart/form-data (RFC 7578, RFC 2046) as it comes, in pieces of any size.
 *
 *  Memory is bounded whatever is sent: it holds the head of one part, and of its body no more than a boundary is long.
 *  Boundaries may be quoted, and stand anywhere among the parameters; a preamble and an epilogue are skipped; names may
 *  be quoted or not, file names may have escaped quotes or come as filename*=UTF-8''….
 */
#ifndef GATEWAY_FORM_H
#define GATEWAY_FORM_H

#include "base/err.h"
#include "base/str.h"

typedef struct form form_t;

/*  What is told of each part, in this order. Texts are borrowed for the call. -1 with *err stops the form. */
typedef struct {
    /* `filename`: NULL when there is none; the media type is empty when none is declared */
    int (*begin) (void *owner, span_t name, const span_t *filename, span_t media_type, err_t *err);
    int (*data) (void *owner, span_t bytes, err_t *err); /* any number of times */
    int (*end) (void *owner, err_t *err);
} form_ops_t;

/*  For a body of `content_type` (borrowed for the call); the rest is borrowed for good. NULL with ERR_MALFORMED: it has
 *  no boundary that could be one. */
form_t *form_new (span_t content_type, const form_ops_t *ops, void *owner, err_t *err);
void form_destroy (form_t **self_p);

/*  -1: ERR_MALFORMED, ERR_UNSUPPORTED_BODY_TYPE (a part is encoded), or what an op said. Nothing more may be fed then.
 */
int form_feed (form_t *self, span_t bytes, err_t *err);
/*  All was fed. -1 with ERR_MALFORMED: the last boundary has not come. */
int form_end (form_t *self, err_t *err);

#endif
