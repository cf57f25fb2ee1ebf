/*  loopback.h: which addresses only this machine can reach. Without users, whoever reaches a listener is the one
 *  implicit user, so nothing else may be served.
 */
#ifndef BASE_LOOPBACK_H
#define BASE_LOOPBACK_H

#include "base/err.h"
#include "base/span.h"

/*  True for 127.0.0.0/8, [::1] and localhost, with or without a port. Names are not looked up. */
bool loopback_host (span_t host);

/*  Fills *err with ERR_CONFIG and the reason why `what` at `address` is not served; returns -1. */
int loopback_refuse (const char *what, const char *address, err_t *err);

/*  What follows the last colon is a port: 0 to 65535, or * when `any` (which is 0 to ZeroMQ). Libraries take what is
 *  larger for another port. Else -1 with ERR_CONFIG. */
int loopback_port (const char *what, const char *address, bool any, err_t *err);

/*  The rule for ZeroMQ: 0 for ipc://… and tcp:// on the loopback; else -1 with ERR_CONFIG. `what` names the endpoint in
 *  the message. */
int loopback_endpoint (const char *what, const char *endpoint, err_t *err);

#endif
