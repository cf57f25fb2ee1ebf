#include "stages/extract/sink.h"
#include "base/utf8.h"
#include "stages/extract/clean.h"
#include "stages/extract/marks.h"
#include "stages/extract/nfc.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define RAW_MAX   (32 * 1024)
#define NAME_MAX_ 4096
/*  So many bytes of marks end a segment at the next border: dense headings would outgrow the record they go in. */
#define MARKS_BYTES (256 * 1024)

typedef struct {
    err_code_t code;
    str_t where;
    str_t message;
} warning_t;

struct sink {
    sink_config_t config;
    str_t piece; /* of what comes, cleaned */
    str_t raw;   /* not yet normalised */
    str_t text;  /* the segment being filled, NFC */
    bool cr;
    marks_t marks;

    uint32_t number;  /* of the segment being filled */
    uint32_t discard; /* segments to drop before the first is given out */
    uint32_t since;   /* segments ended since the place */
    place_t place;    /* the last one that a segment began at */
    place_t always;   /* of what is counted: not in places */
    uint32_t bad;
    uint64_t inflated;
    uint64_t entries;
    uint64_t given;  /* bytes of text in the segments before this one */
    uint64_t poured; /* bytes of text that came and were not blank */

    warning_t *warnings; /* of this segment */
    size_t warning_count;
    size_t warned; /* in all */
    err_t first_bad;

    uint32_t permille;
    int nested;
    bool stopped;
};

static const char *const meta_names[] = {
#define META_NAME(sym, name) name,
    META_KEYS (META_NAME)
#undef META_NAME
};

const char *meta_name (meta_key_t key)
{
    return meta_names[key];
}

/*  "<discard>;<bad>;<inflated>;<entries>;<base>"; anything else counts as the start. */
static void read_cursor (sink_t *self, span_t cursor)
{
    char text[160];
    if (!cursor.size || cursor.size >= sizeof text)
        return;
    memcpy (text, cursor.data, cursor.size);
    text[cursor.size] = 0;
    uint32_t discard, bad;
    uint64_t inflated, entries;
    int at = 0;
    if (sscanf (text, "%" SCNu32 ";%" SCNu32 ";%" SCNu64 ";%" SCNu64 ";%n", &discard, &bad, &inflated, &entries, &at) !=
            4 ||
        !at || strlen (text + at) >= SINK_BASE_MAX)
        return;
    self->discard = discard;
    self->place = (place_t){ .bad = bad, .inflated = inflated, .entries = entries };
    strcpy (self->place.base, text + at);
    self->bad = bad;
    self->inflated = inflated;
    self->entries = entries;
}

sink_t *sink_new (const sink_config_t *config)
{
    sink_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->config = *config;
    self->given = config->text_offset;
    read_cursor (self, config->cursor);
    if (self->discard > config->first_segment)
        self->discard = config->first_segment; /* a cursor of some other document */
    self->number = config->first_segment - self->discard;
    return self;
}

static void drop_warnings (sink_t *self)
{
    for (size_t i = 0; i < self->warning_count; i++) {
        str_free (&self->warnings[i].where);
        str_free (&self->warnings[i].message);
    }
    self->warning_count = 0;
}

void sink_destroy (sink_t **self_p)
{
    sink_t *self = *self_p;
    if (!self)
        return;
    drop_warnings (self);
    free (self->warnings);
    str_free (&self->piece);
    str_free (&self->raw);
    str_free (&self->text);
    marks_free (&self->marks);
    free (self);
    *self_p = NULL;
}

span_t sink_base (const sink_t *self)
{
    return span_str (self->place.base);
}

bool sink_resumed (const sink_t *self)
{
    return self->config.first_segment > 0;
}

static void warn (sink_t *self, err_code_t code, span_t where, const char *format, va_list args)
{
    err_t err;
    if (self->warned++ >= self->config.limits->warnings)
        return;
    self->warnings = realloc (self->warnings, (self->warning_count + 1) * sizeof *self->warnings);
    if (!self->warnings)
        abort ();
    warning_t *warning = &self->warnings[self->warning_count++];
    *warning = (warning_t){ .code = code };
    clean_line (&warning->where, where.size ? where : str_span (&self->marks.path), NAME_MAX_);
    err_setv (&err, code, format, args);
    str_text (&warning->message, err.message);
}

