/*  myelin.c: the client object and the calls that are requests. */
#include "client/libmyelin/inside.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <zmq.h>

#define API            "/api/v1/"
#define TIMEOUT_MS     30000
#define FRAMES_ALLOWED 8

void *myelin_socket (myelin_t *self, int type, const char *address)
{
    void *socket = zmq_socket (self->context, type);
    if (!socket)
        return NULL;
    int zero = 0, reconnect_max_ms = 2000;
    zmq_setsockopt (socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt (socket, ZMQ_RECONNECT_IVL_MAX, &reconnect_max_ms, sizeof reconnect_max_ms);
    if (type == ZMQ_SUB) /* a follower must not be the one who drops events */
        zmq_setsockopt (socket, ZMQ_RCVHWM, &zero, sizeof zero);
    if (zmq_connect (socket, address) != 0) {
        int reason = errno;
        zmq_close (socket);
        errno = reason;
        return NULL;
    }
    return socket;
}

int64_t myelin_now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int myelin_poll (void *socket, int timeout_ms)
{
    int64_t deadline = myelin_now_ms () + timeout_ms;
    for (;;) {
        int64_t left = timeout_ms < 0 ? -1 : deadline - myelin_now_ms ();
        zmq_pollitem_t item = { socket, 0, ZMQ_POLLIN, 0 };
        int ready = zmq_poll (&item, 1, timeout_ms >= 0 && left < 0 ? 0 : (long)left);
        if (ready >= 0 || errno != EINTR)
            return ready;
    }
}

myelin_t *myelin_new (const char *req, const char *pub)
{
    myelin_t *self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    self->timeout_ms = TIMEOUT_MS;
    self->context = zmq_ctx_new ();
    self->req_address = strdup (req);
    self->pub_address = pub ? strdup (pub) : NULL;
    if (self->context && self->req_address && (self->pub_address || !pub))
        self->req = myelin_socket (self, ZMQ_DEALER, req);
    if (!self->req) {
        int reason = errno;
        myelin_destroy (&self);
        errno = reason;
    }
    return self;
}

void myelin_destroy (myelin_t **self_p)
{
    myelin_t *self = *self_p;
    if (!self)
        return;
    if (self->req)
        zmq_close (self->req);
    if (self->sub)
        zmq_close (self->sub);
    if (self->context)
        zmq_ctx_term (self->context);
    free (self->req_address);
    free (self->pub_address);
    free (self->token);
    free (self);
    *self_p = NULL;
}

void myelin_set_token (myelin_t *self, const char *token)
{
    free (self->token);
    self->token = token ? strdup (token) : NULL;
}

void myelin_set_timeout (myelin_t *self, int timeout_ms)
{
    self->timeout_ms = timeout_ms;
}

int myelin_status (const myelin_t *self)
{
    return self->status;
}

const char *myelin_error (const myelin_t *self)
{
    return self->error;
}

int myelin_fail (myelin_t *self, int status, const char *format, ...)
{
    self->status = status;
    va_list args;
    va_start (args, format);
    vsnprintf (self->error, sizeof self->error, format, args);
    va_end (args);
    return -1;
}

/*  Frame by frame, the first empty as REQ sends it. 0 or -1. */
static int send_request (myelin_t *self, const json_t *request, const void *bytes, size_t size)
{
    char *text = json_dumps (request, JSON_COMPACT);
    if (!text)
        return myelin_fail (self, 0, "a text of the request is not UTF-8");
    if (!self->req)
        self->req = myelin_socket (self, ZMQ_DEALER, self->req_address);
    int rc = -1;
    if (!self->req || zmq_send (self->req, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_send (self->req, text, strlen (text), bytes ? ZMQ_SNDMORE : 0) < 0 ||
        (bytes && zmq_send (self->req, bytes, size, 0) < 0))
        myelin_fail (self, 0, "cannot send to %s: %s", self->req_address, zmq_strerror (errno));
    else
        rc = 0;
    free (text);
    return rc;
}

/*  The next reply's first frame that is not empty, as JSON; NULL when it has none. */
static json_t *recv_reply (void *socket)
{
    json_t *reply = NULL;
    int more = 1;
    for (int frames = 0; more; frames++) {
        zmq_msg_t frame;
        zmq_msg_init (&frame);
        if (zmq_msg_recv (&frame, socket, 0) < 0) {
            zmq_msg_close (&frame);
            break;
        }
        if (!reply && frames < FRAMES_ALLOWED && zmq_msg_size (&frame))
            reply = json_loadb (zmq_msg_data (&frame), zmq_msg_size (&frame), 0, NULL);
        more = zmq_msg_more (&frame);
        zmq_msg_close (&frame);
    }
    return reply;
}

/*  Judges a reply: its body to *body, or its problem to the object's error. */
static int judge (myelin_t *self, json_t *reply, json_t **body)
{
    int status = (int)json_integer_value (json_object_get (reply, "status"));
    json_t *content = json_object_get (reply, "body");
    if (status >= 400) {
        const char *detail = json_string_value (json_object_get (content, "detail"));
        return myelin_fail (self, status, "%s", detail ? detail : "the server refused the request");
    }
    if (status < 200)
        return myelin_fail (self, 0, "the answer of %s is none of Myelin's", self->req_address);
    *body = json_incref (content);
    return 0;
}

int myelin_request (myelin_t *self, const char *method, const char *path, json_t *query, json_t *headers,
                    const void *bytes, size_t size, json_t **body)
{
    int rc = -1;
    *body = NULL;
    json_t *reply = NULL;
    char full[256];
    snprintf (full, sizeof full, API "%s", path);
    json_t *request = json_pack ("{s:s, s:s}", "method", method, "path", full);
    if (query)
        json_object_set_new (request, "query", query);
    if (headers)
        json_object_set_new (request, "headers", headers);
    if (self->token)
        json_object_set_new (request, "token", json_string (self->token));
    if (send_request (self, request, bytes, size))
        goto out;
    if (myelin_poll (self->req, self->timeout_ms) <= 0) {
        myelin_fail (self, 0, "no answer from %s in %d ms", self->req_address, self->timeout_ms);
        /* The answer may still come, and would be taken for that of the next request. */
        zmq_close (self->req);
        self->req = NULL;
        goto out;
    }
    reply = recv_reply (self->req);
    rc = judge (self, reply, body);
out:
    json_decref (reply);
    json_decref (request);
    return rc;
}

/*  The gateway closes the connection on a larger frame: no answer would come. */
static int check_size (myelin_t *self, const char *name, size_t size)
{
    if (size <= MYELIN_DOCUMENT_MAX)
        return 0;
    return myelin_fail (self, 0,
                        "'%.256s' has %zu bytes, and a document over ZeroMQ has at most %zu; hand it in over HTTP, as "
                        "`myelin submit` does",
                        name, size, MYELIN_DOCUMENT_MAX);
}

int myelin_submit (myelin_t *self, const char *name, const void *bytes, size_t size, int priority, myelin_task_t *task)
{
    if (check_size (self, name, size))
        return -1;
    json_t *query = json_object (), *body = NULL;
    if (priority) {
        char text[16];
        snprintf (text, sizeof text, "%d", priority);
        json_object_set_new (query, "priority", json_string (text));
    }
    json_t *headers = json_pack ("{s:s}", "Content-Type", "application/octet-stream");
    /* The header is percent-encoded as in HTTP. */
    char *encoded = malloc (3 * strlen (name) + 1);
    if (!encoded) {
        json_decref (query);
        json_decref (headers);
        return myelin_fail (self, 0, "out of memory");
    }
    char *end = encoded;
    for (const unsigned char *p = (const unsigned char *)name; *p; p++)
        if (*p > 0x20 && *p < 0x7f && *p != '%')
            *end++ = (char)*p;
        else
            end += sprintf (end, "%%%02X", *p);
    *end = 0;
    json_object_set_new (headers, "X-Filename", json_string (encoded));
    free (encoded);

    int rc = myelin_request (self, "POST", "documents/", query, headers, bytes ? bytes : "", size, &body);
    if (rc == 0)
        myelin_read_task (json_object_get (body, "task"), task);
    json_decref (body);
    return rc;
}

int myelin_submit_file (myelin_t *self, const char *path, int priority, myelin_task_t *task)
{
    struct stat about;
    FILE *file = fopen (path, "rbe");
    if (!file || fstat (fileno (file), &about) != 0 || !S_ISREG (about.st_mode)) {
        myelin_fail (self, 0, "cannot read '%s': %s", path, file ? "it is no file" : strerror (errno));
        if (file)
            fclose (file);
        return -1;
    }
    int rc = -1;
    size_t size = (size_t)about.st_size;
    const char *slash = strrchr (path, '/');
    if (check_size (self, path, size)) {
        fclose (file);
        return -1;
    }
    char *bytes = malloc (size + 1);
    if (!bytes)
        myelin_fail (self, 0, "out of memory");
    else if (fread (bytes, 1, size, file) != size)
        myelin_fail (self, 0, "cannot read '%s'", path);
    else
        rc = myelin_submit (self, slash ? slash + 1 : path, bytes, size, priority, task);
    free (bytes);
    fclose (file);
    return rc;
}

int myelin_task (myelin_t *self, const char *id, myelin_task_t *task)
{
    char path[128];
    size_t size = strspn (id, "0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
    if (size == 0 || id[size] || size >= MYELIN_ID_SIZE) /* it would be another path */
        return myelin_fail (self, 404, "'%.60s' is no id of a task", id);
    snprintf (path, sizeof path, "document-processing/tasks/%s", id);
    json_t *body = NULL;
    int rc = myelin_request (self, "GET", path, NULL, NULL, NULL, 0, &body);
    if (rc == 0)
        myelin_read_task (body, task);
    json_decref (body);
    return rc;
}

int myelin_search (myelin_t *self, const char *text, int limit, myelin_hit_fn *on_hit, void *arg)
{
    char number[16];
    snprintf (number, sizeof number, "%d", limit);
    json_t *query = json_pack ("{s:s, s:s}", "q", text, "limit", number);
    if (!query)
        return myelin_fail (self, 0, "the query is not UTF-8");
    json_t *body = NULL;
    if (myelin_request (self, "GET", "search", query, NULL, NULL, 0, &body))
        return -1;
    json_t *hits = json_object_get (body, "hits"), *json;
    size_t index;
    json_array_foreach (hits, index, json)
    {
        myelin_hit_t hit;
        myelin_read_hit (json, &hit);
        on_hit (arg, &hit);
    }
    int count = (int)json_array_size (hits);
    json_decref (body);
    return count;
}
