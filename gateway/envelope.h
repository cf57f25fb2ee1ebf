/*  envelope.h: the JSON frame of a request over ZeroMQ. */
#ifndef GATEWAY_ENVELOPE_H
#define GATEWAY_ENVELOPE_H

#include "gateway/request.h"

/*  Fills in the request's method, target, parameters and headers from `json` (borrowed as long as the request).
 *  *body is a reference into `json`, or NULL. -1 with ERR_MALFORMED. */
int envelope_read (json_t *json, request_t *request, json_t **body, err_t *err);

/*  Appends the JSON frame of a reply. */
void envelope_write (const reply_t *reply, str_t *out);

#endif
