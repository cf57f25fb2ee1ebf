/*  follow.h: follows a set of tasks to their end over the event stream, with live bars.
 *
 *  The stream makes it quick, questions make it certain: each task that has not ended is asked for when the stream
 *  opens, when a gap in its numbers shows that an event was lost (a broker that is killed between its commit and its
 *  publishing never tells), and whenever it has been silent for 15 seconds. A server that goes away is waited for.
 */
#ifndef CLIENT_FOLLOW_H
#define CLIENT_FOLLOW_H

#include "client/rest.h"

typedef struct follow follow_t;

/*  Called once for each task, when it ended. `task` is borrowed; NULL when it was deleted meanwhile. */
typedef void follow_end_fn (void *arg, const char *id, const char *name, const json_t *task);

follow_t *follow_new (rest_t *rest); /* borrowed */
void follow_destroy (follow_t **self_p);

/*  Adds a task (as the API shows it; borrowed for the call); `name` is what its bar says. */
void follow_add (follow_t *self, const json_t *task, const char *name);
size_t follow_count (const follow_t *self);

/*  0 when all ended; -1 with ERR_UNAVAILABLE when the server stayed away. */
int follow_run (follow_t *self, follow_end_fn *on_end, void *arg, err_t *err);

/*  completed, failed or cancelled. */
bool follow_is_final (const char *status);

#endif
