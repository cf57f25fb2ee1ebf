#include "bench/requests.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#define ANSWER_MAX (1u << 20)

static void fail (const char *what)
{
    fprintf (stderr, "bench-load: %s: %s\n", what, zmq_strerror (errno));
    exit (1);
}

void requests_open (requests_t *self, void *context, const char *endpoint)
{
    int none = 0;
    self->under_way = 0;
    self->socket = zmq_socket (context, ZMQ_DEALER);
    if (!self->socket)
        fail ("socket");
    zmq_setsockopt (self->socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt (self->socket, ZMQ_SNDHWM, &none, sizeof none);
    zmq_setsockopt (self->socket, ZMQ_RCVHWM, &none, sizeof none);
    if (zmq_connect (self->socket, endpoint) == -1)
        fail (endpoint);
}

void requests_close (requests_t *self)
{
    zmq_close (self->socket);
}

void requests_send (requests_t *self, uint64_t tag, span_t json, span_t bytes)
{
    zmq_send (self->socket, &tag, sizeof tag, ZMQ_SNDMORE);
    zmq_send (self->socket, "", 0, ZMQ_SNDMORE);
    zmq_send (self->socket, json.data, json.size, bytes.size ? ZMQ_SNDMORE : 0);
    if (bytes.size) {
        zmq_msg_t msg;
        zmq_msg_init_data (&msg, (void *)bytes.data, bytes.size, NULL, NULL);
        if (zmq_msg_send (&msg, self->socket, 0) == -1)
            fail ("send");
    }
    self->under_way++;
}

int requests_answer (requests_t *self, uint64_t *tag, span_t *json)
{
    static char body[ANSWER_MAX];
    char frame[16];
    int size = zmq_recv (self->socket, frame, sizeof frame, ZMQ_DONTWAIT);
    if (size == -1)
        return 0;
    int more;
    size_t more_size = sizeof more;
    int got = 0;
    for (int part = 1; zmq_getsockopt (self->socket, ZMQ_RCVMORE, &more, &more_size) == 0 && more; part++) {
        int bytes = part == 2 ? zmq_recv (self->socket, body, sizeof body, 0) : zmq_recv (self->socket, NULL, 0, 0);
        if (part == 2)
            got = bytes;
    }
    if (size != sizeof *tag || got <= 0) {
        errno = EPROTO;
        fail ("an answer that was not asked for");
    }
    memcpy (tag, frame, sizeof *tag);
    *json = span (body, (size_t)got < sizeof body ? (size_t)got : sizeof body);
    self->under_way--;
    return 1;
}

int answer_status (span_t json)
{
    const char *at = memmem (json.data, json.size, "\"status\":", 9);
    return at ? atoi (at + 9) : 0;
}
