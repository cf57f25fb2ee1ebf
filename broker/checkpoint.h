/*  checkpoint.h: the broker's part in a backup of a running Myelin: a copy of its database as of now, and the promise
 *  that no file of a document goes until those were taken too.
 */
#ifndef BROKER_CHECKPOINT_H
#define BROKER_CHECKPOINT_H

#include "store/kv.h"
#include "wire/frames.h"

typedef struct checkpoint checkpoint_t;

/*  Both are borrowed. */
checkpoint_t *checkpoint_new (kv_t *kv, const char *data_dir);
void checkpoint_destroy (checkpoint_t **self_p);

/*  Does what a CHECKPOINT says, and answers it on the ROUTER `front`: at once, or from checkpoint_turn. */
void checkpoint_input (checkpoint_t *self, void *front, const frames_t *in, uint64_t now_ms);

/*  Becomes readable when there is something for checkpoint_turn. */
int checkpoint_fd (const checkpoint_t *self);

/*  Once a turn. True once after the keeping ended, or its time had come: what was kept is to go now. */
bool checkpoint_turn (checkpoint_t *self, void *front, uint64_t now_ms);

/*  True while files are to be kept. */
bool checkpoint_keeps (const checkpoint_t *self);

/*  When that ends by itself; UINT64_MAX: nothing is kept, or for as long as the copy takes. */
uint64_t checkpoint_deadline (const checkpoint_t *self);

#endif
