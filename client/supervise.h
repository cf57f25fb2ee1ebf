/*  supervise.h: keeps a set of child processes running until it is told to stop.
 *
 *  Start: everything but the gateways at once; the gateways when those before them are ready. Serving: what dies is
 *  started again, at once the first time, then with growing pauses; addresses that were picked for port 0 stay what
 *  they were. Stop (SIGTERM, SIGINT, SIGHUP, but for those that were ignored from the start, as nohup has it): SIGTERM
 *  role by role against the flow of work, each role with a bound, then SIGKILL; a second signal kills at once (not one
 *  that comes within a second: a terminal that closes sends several). A child that ends with exit code 1 while all are
 *  started, or with 2 (its options are wrong) at any time, and never served, has a set-up that no restart cures:
 *  everything stops with that code.
 */
#ifndef CLIENT_SUPERVISE_H
#define CLIENT_SUPERVISE_H

#include "client/child.h"
#include "client/crew.h"

/*  In the order of the flow of promises: later ones lean on earlier ones, and are stopped before them.
 *  X (symbol, name, milliseconds it may take to drain, says `ready`) */
#define SUPERVISE_ROLES(X)                                                                                             \
    X (BROKER, "broker", 10000, true)                                                                                  \
    X (STORAGE, "storage", 10000, true)                                                                                \
    X (WORKER, "worker", 10000, false)                                                                                 \
    X (GATEWAY, "gateway", 5000, true)

typedef enum {
#define SUPERVISE_ENUM(sym, name, drain_ms, says_ready) ROLE_##sym,
    SUPERVISE_ROLES (SUPERVISE_ENUM)
#undef SUPERVISE_ENUM
        ROLE_COUNT
} role_t;

typedef struct supervisor supervisor_t;

/*  `pause_max_ms`: most time between an end and the next start of what keeps dying. */
supervisor_t *supervisor_new (uint64_t pause_max_ms);
void supervisor_destroy (supervisor_t **self_p); /* after supervisor_run, which leaves no child behind */

/*  Adds a child to be started by supervisor_run. The result is borrowed, for adding arguments and to a crew. */
child_t *supervisor_add (supervisor_t *self, role_t role, const char *name, const char *directory, const char *program);

/*  Lets the crew (borrowed until supervisor_run returns) decide which of its children run, once everything serves. */
void supervisor_scale (supervisor_t *self, crew_t *crew);

/*  Runs until stopped. Prints the ready line on stdout when everything serves. Returns the exit code. */
int supervisor_run (supervisor_t *self);

#endif
