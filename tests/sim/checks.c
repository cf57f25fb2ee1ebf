/*  checks.c: what must be true, of one answer and of the whole. */
#include "tests/sim/sim.h"

#include <inttypes.h>

/*  The result of a task that completed must be what its document holds. */
void check_result (const task_t *task, span_t body)
{
    outcome_t outcome = script_outcome (task->content);
    if (number_of (body, "chunks_created") != outcome.chunks ||
        number_of (body, "embeddings_generated") != outcome.chunks)
        broken ("task %s should have made %u chunks: %.*s", name_of (task->id), outcome.chunks, SPAN_ARG (body));
    if (!span_is (value_of (body, "status"), outcome.partial ? "partial_success" : "success"))
        broken ("task %s should be %s: %.*s", name_of (task->id), outcome.partial ? "partial" : "whole",
                SPAN_ARG (body));
}

/*  Every line of a history is of a task that is there. */
static void check_histories (void)
{
    kv_iter_t *iter = kv_iterate (sim.kv, FAMILY_HISTORY);
    str_t key = STR_INIT, value = STR_INIT;
    for (iter->ops->seek (iter, SPAN_EMPTY); iter->ops->valid (iter); iter->ops->step (iter, true)) {
        span_t user, rest;
        if (record_key_parse (iter->ops->key (iter), &user, &rest) == -1)
            broken ("a key of the history family cannot be read");
        record_key (&key, user, record_key_id (rest));
        if (kv_get (sim.kv, FAMILY_TASKS, str_span (&key), &value, NULL) != 1)
            broken ("task %s is gone, and has a history", name_of (record_key_id (rest)));
    }
    kv_iter_destroy (&iter);
    str_free (&key);
    str_free (&value);
}

/*  Counters that are kept, against what there is. */
void check_books (span_t queue)
{
    uint64_t ended =
        number_of (queue, "completed_tasks") + number_of (queue, "failed_tasks") + number_of (queue, "cancelled_tasks");
    if (number_of (queue, "pending_tasks") || number_of (queue, "processing_tasks") ||
        ended != kv_memory_count (sim.kv, FAMILY_ENDED) || number_of (queue, "total_tasks") != ended)
        broken ("the books are wrong, %zu tasks have ended: %.*s", kv_memory_count (sim.kv, FAMILY_ENDED),
                SPAN_ARG (queue));
    static const record_family_t empty[] = { FAMILY_LIVE, FAMILY_WORK, FAMILY_PURGES };
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++)
        if (kv_memory_count (sim.kv, empty[i]))
            broken ("%zu records are left in family %d", kv_memory_count (sim.kv, empty[i]), (int)empty[i]);
    if (kv_memory_count (sim.kv, FAMILY_FAULTS) != number_of (queue, "failed_tasks"))
        broken ("of %zu tasks it is known how they failed: %.*s", kv_memory_count (sim.kv, FAMILY_FAULTS),
                SPAN_ARG (queue));
    if (kv_memory_count (sim.kv, FAMILY_ENDED) != kv_memory_count (sim.kv, FAMILY_TASKS))
        broken ("%zu tasks have records, %zu have ended", kv_memory_count (sim.kv, FAMILY_TASKS),
                kv_memory_count (sim.kv, FAMILY_ENDED));
    limits_check_counters ();
    check_histories ();
    if (kv_memory_count (sim.kv, FAMILY_BLOBS) != kv_memory_count (sim.kv, FAMILY_DOCUMENTS) ||
        kv_memory_count (sim.kv, FAMILY_HASHES) != kv_memory_count (sim.kv, FAMILY_DOCUMENTS))
        broken ("%zu documents, %zu contents, %zu hashes", kv_memory_count (sim.kv, FAMILY_DOCUMENTS),
                kv_memory_count (sim.kv, FAMILY_BLOBS), kv_memory_count (sim.kv, FAMILY_HASHES));
}

/*  What is visible is what the broker knows to be completed; only a power cut may take that knowledge, and then there
 *  was something visible before. */
static void check_revision (const task_t *task, uint64_t visible)
{
    record_document_t document;
    str_t key = STR_INIT, bytes = STR_INIT;
    record_key (&key, span_str (user_names[task->user]), task->document);
    if (record_get (sim.kv, FAMILY_DOCUMENTS, str_span (&key), &record_document_shape, &document, &bytes, NULL) == 1 &&
        document.revision != visible && !(document.revision && depot_is_dark (sim.depot, task->document)))
        broken ("revision %" PRIu64 " of document %s is visible, %" PRIu64 " is completed", visible,
                name_of (task->document), document.revision);
    str_free (&key);
    str_free (&bytes);
}

