/*  run.c: the segments of a task that is processing, from extract's hands into storage's. */
#include "broker/core/state.h"

#include <stdlib.h>

#define SEGMENTS_MAX       ((1u << 20) - 2)
#define CHECKPOINT_COST_US 100000u /* below it doing a task again is cheaper than writing down how far it got */
#define WARNINGS_MAX_BYTES (64u << 10)

static void replace (str_t *text, span_t value)
{
    str_clear (text);
    str_add (text, value);
}

run_t *run_new (core_t *self, task_t *task)
{
    run_t *run = calloc (1, sizeof *run);
    if (!run)
        abort ();
    run->task = task;
    unit_init (&run->commit, UNIT_COMMIT, STAGE_STORAGE);
    run->progress_at = self->now;
    run->limit = self->config.window;
    run->began_ms = self->now;
    run->next_run = self->runs;
    run->link = &self->runs;
    if (self->runs)
        self->runs->link = &run->next_run;
    self->runs = run;
    self->active++;
    return run;
}

void segment_drop_columns (core_t *self, segment_t *segment)
{
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        self->memory_bytes -= buf_size (segment->columns[i]);
        buf_unref (&segment->columns[i]);
    }
}

static void segment_free (core_t *self, segment_t *segment)
{
    if (!segment)
        return;
    unit_leave (self, &segment->unit);
    segment_drop_columns (self, segment);
    buf_unref (&segment->cursor);
    free (segment);
}

void run_free (core_t *self, run_t *run)
{
    unit_leave (self, &run->commit);
    for (uint32_t i = 0; i < run->next - run->first; i++)
        segment_free (self, run->segments[i]);
    free (run->segments);
    buf_unref (&run->cursor);
    buf_unref (&run->first_cursor);
    str_t *texts[] = { &run->filename, &run->media_type, &run->options,    &run->metadata,
                       &run->warnings, &run->history,    &run->error_code, &run->error_message };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        str_free (texts[i]);
    faults_forget (run);
    *run->link = run->next_run;
    if (run->next_run)
        run->next_run->link = run->link;
    self->active--;
    free (run);
}

void run_load (core_t *self, run_t *run, const record_resume_t *resume)
{
    run->first = run->next = resume->segments;
    run->failed = run->first_failed = resume->failed;
    run->stored = resume->segments >= resume->failed ? resume->segments - resume->failed : 0;
    run->first_text_bytes = run->text_bytes = resume->text_bytes;
    run->cursor = buf_copy (resume->cursor);
    run->first_cursor = buf_ref (run->cursor);
    run->permille = resume->permille;
    run->chunks = run->first_chunks = resume->chunks;
    run->embeddings = run->first_embeddings = resume->embeddings;
    run->stage_done = run->next * 3;
    run->touched_storage = true;
    run->cost_us = CHECKPOINT_COST_US; /* it was worth a checkpoint before */
    run->limit = run_limit (self, run);
    replace (&run->warnings, resume->warnings);
    replace (&run->media_type, resume->media_type);
    replace (&run->metadata, resume->metadata);
}

uint32_t run_limit (const core_t *self, const run_t *run)
{
    return run->first + self->config.window;
}

void run_warn (run_t *run, span_t code, span_t message, const char *where)
{
    str_t warning = STR_INIT;
    str_char (&warning, '{');
    str_key_str (&warning, "code", code);
    str_key_str (&warning, "message", message);
    str_key_str (&warning, "where", span_str (where));
    str_char (&warning, '}');
    run_add_warnings (run, str_span (&warning));
    str_free (&warning);
}

void run_add_warnings (run_t *run, span_t warnings)
{
    /* What is done again after a restart warns again: once is enough. */
    if (!warnings.size || run->warnings.size > WARNINGS_MAX_BYTES ||
        (run->warnings.size && memmem (run->warnings.data, run->warnings.size, warnings.data, warnings.size)))
        return;
    if (run->warnings.size)
        str_char (&run->warnings, ',');
    str_add (&run->warnings, warnings);
}

