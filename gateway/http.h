/*  http.h: the HTTP transport, on libmicrohttpd driven from the gateway's own loop. */
#ifndef GATEWAY_HTTP_H
#define GATEWAY_HTTP_H

#include "gateway/gateway.h"

/*  Listens on `address` (ADDRESS:PORT, port 0: any; only loopback addresses are served). NULL with ERR_CONFIG or
 * ERR_IO. */
http_t *http_new (gateway_t *gateway, const char *address, err_t *err);
/*  What is in hand is cut off. */
void http_destroy (http_t **self_p);

const char *http_url (const http_t *self); /* "http://127.0.0.1:8750" */

/*  Stops accepting; streams say goodbye, and every answer closes its connection. */
void http_drain (http_t *self);
/*  Refuses the requests whose body is still on its way. */
void http_give_up (http_t *self);
size_t http_in_hand (const http_t *self); /* requests whose answer has not left yet, streams included */

/*  For the loop. */
#define HTTP_ITEMS 2
void http_items (const http_t *self, zmq_pollitem_t items[HTTP_ITEMS]);
void http_turn (http_t *self, const zmq_pollitem_t items[HTTP_ITEMS], uint64_t now_ms);
uint64_t http_deadline (const http_t *self, uint64_t now_ms);

#endif
