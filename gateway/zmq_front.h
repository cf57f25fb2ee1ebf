/*  zmq_front.h: the ZeroMQ transport: a ROUTER for REQ and DEALER clients.
 *
 *  request  [delimiter] {"method","path","query"?,"body"?,"token"?,"headers"?} [bytes]
 *  reply    [delimiter] {"status","headers","body"} [bytes]
 *  The delimiter (an empty frame, as REQ sends it) is answered in kind; so is what stands before it.
 */
#ifndef GATEWAY_ZMQ_FRONT_H
#define GATEWAY_ZMQ_FRONT_H

#include "gateway/gateway.h"

/*  Binds `endpoint`: tcp:// on the loopback, or ipc://. NULL with ERR_CONFIG or ERR_IO. */
zmq_front_t *zmq_front_new (gateway_t *gateway, const char *endpoint, err_t *err);
/*  Nothing may be in hand. Replies that were sent are delivered first, within a second. */
void zmq_front_destroy (zmq_front_t **self_p);

const char *zmq_front_endpoint (const zmq_front_t *self); /* as bound, with the port that was picked */

size_t zmq_front_in_hand (const zmq_front_t *self);

/*  For the loop. */
void zmq_front_item (const zmq_front_t *self, zmq_pollitem_t *item);
bool zmq_front_turn (zmq_front_t *self);           /* true: more to do at once */
bool zmq_front_has_work (const zmq_front_t *self); /* as answers have made room since the turn */

#endif
