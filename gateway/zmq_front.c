/*  Requests are pooled: their memory, the address they came from and their strings serve the next one. The first frames
 *  of a request, up to the delimiter, are its way back and are kept as they came.
 */
#include "gateway/zmq_front.h"
#include "base/log.h"
#include "base/loopback.h"
#include "gateway/admit.h"
#include "gateway/dispatch.h"
#include "gateway/envelope.h"
#include "gateway/upload.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/*  What clients can make us hold is bounded: requests in hand, by count and by bytes; what waits in libzmq on the way
 * in, which would read ahead a thousand messages of any size per client; and replies on the way out. */
#define IN_HAND_MAX   8192u
#define IN_HAND_BYTES (256u << 20) /* passed by one message at most */
#define PENDING_IN    16
#define PENDING_OUT   4096 /* for a client that does not read; then they are dropped */
#define MESSAGE_BYTES (64ll << 20)
#define DRAIN_MAX     256u
#define PARTS_MAX     8u
#define ROUTE_MAX     4u /* frames of the way back: routing id, REQ's correlation id, delimiter */
#define LINGER_MS     1000
#define COPY_BELOW    4096u                              /* bytes: a copy is cheaper than sharing */
#define ENVELOPE_MAX  (DISPATCH_JSON_MAX + (128u << 10)) /* a body; and path, query and headers around it */
_Static_assert(WAITS_MAX < IN_HAND_MAX, "long polls alone must not stop the front");

typedef struct zmq_request {
    request_t request; /* first: the dispatcher knows only this */
    struct zmq_request *next;
    zmq_front_t *front;
    json_t *json;
    buf_t *document; /* until it may be saved */
    size_t bytes;    /* of its frames */
    size_t route_count;
    size_t route_sizes[ROUTE_MAX];
    str_t route; /* the frames of the way back, one after the other */
} zmq_request_t;

struct zmq_front {
    gateway_t *gateway;
    void *socket;
    char endpoint[256];
    zmq_request_t *pool;
    size_t in_hand;
    size_t in_hand_bytes;
    str_t out; /* JSON frame of the reply at hand */
};

/*  --- replies --- */

static int send_part (void *socket, span_t bytes, bool more)
{
    return zmq_send (socket, bytes.size ? bytes.data : "", bytes.size, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0));
}

static void drop_buf (void *data, void *hint)
{
    buf_t *buf = hint;
    buf_unref (&buf);
}

static int send_buf (void *socket, buf_t *buf)
{
    if (buf_size (buf) < COPY_BELOW)
        return send_part (socket, buf_span (buf), false);
    zmq_msg_t msg;
    if (zmq_msg_init_data (&msg, buf_bytes (buf), buf_size (buf), drop_buf, buf_ref (buf)) == -1)
        abort ();
    int rc = zmq_msg_send (&msg, socket, ZMQ_DONTWAIT);
    if (rc == -1) {
        int errnum = errno;
        zmq_msg_close (&msg);
        errno = errnum;
    }
    return rc;
}

typedef struct {
    void *start;
    size_t size;
} mapping_t;

static void unmap (void *arg)
{
    mapping_t *mapping = arg;
    munmap (mapping->start, mapping->size);
    free (mapping);
}

