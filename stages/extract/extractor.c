#include "stages/extract/extractor.h"
#include "stages/extract/document.h"
#include "stages/extract/parser.h"
#include "stages/extract/plain.h"

#include <assert.h>
#include <stdlib.h>

typedef enum { TASK_FREE, TASK_PLAIN, TASK_WAITING, TASK_PARSING } task_state_t;

/*  One job in hand. */
typedef struct {
    task_state_t state;
    worker_job_t *job;
    uint64_t order; /* of those that wait for the parser the oldest goes first */

    /* Plain. */
    buf_t *text;
    const char *media_type; /* static */
    size_t at;              /* where the next segment begins */
    uint32_t segment;       /* its number */

    /* Parsed: the last segment is held back until it is known whether it is the last. */
    bool holding;
    parser_segment_t held;
    str_t cursor;
    str_t warnings;
} task_t;

struct extractor {
    worker_t *worker;
    parser_t *parser;
    task_t tasks[EXTRACTOR_SLOTS];
    uint64_t orders;
    task_t *parsing; /* who has the parser; NULL: nobody */
};

extractor_t *extractor_new (worker_t *worker, zygote_t *zygote, const limits_t *limits)
{
    extractor_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->worker = worker;
    self->parser = parser_new (zygote, limits);
    return self;
}

/*  The job was ended; so is the task. */
static void forget (extractor_t *self, task_t *task)
{
    buf_unref (&task->text);
    buf_unref (&task->held.text);
    buf_unref (&task->held.marks);
    str_free (&task->cursor);
    str_free (&task->warnings);
    if (self->parsing == task)
        self->parsing = NULL;
    *task = (task_t){ .state = TASK_FREE };
}

void extractor_destroy (extractor_t **self_p)
{
    extractor_t *self = *self_p;
    if (!self)
        return;
    for (int i = 0; i < EXTRACTOR_SLOTS; i++)
        forget (self, &self->tasks[i]);
    parser_destroy (&self->parser);
    free (self);
    *self_p = NULL;
}

static void fail (extractor_t *self, task_t *task, const err_t *err)
{
    worker_fail (self->worker, task->job, err);
    forget (self, task);
}

/*  The parser failed: with what it said last. */
static void fail_parsed (extractor_t *self, task_t *task, const err_t *err)
{
    str_t errors = STR_INIT;
    parser_errors (self->parser, &errors);
    wire_result_t result = { .parser_killed = parser_was_killed (self->parser), .errors = str_span (&errors) };
    worker_fail_with (self->worker, task->job, err, &result);
    str_free (&errors);
    forget (self, task);
}

static void drop_text (void *hint)
{
    buf_t *text = hint;
    buf_unref (&text);
}

/*  The part of the text from start to end; the whole is passed on as it is. */
static buf_t *slice (buf_t *text, size_t start, size_t end)
{
    if (!start && end == buf_size (text))
        return buf_ref (text);
    return buf_wrap (span (buf_bytes (text) + start, end - start), drop_text, buf_ref (text));
}

/*  Sends plain segments as far as the limit goes. */
static void step_plain (extractor_t *self, task_t *task)
{
    span_t text = buf_span (task->text);
    while (task->at < text.size && task->segment < task->job->limit) {
        size_t start = task->at, end = plain_cut (text, start);
        uint32_t number = task->segment++;
        bool last = end == text.size;
        task->at = end;
        if (number < task->job->job.first_segment && !last)
            continue; /* an earlier attempt sent it */
        wire_result_t result = { .segment = number,
                                 .permille = (uint32_t)(end * 1000 / text.size),
                                 .text_offset = start,
                                 .segments = task->segment,
                                 .media_type = span_str (task->media_type) };
        buf_t *columns[COLUMN_COUNT] = { NULL };
        bool send = number >= task->job->job.first_segment;
        if (send) {
            columns[1] = slice (task->text, start, end);
            columns[2] = buf_new (0);
        }
        if (last)
            worker_done (self->worker, task->job, &result, columns);
        else
            worker_part (self->worker, task->job, &result, columns);
        buf_unref (&columns[1]);
        buf_unref (&columns[2]);
        if (last) {
            forget (self, task);
            return;
        }
    }
}

