#include "client/rest.h"
#include "base/clock.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#define CONNECT_SECONDS 5L
#define CALL_SECONDS    90L   /* longer than any answer is held back (60) */
#define STREAM_MS       45000 /* three heartbeats */
#define REPLY_MAX       (64u << 20)
#define EVENT_MAX       (1u << 20)

struct rest {
    CURL *call;   /* for calls, kept open between them */
    CURL *stream; /* a stream runs while calls are made */
    str_t base;   /* "http://host:port/api/v1/" */
    str_t authorization;
};

rest_t *rest_new (const options_t *options, err_t *err)
{
    const char *server = options_text (options, "server");
    const char *token = options_text (options, "token");
    if (strncmp (server, "http://", 7) != 0 && strncmp (server, "https://", 8) != 0) {
        err_set (err, ERR_CONFIG, "--server takes a URL such as http://127.0.0.1:8750, not '%s'", server);
        return NULL;
    }
    curl_global_init (CURL_GLOBAL_DEFAULT);
    rest_t *self = calloc (1, sizeof *self);
    assert (self);
    self->call = curl_easy_init ();
    self->stream = curl_easy_init ();
    assert (self->call && self->stream);
    size_t size = strlen (server);
    while (size && server[size - 1] == '/')
        size--;
    str_format (&self->base, "%.*s/api/v1/", (int)size, server);
    if (token && *token)
        str_format (&self->authorization, "Authorization: Bearer %s", token);
    return self;
}

void rest_destroy (rest_t **self_p)
{
    rest_t *self = *self_p;
    if (!self)
        return;
    curl_easy_cleanup (self->call);
    curl_easy_cleanup (self->stream);
    str_free (&self->base);
    str_free (&self->authorization);
    free (self);
    *self_p = NULL;
    curl_global_cleanup ();
}

void rest_escape (str_t *out, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr ("-._~", *p))
            str_char (out, (char)*p);
        else
            str_format (out, "%%%02X", *p);
}

static size_t on_reply (char *bytes, size_t one, size_t size, void *arg)
{
    str_t *reply = arg;
    if (reply->size + size > REPLY_MAX)
        return 0;
    str_add (reply, span (bytes, size));
    return size;
}

