/*  libmicrohttpd calls the handler for each request: once with the headers, then with pieces of the body, then with
 * none left. An exchange_t carries a request through that. When the answer has to come from elsewhere the connection is
 *  suspended, and resumed by the answer; the handler is then called once more and queues it.
 */
#include "gateway/http.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "gateway/admit.h"
#include "gateway/http_body.h"
#include "gateway/http_conns.h"
#include "gateway/http_guard.h"
#include "gateway/http_listen.h"
#include "gateway/http_reply.h"
#include "gateway/linger.h"
#include "gateway/streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS      8192u
#define SPARE_FILES      128u   /* descriptors for documents, peers and ZeroMQ clients */
#define CONNECTION_BYTES 65536u /* for headers and a block of the body */

typedef struct exchange {
    request_t request; /* first: the dispatcher knows only this */
    struct exchange *next, **link;
    http_t *http;
    struct MHD_Connection *connection;
    http_conn_t *conn;
    bool is_head;
    bool begun;  /* the headers were seen */
    bool asking; /* whether the body may come */
    bool told;   /* that it may; the daemon has not heard of it yet */
    bool given;  /* the dispatcher has it */
    bool suspended;
    bool refused; /* in the middle of its body; nothing more is read */
    err_t err;    /* of the target; code ERR_NONE: none */
    http_guard_t guard;
    http_body_t body;
    struct MHD_Response *response; /* the answer, once it is there */
    int status;
} exchange_t;

struct http {
    gateway_t *gateway;
    http_listen_t listen;
    struct MHD_Daemon *daemon;
    int epoll_fd;
    streams_t *streams;
    linger_set_t *lingering;
    http_conns_t conns;
    exchange_t *exchanges;
    size_t in_hand; /* exchanges that were begun and are not answered to the last byte */
    bool resumed;   /* the daemon has something to do at once */
    bool draining;
};

/*  --- answers --- */

static enum MHD_Result queue (exchange_t *self)
{
    if (self->http->draining)
        MHD_add_response_header (self->response, "Connection", "close");
    enum MHD_Result result = MHD_queue_response (self->connection, (unsigned)self->status, self->response);
    MHD_destroy_response (self->response);
    self->response = NULL;
    return result;
}

static void suspend (exchange_t *self)
{
    self->suspended = true;
    MHD_suspend_connection (self->connection);
}

static void resume (exchange_t *self)
{
    if (!self->suspended)
        return;
    self->suspended = false;
    self->http->resumed = true;
    MHD_resume_connection (self->connection);
}

static void set_response (exchange_t *self, struct MHD_Response *response, int status)
{
    self->response = response;
    self->status = status;
    gateway_count (self->request.gateway, TRANSPORT_HTTP, status);
    resume (self);
}

static void answer (request_t *request, const reply_t *reply)
{
    exchange_t *self = (exchange_t *)request;
    set_response (self, http_reply_response (reply), reply->status);
}

static void stream (request_t *request)
{
    exchange_t *self = (exchange_t *)request;
    struct MHD_Response *response =
        self->is_head ? streams_head ()
                      : streams_open (self->http->streams, self->connection, args_id (&request->args, ARG_TASK),
                                      request->headers[HEADER_LAST_EVENT_ID]);
    http_reply_header (response, "X-Request-Id", request->headers[HEADER_REQUEST_ID]);
    set_response (self, response, 200);
}

/*  The disk has caught up: the body goes on. */
static void more (request_t *request)
{
    exchange_t *self = (exchange_t *)request;
    if (!self->suspended)
        return;
    http_conn_body (self->conn, clock_mono_ms ());
    resume (self);
}

/*  --- requests --- */

static void take_headers (exchange_t *self)
{
    static const char *const names[HEADER_COUNT] = {
#define HEADER_NAME(sym, name) name,
        REQUEST_HEADERS (HEADER_NAME)
#undef HEADER_NAME
    };
    for (int i = 0; i < HEADER_COUNT; i++) {
        const char *value = NULL;
        size_t size = 0;
        if (MHD_lookup_connection_value_n (self->connection, MHD_HEADER_KIND, names[i], strlen (names[i]), &value,
                                           &size) == MHD_YES)
            self->request.headers[i] = span (value, size);
    }
}

