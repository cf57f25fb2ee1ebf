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

/*  What clients can make us hold is bounded. libzmq counts messages, not bytes: what waits in it could be sixteen of
 * any size for each client. So whatever has come is taken off at once: what is more than may be in hand is parked, and
 * when all of it together has too many bytes, what comes then is answered with that, and dropped. In libzmq there is
 * only what came since the last turn. Small requests always pass: who cancels something must not wait for who uploads.
 */
#define IN_HAND_MAX   8192u
#define HELD_BYTES    (256u << 20) /* in hand and parked; passed by one message at most, and by small ones */
#define SMALL_BYTES   4096u
#define PENDING_IN    16
#define PENDING_OUT   4096 /* for a client that does not read; then they are dropped */
#define MESSAGE_BYTES (64ll << 20)
#define FRAME_BYTES                                                                                                    \
    (128ll << 20) /* up to here one that is too large is answered; beyond, libzmq cuts the client off                  \
                   */
#define DRAIN_MAX    256u
#define PARTS_MAX    8u
#define ROUTE_MAX    4u /* frames of the way back: routing id, REQ's correlation id, delimiter */
#define LINGER_MS    1000
#define COPY_BELOW   4096u                              /* bytes: a copy is cheaper than sharing */
#define ENVELOPE_MAX (DISPATCH_JSON_MAX + (128u << 10)) /* a body; and path, query and headers around it */
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

/*  What has come and is not looked at yet. */
typedef struct message {
    struct message *next;
    zmq_msg_t parts[PARTS_MAX];
    size_t count, excess; /* frames; those that were dropped */
    size_t bytes;
} message_t;

