/*  hands_work.c: what workers make of their jobs: all of it follows from the content (script.h), but for passing
 * faults.
 */
#include "tests/sim/hands_private.h"

#include <stdio.h>
#include <stdlib.h>

static wire_result_t result_of (const hand_t *hand, const held_t *held)
{
    return (wire_result_t){ .worker = hand->id,
                            .epoch = held->job.epoch,
                            .number = held->job.number,
                            .task = held->job.task,
                            .stage = held->job.stage,
                            .action = held->job.action,
                            .segment = held->job.stage == STAGE_EXTRACT ? held->next : held->job.segment };
}

void hand_fail (hands_t *self, hand_t *hand, size_t at, err_code_t code, uint64_t now)
{
    wire_result_t result = result_of (hand, &hand->held[at]);
    result.outcome = RESULT_FAILED;
    result.code = span_str (err_name (code));
    result.message = SPAN_LIT ("the dice say so");
    result.parser_killed = code == ERR_MEMORY_EXCEEDED;
    result.errors = code == ERR_MEMORY_EXCEEDED ? SPAN_LIT ("Out of memory\n") : SPAN_EMPTY;
    hand_send_result (self, hand, &result, NULL, 0, now);
    hand_drop_held (hand, at);
}

/*  Two numbers: of the content, and of the segment. */
static void read_text (const buf_t *text, uint32_t *content, uint32_t *segment)
{
    char copy[32] = { 0 };
    size_t size = buf_size (text) < sizeof copy - 1 ? buf_size (text) : sizeof copy - 1;
    memcpy (copy, buf_span (text).data, size);
    *segment = 0;
    if (sscanf (copy, "%u %u", content, segment) < 1)
        abort ();
}

bool hand_is_last_try (const wire_job_t *job)
{
    return job->tries + 1u >= core_config_default.tries_max;
}

static void extract (hands_t *self, hand_t *hand, uint64_t now)
{
    held_t *held = &hand->held[0];
    uint32_t content, ignored;
    read_text (held->frames.payload[0], &content, &ignored);
    uint32_t segments = script_segments (content);
    if (script_is_damaged (content) || segments == 0) {
        err_code_t code = script_is_deadly (content) ? ERR_MEMORY_EXCEEDED : ERR_DAMAGED_DOCUMENT;
        hand_fail (self, hand, 0, segments ? code : ERR_EMPTY_DOCUMENT, now);
        return;
    }
    if (self->faults && !held->job.tries && dice_one_in (self->dice, 40)) { /* never for good */
        hand_fail (self, hand, 0, ERR_PARSER_CRASHED, now);
        return;
    }
    if (held->next >= held->limit)
        return; /* until an ACK raises it */
    char text[32], cursor[16];
    snprintf (text, sizeof text, "%u %u", content, held->next);
    snprintf (cursor, sizeof cursor, "%u", held->next + 1);
    if (held->job.first_segment == held->next && held->next) { /* the cursor must be the one of the segment before */
        char expected[16];
        snprintf (expected, sizeof expected, "%u", held->next);
        if (!span_is (held->job.cursor, expected))
            abort ();
    }
    wire_result_t result = result_of (hand, held);
    bool last = held->next + 1 == segments;
    result.outcome = last ? RESULT_DONE : RESULT_PART;
    result.permille = 1000 * (held->next + 1) / segments;
    result.text_offset = 10 * held->next;
    result.cursor = span_str (cursor);
    result.segments = segments;
    result.cost_us = script_cost_us (content);
    result.media_type = SPAN_LIT ("text/plain");
    result.columns = COLUMN_TEXT | COLUMN_MARKS;
    buf_t *columns[] = { buf_copy (span_str (text)), buf_copy (SPAN_EMPTY) };
    hand_send_result (self, hand, &result, columns, 2, now);
    buf_unref (&columns[0]);
    buf_unref (&columns[1]);
    held->next++;
    if (last)
        hand_drop_held (hand, 0);
}

void hand_work (hands_t *self, hand_t *hand, uint64_t now)
{
    if (hand->stage == STAGE_EXTRACT) {
        extract (self, hand, now);
        return;
    }
    /* Segments are not equally long: they come out in any order. Storage takes them as they come. */
    size_t at = hand->stage == STAGE_STORAGE ? 0 : dice_below (self->dice, (uint32_t)hand->held_count);
    held_t *held = &hand->held[at];
    if (self->faults && dice_one_in (self->dice, 60)) {
        hand_fail (self, hand, at, hand->stage == STAGE_STORAGE ? ERR_DISK_FULL : ERR_UNAVAILABLE, now);
        return;
    }
    uint32_t content = 0, segment = 0;
    if (held->job.columns)
        read_text (held->frames.payload[0], &content, &segment);
    if (held->job.columns && segment != held->job.segment)
        abort (); /* somebody else's text */
    if (hand->stage != STAGE_STORAGE && script_is_bad (content, segment)) {
        hand_fail (self, hand, at, ERR_DAMAGED_DOCUMENT, now);
        return;
    }
    wire_result_t result = result_of (hand, held);
    result.outcome = RESULT_DONE;
    result.cost_us = script_cost_us (content);
    result.chunks = script_chunks (content, segment);
    result.embeddings = result.chunks;
    result.columns = hand->stage == STAGE_CHUNK ? COLUMN_SPANS : hand->stage == STAGE_EMBED ? COLUMN_VECTORS : 0;
    if (hand->stage == STAGE_STORAGE)
        depot_apply (self->depot, &held->job);
    buf_t *column = buf_copy (SPAN_LIT ("a column"));
    hand_send_result (self, hand, &result, &column, result.columns ? 1 : 0, now);
    buf_unref (&column);
    hand_drop_held (hand, at);
}
