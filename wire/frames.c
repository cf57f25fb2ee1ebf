#include "wire/frames.h"

#include <errno.h>
#include <stdlib.h>
#include <zmq.h>

#define MAX_MESSAGE_BYTES (64ll * 1024 * 1024)
#define COPY_BELOW        512u /* bytes: copying is cheaper than a shared reference */

void frames_clear (frames_t *self)
{
    buf_unref (&self->route);
    buf_unref (&self->header);
    for (size_t i = 0; i < self->payload_count; i++)
        buf_unref (&self->payload[i]);
    self->payload_count = 0;
    self->msg.kind = WIRE_NONE;
}

static void free_msg (void *hint)
{
    zmq_msg_close (hint);
    free (hint);
}

static buf_t *wrap (zmq_msg_t *msg)
{
    size_t size = zmq_msg_size (msg);
    if (size < COPY_BELOW) {
        buf_t *copy = buf_copy (span (zmq_msg_data (msg), size));
        zmq_msg_close (msg);
        return copy;
    }
    zmq_msg_t *kept = malloc (sizeof *kept);
    if (!kept)
        abort ();
    zmq_msg_init (kept);
    zmq_msg_move (kept, msg);
    return buf_wrap (span (zmq_msg_data (kept), size), free_msg, kept);
}

static void drop_rest (void *socket, bool more)
{
    while (more) {
        zmq_msg_t msg;
        zmq_msg_init (&msg);
        more = zmq_msg_recv (&msg, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more (&msg);
        zmq_msg_close (&msg);
    }
}

int frames_recv (void *socket, bool router, frames_t *self, err_t *err)
{
    frames_clear (self);
    bool more = true;
    for (size_t i = router ? 0 : 1; more; i++) {
        zmq_msg_t msg;
        zmq_msg_init (&msg);
        if (zmq_msg_recv (&msg, socket, ZMQ_DONTWAIT) == -1) {
            zmq_msg_close (&msg);
            if (errno == EAGAIN || errno == EINTR || errno == ETERM)
                return 0;
            return err_set_errno (err, ERR_IO, errno, "cannot receive");
        }
        more = zmq_msg_more (&msg);
        if (i == 0)
            self->route = wrap (&msg);
        else if (i == 1)
            self->header = wrap (&msg);
        else if (self->payload_count < FRAMES_MAX)
            self->payload[self->payload_count++] = wrap (&msg);
        else {
            zmq_msg_close (&msg);
            drop_rest (socket, more);
            frames_clear (self);
            return err_set (err, ERR_PROTOCOL, "a message has more than %d payload frames", FRAMES_MAX);
        }
    }
    if (!self->header) {
        frames_clear (self);
        return err_set (err, ERR_PROTOCOL, "a message has no header frame");
    }
    if (wire_decode (buf_span (self->header), &self->msg, err) == -1) {
        frames_clear (self);
        return -1;
    }
    return 1;
}

static void release (void *data, void *hint)
{
    (void)data;
    buf_t *buf = hint;
    buf_unref (&buf);
}

static int send_bytes (void *socket, span_t bytes, int flags)
{
    return zmq_send (socket, bytes.size ? bytes.data : "", bytes.size, flags | ZMQ_DONTWAIT) == -1 ? -1 : 0;
}

static int send_buf (void *socket, buf_t *buf, int flags)
{
    if (buf_size (buf) < COPY_BELOW)
        return send_bytes (socket, buf_span (buf), flags);
    zmq_msg_t msg;
    if (zmq_msg_init_data (&msg, buf_bytes (buf), buf_size (buf), release, buf_ref (buf)) == -1)
        abort ();
    if (zmq_msg_send (&msg, socket, flags | ZMQ_DONTWAIT) == -1) {
        int errnum = errno;
        zmq_msg_close (&msg);
        errno = errnum;
        return -1;
    }
    return 0;
}

int frames_send_encoded (void *socket, const buf_t *route, span_t header, buf_t *const *payload, size_t count,
                         const char *what, err_t *err)
{
    if (route && send_bytes (socket, buf_span (route), ZMQ_SNDMORE) == -1)
        goto fail;
    if (send_bytes (socket, header, count ? ZMQ_SNDMORE : 0) == -1)
        goto fail;
    for (size_t i = 0; i < count; i++)
        if (send_buf (socket, payload[i], i + 1 < count ? ZMQ_SNDMORE : 0) == -1)
            goto fail;
    return 0;
fail:
    return err_set_errno (err, ERR_UNAVAILABLE, errno, "cannot send %s", what);
}

int frames_send (void *socket, const buf_t *route, const wire_msg_t *msg, buf_t *const *payload, size_t count,
                 err_t *err)
{
    str_t header = STR_INIT;
    wire_encode (msg, &header);
    int rc = frames_send_encoded (socket, route, str_span (&header), payload, count, wire_shape (msg->kind)->name, err);
    str_free (&header);
    return rc;
}

int frames_columns (const frames_t *self, uint8_t mask, buf_t *columns[COLUMN_COUNT], err_t *err)
{
    size_t next = 0;
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        columns[i] = NULL;
        if (mask & 1u << i) {
            if (next == self->payload_count)
                return err_set (err, ERR_PROTOCOL, "column mask %u does not fit %zu frames", mask, self->payload_count);
            columns[i] = self->payload[next++];
        }
    }
    if (mask >> COLUMN_COUNT || next != self->payload_count)
        return err_set (err, ERR_PROTOCOL, "column mask %u does not fit %zu frames", mask, self->payload_count);
    return 0;
}

void *frames_socket (void *context, int type, int linger_ms, bool unbounded, err_t *err)
{
    void *socket = zmq_socket (context, type);
    if (!socket) {
        err_set_errno (err, ERR_IO, errno, "cannot make a socket");
        return NULL;
    }
    int64_t max_bytes = MAX_MESSAGE_BYTES;
    int reconnect_ms = 20, reconnect_max_ms = 1000, no_mark = 0, one = 1;
    zmq_setsockopt (socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &max_bytes, sizeof max_bytes);
    zmq_setsockopt (socket, ZMQ_RECONNECT_IVL, &reconnect_ms, sizeof reconnect_ms);
    zmq_setsockopt (socket, ZMQ_RECONNECT_IVL_MAX, &reconnect_max_ms, sizeof reconnect_max_ms);
    if (unbounded) {
        zmq_setsockopt (socket, ZMQ_SNDHWM, &no_mark, sizeof no_mark);
        zmq_setsockopt (socket, ZMQ_RCVHWM, &no_mark, sizeof no_mark);
    }
    if (type == ZMQ_ROUTER)
        zmq_setsockopt (socket, ZMQ_ROUTER_MANDATORY, &one, sizeof one);
    return socket;
}
