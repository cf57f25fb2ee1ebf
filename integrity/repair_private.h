/*  repair_private.h: the hands of repair, which fixes.c implements. */
#ifndef INTEGRITY_REPAIR_PRIVATE_H
#define INTEGRITY_REPAIR_PRIVATE_H

#include "integrity/repair.h"
#include "store/kv.h"

/*  Puts the fix of one finding into the pending batches. `dir`: the data directory. 0: nothing could be done. */
int fix_apply (const char *dir, kv_t *broker, kv_t *content, const finding_t *finding, err_t *err);

/*  Takes all of a document out of the content, whatever it is; or (`revision` not 0) one revision. */
int fix_forget (kv_t *content, span_t user, uuid_t document, uint64_t revision, err_t *err);

/*  All that can be read of the database `name` (of `dir`), which nobody has open, copied into a new one that takes its
 *  place. `done` is told of each place that had to be left behind. */
int salvage (const char *dir, finding_place_t place, report_t *done, err_t *err);

/*  The file CURRENT of a database names its newest MANIFEST: when it does not, it is written anew, and `done` is told.
 * 1, 0: nothing was wrong with it, or there is none to name; -1. */
int mend_current (const char *dir, finding_place_t place, report_t *done, err_t *err);

#endif