/*  -1: it was answered. */
static int check (exchange_t *self, const char *method)
{
    request_t *request = &self->request;
    const http_guard_t *guard = &self->guard;
    err_t err;
    take_headers (self);
    if (self->err.code != ERR_NONE || http_guard_check (&self->guard, self->connection, &self->err) == -1) {
        request_problem_err (request, &self->err);
        return -1;
    }
    request->method = method_parse (span_str (method));
    if (dispatch_begin (request) == -1)
        return -1;
    if (guard->has_length && guard->length > http_body_max (request)) {
        request_problem (request, ERR_BODY_TOO_LARGE, "This path takes bodies of up to %llu bytes.",
                         (unsigned long long)http_body_max (request));
        return -1;
    }
    if (request->route->body == BODY_UPLOAD && !guard->has_length && !guard->is_chunked) {
        request_problem (request, ERR_LENGTH_REQUIRED, "A document needs a Content-Length, or chunked encoding.");
        return -1;
    }
    if (http_body_start (&self->body, request, &err) == -1) {
        request_problem_err (request, &err);
        return -1;
    }
    return 0;
}

/*  Answers before the body. What follows of this request is not read, and after broken framing nobody knows where the
 *  next one begins. */
static enum MHD_Result turn_away (exchange_t *self)
{
    http_conn_answer (self->conn);
    if (!self->guard.is_chunked && !self->guard.length && self->err.code == ERR_NONE)
        return MHD_YES; /* the next call queues the answer, and the connection lives on */
    MHD_add_response_header (self->response, "Connection", "close");
    linger_add (self->http->lingering, self->conn->fd, clock_mono_ms ());
    return queue (self);
}

/*  An admit's then. Whatever comes of the question, libmicrohttpd calls the handler once more as if for the first time.
 */
static void may_come (request_t *request)
{
    exchange_t *self = (exchange_t *)request;
    self->asking = false;
    self->told = true;
    http_conn_body (self->conn, clock_mono_ms ());
    resume (self);
}

/*  True: the broker is asked before the body is read. */
static bool ask_first (exchange_t *self)
{
    const http_guard_t *guard = &self->guard;
    uint64_t bytes = http_body_least (&self->request, guard->length);
    if (self->request.route->body != BODY_UPLOAD || !(guard->is_chunked || admit_is_needed (guard->length)))
        return false;
    self->asking = true;
    http_conn_answer (self->conn);
    admit_ask (&self->request, guard->is_chunked ? 0 : bytes, may_come);
    suspend (self);
    return true;
}

static enum MHD_Result begin (exchange_t *self, const char *method)
{
    self->begun = true;
    self->http->in_hand++;
    self->is_head = strcmp (method, "HEAD") == 0;
    if (check (self, method) == -1)
        return turn_away (self);
    if (!ask_first (self))
        http_conn_body (self->conn, clock_mono_ms ());
    return MHD_YES;
}

/*  libmicrohttpd takes no answer in the middle of a body. To wait for an end that may never come would be to read what
 *  was refused: so the answer is written past it, and the connection closed. */
static enum MHD_Result refuse (exchange_t *self, const err_t *err)
{
    str_t text = STR_INIT;
    http_reply_refusal (&text, err, self->request.headers[HEADER_REQUEST_ID]);
    ssize_t sent = send (self->conn->fd, text.data, text.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)sent; /* a client that takes nothing gets nothing */
    linger_add (self->http->lingering, self->conn->fd, clock_mono_ms ());
    self->refused = true;
    str_free (&text);
    return MHD_NO;
}

static enum MHD_Result end (exchange_t *self)
{
    self->given = true;
    http_conn_answer (self->conn);
    http_body_end (&self->body);
    if (self->response)
        return queue (self);
    suspend (self);
    return MHD_YES;
}

