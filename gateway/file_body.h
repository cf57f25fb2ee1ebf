/*  file_body.h: a document's file as the body of an HTTP answer.
 *
 *  Its name is its hash. The bytes are hashed while they are sent, and the last of them only when the hash is right:
 *  a file that changed on the disk ends its connection before its length is reached, which every client notices.
 */
#ifndef GATEWAY_FILE_BODY_H
#define GATEWAY_FILE_BODY_H

#include "base/hash.h"

#include <microhttpd.h>

/*  Takes the descriptor; `hash` (text, as the file is named) is copied. The caller destroys the response. */
struct MHD_Response *file_body_response (int fd, uint64_t bytes, const char *hash);

#endif
