/*  admit.h: asking the broker whether a document may come, before its body is taken.
 *
 *  A small document is simply submitted: to look at it is as cheap as to ask. For a large one the limits are looked at
 *  first, by the length it declares, so that nobody sends a hundred megabytes only to be refused.
 */
#ifndef GATEWAY_ADMIT_H
#define GATEWAY_ADMIT_H

#include "gateway/gateway.h"

/*  Whether a body of `bytes` (0: not known yet) is to be asked about. */
bool admit_is_needed (uint64_t bytes);

/*  Asks for `request`, an upload of at least `bytes`. Later, never before this returns, `then` is called, or the
 *  request is answered with the problem. */
void admit_ask (request_t *request, uint64_t bytes, request_then_fn *then);

#endif