void sink_bad (sink_t *self, err_code_t code, span_t where, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    if (!self->first_bad.code) {
        va_list again;
        va_copy (again, args);
        err_setv (&self->first_bad, code, format, again);
        va_end (again);
    }
    self->bad++;
    warn (self, code, where, format, args);
    va_end (args);
}

void sink_warn (sink_t *self, err_code_t code, span_t where, const char *format, ...)
{
    va_list args;
    va_start (args, format);
    warn (self, code, where, format, args);
    va_end (args);
}

static void give_warnings (sink_t *self)
{
    const sink_out_t *out = &self->config.out;
    for (size_t i = 0; i < self->warning_count; i++)
        out->warning (out->self, self->warnings[i].code, str_span (&self->warnings[i].where),
                      str_span (&self->warnings[i].message));
    drop_warnings (self);
}

/*  Gives out the first `size` bytes of the text with `marks`, or drops them when a run before gave them out. */
static void give (sink_t *self, size_t size, span_t marks)
{
    uint32_t number = self->number++;
    if (self->discard) {
        self->discard--;
        drop_warnings (self);
        return;
    }
    str_t kept = STR_INIT, rest = STR_INIT;
    uint64_t limit = self->config.limits->text_bytes;
    if (self->given + size > limit) {
        size = utf8_cut (str_span (&self->text), limit > self->given ? (size_t)(limit - self->given) : 0);
        sink_bad (self, ERR_TOO_LARGE, SPAN_EMPTY, "only the first %" PRIu64 " MiB of text are kept", limit / MIB);
        self->stopped = true;
        marks_split (marks, size, &kept, &rest);
        marks = str_span (&kept);
    }
    char cursor[160];
    snprintf (cursor, sizeof cursor, "%" PRIu32 ";%" PRIu32 ";%" PRIu64 ";%" PRIu64 ";%s", self->since, self->place.bad,
              self->place.inflated, self->place.entries, self->place.base);
    sink_segment_t segment = {
        number, self->permille, self->bad, span (self->text.data, size), marks, span_str (cursor)
    };
    give_warnings (self);
    if (size && self->config.out.segment (self->config.out.self, &segment))
        self->stopped = true;
    self->given += size;
    str_free (&kept);
    str_free (&rest);
}

size_t segment_cut (span_t text)
{
    if (text.size <= SEGMENT_BYTES)
        return text.size;
    size_t from = SEGMENT_BYTES * 3 / 4;
    for (size_t at = SEGMENT_BYTES; at > from; at--)
        if (text.data[at - 1] == '\n' && text.data[at - 2] == '\n')
            return at;
    for (size_t at = SEGMENT_BYTES; at > from; at--)
        if (text.data[at - 1] == '\n')
            return at;
    for (size_t at = SEGMENT_BYTES; at > from; at--)
        if (text.data[at - 1] == ' ')
            return at;
    return utf8_cut (text, SEGMENT_BYTES);
}

static void cut (sink_t *self)
{
    size_t at = segment_cut (str_span (&self->text));
    str_t before = STR_INIT, after = STR_INIT;
    marks_split (str_span (&self->marks.column), at, &before, &after);
    self->since++;
    give (self, at, str_span (&before));
    memmove (self->text.data, self->text.data + at, self->text.size - at);
    self->text.size -= at;
    self->text.data[self->text.size] = 0;
    str_free (&self->marks.column);
    self->marks.column = after;
    str_free (&before);
}

/*  Moves `raw` to the text; all of it, or with `some` what ends at a boundary of normalisation. */
static void flush (sink_t *self, bool some)
{
    size_t size = some ? nfc_cut (str_span (&self->raw)) : self->raw.size;
    if (!size)
        size = self->raw.size;
    nfc_append (&self->text, span (self->raw.data, size));
    if (size < self->raw.size)
        memmove (self->raw.data, self->raw.data + size, self->raw.size - size);
    self->raw.size -= size;
    while (self->text.size > SEGMENT_BYTES && !self->stopped)
        cut (self);
    if (self->stopped) {
        str_clear (&self->raw);
        str_clear (&self->text);
    }
}

