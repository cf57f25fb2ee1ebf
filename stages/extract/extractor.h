/*  extractor.h: the stage itself: takes jobs from the worker runtime, answers plain text at once, gives the rest to the
 *  parser one by one, and sends segments as far as each job's limit goes.
 *
 *  A document that is being parsed does not hold up the plain ones behind it.
 */
#ifndef EXTRACT_EXTRACTOR_H
#define EXTRACT_EXTRACTOR_H

#include "stages/extract/zygote.h"
#include "stages/runtime/worker.h"

#define EXTRACTOR_SLOTS 8
#define EXTRACTOR_ITEMS 3

typedef struct extractor extractor_t;

/*  All are borrowed for the life of the object. */
extractor_t *extractor_new (worker_t *worker, zygote_t *zygote, const limits_t *limits);
void extractor_destroy (extractor_t **self_p);

/*  Fills `items` with what worker_poll is to wait for; returns how many. */
int extractor_items (const extractor_t *self, zmq_pollitem_t items[EXTRACTOR_ITEMS]);
int extractor_timeout_ms (const extractor_t *self);

/*  Takes new jobs and gets on with all as far as possible now. 0, or -1 and *err: this process has to end. */
int extractor_turn (extractor_t *self, err_t *err);

#endif