/*  The file as a frame; its pages are read by the thread that sends them. NULL: it is too large for one, or gone. */
static buf_t *map_file (int fd, uint64_t bytes)
{
    if (bytes == 0)
        return buf_new (0);
    if (bytes > (uint64_t)MESSAGE_BYTES)
        return NULL;
    void *start = mmap (NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (start == MAP_FAILED)
        return NULL;
    mapping_t *mapping = malloc (sizeof *mapping);
    if (!mapping)
        abort ();
    *mapping = (mapping_t){ start, bytes };
    return buf_wrap (span (start, bytes), unmap, mapping);
}

static int send_reply (const zmq_request_t *self, const reply_t *reply, buf_t *bytes)
{
    zmq_front_t *front = self->front;
    const char *at = self->route.data;
    for (size_t i = 0; i < self->route_count; i++) {
        if (send_part (front->socket, span (at, self->route_sizes[i]), true) == -1)
            return -1;
        at += self->route_sizes[i];
    }
    str_clear (&front->out);
    envelope_write (reply, &front->out);
    if (send_part (front->socket, str_span (&front->out), bytes != NULL) == -1)
        return -1;
    return bytes ? send_buf (front->socket, bytes) : 0;
}

static void give_back (zmq_request_t *self)
{
    zmq_front_t *front = self->front;
    upload_destroy (&self->request.upload);
    json_decref (self->json);
    self->json = NULL;
    buf_unref (&self->document);
    self->next = front->pool;
    front->pool = self;
    front->in_hand--;
    front->in_hand_bytes -= self->bytes;
}

static void answer (request_t *request, const reply_t *reply)
{
    zmq_request_t *self = (zmq_request_t *)request;
    buf_t *bytes = reply->is_json ? NULL : buf_ref (reply->body);
    if (reply->fd >= 0) {
        bytes = map_file (reply->fd, reply->fd_bytes);
        close (reply->fd);
        if (!bytes) {
            request_problem (request, ERR_TOO_LARGE,
                             "The document is larger than a ZeroMQ reply may be (%lld bytes); get it over HTTP.",
                             MESSAGE_BYTES);
            return;
        }
    }
    gateway_count (request->gateway, TRANSPORT_ZMQ, reply->status);
    if (send_reply (self, reply, bytes) == -1)
        log_write (LOG_DEBUG, "reply_dropped", NULL, "a client is gone or does not read: %s", zmq_strerror (errno));
    buf_unref (&bytes);
    give_back (self);
}

/*  --- requests --- */

static zmq_request_t *take_request (zmq_front_t *front, size_t bytes)
{
    zmq_request_t *self = front->pool;
    if (self)
        front->pool = self->next;
    else {
        self = calloc (1, sizeof *self);
        if (!self)
            abort ();
        self->front = front;
        self->request.gateway = front->gateway;
        self->request.answer = answer;
    }
    request_clear (&self->request);
    str_clear (&self->route);
    self->route_count = 0;
    self->bytes = bytes;
    front->in_hand++;
    front->in_hand_bytes += bytes;
    return self;
}

static span_t part_span (zmq_msg_t *part)
{
    return span (zmq_msg_data (part), zmq_msg_size (part));
}

/*  How many of the parts are the way back: the routing id, and a delimiter, which REQ with correlation precedes by a
 *  number. A DEALER may leave out the delimiter; then an empty second frame is an empty document. */
static size_t route_length (zmq_msg_t *parts, size_t count)
{
    if (count > 1 && zmq_msg_size (&parts[1]) == 0)
        return 2;
    if (count > 3 && zmq_msg_size (&parts[2]) == 0)
        return 3;
    return 1;
}

static void drop_part (void *arg)
{
    zmq_msg_t *part = arg;
    zmq_msg_close (part);
    free (part);
}

/*  The frame as a buffer; a large one is not copied. */
static buf_t *keep_part (zmq_msg_t *part)
{
    if (zmq_msg_size (part) < COPY_BELOW)
        return buf_copy (part_span (part));
    zmq_msg_t *kept = malloc (sizeof *kept);
    if (!kept)
        abort ();
    zmq_msg_init (kept);
    zmq_msg_move (kept, part);
    return buf_wrap (part_span (kept), drop_part, kept);
}

/*  An admit's then, too: the whole document is here. */
static void take_document (request_t *request)
{
    zmq_request_t *self = (zmq_request_t *)request;
    buf_t *document = self->document;
    self->document = NULL;
    upload_whole (request, document);
    buf_unref (&document);
}

static void run (zmq_request_t *self, json_t *body, zmq_msg_t *bytes)
{
    request_t *request = &self->request;
    err_t err;
    if (request->route->body != BODY_UPLOAD) {
        if (bytes && zmq_msg_size (bytes))
            request_problem (request, ERR_MALFORMED, "This path takes no bytes in frame 2.");
        else
            dispatch_run_json (request, body);
        return;
    }
    if (!bytes) {
        request_problem (request, ERR_LENGTH_REQUIRED, "The document is missing: its bytes are frame 2.");
        return;
    }
    if (body && args_json (&request->args, request->route->fields, body, &request->options, &err) == -1) {
        request_problem_err (request, &err);
        return;
    }
    self->document = keep_part (bytes);
    uint64_t size = buf_size (self->document);
    if (size && size <= request->gateway->config.upload_max && admit_is_needed (size))
        admit_ask (request, size, take_document);
    else
        take_document (request);
}

static void take_message (zmq_front_t *front, zmq_msg_t *parts, size_t count)
{
    size_t route = route_length (parts, count);
    if (route >= count || count - route > 2) {
        log_write (LOG_WARN, "frame_dropped", NULL, "a client sent %zu frames where 1 or 2 are a request",
                   route >= count ? 0 : count - route);
        return;
    }
    size_t bytes = 0;
    for (size_t i = route; i < count; i++)
        bytes += zmq_msg_size (&parts[i]);
    zmq_request_t *self = take_request (front, bytes);
    for (size_t i = 0; i < route; i++) {
        str_add (&self->route, part_span (&parts[i]));
        self->route_sizes[self->route_count++] = zmq_msg_size (&parts[i]);
    }
    span_t text = part_span (&parts[route]);
    json_error_t error;
    json_t *body;
    err_t err;
    if (text.size > ENVELOPE_MAX) {
        request_problem (&self->request, ERR_BODY_TOO_LARGE,
                         "Frame 1 may have up to %u bytes; a document's bytes are frame 2.", ENVELOPE_MAX);
        return;
    }
    self->json = json_loadb (text.data, text.size, JSON_REJECT_DUPLICATES, &error);
    if (!self->json) {
        request_problem (&self->request, ERR_MALFORMED, "Frame 1 is no JSON: line %d, column %d.", error.line,
                         error.column);
        return;
    }
    if (envelope_read (self->json, &self->request, &body, &err) == -1) {
        request_problem_err (&self->request, &err);
        return;
    }
    if (dispatch_begin (&self->request) == 0)
        run (self, body, count - route == 2 ? &parts[route + 1] : NULL);
}

/*  True: a message was taken off the socket. */
static bool take_next (zmq_front_t *front)
{
    zmq_msg_t parts[PARTS_MAX], extra;
    size_t count = 0, excess = 0;
    bool more = true, got = false;
    while (more) {
        zmq_msg_t *part = count < PARTS_MAX ? &parts[count] : &extra;
        zmq_msg_init (part);
        if (zmq_msg_recv (part, front->socket, ZMQ_DONTWAIT) == -1) {
            zmq_msg_close (part);
            break;
        }
        got = true;
        more = zmq_msg_more (part);
        if (part == &extra) {
            excess++;
            zmq_msg_close (part);
        } else
            count++;
    }
    if (excess)
        log_write (LOG_WARN, "frame_dropped", NULL, "a client sent a message of %zu frames", count + excess);
    else if (got)
        take_message (front, parts, count);
    for (size_t i = 0; i < count; i++)
        zmq_msg_close (&parts[i]);
    return got;
}

/*  --- life --- */

zmq_front_t *zmq_front_new (gateway_t *gateway, const char *endpoint, err_t *err)
{
    zmq_front_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->gateway = gateway;
    if (loopback_endpoint ("the REQ endpoint", endpoint, err) == -1)
        goto fail;
    self->socket = frames_socket (gateway->context, ZMQ_ROUTER, LINGER_MS, false, err);
    if (!self->socket)
        goto fail;
    int in = PENDING_IN, out = PENDING_OUT;
    int64_t message_bytes = MESSAGE_BYTES;
    zmq_setsockopt (self->socket, ZMQ_RCVHWM, &in, sizeof in);
    zmq_setsockopt (self->socket, ZMQ_SNDHWM, &out, sizeof out);
    zmq_setsockopt (self->socket, ZMQ_MAXMSGSIZE, &message_bytes, sizeof message_bytes);
    size_t size = sizeof self->endpoint;
    char bound[256];
    /* libzmq knows no localhost to bind to, and takes * for any free port */
    snprintf (bound, sizeof bound, "%s", endpoint);
    if (strncmp (bound, "tcp://localhost:", 16) == 0)
        snprintf (bound, sizeof bound, "tcp://127.0.0.1:%s", endpoint + 16);
    size_t length = strlen (bound);
    if (strncmp (bound, "tcp:", 4) == 0 && length > 2 && strcmp (bound + length - 2, ":0") == 0)
        bound[length - 1] = '*';
    if (zmq_bind (self->socket, bound) == -1) {
        err_set_errno (err, errno == EINVAL ? ERR_CONFIG : ERR_IO, errno, "cannot listen on %s", endpoint);
        goto fail;
    }
    zmq_getsockopt (self->socket, ZMQ_LAST_ENDPOINT, self->endpoint, &size);
    return self;
fail:
    zmq_front_destroy (&self);
    return NULL;
}

void zmq_front_destroy (zmq_front_t **self_p)
{
    zmq_front_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    while (self->pool) {
        zmq_request_t *request = self->pool;
        self->pool = request->next;
        request_free (&request->request);
        str_free (&request->route);
        free (request);
    }
    str_free (&self->out);
    if (self->socket)
        zmq_close (self->socket);
    free (self);
}

const char *zmq_front_endpoint (const zmq_front_t *self)
{
    return self->endpoint;
}

size_t zmq_front_in_hand (const zmq_front_t *self)
{
    return self->in_hand;
}

static bool is_open (const zmq_front_t *self)
{
    return self->in_hand < IN_HAND_MAX && self->in_hand_bytes < IN_HAND_BYTES;
}

void zmq_front_item (const zmq_front_t *self, zmq_pollitem_t *item)
{
    *item = (zmq_pollitem_t){ .socket = self->socket, .events = is_open (self) ? ZMQ_POLLIN : 0 };
}

bool zmq_front_turn (zmq_front_t *self)
{
    for (unsigned i = 0; i < DRAIN_MAX; i++)
        if (!is_open (self) || !take_next (self))
            return false;
    return true;
}
