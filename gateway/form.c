/*  What cannot be told apart yet (is this the beginning of a boundary?) stays in `held` until more comes. */
#include "gateway/form.h"
#include "gateway/header.h"
#include "gateway/request.h"

#include <stdlib.h>
#include <strings.h>

#define BOUNDARY_MAX 70u /* RFC 2046 */
#define HEAD_MAX     (16u << 10)

typedef enum {
    IN_PREAMBLE, /* until the first boundary */
    AT_BOUNDARY, /* behind its name: "--" or the end of the line */
    IN_HEAD,
    IN_BODY,
    IN_EPILOGUE,
} state_t;

struct form {
    const form_ops_t *ops;
    void *owner;
    state_t state;
    bool at_start;   /* of the body, or of all: a boundary needs no line end before it */
    str_t delimiter; /* CRLF "--" boundary */
    str_t held;
    /* of the part at hand */
    str_t disposition, media_type, encoding;
    str_t name, filename;
};

form_t *form_new (span_t content_type, const form_ops_t *ops, void *owner, err_t *err)
{
    str_t boundary = STR_INIT;
    if (header_param (content_type, "boundary", &boundary) != 1 || !boundary.size || boundary.size > BOUNDARY_MAX) {
        err_set (err, ERR_MALFORMED, "the form's Content-Type has no boundary of 1 to %u characters", BOUNDARY_MAX);
        str_free (&boundary);
        return NULL;
    }
    form_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->ops = ops;
    self->owner = owner;
    self->at_start = true;
    str_text (&self->delimiter, "\r\n--");
    str_add (&self->delimiter, str_span (&boundary));
    str_free (&boundary);
    return self;
}

void form_destroy (form_t **self_p)
{
    form_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    str_t *texts[] = { &self->delimiter, &self->held, &self->disposition, &self->media_type,
                       &self->encoding,  &self->name, &self->filename };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        str_free (texts[i]);
    free (self);
}

/*  --- the head of a part --- */

static int take_line (form_t *self, span_t line, err_t *err)
{
    static const char *const names[] = { "Content-Disposition", "Content-Type", "Content-Transfer-Encoding" };
    str_t *const values[] = { &self->disposition, &self->media_type, &self->encoding };
    const char *colon = memchr (line.data, ':', line.size);
    if (!colon || colon == line.data)
        return err_set (err, ERR_MALFORMED, "a part of the form has a header without a name");
    span_t name = span (line.data, (size_t)(colon - line.data)), value = span (colon + 1, line.size - name.size - 1);
    while (value.size && strchr (" \t", *value.data))
        value = span (value.data + 1, value.size - 1);
    while (value.size && strchr (" \t", value.data[value.size - 1]))
        value.size--;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (name.size != strlen (names[i]) || strncasecmp (name.data, names[i], name.size) != 0)
            continue;
        if (values[i]->size)
            return err_set (err, ERR_MALFORMED, "a part of the form has two headers %s", names[i]);
        str_add (values[i], value);
    }
    return 0;
}

/*  As browsers write what may not be in a quoted name. */
static void undo_percent (str_t *text)
{
    static const char *const codes[] = { "%22", "%0D", "%0A" };
    static const char chars[] = "\"\r\n";
    size_t out = 0;
    for (size_t i = 0; i < text->size; i++) {
        text->data[out] = text->data[i];
        for (size_t c = 0; c < 3 && i + 2 < text->size; c++)
            if (strncasecmp (text->data + i, codes[c], 3) == 0) {
                text->data[out] = chars[c];
                i += 2;
                break;
            }
        out++;
    }
    text->size = out;
}

/*  RFC 8187: charset'language'value. */
static int take_extended (form_t *self, str_t *text, err_t *err)
{
    char *language = text->size > 6 && strncasecmp (text->data, "UTF-8'", 6) == 0
                         ? memchr (text->data + 6, '\'', text->size - 6)
                         : NULL;
    char *value = language ? language + 1 : NULL;
    ssize_t size = value ? percent_decode (value, text->size - (size_t)(value - text->data), false) : -1;
    if (size == -1)
        return err_set (err, ERR_MALFORMED, "filename* of a form must be UTF-8'' and percent-encoded UTF-8");
    str_clear (&self->filename);
    str_add (&self->filename, span (value, (size_t)size));
    return 0;
}

/*  1: there is a file name. */
static int take_file_name (form_t *self, err_t *err)
{
    str_t extended = STR_INIT;
    span_t disposition = str_span (&self->disposition);
    int plain = header_param (disposition, "filename", &self->filename);
    int better = header_param (disposition, "filename*", &extended);
    int rc = plain > 0 || better > 0;
    if (plain == -1 || better == -1)
        rc = err_set (err, ERR_MALFORMED, "a part of the form has a malformed Content-Disposition");
    else if (better)
        rc = take_extended (self, &extended, err) == -1 ? -1 : 1;
    else
        undo_percent (&self->filename);
    str_free (&extended);
    return rc;
}

