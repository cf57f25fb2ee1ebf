/*  linger.h: the last words of a refused request arrive.
 *
 *  A server that answers before it has read the whole body and then closes makes the kernel send a reset, and the
 * client may never see the answer. So the connection is kept a little longer under a second descriptor, and what still
 * comes is read and forgotten, until the client closes or a bound is reached.
 */
#ifndef GATEWAY_LINGER_H
#define GATEWAY_LINGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct linger_set linger_set_t;

linger_set_t *linger_new (void); /* NULL when the system has no descriptors left */
void linger_destroy (linger_set_t **self_p);

/*  Duplicates `fd`; when that is not possible or there are too many, nothing happens. */
void linger_add (linger_set_t *self, int fd, uint64_t now_ms);

size_t linger_count (const linger_set_t *self);

int linger_fd (const linger_set_t *self); /* poll for reading */
void linger_turn (linger_set_t *self, uint64_t now_ms);
uint64_t linger_deadline (const linger_set_t *self);

#endif
