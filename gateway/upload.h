/*  upload.h: the bytes of a document on their way in.
 *
 *  Up to BLOB_INLINE_MAX they stay in memory and travel with the submit; as soon as there are more they go to a
 *  temporary file, and only the file's name travels. Whatever the size, memory stays bounded: while the disk is slower
 *  than the client, the client waits; and when all uploads together hold UPLOADS_BYTES, further ones are refused.
 */
#ifndef GATEWAY_UPLOAD_H
#define GATEWAY_UPLOAD_H

#include "gateway/gateway.h"

#define UPLOADS_BYTES (256u << 20)

/*  For `request` (borrowed), which is told by its `more` when there is room again, and answered in the end. */
upload_t *upload_new (request_t *request);
void upload_destroy (upload_t **self_p); /* at any time */

/*  -1 with ERR_BODY_TOO_LARGE, ERR_NO_MEMORY (of all uploads), or what went wrong with bytes that came before:
 * ERR_DISK_FULL or ERR_IO. */
int upload_add (upload_t *self, span_t bytes, err_t *err);
/*  The disk is behind: nothing should be added until the request's `more` is called. */
bool upload_is_full (const upload_t *self);
uint64_t upload_size (const upload_t *self);

/*  All is there: fills in the request's bytes, hash, … and runs it, at once or when the file is durable; if that
 *  fails the request is answered with the problem. */
void upload_finish (upload_t *self);

/*  The same for a document that came in one piece; referenced. The upload, if it takes one, is request->upload. */
void upload_whole (request_t *request, buf_t *bytes);

#endif