int run_add_segment (core_t *self, run_t *run, const wire_result_t *result, buf_t *columns[COLUMN_COUNT], err_t *err)
{
    if (result->segment != run->next)
        return err_set (err, ERR_PROTOCOL, "segment %u came where %u was due", result->segment, run->next);
    if (run->next >= SEGMENTS_MAX)
        return err_set (err, ERR_TOO_LARGE, "the document has more than %u segments", SEGMENTS_MAX);
    if (!columns[1] || !columns[2])
        return err_set (err, ERR_PROTOCOL, "segment %u came without text or marks", result->segment);
    uint32_t index = run->next - run->first;
    if (index >= run->room) {
        run->room = run->room ? run->room * 2 : 4;
        run->segments = realloc (run->segments, run->room * sizeof *run->segments);
        if (!run->segments)
            abort ();
    }
    segment_t *segment = run->segments[index] = calloc (1, sizeof *segment);
    if (!segment)
        abort ();
    unit_init (&segment->unit, UNIT_SEGMENT, STAGE_CHUNK);
    segment->task = run->task;
    segment->number = result->segment;
    segment->text_offset = result->text_offset;
    segment->text_bytes = buf_size (columns[1]);
    segment->permille = result->permille;
    segment->cursor = buf_copy (result->cursor);
    for (size_t i = 1; i <= 2; i++) { /* text and marks */
        segment->columns[i] = buf_ref (columns[i]);
        self->memory_bytes += buf_size (columns[i]);
    }
    run->next++;
    run->permille = result->permille > run->permille ? result->permille : run->permille;
    run->text_bytes = segment->text_offset + segment->text_bytes;
    buf_unref (&run->cursor);
    run->cursor = buf_ref (segment->cursor);
    unit_ready (self, &segment->unit);
    return 0;
}

/*  Writes down that all segments below `first` are stored, so that a restart goes on after them. */
static void checkpoint (core_t *self, run_t *run)
{
    task_t *task = run->task;
    if (run->cost_us < CHECKPOINT_COST_US || run->extract_done)
        return;
    run->checkpointed = true;
    uint32_t chunks = run->first_chunks;
    for (uint32_t i = 0; BUG (COUNTED_AHEAD) && i < run->next - run->first; i++)
        chunks += run->segments[i]->chunks;
    record_resume_t resume = { .revision = task->revision,
                               .segments = run->first,
                               .failed = run->first_failed,
                               .text_bytes = run->first_text_bytes,
                               .cursor = buf_span (run->first_cursor),
                               .permille = run->permille,
                               .chunks = chunks,
                               .embeddings = run->first_embeddings,
                               .warnings = str_span (&run->warnings),
                               .media_type = str_span (&run->media_type),
                               .metadata = str_span (&run->metadata) };
    record_key (&self->key, task->user->name, task->id);
    record_put (self->kv, FAMILY_WORK, str_span (&self->key), &record_resume_shape, &resume);
}

void run_segment_finished (core_t *self, run_t *run, segment_t *segment)
{
    segment->finished = true;
    segment_drop_columns (self, segment);
    uint32_t before = run->first;
    uint32_t gone = 0;
    while (gone < run->next - run->first && run->segments[gone]->finished) {
        segment_t *done = run->segments[gone];
        run->first_text_bytes = done->text_offset + done->text_bytes;
        buf_unref (&run->first_cursor);
        run->first_cursor = buf_ref (done->cursor);
        run->first_chunks += done->failed ? 0 : done->chunks;
        run->first_embeddings += done->failed ? 0 : done->embeddings;
        run->first_failed += done->failed;
        segment_free (self, done);
        gone++;
    }
    if (gone) {
        memmove (run->segments, run->segments + gone, (run->next - run->first - gone) * sizeof *run->segments);
        run->first += gone;
        checkpoint (self, run);
    }
    if (run->first == before || run->extract_done)
        return;
    /* Let extract go on; unless memory is short and this task still has something under way that will free some. */
    uint32_t limit = run_limit (self, run);
    bool room = self->memory_bytes < self->config.memory_bytes || run->first == run->next;
    if (room && limit > run->limit) {
        run->limit = limit;
        if (run->task->extract.where == AT_WORKER)
            results_ack (self, run->task->extract.job, run->first - 1, limit);
    }
}

void run_progress (core_t *self, run_t *run)
{
    task_t *task = run->task;
    if (self->now < run->progress_at + self->config.progress_ms)
        return;
    double read = run->extract_done ? 1.0 : run->permille / 1000.0;
    double through = run->next ? run->stage_done / (3.0 * run->next) : 0.0;
    uint8_t progress = (uint8_t)(99.0 * read * (0.25 + 0.75 * through));
    if (progress <= task->progress && !BUG (FALLING))
        return;
    run->progress_at = self->now;
    task->progress = progress > 99 ? 99 : progress;
    task->updated_at = self->wall;
    events_task (self, task, FEED_PROGRESS);
    task_save (self, task);
}

void run_check_end (core_t *self, run_t *run)
{
    if (!run->extract_done || run->first != run->next || run->commit.where != AT_NONE)
        return;
    if (run->stored) {
        unit_ready (self, &run->commit);
        return;
    }
    span_t code = str_span (&run->error_code), message = str_span (&run->error_message);
    if (!code.size) {
        code = span_str (err_name (ERR_EMPTY_DOCUMENT));
        message = SPAN_LIT ("No text was found in the document.");
    }
    task_fail (self, run->task, code, message);
}
