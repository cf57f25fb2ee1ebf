#include "stages/extract/parser.h"
#include "base/clock.h"
#include "stages/extract/checks.h"
#include "stages/extract/death.h"
#include "stages/extract/tail.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define RESTARTS_MAX 4
#define READ_BYTES   (64 * 1024)
#define PIPE_BYTES   (512 * 1024)
#define WATCH_MS     1000
#define WARNINGS_MAX (512 * 1024)
/*  What one call of parser_next takes at most: the worker has others to listen to. */
#define TURN_BYTES  (1024 * 1024)
#define RECORD_COST 4096 /* a small record is no free one */

typedef enum { RUN_NONE, RUN_STARTING, RUN_READING } run_t;

struct parser {
    zygote_t *zygote;
    const limits_t *limits;

    /* The document. */
    int document; /* -1: none */
    str_t name;
    str_t media_type; /* declared */
    str_t cursor;     /* of the last segment */
    uint32_t next;    /* number of the segment that comes */
    uint64_t text_offset;
    str_t skip;   /* units that killed a parser */
    str_t spared; /* the last unit at which somebody else killed one: it is not skipped for that */
    unsigned restarts;
    err_t cause;   /* why the first one died */
    bool killed;   /* FAILED for that */
    tail_t errors; /* stderr of them all */

    /* The process. */
    run_t run;
    uint64_t ticket; /* of the process asked for last: what starts under another is wanted by nobody any more */
    uint64_t pid;
    int output; /* -1: closed, or none */
    bool exited;
    int status;
    err_t verdict; /* why we killed it; code 0: we did not */
    str_t unit;
    str_t where;          /* what people call it */
    uint64_t step_ms;     /* when it last moved */
    uint64_t step_cpu_ms; /* its CPU time then */

    /* What it said. */
    str_t in;
    size_t in_at;
    bool more;     /* a turn ended before what was read did */
    str_t pending; /* warnings since the last segment */
    str_t deaths;  /* warnings about parsers that died, since the last segment */
    str_t given;   /* what the caller got a span of */
    str_t given_cursor;
    str_t meta[META_COUNT];
    str_t found; /* media type */
    uint32_t bad;
    uint32_t permille;
    uint64_t counter;
};

parser_t *parser_new (zygote_t *zygote, const limits_t *limits)
{
    parser_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->zygote = zygote;
    self->limits = limits;
    self->document = self->output = self->errors.fd = -1;
    return self;
}

static void close_fd (int *fd)
{
    if (*fd >= 0)
        close (*fd);
    *fd = -1;
}

/*  Leaves the process to itself: whatever it still says or does is not heard. */
static void let_go (parser_t *self)
{
    if (self->run == RUN_READING && !self->exited)
        zygote_kill (self->zygote, self->pid);
    close_fd (&self->output);
    tail_close (&self->errors);
    self->run = RUN_NONE;
    self->pid = 0;
    str_clear (&self->in);
    self->in_at = 0;
    self->more = false;
}

void parser_kill (parser_t *self)
{
    let_go (self);
    close_fd (&self->document);
}

void parser_destroy (parser_t **self_p)
{
    parser_t *self = *self_p;
    if (!self)
        return;
    parser_kill (self);
    str_t *const strings[] = { &self->name,  &self->media_type, &self->cursor, &self->skip,  &self->unit,
                               &self->in,    &self->pending,    &self->deaths, &self->given, &self->given_cursor,
                               &self->found, &self->where,      &self->spared };
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        str_free (strings[i]);
    for (int i = 0; i < META_COUNT; i++)
        str_free (&self->meta[i]);
    free (self);
    *self_p = NULL;
}

static void set (str_t *string, span_t value)
{
    str_clear (string);
    str_add (string, value);
}

/*  Starts a process on the document, from the last segment on. */
static int start_process (parser_t *self, err_t *err)
{
    int pair[2], errors = tail_open (&self->errors, err);
    if (errors < 0)
        return -1;
    if (pipe2 (pair, O_CLOEXEC)) {
        close (errors);
        return err_set_errno (err, ERR_UNAVAILABLE, errno, "cannot make a pipe for the parser");
    }
    fcntl (pair[0], F_SETFL, O_NONBLOCK);
    fcntl (pair[0], F_SETPIPE_SZ, PIPE_BYTES); /* refused: then it is smaller and slower */
    record_spawn_t spawn = { str_span (&self->name),
                             str_span (&self->media_type),
                             str_span (&self->cursor),
                             self->next,
                             self->text_offset,
                             str_span (&self->skip),
                             0 };
    int rc = zygote_spawn (self->zygote, &spawn, self->document, pair[1], errors, err);
    close (pair[1]);
    close (errors);
    if (rc) {
        close (pair[0]);
        return -1;
    }
    self->run = RUN_STARTING;
    self->ticket = spawn.ticket;
    self->output = pair[0];
    self->exited = false;
    self->verdict.code = ERR_NONE;
    self->step_ms = clock_mono_ms ();
    self->step_cpu_ms = 0;
    str_clear (&self->unit);
    str_clear (&self->where);
    str_clear (&self->pending);
    return 0;
}

