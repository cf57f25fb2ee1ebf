/*  http_body.h: the body of an HTTP request on its way in: a JSON text, a raw document, or a form with a document. */
#ifndef GATEWAY_HTTP_BODY_H
#define GATEWAY_HTTP_BODY_H

#include "gateway/dispatch.h"
#include "gateway/form.h"

typedef struct {
    request_t *request;
    uint64_t size;
    str_t text;   /* JSON, or the value of the form field at hand */
    form_t *form; /* NULL: the body is none */
    str_t field;  /* name of the form field at hand */
    bool in_file; /* it is the document */
    bool has_file;
} http_body_t;

/*  Ready for the body of `request`, whose route is known. -1 with ERR_MALFORMED: the form cannot be read. */
int http_body_start (http_body_t *self, request_t *request, err_t *err);
/*  More of it. -1 with ERR_BODY_TOO_LARGE, or what else went wrong with the part at hand. */
int http_body_add (http_body_t *self, span_t bytes, err_t *err);
/*  Nothing should be added until the request's `more` is called. */
bool http_body_is_full (const http_body_t *self);
/*  All is there: runs the request, or answers it with the problem. */
void http_body_end (http_body_t *self);
void http_body_free (http_body_t *self);

/*  Most bytes the body of a request may have, by its route. */
uint64_t http_body_max (const request_t *request);
/*  Least bytes that the document in a body of `length` has; 0: nobody knows. */
uint64_t http_body_least (const request_t *request, uint64_t length);

#endif