static enum MHD_Result handle (void *arg, struct MHD_Connection *connection, const char *url, const char *method,
                               const char *version, const char *data, size_t *size, void **exchange_p)
{
    exchange_t *self = *exchange_p;
    err_t err;
    if (!self->begun)
        return begin (self, method);
    if (self->asking)
        return self->response ? turn_away (self) : MHD_YES;
    if (self->told) {
        self->told = false;
        return MHD_YES;
    }
    if (self->response)
        return queue (self);
    if (self->refused)
        return MHD_NO;
    if (self->given)
        return MHD_YES;
    if (!*size)
        return end (self);
    if (http_body_is_full (&self->body)) {
        http_conn_pause (self->conn);
        suspend (self);
        return MHD_YES;
    }
    http_conn_got (self->conn, *size);
    if (http_body_add (&self->body, span (data, *size), &err) == -1)
        return refuse (self, &err);
    *size = 0;
    return MHD_YES;
}

/*  The request line has been read: the first that is known of a request, and the raw form of its target. */
static void *start (void *arg, const char *target, struct MHD_Connection *connection)
{
    http_t *http = arg;
    exchange_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->http = http;
    self->next = http->exchanges;
    self->link = &http->exchanges;
    if (self->next)
        self->next->link = &self->next;
    http->exchanges = self;
    self->connection = connection;
    self->conn = MHD_get_connection_info (connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    http_conn_headers (self->conn, clock_mono_ms ());
    self->request.gateway = http->gateway;
    self->request.answer = answer;
    self->request.stream = stream;
    self->request.more = more;
    self->request.takes_forms = true;
    if (strpbrk (target, " \t"))
        err_set (&self->err, ERR_MALFORMED, "the request line has a blank too many: in a path it is written %%20");
    else
        request_target (&self->request, span_str (target), &self->err);
    return self;
}

static void completed (void *arg, struct MHD_Connection *connection, void **exchange_p,
                       enum MHD_RequestTerminationCode code)
{
    exchange_t *self = *exchange_p;
    *exchange_p = NULL;
    if (!self)
        return;
    http_conn_between (self->conn, clock_mono_ms ());
    *self->link = self->next;
    if (self->next)
        self->next->link = self->link;
    if (self->begun)
        self->http->in_hand--;
    if (self->response)
        MHD_destroy_response (self->response);
    http_body_free (&self->body);
    request_free (&self->request);
    free (self);
}

/*  --- connections --- */

static void connection_changed (void *arg, struct MHD_Connection *connection, void **conn_p,
                                enum MHD_ConnectionNotificationCode code)
{
    http_t *http = arg;
    http_conn_t *self = *conn_p;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        int fd = MHD_get_connection_info (connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        *conn_p = http_conn_new (&http->conns, fd, clock_mono_ms ());
        return;
    }
    http_conn_destroy (&self);
    *conn_p = NULL;
    http->resumed = true; /* a daemon that was at its limit listens again in its next run */
}

static void log_line (void *arg, const char *format, va_list args)
{
    char text[512];
    vsnprintf (text, sizeof text, format, args);
    log_write (LOG_DEBUG, "libmicrohttpd", NULL, "%s", text);
}

/*  --- life --- */

/*  How many connections there may be: as many descriptors as we can get, but for those that serving them takes. With
 *  all of them taken no document could be opened, and libmicrohttpd would hear nobody until a connection ends. */
static unsigned allow_connections (void)
{
    unsigned long files = files_allow_all ();
    unsigned long most = files > 2 * SPARE_FILES ? files - SPARE_FILES : files / 2;
    return files && most < CONNECTIONS ? (unsigned)most : CONNECTIONS;
}

http_t *http_new (gateway_t *gateway, const char *address, err_t *err)
{
    http_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->gateway = gateway;
    self->listen.fd = -1;
    unsigned connections = allow_connections ();
    if (http_listen (&self->listen, address, err) == -1)
        goto fail;
    self->streams = streams_new (gateway->feed);
    self->lingering = linger_new ();
    if (!self->lingering) {
        err_set (err, ERR_IO, "cannot make a poll set");
        goto fail;
    }
    self->daemon = MHD_start_daemon (
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, handle, self,
        MHD_OPTION_LISTEN_SOCKET, self->listen.fd, MHD_OPTION_CONNECTION_LIMIT, connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE_S,
        MHD_OPTION_NOTIFY_COMPLETED, completed, self, MHD_OPTION_NOTIFY_CONNECTION, connection_changed, self,
        MHD_OPTION_URI_LOG_CALLBACK, start, self, MHD_OPTION_EXTERNAL_LOGGER, log_line, NULL,
        MHD_OPTION_STRICT_FOR_CLIENT, 0 /* the guard is, with better answers */, MHD_OPTION_END);
    if (!self->daemon) {
        err_set (err, ERR_IO, "cannot start the HTTP server");
        goto fail;
    }
    self->listen.fd = -1; /* it is the daemon's now */
    self->epoll_fd = MHD_get_daemon_info (self->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    return self;
fail:
    http_destroy (&self);
    return NULL;
}

void http_destroy (http_t **self_p)
{
    http_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    if (self->daemon) {
        /* What is still open was given up; a daemon must not be stopped while a connection is suspended. */
        streams_abandon (self->streams);
        for (exchange_t *exchange = self->exchanges; exchange; exchange = exchange->next)
            if (exchange->suspended)
                MHD_resume_connection (exchange->connection);
        MHD_stop_daemon (self->daemon);
    }
    if (self->listen.fd != -1)
        close (self->listen.fd);
    linger_destroy (&self->lingering);
    streams_destroy (&self->streams);
    free (self);
}

const char *http_url (const http_t *self)
{
    return self->listen.url;
}

void http_drain (http_t *self)
{
    self->draining = true;
    self->resumed = true;
    streams_end (self->streams);
    MHD_socket fd = MHD_quiesce_daemon (self->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close (fd);
}

void http_give_up (http_t *self)
{
    err_t err;
    err_set (&err, ERR_DRAINING, "the gateway stops and does not wait for the rest of the body");
    for (exchange_t *exchange = self->exchanges; exchange; exchange = exchange->next)
        if (exchange->begun && !exchange->asking && !exchange->given && !exchange->refused && !exchange->response) {
            refuse (exchange, &err);
            resume (exchange); /* and it is closed with what comes next */
        }
}

size_t http_in_hand (const http_t *self)
{
    return self->in_hand + linger_count (self->lingering);
}

void http_items (const http_t *self, zmq_pollitem_t items[HTTP_ITEMS])
{
    items[0] = (zmq_pollitem_t){ .fd = self->epoll_fd, .events = ZMQ_POLLIN };
    items[1] = (zmq_pollitem_t){ .fd = linger_fd (self->lingering), .events = ZMQ_POLLIN };
}

/*  The daemon's own wish: 0 when it has work left over. */
static uint64_t daemon_deadline (const http_t *self, uint64_t now_ms)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;
    return MHD_get_timeout (self->daemon, &wait_ms) == MHD_YES ? now_ms + wait_ms : UINT64_MAX;
}

void http_turn (http_t *self, const zmq_pollitem_t items[HTTP_ITEMS], uint64_t now_ms)
{
    http_conns_turn (&self->conns, now_ms);
    self->resumed |= streams_turn (self->streams, now_ms);
    if (self->resumed || items[0].revents || daemon_deadline (self, now_ms) <= now_ms) {
        self->resumed = false;
        MHD_run (self->daemon);
    }
    linger_turn (self->lingering, now_ms);
}

uint64_t http_deadline (const http_t *self, uint64_t now_ms)
{
    uint64_t times[] = { self->resumed ? now_ms : UINT64_MAX, http_conns_deadline (&self->conns),
                         daemon_deadline (self, now_ms), streams_deadline (self->streams),
                         linger_deadline (self->lingering) };
    uint64_t soonest = UINT64_MAX;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        if (times[i] < soonest)
            soonest = times[i];
    return soonest;
}
