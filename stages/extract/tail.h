/*  tail.h: the end of what a parser writes on its stderr: whoever died says last what of.
 *
 *  It comes through a pipe that the parser never waits for. What is kept is bounded, and what is shown of it can be
 *  shown anywhere: control characters and bytes that are no UTF-8 are written as \xNN.
 */
#ifndef EXTRACT_TAIL_H
#define EXTRACT_TAIL_H

#include "base/err.h"
#include "base/str.h"

#define TAIL_MAX 4096 /* bytes: kept as they came, and at most shown */

/*  A plain visible struct; all zero but for `fd` -1 is an empty one. */
typedef struct {
    int fd; /* where it is read; -1: nowhere */
    size_t size;
    char bytes[TAIL_MAX];
} tail_t;

/*  Makes a pipe to read from, keeping what came before; returns the end to write to, which the caller closes. -1 and
 *  *err: ERR_UNAVAILABLE. */
int tail_open (tail_t *self, err_t *err);
void tail_close (tail_t *self); /* what was read stays */
void tail_clear (tail_t *self);

/*  Reads what is there, a bounded amount, without waiting; closes at the end. */
void tail_read (tail_t *self);

/*  Keeps the end of what is there and `bytes`. */
void tail_add (tail_t *self, span_t bytes);

/*  Appends at most TAIL_MAX bytes of UTF-8 of which only \n and \t are control characters. */
void tail_text (const tail_t *self, str_t *out);

#endif
