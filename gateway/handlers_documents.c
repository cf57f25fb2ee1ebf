/*  What can be done with documents. */
#include "gateway/dispatch.h"
#include "gateway/handlers.h"
#include "gateway/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_PRIORITY 5
#define DEFAULT_PAGE     50
#define DEFAULT_TYPE     "application/octet-stream"

void document_submit (gateway_t *self, request_t *request)
{
    const args_t *args = &request->args;
    wire_msg_t msg = { .kind = WIRE_KIND_SUBMIT };
    wire_submit_t *submit = &msg.submit;
    submit->user = self->user;
    submit->document = uuid_new ();
    if (args_number (args, ARG_PROCESS, 1))
        submit->task = uuid_new ();
    submit->filename = str_span (&request->filename);
    submit->media_type = str_span (&request->media_type);
    submit->bytes = request->byte_count;
    submit->hash = span (request->hash.bytes, HASH_SIZE);
    submit->in_file = request->in_file;
    submit->priority = (uint8_t)args_number (args, ARG_PRIORITY, DEFAULT_PRIORITY);
    submit->reprocess = (uint8_t)args_number (args, ARG_DUPLICATE, 0);
    submit->admitted = request->admitted;
    submit->force = (uint8_t)args_number (args, ARG_FORCE, 0);
    submit->options = str_span (&request->options);
    submit->idem_key = request->headers[HEADER_IDEMPOTENCY_KEY];
    if (submit->idem_key.size)
        submit->idem_hash = span (request->idem_hash.bytes, HASH_SIZE);
    upstream_ask (self->broker, &msg, request->bytes, false, RELAY_TIMEOUT_MS, relay_done, request);
    buf_unref (&request->bytes);
}

void document_list (gateway_t *self, request_t *request)
{
    const args_t *args = &request->args;
    wire_msg_t msg = { .kind = WIRE_KIND_DOCUMENT_LIST };
    msg.document_list.user = self->user;
    msg.document_list.limit = (uint32_t)args_number (args, ARG_LIMIT, DEFAULT_PAGE);
    msg.document_list.cursor = args_id (args, ARG_CURSOR);
    msg.document_list.oldest_first = (uint8_t)args_number (args, ARG_ORDER, 0);
    relay (self->broker, request, &msg, true, RELAY_TIMEOUT_MS);
}

void document_get (gateway_t *self, request_t *request)
{
    wire_msg_t msg = { .kind = WIRE_KIND_DOCUMENT_GET,
                       .document_get = { .user = self->user, .document = request->id } };
    relay (self->broker, request, &msg, true, RELAY_TIMEOUT_MS);
}

void document_delete (gateway_t *self, request_t *request)
{
    wire_msg_t msg = { .kind = WIRE_KIND_DOCUMENT_DELETE,
                       .document_delete = { .user = self->user, .document = request->id } };
    relay (self->broker, request, &msg, false, RELAY_DELETE_MS);
}

/*  attachment, with the name in the form every browser reads (RFC 6266). */
static void disposition (str_t *out, span_t filename)
{
    str_text (out, "attachment");
    if (!filename.size)
        return;
    str_text (out, "; filename*=UTF-8''");
    percent_encode (out, filename);
}

static span_t text_of (json_t *object, const char *name)
{
    json_t *value = json_object_get (object, name);
    return json_is_string (value) ? span (json_string_value (value), json_string_length (value)) : SPAN_EMPTY;
}