int parser_start (parser_t *self, const parser_request_t *request, err_t *err)
{
    assert (self->run == RUN_NONE && self->document < 0);
    self->document = request->document;
    set (&self->name, request->name);
    set (&self->media_type, request->media_type);
    set (&self->cursor, request->cursor);
    self->next = request->first_segment;
    self->text_offset = request->text_offset;
    str_clear (&self->skip);
    str_clear (&self->spared);
    str_clear (&self->deaths);
    tail_clear (&self->errors);
    self->killed = false;
    str_clear (&self->found);
    str_clear (&self->given);
    for (int i = 0; i < META_COUNT; i++)
        str_clear (&self->meta[i]);
    self->restarts = 0;
    self->cause.code = ERR_NONE;
    self->bad = self->permille = 0;
    self->counter = 0;
    if (start_process (self, err)) {
        close_fd (&self->document);
        return -1;
    }
    return 0;
}

static uint64_t cpu_ms (const parser_t *self)
{
    clockid_t clock;
    struct timespec used;
    if (!self->pid || clock_getcpuclockid ((pid_t)self->pid, &clock) || clock_gettime (clock, &used))
        return 0;
    return (uint64_t)used.tv_sec * 1000 + (uint64_t)used.tv_nsec / 1000000;
}

static void moved (parser_t *self)
{
    self->counter++;
    self->step_ms = clock_mono_ms ();
    self->step_cpu_ms = 0; /* asked for at the next look: a clock of another process costs more than a record */
}

static void add_warning (str_t *list, span_t code, span_t where, span_t message)
{
    if (list->size > WARNINGS_MAX)
        return;
    if (list->size)
        str_char (list, ',');
    str_char (list, '{');
    str_key_str (list, "code", code);
    str_key_str (list, "message", message.data ? message : SPAN_LIT (""));
    str_key_str (list, "where", where.data ? where : SPAN_LIT (""));
    str_char (list, '}');
}

/*  Moves all warnings to where the caller may see them. */
static void give_warnings (parser_t *self)
{
    set (&self->given, str_span (&self->deaths));
    if (self->given.size && self->pending.size)
        str_char (&self->given, ',');
    str_add (&self->given, str_span (&self->pending));
    str_clear (&self->deaths);
    str_clear (&self->pending);
}

/*  Kills a process that got nowhere. */
static void watch (parser_t *self)
{
    if (self->run != RUN_READING || self->exited || self->verdict.code)
        return;
    uint64_t now = clock_mono_ms ();
    if (now - self->step_ms < WATCH_MS)
        return;
    uint64_t used = cpu_ms (self);
    if (!self->step_cpu_ms) /* the first look since it moved */
        self->step_cpu_ms = used ? used : 1;
    if (used > self->step_cpu_ms + self->limits->stall_cpu_ms)
        err_set (&self->verdict, ERR_CPU_EXCEEDED,
                 "the parser used %" PRIu64 " s of CPU time without progress; --parser-stall sets how long it may",
                 self->limits->stall_cpu_ms / 1000);
    else if (now - self->step_ms > self->limits->stall_ms) /* the machine may have had none for it: worth a retry */
        err_set (&self->verdict, ERR_TIMEOUT, "the parser made no progress for %" PRIu64 " s",
                 self->limits->stall_ms / 1000);
    if (self->verdict.code)
        zygote_kill (self->zygote, self->pid);
}

static parser_state_t finish (parser_t *self, parser_state_t state)
{
    give_warnings (self);
    parser_kill (self);
    return state;
}

