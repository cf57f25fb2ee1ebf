/*  myelin.h: the C client of Myelin, over ZeroMQ: hand documents in, follow them, search.
 *
 *  One object is one client; it is not thread-safe, and makes no threads of its own. Functions return 0 (or a count)
 *  on success and -1 on failure; then myelin_status and myelin_error say what was wrong. Everything a struct holds is
 *  in the struct itself: there is nothing to free but the object. Texts are UTF-8; one that is too long for its place
 *  is cut at a character.
 */
#ifndef MYELIN_H
#define MYELIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MYELIN_ID_SIZE      40
#define MYELIN_DOCUMENT_MAX ((size_t)64 << 20) /* bytes of a document over ZeroMQ; larger ones go over HTTP */

typedef struct myelin myelin_t;

typedef struct {
    char id[MYELIN_ID_SIZE];
    char document_id[MYELIN_ID_SIZE];
    char status[16];     /* pending, processing, completed, failed or cancelled */
    char stage[16];      /* the stage it is in; "" when in none */
    int priority;        /* 1-10 */
    int progress;        /* 0-100, never falls */
    char error_code[48]; /* "" when there was no error */
    char error_message[512];
} myelin_task_t;

/*  What the feed said. */
typedef struct {
    uint64_t seq;    /* rises by one from event to event of a user */
    uint64_t missed; /* events between the last one and this that never came: ask for what they would have said */
    bool replay;     /* how things stood when the subscription began; an old event once more */
    char event[16];  /* created, started, progress, retrying, completed, failed, cancelled or deleted */
    char at[32];     /* RFC 3339, UTC */
    myelin_task_t task;
} myelin_event_t;

typedef struct {
    char document_id[MYELIN_ID_SIZE];
    char filename[256];
    char heading[256];   /* "" when it has none */
    int page;            /* 0 when it has none */
    uint64_t start, end; /* byte range in the document's text */
    double score;
    const char *text;    /* the whole passage; borrowed, only during the callback */
    const char *snippet; /* the part that matched, HTML with <mark>; borrowed, only during the callback */
} myelin_hit_t;

/*  A client of the gateway at `req` ("tcp://127.0.0.1:8751") and the feed at `pub` ("tcp://127.0.0.1:8752"; NULL: no
 *  feed, then myelin_subscribe, _next and _wait fail). Connects in the background; does not wait for the server. NULL
 *  only when ZeroMQ refuses an address; errno says why. */
myelin_t *myelin_new (const char *req, const char *pub);
void myelin_destroy (myelin_t **self_p); /* sets *self_p to NULL; NULL inside is allowed */

/*  The token sent with every request; copied. NULL: none. */
void myelin_set_token (myelin_t *self, const char *token);
/*  How long a request may take; 30,000 ms unless set; -1: no bound. A signal ends no wait of this library. */
void myelin_set_timeout (myelin_t *self, int timeout_ms);

/*  About the last call that failed: the HTTP status the server gave, 0 when it gave none (it cannot be reached, a
 *  file cannot be read, the time was up); and one sentence. Borrowed until the next call. */
int myelin_status (const myelin_t *self);
const char *myelin_error (const myelin_t *self);

/*  Hands a document in: `size` bytes (borrowed for the call; at most MYELIN_DOCUMENT_MAX), called `name`. `priority`
 * 1-10; 0: the default. When it returns 0 the task is durable and *task is filled; a document that was processed before
 * gives its old task. */
int myelin_submit (myelin_t *self, const char *name, const void *bytes, size_t size, int priority, myelin_task_t *task);
int myelin_submit_file (myelin_t *self, const char *path, int priority, myelin_task_t *task);

/*  How a task stands. */
int myelin_task (myelin_t *self, const char *id, myelin_task_t *task);

/*  Called with every new state of the task that is waited for. */
typedef void myelin_progress_fn (void *arg, const myelin_task_t *task);

/*  Follows a task on the feed until it ended; `on_progress` may be NULL. 0 and *task when it ended, however it did; -1
 *  when the server says that there is no such task, and after `timeout_ms` (-1: no bound); a server that is away is
 *  waited for. Subscribes for the time of the call: do not mix with an open subscription. */
int myelin_wait (myelin_t *self, const char *id, int timeout_ms, myelin_progress_fn *on_progress, void *arg,
                 myelin_task_t *task);

typedef void myelin_hit_fn (void *arg, const myelin_hit_t *hit);

/*  Calls `on_hit` for at most `limit` passages, best first. Returns how many there were, or -1. */
int myelin_search (myelin_t *self, const char *query, int limit, myelin_hit_fn *on_hit, void *arg);

/*  Subscribes to the events of all of the user's tasks. First comes, as replays, the last event of each live task. */
int myelin_subscribe (myelin_t *self, const char *user);
int myelin_unsubscribe (myelin_t *self);
/*  The next event: 1 and *event; 0 after `timeout_ms` (-1: no bound); -1. Events about the queue are left out. */
int myelin_next (myelin_t *self, int timeout_ms, myelin_event_t *event);

/*  completed, failed or cancelled: nothing comes after it. */
bool myelin_is_final (const myelin_task_t *task);

#ifdef __cplusplus
}
#endif
#endif