/*  Writes the marks that are due at the place where the next text goes. */
static void write_due (sink_t *self)
{
    if (!marks_are_due (&self->marks))
        return;
    flush (self, false);
    marks_write (&self->marks, self->text.size);
}

static bool is_blank (span_t text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!strchr (" \t\n", text.data[i]))
            return false;
    return true;
}

/*  What a segment does not begin with: lines that say nothing. */
static span_t without_margin (span_t text, bool blank)
{
    while (text.size && (blank || *text.data == '\n'))
        text = span (text.data + 1, text.size - 1);
    return text;
}

void sink_text (sink_t *self, span_t text)
{
    while (text.size && !self->stopped) {
        span_t part = span (text.data, utf8_cut (text, RAW_MAX));
        if (!part.size)
            part.size = text.size < RAW_MAX ? text.size : RAW_MAX; /* malformed through and through */
        text = span (text.data + part.size, text.size - part.size);
        str_clear (&self->piece);
        clean_append (&self->piece, part, &self->cr);
        span_t piece = str_span (&self->piece);
        bool blank = is_blank (piece); /* only now: much of what is no blank is cleaned away */
        if (!self->text.size && !self->raw.size)
            piece = without_margin (piece, blank);
        if (!blank) { /* a mark stands where something is to be read: never behind the end of a segment */
            write_due (self);
            self->poured += piece.size;
        }
        str_add (&self->raw, piece);
        if (self->raw.size >= RAW_MAX)
            flush (self, true);
    }
}

void sink_newlines (sink_t *self, unsigned count)
{
    str_t *tail = self->raw.size ? &self->raw : &self->text;
    while (tail->size && (tail->data[tail->size - 1] == ' ' || tail->data[tail->size - 1] == '\t') &&
           tail == &self->raw)
        tail->size--;
    if (!self->raw.size && !self->text.size)
        return;
    tail = self->raw.size ? &self->raw : &self->text;
    unsigned have = 0;
    while (have < count && have < tail->size && tail->data[tail->size - 1 - have] == '\n')
        have++;
    for (; have < count; have++)
        str_char (&self->raw, '\n');
    self->cr = false;
}

/*  Ends the segment that is being filled; what is blank is no segment. The next one begins at `place`, if given. */
static void end_segment (sink_t *self, const place_t *place)
{
    flush (self, false);
    while (self->text.size && strchr (" \t\n", self->text.data[self->text.size - 1]))
        self->text.size--;
    bool something = !is_blank (str_span (&self->text));
    if (place && !self->nested && !self->stopped) {
        self->place = *place;
        self->since = 0;
    } else if (something)
        self->since++;
    if (something)
        give (self, self->text.size, str_span (&self->marks.column));
    str_clear (&self->text);
    marks_restart (&self->marks);
    self->cr = false;
}

place_t sink_place (const sink_t *self, const char *format, ...)
{
    place_t place = { .bad = self->bad - self->always.bad,
                      .inflated = self->inflated - self->always.inflated,
                      .entries = self->entries - self->always.entries };
    va_list args;
    va_start (args, format);
    vsnprintf (place.base, sizeof place.base, format, args);
    va_end (args);
    return place;
}

void sink_counted_always (sink_t *self)
{
    if (self->nested)
        return;
    self->always = (place_t){ .bad = self->bad - self->place.bad,
                              .inflated = self->inflated - self->place.inflated,
                              .entries = self->entries - self->place.entries };
}

void sink_border (sink_t *self, const place_t *place)
{
    if (self->text.size + self->raw.size >= STRUCTURE_BYTES || self->marks.column.size >= MARKS_BYTES ||
        (!self->text.size && !self->raw.size))
        end_segment (self, place);
    else
        sink_newlines (self, 1);
}

void sink_close (sink_t *self, const place_t *place)
{
    end_segment (self, place);
}

void sink_page (sink_t *self, uint32_t page)
{
    marks_page (&self->marks, page);
}

void sink_heading (sink_t *self, unsigned level, span_t title)
{
    if (level <= 2 || self->marks.column.size >= MARKS_BYTES)
        sink_border (self, NULL);
    sink_newlines (self, 2);
    marks_heading (&self->marks, level, title);
}

void sink_path (sink_t *self, span_t path)
{
    marks_path (&self->marks, path);
}