struct zmq_front {
    gateway_t *gateway;
    void *socket;
    char endpoint[256];
    zmq_request_t *pool;
    message_t *parked, **parked_end;
    size_t in_hand;
    size_t held_bytes;
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
    front->held_bytes -= self->bytes;
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
        char hash[HASH_TEXT];
        hash_text (hash_of (buf_span (bytes)), hash);
        if (strcmp (hash, reply->fd_hash) != 0) {
            log_write (LOG_ERROR, "file.damaged", NULL, "the file %s is not what was uploaded: its hash is %s",
                       reply->fd_hash, hash);
            buf_unref (&bytes);
            request_problem (request, ERR_CORRUPT, "The document's bytes are damaged on the disk.");
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

/*  What is wrong with the frames, before any of them is looked into. */
static int check_frames (const message_t *message, size_t route, err_t *err)
{
    size_t count = message->count + message->excess;
    if (route >= count)
        return err_set (err, ERR_MALFORMED, "frame 1 is missing: the request as JSON");
    if (count - route > 2)
        return err_set (err, ERR_MALFORMED, "a request has 1 or 2 frames, the JSON and a document's bytes, not %zu",
                        count - route);
    if (zmq_msg_size (&message->parts[route]) > ENVELOPE_MAX)
        return err_set (err, ERR_BODY_TOO_LARGE, "frame 1 may have up to %u bytes; a document's bytes are frame 2",
                        ENVELOPE_MAX);
    if (count - route == 2 && zmq_msg_size (&message->parts[route + 1]) > (size_t)MESSAGE_BYTES)
        return err_set (err, ERR_BODY_TOO_LARGE, "frame 2 may have up to %lld bytes; send larger documents over HTTP",
                        MESSAGE_BYTES);
    return 0;
}

static void take_message (zmq_front_t *front, message_t *message, bool is_welcome)
{
    zmq_msg_t *parts = message->parts;
    size_t route = route_length (parts, message->count);
    zmq_request_t *self = take_request (front, message->bytes);
    for (size_t i = 0; i < route; i++) {
        str_add (&self->route, part_span (&parts[i]));
        self->route_sizes[self->route_count++] = zmq_msg_size (&parts[i]);
    }
    json_error_t error;
    json_t *body;
    err_t err;
    if (!is_welcome) {
        request_problem (&self->request, ERR_NO_MEMORY, "requests of %u MiB are under way: send it again in a moment",
                         HELD_BYTES >> 20);
        return;
    }
    if (check_frames (message, route, &err) == -1) {
        request_problem_err (&self->request, &err);
        return;
    }
    span_t text = part_span (&parts[route]);
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
        run (self, body, message->count - route == 2 ? &parts[route + 1] : NULL);
}

/*  False: there is none. */
static bool receive (void *socket, message_t *message)
{
    message->count = message->excess = message->bytes = 0;
    for (bool more = true; more;) {
        zmq_msg_t extra, *part = message->count < PARTS_MAX ? &message->parts[message->count] : &extra;
        zmq_msg_init (part);
        if (zmq_msg_recv (part, socket, ZMQ_DONTWAIT) == -1) {
            zmq_msg_close (part);
            break;
        }
        more = zmq_msg_more (part);
        if (part == &extra) {
            message->excess++;
            zmq_msg_close (part);
            continue;
        }
        message->count++;
        message->bytes += zmq_msg_size (part);
    }
    return message->count > 0;
}

static void close_parts (message_t *message)
{
    for (size_t i = 0; i < message->count; i++)
        zmq_msg_close (&message->parts[i]);
}

static void park (zmq_front_t *front, message_t *message)
{
    message_t *parked = malloc (sizeof *parked);
    if (!parked)
        abort ();
    *parked = *message;
    parked->next = NULL;
    for (size_t i = 0; i < message->count; i++) {
        zmq_msg_init (&parked->parts[i]);
        zmq_msg_move (&parked->parts[i], &message->parts[i]);
    }
    *front->parked_end = parked;
    front->parked_end = &parked->next;
}

/*  Takes the oldest of those that are parked off the list. */
static message_t *unpark (zmq_front_t *front)
{
    message_t *message = front->parked;
    front->parked = message->next;
    if (!front->parked)
        front->parked_end = &front->parked;
    return message;
}

static void drop_parked (message_t *message)
{
    close_parts (message);
    free (message);
}

/*  True: a message was taken off the socket. */
static bool take_next (zmq_front_t *front)
{
    message_t message;
    if (!receive (front->socket, &message))
        return false;
    bool has_turn = !front->parked && front->in_hand < IN_HAND_MAX;
    bool is_welcome = front->held_bytes < HELD_BYTES || (has_turn && message.bytes <= SMALL_BYTES);
    message.bytes += has_turn ? 0 : sizeof message; /* small ones that are parked are not for nothing */
    front->held_bytes += message.bytes;
    if (is_welcome && !has_turn)
        park (front, &message);
    else
        take_message (front, &message, is_welcome);
    close_parts (&message);
    return true;
}

/*  --- life --- */

zmq_front_t *zmq_front_new (gateway_t *gateway, const char *endpoint, err_t *err)
{
    zmq_front_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->gateway = gateway;
    self->parked_end = &self->parked;
    if (loopback_endpoint ("the REQ endpoint", endpoint, err) == -1)
        goto fail;
    self->socket = frames_socket (gateway->context, ZMQ_ROUTER, LINGER_MS, false, err);
    if (!self->socket)
        goto fail;
    int in = PENDING_IN, out = PENDING_OUT;
    int64_t frame_bytes = FRAME_BYTES;
    zmq_setsockopt (self->socket, ZMQ_RCVHWM, &in, sizeof in);
    zmq_setsockopt (self->socket, ZMQ_SNDHWM, &out, sizeof out);
    zmq_setsockopt (self->socket, ZMQ_MAXMSGSIZE, &frame_bytes, sizeof frame_bytes);
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
    while (self->parked)
        drop_parked (unpark (self));
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

void zmq_front_item (const zmq_front_t *self, zmq_pollitem_t *item)
{
    *item = (zmq_pollitem_t){ .socket = self->socket, .events = ZMQ_POLLIN };
}

bool zmq_front_has_work (const zmq_front_t *self)
{
    return self->parked && self->in_hand < IN_HAND_MAX;
}

bool zmq_front_turn (zmq_front_t *self)
{
    while (zmq_front_has_work (self)) {
        message_t *message = unpark (self);
        take_message (self, message, true);
        drop_parked (message);
    }
    for (unsigned i = 0; i < DRAIN_MAX; i++)
        if (!take_next (self))
            return false;
    return true;
}