static wire_result_t held_result (const task_t *task)
{
    return (wire_result_t){ .segment = task->held.number,
                            .permille = task->held.permille,
                            .text_offset = task->held.text_offset,
                            .cursor = str_span (&task->cursor),
                            .warnings = str_span (&task->warnings) };
}

static void held_columns (task_t *task, buf_t *columns[COLUMN_COUNT])
{
    columns[1] = task->held.text;
    columns[2] = task->held.marks ? task->held.marks : (task->held.marks = buf_new (0));
}

static void send_held (extractor_t *self, task_t *task)
{
    if (!task->holding)
        return;
    wire_result_t result = held_result (task);
    buf_t *columns[COLUMN_COUNT] = { NULL };
    held_columns (task, columns);
    worker_part (self->worker, task->job, &result, columns);
    buf_unref (&task->held.text);
    buf_unref (&task->held.marks);
    task->holding = false;
}

static void hold (task_t *task, const parser_segment_t *segment)
{
    task->held = *segment;
    task->holding = true;
    str_clear (&task->cursor);
    str_add (&task->cursor, segment->cursor);
    str_clear (&task->warnings);
    str_add (&task->warnings, segment->warnings);
}

/*  The document is at its end: DONE carries the segment held back, if there is one. */
static void end_parsed (extractor_t *self, task_t *task)
{
    if (!task->holding)
        str_clear (&task->warnings);
    span_t more = parser_warnings (self->parser);
    if (task->warnings.size && more.size)
        str_char (&task->warnings, ',');
    str_add (&task->warnings, more);
    str_t metadata = STR_INIT;
    parser_metadata (self->parser, &metadata);
    uint32_t first = task->job->job.first_segment;
    wire_result_t result = task->holding ? held_result (task) : (wire_result_t){ .segment = first };
    result.permille = 1000;
    result.segments = task->holding ? task->held.number + 1 : task->segment;
    result.segments_failed = parser_bad (self->parser);
    result.media_type = parser_media_type (self->parser);
    result.metadata = str_span (&metadata);
    result.warnings = str_span (&task->warnings);
    buf_t *columns[COLUMN_COUNT] = { NULL };
    if (task->holding)
        held_columns (task, columns);
    worker_done (self->worker, task->job, &result, columns);
    str_free (&metadata);
    forget (self, task);
}

/*  Listens to the parser as long as the job may send. -1 and *err when there can be no more parsers. */
static int step_parsed (extractor_t *self, task_t *task, err_t *err)
{
    while (!task->holding || task->held.number < task->job->limit) {
        parser_segment_t segment;
        parser_state_t state = parser_next (self->parser, &segment, err);
        if (state == PARSER_IDLE) {
            worker_progress (self->worker, task->job, parser_counter (self->parser));
            return 0;
        }
        if (state == PARSER_SEGMENT) {
            send_held (self, task);
            hold (task, &segment);
            task->segment = segment.number + 1;
            continue;
        }
        if (state == PARSER_DONE) {
            end_parsed (self, task);
            return 0;
        }
        if (state == PARSER_FAILED)
            send_held (self, task);
        fail_parsed (self, task, err);
        return state == PARSER_BROKEN ? -1 : 0;
    }
    if (!parser_hold (self->parser, err))
        return 0;
    fail (self, task, err);
    return -1;
}

static task_t *oldest_waiting (extractor_t *self)
{
    task_t *oldest = NULL;
    for (int i = 0; i < EXTRACTOR_SLOTS; i++) {
        task_t *task = &self->tasks[i];
        if (task->state == TASK_WAITING && (!oldest || task->order < oldest->order))
            oldest = task;
    }
    return oldest;
}

