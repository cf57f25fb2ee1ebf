/*  repair_private.h: the hands of repair, which fixes.c implements. */
#ifndef INTEGRITY_REPAIR_PRIVATE_H
#define INTEGRITY_REPAIR_PRIVATE_H

#include "integrity/repair.h"
#include "store/kv.h"

/*  Puts the fix of one finding into the pending batches. `dir`: the data directory. 0: nothing could be done. */
int fix_apply (const char *dir, kv_t *broker, kv_t *content, const finding_t *finding, err_t *err);

/*  Takes all of a document out of the content, whatever it is; or (`revision` not 0) one revision. */
int fix_forget (kv_t *content, span_t user, uuid_t document, uint64_t revision, err_t *err);

/*  All that can be read of the database `name` (of `dir`), copied into a new one that takes its place. Both are closed
 *  when it returns. `lost`: how many places had to be left behind. */
int salvage (const char *dir, const char *name, bool is_broker, uint64_t *lost, err_t *err);

#endif