/*  The process is dead and said no END. It may be that a unit of the document did it: then once more without. */
static parser_state_t died (parser_t *self, err_t *err)
{
    err_t cause = self->verdict;
    if (!cause.code)
        death_cause (self->status, str_span (&self->where), self->limits, &cause);
    tail_read (&self->errors);
    let_go (self);
    span_t code = span_str (err_name (cause.code)), message = span_str (cause.message);
    bool spare = cause.code == ERR_PARSER_KILLED && !span_eq (str_span (&self->unit), str_span (&self->spared));
    if (!self->cause.code && !spare)
        self->cause = cause;
    if (self->unit.size && self->restarts++ < RESTARTS_MAX) {
        if (spare)
            set (&self->spared, str_span (&self->unit));
        else {
            str_add (&self->skip, str_span (&self->unit));
            str_char (&self->skip, '\n');
            add_warning (&self->deaths, code, str_span (&self->where), message);
        }
        return start_process (self, err) ? finish (self, PARSER_BROKEN) : PARSER_IDLE;
    }
    if (err_class (cause.code) == ERR_REJECT && self->next) { /* it would end so again; what there is stays */
        self->bad++;
        add_warning (&self->deaths, code, str_span (&self->where), message);
        return finish (self, PARSER_DONE);
    }
    *err = cause;
    self->killed = cause.code != ERR_INTERNAL; /* without a sandbox it has seen nothing of the document */
    return finish (self, PARSER_FAILED);
}

/*  Hears what the zygote has to tell. -1 when it is gone. */
static int hear_zygote (parser_t *self, err_t *err)
{
    record_t record;
    int rc;
    while ((rc = zygote_read (self->zygote, &record, err)) == 1) {
        if (record.kind == RECORD_KIND_STARTED &&
            (self->run != RUN_STARTING || record.started.ticket != self->ticket)) {
            if (record.started.pid)
                zygote_kill (self->zygote, record.started.pid);
        } else if (record.kind == RECORD_KIND_STARTED) {
            self->pid = record.started.pid;
            self->exited = !self->pid; /* fork failed */
            self->run = self->pid ? RUN_READING : RUN_STARTING;
        } else if (record.kind == RECORD_KIND_EXITED && self->run == RUN_READING && record.exited.pid == self->pid) {
            self->exited = true;
            self->status = (int)record.exited.status;
        }
    }
    return rc;
}

static parser_state_t take_segment (parser_t *self, const record_segment_t *record, parser_segment_t *segment)
{
    give_warnings (self);
    set (&self->given_cursor, record->cursor);
    *segment = (parser_segment_t){ .number = record->number,
                                   .permille = record->permille,
                                   .text_offset = self->text_offset,
                                   .text = buf_copy (record->text),
                                   .marks = record->marks.size ? buf_copy (record->marks) : NULL,
                                   .cursor = str_span (&self->given_cursor),
                                   .warnings = str_span (&self->given) };
    set (&self->cursor, record->cursor);
    self->next++;
    self->text_offset += record->text.size;
    self->bad = record->bad;
    self->permille = record->permille;
    return PARSER_SEGMENT;
}

static parser_state_t take_end (parser_t *self, const record_end_t *end, err_t *err)
{
    set (&self->found, end->media_type);
    self->bad = end->bad;
    if (!end->code.size)
        return finish (self, PARSER_DONE);
    char name[40];
    snprintf (name, sizeof name, "%.*s", SPAN_ARG (end->code));
    if (self->cause.code && err_code (name) == ERR_EMPTY_DOCUMENT) {
        *err = self->cause; /* it is empty for what had to be skipped */
        self->killed = true;
    } else
        err_set (err, err_code (name), "%.*s", SPAN_ARG (end->message));
    return finish (self, PARSER_FAILED);
}

/*  Believes one record, or -1. *state stays PARSER_IDLE when the caller has nothing to do with it. */
static int take (parser_t *self, const record_t *record, parser_segment_t *segment, parser_state_t *state, err_t *done,
                 err_t *err)
{
    switch (record->kind) {
    case RECORD_KIND_SEGMENT:
        if (record->segment.number != self->next)
            return err_set (err, ERR_PROTOCOL, "segment %u instead of %u", record->segment.number, self->next);
        if (self->text_offset + record->segment.text.size > self->limits->text_bytes)
            return err_set (err, ERR_PROTOCOL, "more text than the limit");
        if (check_segment (&record->segment, err))
            return -1;
        *state = take_segment (self, &record->segment, segment);
        return 0;
    case RECORD_KIND_WARNING:
        if (check_warning (&record->warning, err))
            return -1;
        add_warning (&self->pending, record->warning.code, record->warning.where, record->warning.message);
        return 0;
    case RECORD_KIND_META:
        if (check_meta (&record->meta, err))
            return -1;
        if (!self->meta[record->meta.key].size) /* the first to speak */
            set (&self->meta[record->meta.key], record->meta.value);
        return 0;
    case RECORD_KIND_STEP:
        if (check_step (&record->step, err))
            return -1;
        self->permille = record->step.permille;
        if (record->step.unit.size) {
            set (&self->unit, record->step.unit);
            set (&self->where, record->step.where);
        }
        return 0;
    case RECORD_KIND_END:
        if (check_end (&record->end, err))
            return -1;
        *state = take_end (self, &record->end, done);
        return 0;
    default:
        return err_set (err, ERR_PROTOCOL, "a record of kind %d", record->kind);
    }
}

