/*  dispatch.h: the one dispatcher: checks a request against the table of routes and runs it. */
#ifndef GATEWAY_DISPATCH_H
#define GATEWAY_DISPATCH_H

#include "gateway/gateway.h"
#include "gateway/routes.h"

#define DISPATCH_JSON_MAX (1u << 20) /* bytes of a JSON body */

/*  Once method, target and headers are known, before the body: finds the route, checks the query and, for an upload,
 *  its name and type. 0, or -1: the request has been answered with a problem. */
int dispatch_begin (request_t *request);

/*  The upload's parts may be form fields: the fields of the route it takes. */
bool dispatch_is_form (const request_t *request);
/*  One such field. -1 with ERR_UNKNOWN_FIELD or ERR_INVALID_VALUE. */
int dispatch_form_field (request_t *request, span_t name, span_t value, err_t *err);
/*  Name and type of an upload; both are checked and kept. -1 with ERR_MALFORMED. */
int dispatch_file_name (request_t *request, span_t name, err_t *err);
void dispatch_media_type (request_t *request, span_t media_type);

/*  Once the body is there too: checks it and runs the route. The request will be answered, or has been. */
void dispatch_run (request_t *request);
/*  The same, with a body that was parsed already (borrowed; NULL: none). */
void dispatch_run_json (request_t *request, json_t *body);

#endif
