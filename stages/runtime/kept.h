/*  kept.h: results that were sent, each kept (columns by reference) until the broker's ACK for it.
 *
 *  A result is encoded once; a broker that was away, or whose ACK got lost, gets the same bytes again.
 */
#ifndef STAGES_RUNTIME_KEPT_H
#define STAGES_RUNTIME_KEPT_H

#include "base/buf.h"
#include "wire/messages.h"

typedef struct kept kept_t;

/*  `push`: the socket to the broker, borrowed. */
kept_t *kept_new (void *push);
void kept_destroy (kept_t **self_p);

/*  Keeps `result`; the mask in result->columns says which of `columns` (may be NULL) go along. It leaves with the next
 *  kept_flush. */
void kept_add (kept_t *self, const wire_result_t *result, buf_t *const *columns);

/*  Sends what was not sent yet, in order, unless the last send failed. */
void kept_flush (kept_t *self, uint64_t now_ms);

/*  The oldest kept result with these fences is forgotten; false when there is none. */
bool kept_ack (kept_t *self, const wire_ack_t *ack);

/*  Sends again what did not leave, and what was sent `age_ms` ago or longer and is still without an ACK. Stops at
 *  the first one that cannot leave; kept_stuck then says so. */
void kept_resend (kept_t *self, uint64_t now_ms, uint64_t age_ms);

size_t kept_count (const kept_t *self);
bool kept_held (const kept_t *self);  /* some have not been sent yet */
bool kept_stuck (const kept_t *self); /* the last send failed: the broker is away */

/*  Forgets all of them: they belong to an epoch that is over. */
void kept_clear (kept_t *self);

#endif
