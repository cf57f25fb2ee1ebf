/*  frames.h: messages on ZeroMQ sockets. Payload frames are never copied: a received frame becomes a buf_t around
 *  the zmq_msg_t, a sent buf_t becomes a zmq_msg_t that holds a reference.
 */
#ifndef WIRE_FRAMES_H
#define WIRE_FRAMES_H

#include "base/buf.h"
#include "wire/messages.h"

#define FRAMES_MAX 8

/*  A received message. Zero it before first use; frames_clear between and after uses. */
typedef struct {
    buf_t *route;  /* routing id, when the socket is a ROUTER; else NULL */
    buf_t *header; /* frame 1; the spans of `msg` point into it */
    wire_msg_t msg;
    buf_t *payload[FRAMES_MAX]; /* the frames after it */
    size_t payload_count;
} frames_t;

void frames_clear (frames_t *self);

/*  Takes one message off `socket` without waiting. 1: *self holds it; 0: nothing there;
 *  -1: a malformed or foreign message was taken off and dropped (*err says why; the caller logs it and goes on). */
int frames_recv (void *socket, bool router, frames_t *self, err_t *err);

/*  Sends `msg` with `count` payload frames (references are taken; the caller keeps its own) without waiting.
 *  `route`: on a ROUTER, to whom; NULL on other sockets. 0, or -1 with ERR_UNAVAILABLE when the peer is gone or its
 *  pipe is full. */
int frames_send (void *socket, const buf_t *route, const wire_msg_t *msg, buf_t *const *payload, size_t count,
                 err_t *err);

/*  As frames_send, with a first frame that is encoded already (or a topic); `what` names it in errors. */
int frames_send_encoded (void *socket, const buf_t *route, span_t header, buf_t *const *payload, size_t count,
                         const char *what, err_t *err);

/*  The buffers of a column mask, in frame order: columns[i] for bit i, NULL where the bit is not set. Borrowed from
 *  *self. -1 with ERR_PROTOCOL when mask and frames do not match. */
int frames_columns (const frames_t *self, uint8_t mask, buf_t *columns[COLUMN_COUNT], err_t *err);

/*  A socket with the options every Myelin socket has: LINGER `linger_ms`, no high-water marks when `unbounded`
 *  (only where grants bound what is outstanding), MAXMSGSIZE 64 MiB, bounded reconnects. NULL and *err on failure. */
void *frames_socket (void *context, int type, int linger_ms, bool unbounded, err_t *err);

#endif
