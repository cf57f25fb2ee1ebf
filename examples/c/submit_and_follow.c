/*  submit_and_follow.c: hands documents in over ZeroMQ and follows each on the progress feed until it ended.
 *
 *      submit_and_follow [--req ENDPOINT] [--pub ENDPOINT] FILE…
 *
 *  Prints a line for each new state. Exit code 0 when all completed.
 */
#include "client/libmyelin/myelin.h"

#include <stdio.h>
#include <string.h>

static void on_progress (void *arg, const myelin_task_t *task)
{
    printf ("%s  %3d%%  %-10s %s\n", task->id, task->progress, task->status, task->stage);
    fflush (stdout);
}

static int submit_and_follow (myelin_t *myelin, const char *path)
{
    myelin_task_t task;
    if (myelin_submit_file (myelin, path, 0, &task) || myelin_wait (myelin, task.id, 60000, on_progress, NULL, &task)) {
        fprintf (stderr, "%s: %s\n", path, myelin_error (myelin));
        return -1;
    }
    if (strcmp (task.status, "completed") != 0) {
        fprintf (stderr, "%s: %s: %s\n", path, task.error_code, task.error_message);
        return -1;
    }
    return 0;
}

int main (int argc, char **argv)
{
    const char *req = "tcp://127.0.0.1:8751", *pub = "tcp://127.0.0.1:8752";
    int at = 1;
    for (; at + 1 < argc && strncmp (argv[at], "--", 2) == 0; at += 2)
        if (strcmp (argv[at], "--req") == 0)
            req = argv[at + 1];
        else if (strcmp (argv[at], "--pub") == 0)
            pub = argv[at + 1];
        else
            break;
    if (at >= argc || strncmp (argv[at], "--", 2) == 0) {
        fprintf (stderr, "usage: submit_and_follow [--req ENDPOINT] [--pub ENDPOINT] FILE…\n");
        return 2;
    }
    myelin_t *myelin = myelin_new (req, pub);
    if (!myelin) {
        perror ("submit_and_follow");
        return 1;
    }
    int code = 0;
    for (; at < argc; at++)
        if (submit_and_follow (myelin, argv[at]))
            code = 1;
    myelin_destroy (&myelin);
    return code;
}
