#include "gateway/http_guard.h"
#include "base/loopback.h"
#include "gateway/request.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_name (span_t a, const char *name)
{
    return a.size == strlen (name) && strncasecmp (a.data, name, a.size) == 0;
}

static bool origin_is_loopback (span_t origin)
{
    static const char *const schemes[] = { "http://", "https://" };
    for (size_t i = 0; i < 2; i++) {
        size_t size = strlen (schemes[i]);
        if (origin.size > size && strncasecmp (origin.data, schemes[i], size) == 0)
            return loopback_host (span (origin.data + size, origin.size - size));
    }
    return false;
}

static void note_length (http_guard_t *self, span_t value)
{
    self->bad_length = self->bad_length || self->has_length || !value.size || value.size > 18;
    self->has_length = true;
    self->length = 0;
    for (size_t i = 0; i < value.size && !self->bad_length; i++) {
        self->bad_length = value.data[i] < '0' || value.data[i] > '9';
        self->length = self->length * 10 + (uint64_t)(value.data[i] - '0');
    }
}

static const char *const meant[HEADER_COUNT] = {
#define GUARD_HEADER(sym, name) name,
    REQUEST_HEADERS (GUARD_HEADER)
#undef GUARD_HEADER
};

/*  Of two, nobody can say which one is meant. */
static void note_meant (http_guard_t *self, span_t name)
{
    for (unsigned i = 0; i < HEADER_COUNT; i++)
        if (is_name (name, meant[i])) {
            self->twice = self->seen & 1u << i ? meant[i] : self->twice;
            self->seen |= 1u << i;
        }
}

void http_guard_header (http_guard_t *self, span_t name, span_t value)
{
    note_meant (self, name);
    for (size_t i = 0; i < name.size; i++)
        if ((unsigned char)name.data[i] <= 32 || name.data[i] == 127)
            self->bad_name = true;
    if (is_name (name, "Content-Length"))
        note_length (self, value);
    else if (is_name (name, "Transfer-Encoding")) {
        self->encodings++;
        self->is_chunked = is_name (value, "chunked");
        self->bad_encoding = self->bad_encoding || !self->is_chunked;
    } else if (is_name (name, "Host")) {
        self->hosts++;
        self->bad_host = self->bad_host || !loopback_host (value);
    } else if (is_name (name, "Origin"))
        self->bad_origin = self->bad_origin || !origin_is_loopback (value);
}

int http_guard_verdict (const http_guard_t *self, err_t *err)
{
    if (self->bad_name)
        return err_set (err, ERR_MALFORMED, "a header name has a blank or control character");
    if (self->is_folded)
        return err_set (err, ERR_MALFORMED, "a header goes on in the next line: write it in one");
    if (self->bad_length)
        return err_set (err, ERR_MALFORMED, "Content-Length must be given once, as a number");
    if (self->encodings > 1 || self->bad_encoding)
        return err_set (err, ERR_MALFORMED, "the only Transfer-Encoding is chunked, once");
    if (self->encodings && self->has_length)
        return err_set (err, ERR_MALFORMED, "Content-Length and Transfer-Encoding exclude each other");
    if (self->hosts != 1)
        return err_set (err, ERR_MALFORMED, "there must be exactly one Host header");
    if (self->twice)
        return err_set (err, ERR_MALFORMED, "the header %s is given twice", self->twice);
    if (self->bad_host || self->bad_origin)
        return err_set (err, ERR_FORBIDDEN,
                        "this listener is for this machine: Host and Origin must name the loopback");
    return 0;
}

static enum MHD_Result each (void *arg, enum MHD_ValueKind kind, const char *name, size_t name_size, const char *value,
                             size_t value_size)
{
    /* A continuation line is appended to the header's name, which then lies in another block. */
    const char *end = name + name_size;
    while (value && end < value && strchr (" \t", *end)) /* the colon was overwritten by a NUL */
        end++;
    http_guard_t *self = arg;
    self->is_folded = self->is_folded || (value && end != value);
    http_guard_header (self, span (name, name_size), span (value, value_size));
    return MHD_YES;
}

int http_guard_check (http_guard_t *self, struct MHD_Connection *connection, err_t *err)
{
    MHD_get_connection_values_n (connection, MHD_HEADER_KIND, each, self);
    return http_guard_verdict (self, err);
}