/*  Opens the file the broker named, below the data directory unless it is absolute. */
static int open_file (const gateway_t *self, span_t name, reply_t *answer, err_t *err)
{
    str_t path = STR_INIT;
    struct stat info;
    int rc = -1;
    if (name.data[0] != '/')
        str_format (&path, "%s/", self->config.data_dir);
    str_add (&path, name);
    answer->fd = open (path.data, O_RDONLY | O_CLOEXEC);
    if (answer->fd == -1 || fstat (answer->fd, &info) == -1) {
        /* Between the reply and now the document may have been deleted. */
        err_set_errno (err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "cannot open the document's file");
        if (answer->fd != -1)
            close (answer->fd);
        goto out;
    }
    answer->fd_bytes = (uint64_t)info.st_size;
    snprintf (answer->fd_hash, sizeof answer->fd_hash, "%s", strrchr (path.data, '/') + 1); /* files are named by it */
    rc = 0;
out:
    str_free (&path);
    return rc;
}

static void got_content (void *owner, frames_t *reply, const err_t *err)
{
    request_t *request = owner;
    err_t failure;
    if (!reply || relay_failed (reply, &failure)) {
        request_problem_err (request, reply ? &failure : err);
        return;
    }
    json_t *document = NULL;
    str_t header = STR_INIT, type = STR_INIT;
    reply_t answer = { .status = 200, .fd = -1 };
    if (reply->payload_count)
        document = json_loadb (buf_bytes (reply->payload[0]), buf_size (reply->payload[0]), 0, NULL);
    if (reply->msg.reply.path.size) {
        if (open_file (request->gateway, reply->msg.reply.path, &answer, &failure) == -1) {
            request_problem_err (request, &failure);
            goto out;
        }
    } else if (reply->payload_count > 1)
        answer.body = reply->payload[1];
    str_add (&type, text_of (document, "media_type"));
    answer.media_type = type.size ? type.data : DEFAULT_TYPE;
    disposition (&header, text_of (document, "filename"));
    reply_header (&answer, "Content-Disposition", str_span (&header));
    reply_header (&answer, "X-Content-Type-Options", SPAN_LIT ("nosniff"));
    reply_header (&answer, "X-Request-Id", request->headers[HEADER_REQUEST_ID]);
    request->answer (request, &answer);
out:
    json_decref (document);
    str_free (&header);
    str_free (&type);
}

void document_content (gateway_t *self, request_t *request)
{
    wire_msg_t msg = { .kind = WIRE_KIND_DOCUMENT_BLOB,
                       .document_blob = { .user = self->user, .document = request->id } };
    upstream_ask (self->broker, &msg, NULL, true, RELAY_TIMEOUT_MS, got_content, request);
}

/*  The storage knows nothing of a document without content; that it exists was asked before. */
static void got_chunks (void *owner, frames_t *reply, const err_t *err)
{
    request_t *request = owner;
    err_t failure;
    if (!reply || !relay_failed (reply, &failure) || failure.code != ERR_NOT_FOUND) {
        relay_done (request, reply, err);
        return;
    }
    buf_t *none = buf_copy (SPAN_LIT ("{\"items\":[],\"next_cursor\":null}"));
    request_reply (request, 200, none);
    buf_unref (&none);
}

static void ask_chunks (void *owner, frames_t *reply, const err_t *err)
{
    request_t *request = owner;
    gateway_t *self = request->gateway;
    err_t failure;
    if (!reply || relay_failed (reply, &failure)) {
        relay_done (request, reply, err);
        return;
    }
    wire_msg_t msg = { .kind = WIRE_KIND_CHUNKS };
    msg.chunks.user = self->user;
    msg.chunks.document = request->id;
    msg.chunks.limit = (uint32_t)args_number (&request->args, ARG_LIMIT, DEFAULT_PAGE);
    msg.chunks.cursor = args_number (&request->args, ARG_POSITION, 0);
    upstream_ask (self->storage, &msg, NULL, true, RELAY_TIMEOUT_MS, got_chunks, request);
}

void document_chunks (gateway_t *self, request_t *request)
{
    wire_msg_t msg = { .kind = WIRE_KIND_DOCUMENT_GET,
                       .document_get = { .user = self->user, .document = request->id } };
    upstream_ask (self->broker, &msg, NULL, true, RELAY_TIMEOUT_MS, ask_chunks, request);
}
