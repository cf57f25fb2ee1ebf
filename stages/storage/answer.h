/*  answer.h: one query in, one reply out; no sockets. */
#ifndef STAGES_STORAGE_ANSWER_H
#define STAGES_STORAGE_ANSWER_H

#include "stages/embed/provider.h"
#include "store/content.h"

/*  Answers SEARCH, CHUNKS, HEALTH or CHECKPOINT: appends the JSON body (nothing when it is an error) and returns the
 * error code, of which *err has the detail; ERR_NONE: success. */
err_code_t answer (content_reader_t *content, provider_t *provider, const wire_msg_t *query, str_t *body, err_t *err);

#endif
