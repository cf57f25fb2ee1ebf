/*  rest.h: calls to the REST API (libcurl), for the command line. */
#ifndef CLIENT_REST_H
#define CLIENT_REST_H

#include "base/err.h"
#include "base/options.h"
#include "base/span.h"
#include "base/str.h"

#include <jansson.h>

typedef struct rest rest_t;

/*  For the server and token in `options` (CLI_SERVER_OPTIONS). NULL with ERR_CONFIG when the URL is none. */
rest_t *rest_new (const options_t *options, err_t *err);
void rest_destroy (rest_t **self_p);

/*  Appends `text` percent-encoded, as a part of a path or the value of a query parameter. */
void rest_escape (str_t *out, const char *text);

/*  One call. `path` is below /api/v1/, with its query; `body` (borrowed) may be NULL. The reply goes to *reply, which
 *  the caller decrefs (NULL when the server sent none). Returns the HTTP status; -1 with ERR_UNAVAILABLE when the
 *  server cannot be reached, and for every status from 400 up with the code and detail the server gave, and its
 *  Retry-After. */
int rest_call (rest_t *self, const char *method, const char *path, const json_t *body, json_t **reply, err_t *err);

/*  Called while a file is sent. */
typedef void rest_sent_fn (void *arg, uint64_t sent, uint64_t total);

/*  POSTs the contents of `file` as a document named `name`. Otherwise as rest_call. */
int rest_upload (rest_t *self, const char *path, const char *file, const char *name, rest_sent_fn *on_sent, void *arg,
                 json_t **reply, err_t *err);

/*  True when the server cannot be reached, or said that it, or a part of it, is away or stopping: asking again later
 *  may help. */
bool rest_is_away (const err_t *err);

/*  What a stream tells: one event (borrowed), or, with `event` NULL, that it is open (what happens from now on will be
 *  told) or, every 15 seconds, that it still is and there was nothing. False ends the stream. */
typedef bool rest_event_fn (void *arg, const json_t *event);

/*  Reads server-sent events until the callback says stop (returns 1), the server ends the stream or is not heard for
 *  45 seconds (0), or it cannot be reached or refuses (-1). The callback may call rest_call on the same object. */
int rest_stream (rest_t *self, const char *path, rest_event_fn *on_event, void *arg, err_t *err);

#endif