/*  What every transfer has. The caller frees the URL string and the header list. */
static struct curl_slist *prepare (rest_t *self, CURL *curl, const char *path, str_t *url)
{
    curl_easy_reset (curl);
    str_format (url, "%s%s", self->base.data, path);
    curl_easy_setopt (curl, CURLOPT_URL, url->data);
    curl_easy_setopt (curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt (curl, CURLOPT_NOPROXY, "127.0.0.1,localhost,::1");
    curl_easy_setopt (curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt (curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt (curl, CURLOPT_USERAGENT, "myelin/" MYELIN_VERSION);
    return self->authorization.size ? curl_slist_append (NULL, self->authorization.data) : NULL;
}

/*  The server's problem as an error; what is no problem of ours is not our server. */
static int refused (long status, const json_t *problem, err_t *err)
{
    const char *code = json_string_value (json_object_get (problem, "code"));
    const char *detail = json_string_value (json_object_get (problem, "detail"));
    const char *title = json_string_value (json_object_get (problem, "title"));
    if (!code)
        return err_set (err, status == 404 ? ERR_NOT_FOUND : ERR_PROTOCOL,
                        "the server answered with status %ld and no reason; is it a Myelin server?", status);
    return err_set (err, err_code (code), "%s", detail ? detail : title ? title : code);
}

static int unreachable (CURLcode result, const rest_t *self, err_t *err)
{
    return err_set (err, ERR_UNAVAILABLE, "cannot reach the server at %.*s: %s",
                    (int)(self->base.size - strlen ("/api/v1/")), self->base.data, curl_easy_strerror (result));
}

bool rest_is_away (const err_t *err)
{
    return err->code == ERR_UNAVAILABLE || err->code == ERR_DRAINING;
}

/*  Runs self->call as it was set up, and judges the answer. */
static int perform (rest_t *self, json_t **reply, err_t *err)
{
    *reply = NULL;
    str_t text = STR_INIT;
    curl_easy_setopt (self->call, CURLOPT_WRITEFUNCTION, on_reply);
    curl_easy_setopt (self->call, CURLOPT_WRITEDATA, &text);
    CURLcode result = curl_easy_perform (self->call);
    long status = 0;
    curl_easy_getinfo (self->call, CURLINFO_RESPONSE_CODE, &status);
    int rc = -1;
    json_error_t where;
    json_t *json = text.size ? json_loadb (text.data, text.size, 0, &where) : NULL;
    /* A server that refuses an upload early closes the connection; its answer counts, not that. */
    if (result != CURLE_OK && !(status >= 400 && json))
        unreachable (result, self, err);
    else if (status >= 400) {
        curl_off_t after_s = 0;
        refused (status, json, err);
        if (curl_easy_getinfo (self->call, CURLINFO_RETRY_AFTER, &after_s) == CURLE_OK && after_s > 0)
            err->retry_after_s = after_s < UINT32_MAX ? (uint32_t)after_s : UINT32_MAX;
    } else if (text.size && !json)
        err_set (err, ERR_PROTOCOL, "the server's answer is not JSON; is it a Myelin server?");
    else {
        *reply = json;
        json = NULL;
        rc = (int)status;
    }
    json_decref (json);
    str_free (&text);
    return rc;
}

int rest_call (rest_t *self, const char *method, const char *path, const json_t *body, json_t **reply, err_t *err)
{
    str_t url = STR_INIT;
    struct curl_slist *headers = prepare (self, self->call, path, &url);
    char *text = body ? json_dumps (body, JSON_COMPACT) : NULL;
    curl_easy_setopt (self->call, CURLOPT_TIMEOUT, CALL_SECONDS);
    curl_easy_setopt (self->call, CURLOPT_CUSTOMREQUEST, method);
    if (text || strcmp (method, "POST") == 0 || strcmp (method, "PUT") == 0) {
        headers = curl_slist_append (headers, "Content-Type: application/json");
        curl_easy_setopt (self->call, CURLOPT_POSTFIELDS, text ? text : "");
    }
    curl_easy_setopt (self->call, CURLOPT_HTTPHEADER, headers);
    int rc = perform (self, reply, err);
    curl_slist_free_all (headers);
    free (text);
    str_free (&url);
    return rc;
}

typedef struct {
    rest_sent_fn *on_sent;
    void *arg;
} sent_t;

static int on_transfer (void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
    const sent_t *sent = arg;
    if (up_total > 0)
        sent->on_sent (sent->arg, (uint64_t)up, (uint64_t)up_total);
    return 0;
}

int rest_upload (rest_t *self, const char *path, const char *file, const char *name, rest_sent_fn *on_sent, void *arg,
                 json_t **reply, err_t *err)
{
    struct stat about;
    FILE *stream = fopen (file, "rbe");
    if (!stream || fstat (fileno (stream), &about) != 0) {
        int rc = err_set_errno (err, ERR_IO, errno, "cannot read '%s'", file);
        if (stream)
            fclose (stream);
        return rc;
    }
    str_t url = STR_INIT, header = STR_INIT;
    struct curl_slist *headers = prepare (self, self->call, path, &url);
    str_text (&header, "X-Filename: ");
    rest_escape (&header, name);
    headers = curl_slist_append (headers, header.data);
    headers = curl_slist_append (headers, "Content-Type: application/octet-stream");
    sent_t sent = { on_sent, arg };
    curl_easy_setopt (self->call, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt (self->call, CURLOPT_POST, 1L);
    curl_easy_setopt (self->call, CURLOPT_READDATA, stream);
    curl_easy_setopt (self->call, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)about.st_size);
    /* However large it is: it must only move, and be answered when it is there. */
    curl_easy_setopt (self->call, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt (self->call, CURLOPT_LOW_SPEED_TIME, CALL_SECONDS);
    if (on_sent) {
        curl_easy_setopt (self->call, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt (self->call, CURLOPT_XFERINFOFUNCTION, on_transfer);
        curl_easy_setopt (self->call, CURLOPT_XFERINFODATA, &sent);
    }
    int rc = perform (self, reply, err);
    curl_slist_free_all (headers);
    str_free (&header);
    str_free (&url);
    fclose (stream);
    return rc;
}

typedef struct {
    rest_t *rest;
    rest_event_fn *on_event;
    void *arg;
    str_t line;    /* the unfinished line */
    str_t data;    /* data lines of the event so far */
    str_t problem; /* body of an answer that is no stream */
    uint64_t heard_ms;
    bool open;
    bool stopped;
} stream_t;

static void end_of_line (stream_t *self)
{
    span_t line = str_span (&self->line);
    if (line.size && line.data[line.size - 1] == '\r')
        line.size--;
    if (line.size == 0) { /* the event is complete */
        json_t *event = self->data.size ? json_loadb (self->data.data, self->data.size, 0, NULL) : NULL;
        if (event && !self->on_event (self->arg, event))
            self->stopped = true;
        json_decref (event);
        str_clear (&self->data);
    } else if (line.data[0] == ':') { /* a heartbeat */
        self->stopped = !self->on_event (self->arg, NULL);
    } else if (line.size > 5 && memcmp (line.data, "data:", 5) == 0) {
        size_t skip = line.data[5] == ' ' ? 6 : 5;
        if (self->data.size)
            str_char (&self->data, '\n');
        str_add (&self->data, span (line.data + skip, line.size - skip));
    }
    str_clear (&self->line);
}

static size_t on_stream (char *bytes, size_t one, size_t size, void *arg)
{
    stream_t *self = arg;
    long status = 0;
    curl_easy_getinfo (self->rest->stream, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 400)
        return on_reply (bytes, one, size, &self->problem);
    for (size_t i = 0; i < size && !self->stopped; i++) {
        if (bytes[i] == '\n')
            end_of_line (self);
        else
            str_char (&self->line, bytes[i]);
        if (self->line.size > EVENT_MAX || self->data.size > EVENT_MAX)
            return 0;
    }
    self->heard_ms = clock_mono_ms (); /* only now: the callback may have taken its time */
    return self->stopped ? 0 : size;
}

/*  Called about once a second. A heartbeat is too few bytes for curl's own bound, which is an average. */
static int on_silence (void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
    const stream_t *self = arg;
    return clock_mono_ms () - self->heard_ms > STREAM_MS;
}

/*  The empty line after the headers: from here on nothing is missed. */
static size_t on_header (char *bytes, size_t one, size_t size, void *arg)
{
    stream_t *self = arg;
    long status = 0;
    curl_easy_getinfo (self->rest->stream, CURLINFO_RESPONSE_CODE, &status);
    if (size <= 2 && status == 200 && !self->open) {
        self->open = true;
        if (!self->on_event (self->arg, NULL)) {
            self->stopped = true;
            return 0;
        }
    }
    return size;
}

int rest_stream (rest_t *self, const char *path, rest_event_fn *on_event, void *arg, err_t *err)
{
    stream_t stream = { .rest = self, .on_event = on_event, .arg = arg, .heard_ms = clock_mono_ms () };
    str_t url = STR_INIT;
    struct curl_slist *headers = prepare (self, self->stream, path, &url);
    headers = curl_slist_append (headers, "Accept: text/event-stream");
    curl_easy_setopt (self->stream, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt (self->stream, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt (self->stream, CURLOPT_XFERINFOFUNCTION, on_silence);
    curl_easy_setopt (self->stream, CURLOPT_XFERINFODATA, &stream);
    curl_easy_setopt (self->stream, CURLOPT_WRITEFUNCTION, on_stream);
    curl_easy_setopt (self->stream, CURLOPT_WRITEDATA, &stream);
    curl_easy_setopt (self->stream, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt (self->stream, CURLOPT_HEADERDATA, &stream);
    CURLcode result = curl_easy_perform (self->stream);
    long status = 0;
    curl_easy_getinfo (self->stream, CURLINFO_RESPONSE_CODE, &status);
    int rc = 0;
    if (stream.stopped)
        rc = 1;
    else if (status >= 400) {
        json_t *problem = stream.problem.size ? json_loadb (stream.problem.data, stream.problem.size, 0, NULL) : NULL;
        rc = refused (status, problem, err);
        json_decref (problem);
    } else if (!stream.open)
        rc = unreachable (result, self, err);
    str_free (&stream.line);
    str_free (&stream.data);
    str_free (&stream.problem);
    str_free (&url);
    curl_slist_free_all (headers);
    return rc;
}
