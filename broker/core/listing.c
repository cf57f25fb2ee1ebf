/*  listing.c: questions that read ranges: pages of documents, tasks, histories. Answered after the turn's commit, on
 *  committed data, and bounded: a page looks at SCAN_MAX records at most and may come short with a cursor.
 */
#include "broker/core/state.h"

#include <stdlib.h>

#define SCAN_MAX 5000u

typedef struct {
    core_t *core;
    user_t *user;
    str_t body;
    uint32_t limit, items, scanned;
    uuid_t last; /* id of the last record looked at */
    bool more;
} page_t;

/*  Walks keys `prefix` + id from after `cursor`, newest or oldest first; `visit` says whether it took the record. */
typedef bool visit_fn (page_t *page, uuid_t id, span_t value, const void *filter);

static int walk (page_t *page, record_family_t family, span_t prefix, uuid_t cursor, bool oldest_first, visit_fn *visit,
                 const void *filter, err_t *err)
{
    str_t from = STR_INIT;
    str_add (&from, prefix);
    bool paged = !uuid_is_null (cursor);
    if (paged)
        str_add (&from, span (cursor.bytes, UUID_SIZE));
    else if (!oldest_first)
        memset (str_grow (&from, UUID_SIZE), 0xff, UUID_SIZE);
    kv_iter_t *iter = kv_iterate (page->core->kv, family);
    if (oldest_first)
        iter->ops->seek (iter, str_span (&from));
    else
        iter->ops->seek_for_prev (iter, str_span (&from));
    for (; iter->ops->valid (iter); iter->ops->step (iter, oldest_first)) {
        span_t key = iter->ops->key (iter);
        if (key.size < prefix.size + UUID_SIZE || memcmp (key.data, prefix.data, prefix.size) != 0)
            break;
        uuid_t id = record_key_id (span (key.data + prefix.size, UUID_SIZE));
        if (paged && uuid_eq (id, cursor))
            continue;
        if (page->items == page->limit || page->scanned == SCAN_MAX) {
            page->more = true;
            break;
        }
        page->scanned++;
        page->last = id;
        if (visit (page, id, iter->ops->value (iter), filter))
            page->items++;
    }
    int rc = iter->ops->check (iter, err);
    kv_iter_destroy (&iter);
    str_free (&from);
    return rc;
}

static void comma (page_t *page)
{
    if (page->items)
        str_char (&page->body, ',');
}

static void end_page (page_t *page)
{
    str_char (&page->body, ']');
    char text[UUID_TEXT];
    uuid_text (page->last, text);
    str_key_str (&page->body, "next_cursor", page->more ? span_str (text) : SPAN_EMPTY);
    str_char (&page->body, '}');
}

static bool visit_document (page_t *page, uuid_t id, span_t value, const void *filter)
{
    record_document_t document;
    (void)filter;
    if (codec_decode (&record_document_shape, value, &document, NULL) == -1)
        return false;
    comma (page);
    json_document (page->core, &page->body, page->user, id, &document);
    return true;
}

/*  --- tasks --- */

bool list_has (span_t list, span_t word)
{
    while (list.size) {
        const char *comma = memchr (list.data, ',', list.size);
        size_t size = comma ? (size_t)(comma - list.data) : list.size;
        if (span_eq (span (list.data, size), word))
            return true;
        size_t used = comma ? size + 1 : size;
        list = span (list.data + used, list.size - used);
    }
    return false;
}

static bool matches (const wire_task_list_t *filter, const record_task_t *view)
{
    return (!filter->statuses || filter->statuses & 1u << view->status) &&
           (!filter->priorities || filter->priorities & 1u << view->priority) &&
           (uuid_is_null (filter->document) || uuid_eq (filter->document, view->document)) &&
           (!filter->created_after || view->created_at > filter->created_after) &&
           (!filter->created_before || view->created_at < filter->created_before) &&
           (!filter->error_codes.size || list_has (filter->error_codes, view->error_code));
}

/*  `quarantined`: with its document, and with how it failed. */
static void show (page_t *page, uuid_t id, const record_task_t *view, const task_t *live, bool quarantined)
{
    core_t *core = page->core;
    comma (page);
    if (quarantined)
        str_text (&page->body, "{\"task\":");
    if (live)
        json_task_live (core, &page->body, live);
    else
        json_task (&page->body, id, page->user->name, view, 0);
    if (!quarantined)
        return;
    record_document_t document;
    str_t key = STR_INIT, bytes = STR_INIT;
    record_key (&key, page->user->name, view->document);
    str_key (&page->body, "document");
    if (record_get (core->kv, FAMILY_DOCUMENTS, str_span (&key), &record_document_shape, &document, &bytes, NULL) == 1)
        json_document (core, &page->body, page->user, view->document, &document);
    else
        str_text (&page->body, "null");
    str_key (&page->body, "fault");
    faults_json (core, &page->body, page->user, id, view);
    str_char (&page->body, '}');
    str_free (&key);
    str_free (&bytes);
}

