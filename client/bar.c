#include "client/bar.h"
#include "base/clock.h"
#include "base/str.h"
#include "client/text.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#define LINES_MAX 8
#define BAR_CELLS 24
#define REDRAW_MS 100

struct bars {
    bool terminal;
    bool colour;
    size_t lines; /* of the picture on the screen */
    uint64_t drawn_ms;
};

bars_t *bars_new (void)
{
    bars_t *self = calloc (1, sizeof *self);
    assert (self);
    const char *kind = getenv ("TERM");
    const char *no_color = getenv ("NO_COLOR");
    self->terminal = isatty (STDERR_FILENO) && kind && strcmp (kind, "dumb") != 0;
    self->colour = !(no_color && *no_color);
    return self;
}

void bars_destroy (bars_t **self_p)
{
    free (*self_p);
    *self_p = NULL;
}

static void put (const str_t *text)
{
    size_t done = 0;
    while (done < text->size) {
        ssize_t size = write (STDERR_FILENO, text->data + done, text->size - done);
        if (size <= 0)
            return; /* progress that cannot be shown must not stop the work */
        done += (size_t)size;
    }
}

static void rewind_picture (bars_t *self, str_t *out)
{
    if (self->lines)
        str_format (out, "\033[%zuA\r\033[J", self->lines);
    self->lines = 0;
}

static void bar_line (const bars_t *self, str_t *out, const bar_task_t *task, size_t columns)
{
    static const char *const colours[] = { "\033[34m", "\033[32m", "\033[31m" }; /* runs, done, failed */
    const char *colour = colours[task->failed ? 2 : task->ended ? 1 : 0];
    size_t name_width = columns > BAR_CELLS + 32 ? columns - BAR_CELLS - 20 : 12;
    text_fit (out, span_str (task->name), name_width < 48 ? name_width : 48, true);
    str_char (out, ' ');
    if (self->colour)
        str_text (out, colour);
    for (unsigned cell = 0; cell < BAR_CELLS; cell++)
        str_text (out, task->progress * BAR_CELLS >= (cell + 1) * 100 ? "█" : "░");
    if (self->colour)
        str_text (out, "\033[0m");
    str_format (out, " %3u%% ", task->progress);
    text_fit (out, span_str (task->state), 10, false);
    str_char (out, '\n');
}

void bars_draw (bars_t *self, size_t count, bar_task_fn *task, void *arg, bool now)
{
    uint64_t time = clock_mono_ms ();
    if (!self->terminal || (!now && time - self->drawn_ms < REDRAW_MS))
        return;
    self->drawn_ms = time;
    size_t columns = text_columns (STDERR_FILENO);
    size_t ended = 0, failed = 0, shown = 0;
    uint64_t progress = 0;
    str_t out = STR_INIT;
    rewind_picture (self, &out);
    for (size_t i = 0; i < count; i++) {
        bar_task_t one = task (arg, i);
        ended += one.ended;
        failed += one.failed;
        progress += one.ended ? 100 : one.progress;
        if ((one.running || count <= LINES_MAX) && shown < LINES_MAX) {
            bar_line (self, &out, &one, columns);
            shown++;
        }
    }
    if (count > 1) {
        bar_task_t all = { .name = "all", .progress = (unsigned)(progress / count), .ended = ended == count };
        char state[64];
        snprintf (state, sizeof state, "%zu/%zu", ended, count);
        all.state = state;
        all.failed = all.ended && failed;
        bar_line (self, &out, &all, columns);
        shown++;
    }
    self->lines = shown;
    put (&out);
    str_free (&out);
}

void bars_clear (bars_t *self)
{
    str_t out = STR_INIT;
    rewind_picture (self, &out);
    put (&out);
    str_free (&out);
}
