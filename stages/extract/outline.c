#include "stages/extract/outline.h"

#include <stdlib.h>

#define ITEMS_MAX 5000
#define DEPTH_MAX 6

typedef struct {
    int page;
    unsigned level;
    char *title;
} item_t;

struct outline {
    item_t *items; /* in page order */
    size_t count;
};

/*  The page that an action goes to; 0 when it goes elsewhere. */
static int page_of (PopplerDocument *document, const PopplerAction *action)
{
    if (action->type != POPPLER_ACTION_GOTO_DEST || !action->goto_dest.dest)
        return 0;
    const PopplerDest *dest = action->goto_dest.dest;
    if (dest->type != POPPLER_DEST_NAMED)
        return dest->page_num;
    PopplerDest *found = poppler_document_find_dest (document, dest->named_dest);
    int page = found ? found->page_num : 0;
    if (found)
        poppler_dest_free (found);
    return page;
}

static void collect (outline_t *self, PopplerDocument *document, PopplerIndexIter *iter, unsigned level)
{
    do {
        PopplerAction *action = poppler_index_iter_get_action (iter);
        int page = action ? page_of (document, action) : 0;
        const char *title = action ? action->any.title : NULL;
        if (page > 0 && title && *title) {
            self->items = realloc (self->items, (self->count + 1) * sizeof *self->items);
            if (!self->items)
                abort ();
            self->items[self->count++] = (item_t){ page, level, g_strdup (title) };
        }
        if (action)
            poppler_action_free (action);
        PopplerIndexIter *child = level < DEPTH_MAX ? poppler_index_iter_get_child (iter) : NULL;
        if (child) {
            collect (self, document, child, level + 1);
            poppler_index_iter_free (child);
        }
    } while (self->count < ITEMS_MAX && poppler_index_iter_next (iter));
}

/*  Stable: items of one page stay in outline order. */
static void sort (outline_t *self)
{
    for (size_t i = 1; i < self->count; i++) {
        item_t item = self->items[i];
        size_t at = i;
        for (; at > 0 && self->items[at - 1].page > item.page; at--)
            self->items[at] = self->items[at - 1];
        self->items[at] = item;
    }
}

outline_t *outline_new (PopplerDocument *document)
{
    outline_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    PopplerIndexIter *iter = poppler_index_iter_new (document);
    if (iter) {
        collect (self, document, iter, 1);
        poppler_index_iter_free (iter);
    }
    sort (self);
    return self;
}

void outline_destroy (outline_t **self_p)
{
    outline_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        g_free (self->items[i].title);
    free (self->items);
    free (self);
    *self_p = NULL;
}

void outline_enter (const outline_t *self, int page, sink_t *sink)
{
    for (size_t i = 0; i < self->count && self->items[i].page < page; i++)
        sink_heading (sink, self->items[i].level, span_str (self->items[i].title));
}

/*  Where in `text` from `from` on a line begins with `title`, blanks apart; text.size when nowhere. */
static size_t find_title (span_t text, size_t from, const char *title)
{
    for (size_t line = from; line < text.size;) {
        size_t at = line;
        const char *want = title;
        while (*want && at < text.size) {
            if (strchr (" \t\n", *want)) {
                want++;
            } else if (strchr (" \t\n", text.data[at] ? text.data[at] : 'x')) {
                at++;
            } else if (*want == text.data[at]) {
                want++;
                at++;
            } else
                break;
        }
        if (!*want)
            return line;
        const char *newline = memchr (text.data + line, '\n', text.size - line);
        if (!newline)
            break;
        line = (size_t)(newline - text.data) + 1;
    }
    return text.size;
}

void outline_pour (const outline_t *self, int page, span_t text, sink_t *sink)
{
    size_t at = 0;
    for (size_t i = 0; i < self->count && self->items[i].page <= page; i++) {
        if (self->items[i].page < page)
            continue;
        size_t found = find_title (text, at, self->items[i].title);
        if (found < text.size) {
            sink_text (sink, span (text.data + at, found - at));
            at = found;
        }
        sink_heading (sink, self->items[i].level, span_str (self->items[i].title));
    }
    sink_text (sink, span (text.data + at, text.size - at));
}