/*  The record is only a key here: look the task up. */
static bool visit_task_id (page_t *page, uuid_t id, span_t value, const void *filter)
{
    const wire_task_list_t *wanted = filter;
    record_task_t view;
    str_t key = STR_INIT, bytes = STR_INIT;
    bool taken = false;
    (void)value;
    const task_t *live = task_find (page->core, page->user, id);
    if (live) {
        task_view (page->core, live, &view);
        taken = matches (wanted, &view);
    } else {
        record_key (&key, page->user->name, id);
        taken =
            record_get (page->core->kv, FAMILY_TASKS, str_span (&key), &record_task_shape, &view, &bytes, NULL) == 1 &&
            matches (wanted, &view);
    }
    if (taken)
        show (page, id, &view, live, wanted->quarantine);
    str_free (&key);
    str_free (&bytes);
    return taken;
}

static bool visit_task (page_t *page, uuid_t id, span_t value, const void *filter)
{
    const wire_task_list_t *wanted = filter;
    record_task_t view;
    const task_t *live = task_find (page->core, page->user, id);
    if (live)
        task_view (page->core, live, &view);
    else if (codec_decode (&record_task_shape, value, &view, NULL) == -1)
        return false;
    if (!matches (wanted, &view))
        return false;
    show (page, id, &view, live, wanted->quarantine);
    return true;
}

static int compare_ids (const void *a, const void *b)
{
    return uuid_compare (*(const uuid_t *)a, *(const uuid_t *)b);
}

/*  Tasks of one document: its first, and those the index names. They are few. */
static int list_of_document (page_t *page, const wire_task_list_t *msg, err_t *err)
{
    core_t *core = page->core;
    record_document_t document;
    str_t prefix = STR_INIT, bytes = STR_INIT;
    uuid_t *ids = NULL;
    size_t count = 0, room = 0;
    record_key (&prefix, page->user->name, msg->document);
    int found =
        record_get (core->kv, FAMILY_DOCUMENTS, str_span (&prefix), &record_document_shape, &document, &bytes, err);
    if (found == 1) {
        room = 16;
        ids = malloc (room * sizeof *ids);
        if (!ids)
            abort ();
        if (!uuid_is_null (document.first_task))
            ids[count++] = document.first_task;
        kv_iter_t *iter = kv_iterate (core->kv, FAMILY_DOCUMENT_TASKS);
        for (iter->ops->seek (iter, str_span (&prefix)); iter->ops->valid (iter) && count < SCAN_MAX;
             iter->ops->step (iter, true)) {
            span_t key = iter->ops->key (iter);
            if (key.size != prefix.size + UUID_SIZE || memcmp (key.data, prefix.data, prefix.size) != 0)
                break;
            if (count == room) {
                room *= 2;
                ids = realloc (ids, room * sizeof *ids);
                if (!ids)
                    abort ();
            }
            ids[count++] = record_key_id (span (key.data + prefix.size, UUID_SIZE));
        }
        kv_iter_destroy (&iter);
        qsort (ids, count, sizeof *ids, compare_ids);
        for (size_t i = 0; i < count; i++) {
            uuid_t id = ids[msg->oldest_first ? i : count - 1 - i];
            int order = uuid_compare (id, msg->cursor);
            if (!uuid_is_null (msg->cursor) && (msg->oldest_first ? order <= 0 : order >= 0))
                continue;
            if (page->items == page->limit) {
                page->more = true;
                break;
            }
            page->last = id;
            if (visit_task_id (page, id, SPAN_EMPTY, msg))
                page->items++;
        }
    }
    free (ids);
    str_free (&prefix);
    str_free (&bytes);
    return found == -1 ? -1 : 0;
}

static int list_tasks (page_t *page, const wire_task_list_t *msg, err_t *err)
{
    if (!uuid_is_null (msg->document))
        return list_of_document (page, msg, err);
    str_t prefix = STR_INIT;
    int rc;
    /* One ended status: its index. Only living ones: the live family. Anything else: all of the user's tasks. */
    uint32_t living = 1u << TASK_PENDING | 1u << TASK_PROCESSING;
    uint8_t status = 0;
    while (status < TASK_STATUS_COUNT && msg->statuses != 1u << status)
        status++;
    if (status < TASK_STATUS_COUNT && lifecycle_ended ((task_status_t)status)) {
        record_key_user (&prefix, page->user->name);
        str_char (&prefix, (char)status);
        rc = walk (page, FAMILY_ENDED, str_span (&prefix), msg->cursor, msg->oldest_first, visit_task_id, msg, err);
    } else {
        record_key_user (&prefix, page->user->name);
        bool only_living = msg->statuses && !(msg->statuses & ~living);
        rc = walk (page, only_living ? FAMILY_LIVE : FAMILY_TASKS, str_span (&prefix), msg->cursor, msg->oldest_first,
                   only_living ? visit_task_id : visit_task, msg, err);
    }
    str_free (&prefix);
    return rc;
}

