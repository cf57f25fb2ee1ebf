/*  inside.h: what the files of libmyelin share. */
#ifndef LIBMYELIN_INSIDE_H
#define LIBMYELIN_INSIDE_H

#include "client/libmyelin/myelin.h"

#include <jansson.h>

struct myelin {
    void *context;
    char *req_address;
    char *pub_address; /* NULL: no feed */
    void *req;         /* NULL: to be connected by the next request */
    void *sub;         /* NULL: not subscribed */
    char *token;
    int timeout_ms;
    uint64_t last_seq; /* of the newest event of this subscription; 0: none yet */
    int status;
    char error[1024];
};

/*  Notes a failure; returns -1. */
int myelin_fail (myelin_t *self, int status, const char *format, ...) __attribute__ ((format (printf, 3, 4)));

/*  One request; `query` and `headers` (taken, may be NULL) are JSON objects. 0 and *body (the caller decrefs; may be
 *  NULL), or -1. */
int myelin_request (myelin_t *self, const char *method, const char *path, json_t *query, json_t *headers,
                    const void *bytes, size_t size, json_t **body);

void *myelin_socket (myelin_t *self, int type, const char *address);

int64_t myelin_now_ms (void); /* monotonic */

/*  Waits until `socket` has something to read: 1; 0 when `timeout_ms` (-1: no bound) are over; -1 and errno. */
int myelin_poll (void *socket, int timeout_ms);

/*  Fill a struct from the API's JSON. */
void myelin_read_task (const json_t *json, myelin_task_t *task);
void myelin_read_event (const json_t *json, myelin_event_t *event);
void myelin_read_hit (const json_t *json, myelin_hit_t *hit);

#endif