static int begin_part (form_t *self, err_t *err)
{
    span_t encoding = str_span (&self->encoding);
    if (encoding.size && !header_is (encoding, "binary") && !header_is (encoding, "8bit") &&
        !header_is (encoding, "7bit"))
        return err_set (err, ERR_UNSUPPORTED_BODY_TYPE, "a part of the form is encoded: send its bytes as they are");
    if (!header_is (str_span (&self->disposition), "form-data") ||
        header_param (str_span (&self->disposition), "name", &self->name) != 1 || !self->name.size)
        return err_set (err, ERR_MALFORMED, "a part of the form has no name, as in: form-data; name=\"file\"");
    undo_percent (&self->name);
    int has_file = take_file_name (self, err);
    if (has_file == -1)
        return -1;
    span_t filename = str_span (&self->filename);
    return self->ops->begin (self->owner, str_span (&self->name), has_file ? &filename : NULL,
                             str_span (&self->media_type), err);
}

/*  --- the stream: each step takes something off `text`, or waits for more of it: false --- */

static bool take (span_t *text, size_t bytes)
{
    *text = span (text->data + bytes, text->size - bytes);
    return true;
}

static const char *find (span_t text, span_t what)
{
    return text.size >= what.size ? memmem (text.data, text.size, what.data, what.size) : NULL;
}

/*  How much of `text` cannot be the beginning of `delimiter`. */
static size_t safe_bytes (span_t text, span_t delimiter)
{
    size_t tail = text.size < delimiter.size ? text.size : delimiter.size - 1;
    for (; tail; tail--)
        if (memcmp (text.data + text.size - tail, delimiter.data, tail) == 0)
            break;
    return text.size - tail;
}

/*  Up to the next boundary; what is before it is the part's, or nobody's. */
static bool step_content (form_t *self, span_t *text, int *rc, err_t *err)
{
    span_t delimiter = str_span (&self->delimiter);
    bool is_body = self->state == IN_BODY;
    if (self->at_start) {
        span_t bare = span (delimiter.data + 2, delimiter.size - 2);
        size_t size = text->size < bare.size ? text->size : bare.size;
        bool fits = memcmp (text->data, bare.data, size) == 0;
        if (fits && size < bare.size)
            return false;
        self->at_start = false;
        if (fits) {
            self->state = AT_BOUNDARY;
            *rc = is_body ? self->ops->end (self->owner, err) : 0;
            return take (text, bare.size);
        }
    }
    const char *found = find (*text, delimiter);
    size_t size = found ? (size_t)(found - text->data) : safe_bytes (*text, delimiter);
    if (size && is_body && (*rc = self->ops->data (self->owner, span (text->data, size), err)) == -1)
        return false;
    if (!found) {
        take (text, size);
        return false;
    }
    self->state = AT_BOUNDARY;
    if (is_body)
        *rc = self->ops->end (self->owner, err);
    return take (text, size + delimiter.size);
}

static bool step_boundary (form_t *self, span_t *text, int *rc, err_t *err)
{
    if (text->size < 2)
        return false;
    if (memcmp (text->data, "--", 2) == 0) {
        self->state = IN_EPILOGUE;
        return true;
    }
    if (strchr (" \t", *text->data)) /* padding */
        return take (text, 1);
    if (memcmp (text->data, "\r\n", 2) != 0) {
        *rc = err_set (err, ERR_MALFORMED, "a boundary of the form is followed by something else");
        return false;
    }
    str_clear (&self->disposition);
    str_clear (&self->media_type);
    str_clear (&self->encoding);
    self->state = IN_HEAD;
    return take (text, 2);
}

static bool step_head (form_t *self, span_t *text, int *rc, err_t *err)
{
    const char *end = find (*text, SPAN_LIT ("\r\n"));
    size_t size = end ? (size_t)(end - text->data) : text->size;
    if (size + self->disposition.size + self->media_type.size + self->encoding.size > HEAD_MAX)
        *rc = err_set (err, ERR_MALFORMED, "the headers of a part have more than %u bytes", HEAD_MAX);
    else if (end && size)
        *rc = take_line (self, span (text->data, size), err);
    else if (end) {
        self->state = IN_BODY;
        self->at_start = true;
        *rc = begin_part (self, err);
    }
    return end && *rc == 0 ? take (text, size + 2) : false;
}

int form_feed (form_t *self, span_t bytes, err_t *err)
{
    if (self->state == IN_EPILOGUE)
        return 0;
    bool joined = self->held.size > 0;
    if (joined)
        str_add (&self->held, bytes);
    span_t text = joined ? str_span (&self->held) : bytes;
    int rc = 0;
    for (bool more = true; more && rc == 0 && text.size && self->state != IN_EPILOGUE;)
        more = self->state == AT_BOUNDARY ? step_boundary (self, &text, &rc, err)
               : self->state == IN_HEAD   ? step_head (self, &text, &rc, err)
                                          : step_content (self, &text, &rc, err);
    if (rc == -1)
        return -1;
    if (self->state == IN_EPILOGUE)
        text.size = 0;
    if (joined) {
        memmove (self->held.data, text.data, text.size);
        self->held.size = text.size;
    } else
        str_add (&self->held, text);
    return 0;
}

int form_end (form_t *self, err_t *err)
{
    return self->state == IN_EPILOGUE ? 0 : err_set (err, ERR_MALFORMED, "the form is malformed or cut short");
}