/*  What the task last made, or was about to make; 0: nothing. */
static uint64_t revision_of (const task_t *task)
{
    record_task_t record = { 0 };
    str_t key = STR_INIT, bytes = STR_INIT;
    record_key (&key, span_str (user_names[task->user]), task->id);
    record_get (sim.kv, FAMILY_TASKS, str_span (&key), &record_task_shape, &record, &bytes, NULL);
    str_free (&key);
    str_free (&bytes);
    return record.revision;
}

/*  What a task that has ended left in the depot. */
static void check_depot (const task_t *task)
{
    uint32_t segments, expected = 0;
    uint64_t revision = depot_visible (sim.depot, task->document, &segments);
    check_revision (task, revision);
    if (task->final != COMPLETED) {
        /* What an earlier task of the same bytes made stays, also when that task itself was deleted. */
        if (revision && revision == revision_of (task) && !depot_is_dark (sim.depot, task->document))
            broken ("task %s is %s, and what it made is there", name_of (task->id), status_names[task->final]);
        return;
    }
    for (uint32_t i = 0; i < script_segments (task->content); i++)
        if (!script_is_bad (task->content, i))
            expected |= 1u << i;
    if (!revision)
        broken ("task %s completed and its document is not there", name_of (task->id));
    if (segments != expected)
        broken ("task %s completed with segments %x instead of %x", name_of (task->id), segments, expected);
    sim.results_checked++;
}

/*  How many tasks that clients know of have not ended. */
static size_t alive (const task_t **last)
{
    size_t count = 0;
    for (size_t i = 0; i < sim.task_count; i++)
        if (sim.tasks[i].acked && !sim.tasks[i].deleted && !is_final (sim.tasks[i].final)) {
            *last = &sim.tasks[i];
            count++;
        }
    return count;
}

static void work_until_all_is_done (void)
{
    const task_t *last = NULL;
    for (uint64_t turns = 0;; turns++) {
        hands_work (sim.hands, sim.now);
        turn ();
        pass (100);
        if (turns % 50)
            continue;
        for (size_t i = 0; i < sim.task_count; i++)
            clients_ask (ASK_GET, &sim.tasks[i]);
        clients_ask (ASK_QUEUE, NULL);
        turn ();
        size_t left = alive (&last);
        if (!left && !sim.busy && !sim.letter_count && turns > 100)
            return;
        if (turns > SETTLE_TURNS)
            broken ("%zu tasks do not end (or others that nobody knows), %zu letters are on the way; the last is %s",
                    left, sim.letter_count, left ? name_of (last->id) : "none");
    }
}

void check_settled (void)
{
    sim.calm = true;
    hands_faults (sim.hands, false);
    core_refuse (sim.core, ERR_NONE);
    sim.disk_full = false;
    work_until_all_is_done ();
    for (size_t i = 0; i < sim.task_count; i++) {
        const task_t *task = &sim.tasks[i];
        if (task->acked && !task->deleting)
            check_depot (task);
        if (depot_has_remains (sim.depot, task->document))
            broken ("document %s has remains that nobody sees", name_of (task->document));
        if (task->final == COMPLETED && !task->deleting)
            clients_ask (ASK_RESULT, task);
    }
    clients_ask (ASK_HEALTH, NULL);
    turn ();
    /* Old ones go, so that the next ones have room. */
    size_t old = sim.task_count > TASKS_MAX / 4 ? sim.task_count - TASKS_MAX / 4 : 0;
    for (size_t i = 0; i < old; i++)
        clients_ask (ASK_DROP, &sim.tasks[i]);
    work_until_all_is_done ();
    for (size_t i = sim.task_count; i-- > 0;)
        if (sim.tasks[i].deleting || !sim.tasks[i].acked) {
            uuid_t document = sim.tasks[i].document;
            uint32_t segments;
            clients_forget (&sim.tasks[i]);
            if (!depot_visible (sim.depot, document, &segments))
                depot_forget (sim.depot, document);
        }
    for (size_t i = 0; i < sim.task_count; i++) {
        sim.tasks[i].replaying = false;
        sim.tasks[i].cancelling &= sim.tasks[i].final == CANCELLED;
    }
    sim.calm = false;
    hands_faults (sim.hands, true);
}
