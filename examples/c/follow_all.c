/*  follow_all.c: shows what happens to all tasks of the user `local`, as it happens.
 *
 *      follow_all [--pub ENDPOINT]
 *
 *  Prints a line for each event. Ends with exit code 1 when events are missing: what they would have said is to be
 *  asked for.
 */
#include "client/libmyelin/myelin.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int follow (myelin_t *myelin)
{
    myelin_event_t event;
    if (myelin_subscribe (myelin, "local"))
        return -1;
    for (;;) {
        if (myelin_next (myelin, -1, &event) < 0)
            return -1;
        if (event.missed) {
            fprintf (stderr, "follow_all: %" PRIu64 " events before number %" PRIu64 " are missing\n", event.missed,
                     event.seq);
            return 1;
        }
        printf ("%s  %-9s  %3d%%  %s%s\n", event.task.id, event.event, event.task.progress, event.task.stage,
                event.replay ? "  (replay)" : "");
        fflush (stdout);
    }
}

int main (int argc, char **argv)
{
    const char *pub = "tcp://127.0.0.1:8752";
    if (argc == 3 && strcmp (argv[1], "--pub") == 0)
        pub = argv[2];
    else if (argc > 1) {
        fprintf (stderr, "usage: follow_all [--pub ENDPOINT]\n");
        return 2;
    }
    myelin_t *myelin = myelin_new ("tcp://127.0.0.1:8751", pub); /* it makes no requests */
    if (!myelin) {
        perror ("follow_all");
        return 1;
    }
    if (follow (myelin) < 0)
        fprintf (stderr, "follow_all: %s\n", myelin_error (myelin));
    myelin_destroy (&myelin);
    return 1;
}
