/*  kv_skip.h: how to go on in a family after a part of it that cannot be read. */
#ifndef STORE_KV_SKIP_H
#define STORE_KV_SKIP_H

#include "store/kv.h"

/*  After iteration ended on an error behind `last` (the last key that was read; empty: none): stands on the first key
 *  after the damage, as near to it as can be found in a bounded number of steps. False: nothing behind it can be read,
 *  or there is nothing. */
bool kv_iter_skip (kv_iter_t *self, span_t last);

#endif
