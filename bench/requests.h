/*  requests.h: a DEALER that keeps many requests under way at the gateway, and knows each again when it is answered.
 */
#ifndef BENCH_REQUESTS_H
#define BENCH_REQUESTS_H

#include "base/span.h"

#include <stdint.h>

typedef struct {
    void *socket;
    uint32_t under_way;
} requests_t;

/*  Ends the program with a message when ZeroMQ refuses. */
void requests_open (requests_t *self, void *context, const char *endpoint);
void requests_close (requests_t *self);

/*  `json` is copied, `bytes` (empty: none) is borrowed until the context has ended. */
void requests_send (requests_t *self, uint64_t tag, span_t json, span_t bytes);

/*  An answer, if one is there: its tag and the JSON frame, valid until the next call; 1 or 0. */
int requests_answer (requests_t *self, uint64_t *tag, span_t *json);

/*  The number after "status": in an answer; 0 when there is none. */
int answer_status (span_t json);

#endif