/*  The next whole record that was read: 1; 0: more is to be read; -1: what came is no record. */
static int next_record (parser_t *self, record_t *record, err_t *err)
{
    size_t have = self->in.size - self->in_at;
    const unsigned char *at = (const unsigned char *)self->in.data + self->in_at;
    if (have < 4)
        return 0;
    size_t size = at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16 | (size_t)at[3] << 24;
    if (size > RECORD_MAX)
        return err_set (err, ERR_PROTOCOL, "a record of %zu bytes", size);
    if (have < 4 + size)
        return 0;
    self->in_at += 4 + size;
    return record_decode (span (at + 4, size), record, err) ? -1 : 1;
}

/*  Reads more: 1, 0 when there is nothing now, -1 at the end. */
static int read_more (parser_t *self)
{
    if (self->in_at) {
        memmove (self->in.data, self->in.data + self->in_at, self->in.size - self->in_at);
        self->in.size -= self->in_at;
        self->in_at = 0;
    }
    size_t before = self->in.size;
    char *room = str_grow (&self->in, READ_BYTES);
    ssize_t got = read (self->output, room, READ_BYTES);
    self->in.size = before + (got > 0 ? (size_t)got : 0);
    if (got > 0)
        return 1;
    return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

parser_state_t parser_next (parser_t *self, parser_segment_t *segment, err_t *err)
{
    tail_read (&self->errors);
    if (hear_zygote (self, err))
        return finish (self, PARSER_BROKEN);
    if (self->run == RUN_STARTING && self->exited) {
        err_set (err, ERR_UNAVAILABLE, "no process could be forked for the parser");
        return finish (self, PARSER_FAILED);
    }
    for (size_t turn = 0; self->run != RUN_NONE;) {
        if ((self->more = turn >= TURN_BYTES))
            break;
        record_t record;
        err_t why;
        size_t from = self->in_at;
        int rc = next_record (self, &record, &why);
        if (rc == 1) {
            turn += self->in_at - from + RECORD_COST;
            parser_state_t state = PARSER_IDLE;
            moved (self);
            rc = take (self, &record, segment, &state, err, &why);
            if (!rc && state == PARSER_IDLE)
                continue;
            if (!rc)
                return state;
        }
        if (rc < 0) {
            err_set (err, ERR_PARSER_CRASHED, "the parser does not speak its protocol: %s", why.message);
            self->killed = true; /* by us, for what the document made of it */
            return finish (self, PARSER_FAILED);
        }
        if (self->output >= 0 && (rc = read_more (self)) > 0)
            continue;
        if (rc < 0)
            close_fd (&self->output);
        if (self->output < 0 && self->exited)
            return died (self, err);
        watch (self);
        break;
    }
    return PARSER_IDLE;
}

int parser_hold (parser_t *self, err_t *err)
{
    self->more = false;
    tail_read (&self->errors);
    self->step_ms = clock_mono_ms ();
    self->step_cpu_ms = 0;
    if (!hear_zygote (self, err))
        return 0;
    finish (self, PARSER_BROKEN);
    return -1;
}

int parser_output_fd (const parser_t *self)
{
    return self->output;
}

int parser_zygote_fd (const parser_t *self)
{
    return zygote_fd (self->zygote);
}

int parser_errors_fd (const parser_t *self)
{
    return self->errors.fd;
}

bool parser_was_killed (const parser_t *self)
{
    return self->killed;
}

void parser_errors (const parser_t *self, str_t *text)
{
    tail_text (&self->errors, text);
}

int parser_timeout_ms (const parser_t *self)
{
    return self->more ? 0 : self->run == RUN_NONE ? -1 : WATCH_MS;
}

span_t parser_media_type (const parser_t *self)
{
    return str_span (&self->found);
}

void parser_metadata (const parser_t *self, str_t *json)
{
    bool some = false;
    for (int i = 0; i < META_COUNT; i++) {
        if (!self->meta[i].size)
            continue;
        if (!some)
            str_char (json, '{');
        some = true;
        str_key_str (json, meta_name ((meta_key_t)i), str_span (&self->meta[i]));
    }
    if (some)
        str_char (json, '}');
}

span_t parser_warnings (const parser_t *self)
{
    return str_span (&self->given);
}

uint32_t parser_bad (const parser_t *self)
{
    return self->bad;
}

uint64_t parser_counter (const parser_t *self)
{
    return self->counter;
}

uint32_t parser_permille (const parser_t *self)
{
    return self->permille;
}