span_t sink_current_path (const sink_t *self)
{
    return str_span (&self->marks.path);
}

void sink_nest (sink_t *self, int by)
{
    self->nested += by;
}

void sink_meta (sink_t *self, meta_key_t key, span_t value)
{
    if (self->nested || !value.size)
        return;
    str_t line = STR_INIT;
    clean_line (&line, value, NAME_MAX_);
    if (line.size)
        self->config.out.meta (self->config.out.self, key, str_span (&line));
    str_free (&line);
}

/*  An earlier parser died in `unit`. */
static bool is_to_skip (const sink_t *self, const char *unit)
{
    size_t size = strlen (unit);
    span_t rest = self->config.skip;
    while (rest.size) {
        const char *end = memchr (rest.data, '\n', rest.size);
        size_t line = end ? (size_t)(end - rest.data) : rest.size;
        if (line == size && memcmp (rest.data, unit, size) == 0)
            return true;
        line += end != NULL;
        rest = span (rest.data + line, rest.size - line);
    }
    return false;
}

/*  Ends the segment under way, so that what is behind a skipped unit can be gone to by itself. With segments to drop
 *  it was given out by an earlier run, and those after it were made of the unit: no segment of this run is either. */
static void leave_out (sink_t *self)
{
    if (self->discard) {
        self->number += self->discard;
        self->discard = 0;
        str_clear (&self->raw);
        str_clear (&self->text);
        drop_warnings (self);
    }
    end_segment (self, NULL);
}

bool sink_unit (sink_t *self, const char *unit, span_t where)
{
    if (self->nested)
        return true;
    if (is_to_skip (self, unit)) {
        self->bad++; /* whoever wants it skipped tells why */
        leave_out (self);
        return false;
    }
    str_t name = STR_INIT;
    clean_line (&name, where, NAME_MAX_);
    if (self->config.out.step (self->config.out.self, self->permille, span_str (unit), str_span (&name)))
        self->stopped = true;
    str_free (&name);
    return true;
}

void sink_progress (sink_t *self, uint64_t done, uint64_t total)
{
    uint64_t permille = !total ? 0 : done >= total ? 1000 : done * 1000 / total;
    if (permille > self->permille && !self->nested)
        self->permille = (uint32_t)permille;
    if (self->config.out.step (self->config.out.self, self->permille, SPAN_EMPTY, SPAN_EMPTY))
        self->stopped = true;
}

int sink_inflate (sink_t *self, uint64_t bytes, err_t *err)
{
    const limits_t *limits = self->config.limits;
    self->inflated += bytes;
    if (self->inflated > limits->inflated_bytes)
        return err_set (err, ERR_INFLATED_TOO_LARGE, "the document unpacks to more than %" PRIu64 " MiB",
                        limits->inflated_bytes / MIB);
    if (self->inflated > limits->ratio_from && self->inflated / limits->ratio > self->config.document_bytes)
        return err_set (err, ERR_RATIO_EXCEEDED, "the document unpacks to more than %" PRIu64 " times its size",
                        limits->ratio);
    return 0;
}

int sink_entry (sink_t *self, err_t *err)
{
    if (++self->entries > self->config.limits->entries)
        return err_set (err, ERR_TOO_MANY_ENTRIES, "the archive has more than %" PRIu64 " entries",
                        self->config.limits->entries);
    return 0;
}

const limits_t *sink_limits (const sink_t *self)
{
    return self->config.limits;
}

uint64_t sink_document_bytes (const sink_t *self)
{
    return self->config.document_bytes;
}

bool sink_stopped (const sink_t *self)
{
    return self->stopped;
}

uint64_t sink_poured (const sink_t *self)
{
    return self->poured;
}

uint32_t sink_bad_count (const sink_t *self)
{
    return self->bad;
}

const err_t *sink_first_bad (const sink_t *self)
{
    return &self->first_bad;
}

void sink_end (sink_t *self)
{
    if (!self->stopped)
        end_segment (self, NULL);
    size_t most = self->config.limits->warnings;
    if (self->warned > most) {
        size_t more = self->warned - most;
        self->warned = 0;
        sink_warn (self, ERR_TOO_MANY_ENTRIES, SPAN_LIT ("*"), "%zu more warnings are not shown", more);
    }
    give_warnings (self);
}
