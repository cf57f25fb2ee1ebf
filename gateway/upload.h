/*  upload.h: the bytes of a document on their way in.
 *
 *  Up to BLOB_INLINE_MAX they stay in memory and travel with the submit; as soon as there are more they go to a
 *  temporary file, and only the file's name travels. Whatever the size, memory stays bounded.
 */
#ifndef GATEWAY_UPLOAD_H
#define GATEWAY_UPLOAD_H

#include "gateway/gateway.h"

typedef struct upload upload_t;

/*  For `gateway` (borrowed): its data directory, and its upload_max. */
upload_t *upload_new (gateway_t *gateway);
void upload_destroy (upload_t **self_p);

/*  -1 with ERR_BODY_TOO_LARGE, ERR_DISK_FULL or ERR_IO. */
int upload_add (upload_t *self, span_t bytes, err_t *err);
uint64_t upload_size (const upload_t *self);

/*  All is there: fills in the request's bytes, hash, … and runs it, at once or when the file is durable; if that
 *  fails the request is answered with the problem. Takes the upload. */
void upload_finish (upload_t **self_p, request_t *request);

/*  The same for a document that came in one piece; referenced. */
void upload_whole (request_t *request, buf_t *bytes);

#endif
