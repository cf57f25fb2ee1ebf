#include "gateway/envelope.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#define NUMBER_TEXT 24

static const char *const header_names[HEADER_COUNT] = {
#define ENVELOPE_HEADER(sym, name) name,
    REQUEST_HEADERS (ENVELOPE_HEADER)
#undef ENVELOPE_HEADER
};

static span_t text_of (const json_t *value)
{
    return span (json_string_value (value), json_string_length (value));
}

/*  Parameters may be text, numbers, true or false. Numbers are written to `scratch`, which must not move. */
static int read_query (json_t *query, request_t *request, err_t *err)
{
    const char *name;
    json_t *value;
    if (!json_is_object (query))
        return err_set (err, ERR_MALFORMED, "'query' must be an object of parameters");
    str_clear (&request->scratch);
    str_grow (&request->scratch, NUMBER_TEXT * REQUEST_PARAMS);
    char *at = request->scratch.data;
    json_object_foreach (query, name, value)
    {
        span_t text;
        if (json_is_null (value))
            continue;
        if (json_is_string (value))
            text = text_of (value);
        else if (json_is_integer (value) && request->param_count < REQUEST_PARAMS) {
            int size = snprintf (at, NUMBER_TEXT, "%" JSON_INTEGER_FORMAT, json_integer_value (value));
            text = span (at, (size_t)size);
            at += NUMBER_TEXT;
        } else if (json_is_boolean (value))
            text = json_is_true (value) ? SPAN_LIT ("true") : SPAN_LIT ("false");
        else
            return err_set (err, ERR_MALFORMED, "parameter '%s' must be text, a whole number, true or false", name);
        if (request_param (request, span_str (name), text, err) == -1)
            return -1;
    }
    return 0;
}

static int read_headers (json_t *headers, request_t *request, err_t *err)
{
    const char *name;
    json_t *value;
    if (!json_is_object (headers))
        return err_set (err, ERR_MALFORMED, "'headers' must be an object of texts");
    json_object_foreach (headers, name, value)
    {
        if (!json_is_string (value))
            return err_set (err, ERR_MALFORMED, "header '%s' must be text", name);
        for (int i = 0; i < HEADER_COUNT; i++) {
            if (strcasecmp (name, header_names[i]) != 0)
                continue;
            if (request->headers[i].data)
                return err_set (err, ERR_MALFORMED, "the header %s is given twice", header_names[i]);
            request->headers[i] = text_of (value);
        }
    }
    return 0;
}

/*  What a request consists of, in the order in which it is looked at. */
typedef enum { PART_METHOD, PART_PATH, PART_QUERY, PART_BODY, PART_TOKEN, PART_HEADERS, PART_COUNT } part_t;
static const char *const part_names[PART_COUNT] = { "method", "path", "query", "body", "token", "headers" };

static int read_parts (json_t *json, json_t *parts[PART_COUNT], err_t *err)
{
    const char *name;
    json_t *value;
    if (!json_is_object (json))
        return err_set (err, ERR_MALFORMED, "a request must be a JSON object");
    json_object_foreach (json, name, value)
    {
        part_t part = 0;
        while (part < PART_COUNT && strcmp (name, part_names[part]) != 0)
            part++;
        if (part == PART_COUNT)
            return err_set (err, ERR_MALFORMED,
                            "a request has no '%.64s'; it has method, path, query, body, token, headers", name);
        parts[part] = json_is_null (value) ? NULL : value;
    }
    return 0;
}

int envelope_read (json_t *json, request_t *request, json_t **body, err_t *err)
{
    json_t *parts[PART_COUNT] = { NULL };
    *body = NULL;
    if (read_parts (json, parts, err) == -1)
        return -1;
    /* Headers first: a reply to what follows shall carry the client's X-Request-Id. */
    if (parts[PART_HEADERS] && read_headers (parts[PART_HEADERS], request, err) == -1)
        return -1;
    if (!json_is_string (parts[PART_METHOD]) || !json_is_string (parts[PART_PATH]))
        return err_set (err, ERR_MALFORMED, "'method' and 'path' are required, as text");
    if (parts[PART_TOKEN] && !json_is_string (parts[PART_TOKEN]))
        return err_set (err, ERR_MALFORMED, "'token' must be text");
    request->method = method_parse (text_of (parts[PART_METHOD]));
    if (request_target (request, text_of (parts[PART_PATH]), err) == -1)
        return -1;
    if (parts[PART_QUERY] && read_query (parts[PART_QUERY], request, err) == -1)
        return -1;
    *body = parts[PART_BODY];
    return 0;
}

static void add_header (str_t *out, bool *first, const char *name, span_t value)
{
    if (!*first)
        str_char (out, ',');
    *first = false;
    str_char (out, '"');
    str_text (out, name);
    str_text (out, "\":");
    str_json (out, value);
}

void envelope_write (const reply_t *reply, str_t *out)
{
    bool first = true;
    str_text (out, "{\"status\":");
    str_u64 (out, (uint64_t)reply->status);
    str_text (out, ",\"headers\":{");
    if (reply->media_type)
        add_header (out, &first, "Content-Type", span_str (reply->media_type));
    for (size_t i = 0; i < reply->header_count; i++)
        add_header (out, &first, reply->headers[i].name, reply->headers[i].value);
    str_text (out, "},\"body\":");
    str_add (out, reply->is_json ? buf_span (reply->body) : SPAN_LIT ("null"));
    str_char (out, '}');
}