/*  --- histories --- */

static void add_line (page_t *page, span_t line, uint64_t *number, uint64_t first)
{
    uint64_t at = (*number)++;
    if (at < first)
        return;
    if (page->items == page->limit) {
        page->more = true;
        return;
    }
    comma (page);
    str_add (&page->body, line);
    page->items++;
}

static void add_lines (page_t *page, span_t lines, uint64_t *number, uint64_t first)
{
    while (lines.size && !page->more) {
        const char *end = memchr (lines.data, '\n', lines.size);
        size_t size = end ? (size_t)(end - lines.data) : lines.size;
        add_line (page, span (lines.data, size), number, first);
        size_t used = end ? size + 1 : size;
        lines = span (lines.data + used, lines.size - used);
    }
}

static int list_events (page_t *page, const wire_task_events_t *msg, err_t *err)
{
    core_t *core = page->core;
    record_task_t view;
    str_t prefix = STR_INIT, bytes = STR_INIT, line = STR_INIT;
    int rc = -1;
    task_t *live = task_find (core, page->user, msg->task);
    record_key (&prefix, page->user->name, msg->task);
    if (live)
        task_view (core, live, &view);
    else {
        int found = record_get (core->kv, FAMILY_TASKS, str_span (&prefix), &record_task_shape, &view, &bytes, err);
        if (found == 0)
            err_set (err, ERR_NOT_FOUND, "there is no such task");
        if (found != 1)
            goto out;
    }
    uint64_t number = 0;
    str_char (&line, '{');
    str_key_time (&line, "at", view.created_at);
    str_key_str (&line, "event", SPAN_LIT ("created"));
    str_char (&line, '}');
    add_line (page, str_span (&line), &number, msg->cursor);
    kv_iter_t *iter = kv_iterate (core->kv, FAMILY_HISTORY);
    for (iter->ops->seek (iter, str_span (&prefix)); iter->ops->valid (iter) && !page->more;
         iter->ops->step (iter, true)) {
        span_t key = iter->ops->key (iter);
        if (key.size < prefix.size || memcmp (key.data, prefix.data, prefix.size) != 0)
            break;
        add_lines (page, iter->ops->value (iter), &number, msg->cursor);
    }
    rc = iter->ops->check (iter, err);
    kv_iter_destroy (&iter);
    if (live && live->run)
        add_lines (page, str_span (&live->run->history), &number, msg->cursor);
    const char *waits_for = live ? dispatch_waiting_for (core, live) : NULL;
    if (waits_for) { /* as of now: the last line, and not kept */
        str_clear (&line);
        str_char (&line, '{');
        str_key_time (&line, "at", core->wall);
        str_key_str (&line, "event", SPAN_LIT ("waiting"));
        str_key_str (&line, "waiting_for", span_str (waits_for));
        str_char (&line, '}');
        add_line (page, str_span (&line), &number, msg->cursor);
    }
    str_char (&page->body, ']');
    str_key (&page->body, "next_cursor");
    if (page->more)
        str_format (&page->body, "\"%llu\"", (unsigned long long)(msg->cursor + page->items));
    else
        str_text (&page->body, "null");
    str_char (&page->body, '}');
out:
    str_free (&prefix);
    str_free (&bytes);
    str_free (&line);
    return rc;
}

size_t listing_answer (core_t *self, const frames_t *in)
{
    const wire_msg_t *msg = &in->msg;
    page_t page = { .core = self };
    err_t err = { 0 };
    int rc = -1;
    page.user = core_user (self, msg->task_list.user);
    str_text (&page.body, "{\"items\":[");
    if (msg->kind == WIRE_KIND_TASK_EVENTS) {
        page.limit = msg->task_events.limit;
        rc = list_events (&page, &msg->task_events, &err);
    } else if (msg->kind == WIRE_KIND_TASK_LIST) {
        page.limit = msg->task_list.limit;
        rc = list_tasks (&page, &msg->task_list, &err);
        end_page (&page);
    } else {
        str_t prefix = STR_INIT;
        page.limit = msg->document_list.limit;
        record_key_user (&prefix, page.user->name);
        rc = walk (&page, FAMILY_DOCUMENTS, str_span (&prefix), msg->document_list.cursor,
                   msg->document_list.oldest_first, visit_document, NULL, &err);
        str_free (&prefix);
        end_page (&page);
    }
    if (rc == 0)
        core_reply (self, in->route, &(wire_reply_t){ .req = msg->task_list.req, .status = 200 },
                    core_str_buf (&page.body), NULL);
    else
        core_reply_error (self, in->route, msg->task_list.req, &err);
    str_free (&page.body);
    return page.scanned + page.items;
}
