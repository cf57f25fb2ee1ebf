/*  routes.h: the API as one table. */
#ifndef GATEWAY_ROUTES_H
#define GATEWAY_ROUTES_H

#include "gateway/request.h"

typedef void route_run_fn (gateway_t *self, request_t *request);

typedef enum {
    BODY_NONE,   /* whatever comes is read and forgotten */
    BODY_JSON,   /* a JSON object, or nothing */
    BODY_UPLOAD, /* a document */
} route_body_t;

typedef struct route {
    method_t method;
    const char *path; /* without the trailing slash; {} stands for an id */
    route_run_fn *run;
    route_body_t body;
    uint32_t params;   /* query parameters it takes: mask of ARG_BIT */
    uint32_t fields;   /* body fields it takes */
    uint32_t required; /* fields (for a GET: parameters) that must be there */
} route_t;

/*  The route for a request, with the id of its path; NULL with ERR_NOT_FOUND, or ERR_METHOD_NOT_ALLOWED and the
 *  methods that are allowed appended to *allow. */
const route_t *route_find (const request_t *request, uuid_t *id, str_t *allow, err_t *err);

/*  Every route in order, for documentation and tests; NULL past the last. */
const route_t *route_at (size_t index);

#endif