/*  While the parser is free the oldest that waits gets it. */
static void start_waiting (extractor_t *self)
{
    task_t *task;
    while (!self->parsing && (task = oldest_waiting (self))) {
        const wire_job_t *job = &task->job->job;
        err_t err;
        parser_request_t request = { .document = document_open (task->job, &err),
                                     .name = job->filename,
                                     .media_type = job->media_type,
                                     .cursor = job->cursor,
                                     .first_segment = job->first_segment,
                                     .text_offset = job->text_offset };
        if (request.document < 0 || parser_start (self->parser, &request, &err)) {
            fail (self, task, &err);
            continue;
        }
        task->state = TASK_PARSING;
        task->segment = job->first_segment;
        self->parsing = task;
    }
}

static bool is_blank (span_t text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!strchr (" \t\n", text.data[i]))
            return false;
    return true;
}

/*  Decides what is to be done with a new job. */
static void begin (extractor_t *self, task_t *task, worker_job_t *job)
{
    *task = (task_t){ .state = TASK_WAITING, .job = job, .order = ++self->orders };
    err_t err;
    buf_t *blob = NULL;
    if (!job->job.bytes) {
        err_set (&err, ERR_EMPTY_DOCUMENT, "the document has 0 bytes");
        fail (self, task, &err);
        return;
    }
    if (job->job.bytes <= PLAIN_MAX && document_read (job, &blob, &err)) {
        fail (self, task, &err);
        return;
    }
    if (blob && extract_plain (blob, job->job.filename, job->job.media_type, &task->text, &task->media_type)) {
        task->state = TASK_PLAIN;
        if (is_blank (buf_span (task->text))) {
            err_set (&err, ERR_EMPTY_DOCUMENT, "the document (%s) holds no text", task->media_type);
            fail (self, task, &err);
        }
    }
    buf_unref (&blob);
}

static task_t *free_task (extractor_t *self)
{
    for (int i = 0; i < EXTRACTOR_SLOTS; i++)
        if (self->tasks[i].state == TASK_FREE)
            return &self->tasks[i];
    return NULL;
}

static int step (extractor_t *self, task_t *task, err_t *err)
{
    if (task->state == TASK_FREE)
        return 0;
    if (task->job->cancelled) {
        if (task->state == TASK_PARSING)
            parser_kill (self->parser);
        err_t why;
        err_set (&why, ERR_CANCELLED, "the task was cancelled");
        fail (self, task, &why);
        return 0;
    }
    if (task->state == TASK_PLAIN)
        step_plain (self, task);
    return task->state == TASK_PARSING ? step_parsed (self, task, err) : 0;
}

int extractor_turn (extractor_t *self, err_t *err)
{
    task_t *task;
    worker_job_t *job;
    for (int i = 0; i < EXTRACTOR_SLOTS; i++)
        if (step (self, &self->tasks[i], err))
            return -1;
    while ((task = free_task (self)) && (job = worker_take (self->worker))) {
        begin (self, task, job);
        step (self, task, err);
    }
    if (!self->parsing) { /* earlier parsers end; the next begins */
        parser_segment_t none;
        if (parser_next (self->parser, &none, err) == PARSER_BROKEN)
            return -1;
        start_waiting (self);
    }
    return 0;
}

int extractor_items (const extractor_t *self, zmq_pollitem_t items[EXTRACTOR_ITEMS])
{
    int count = 0;
    items[count++] = (zmq_pollitem_t){ .fd = parser_zygote_fd (self->parser), .events = ZMQ_POLLIN };
    if (parser_errors_fd (self->parser) >= 0)
        items[count++] = (zmq_pollitem_t){ .fd = parser_errors_fd (self->parser), .events = ZMQ_POLLIN };
    const task_t *task = self->parsing;
    if (task && (!task->holding || task->held.number < task->job->limit) && parser_output_fd (self->parser) >= 0)
        items[count++] = (zmq_pollitem_t){ .fd = parser_output_fd (self->parser), .events = ZMQ_POLLIN };
    return count;
}

int extractor_timeout_ms (const extractor_t *self)
{
    return parser_timeout_ms (self->parser);
}
