/*  bar.h: live progress of a set of tasks on a terminal's stderr: a line for each of the busiest, one for all.
 *  On anything that is no terminal it draws nothing. NO_COLOR is honoured.
 */
#ifndef CLIENT_BAR_H
#define CLIENT_BAR_H

#include <stdbool.h>
#include <stddef.h>

typedef struct bars bars_t;

/*  What the owner of the tasks tells about one. */
typedef struct {
    const char *name;  /* of the document */
    const char *state; /* stage or status */
    unsigned progress; /* 0-100 */
    bool running;
    bool ended;
    bool failed;
} bar_task_t;

/*  Gives task `index`; strings are used before the next call. */
typedef bar_task_t bar_task_fn (void *arg, size_t index);

bars_t *bars_new (void);
void bars_destroy (bars_t **self_p); /* leaves the last picture standing */

/*  Draws `count` tasks; at most ten times a second unless `now` is set. */
void bars_draw (bars_t *self, size_t count, bar_task_fn *task, void *arg, bool now);

/*  Removes the picture, so that something else can be printed; the next draw puts it back. */
void bars_clear (bars_t *self);

#endif
