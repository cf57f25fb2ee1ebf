/*  depot.h: what a storage process keeps on its disk, as store/content.h promises it; outlives the process. */
#ifndef TESTS_SIM_DEPOT_H
#define TESTS_SIM_DEPOT_H

#include "tests/sim/script.h"
#include "wire/messages.h"

typedef struct depot depot_t;

depot_t *depot_new (void);
void depot_destroy (depot_t **self_p);

/*  Does one job durably. Doing it again changes nothing. */
void depot_apply (depot_t *self, const wire_job_t *job);

/*  What search sees of the document: 0, or its revision; *segments gets a mask. */
uint64_t depot_visible (const depot_t *self, uuid_t document, uint32_t *segments);
/*  The power was lost: of what was committed before, the broker may not know. */
void depot_power_lost (depot_t *self);
bool depot_is_dark (const depot_t *self, uuid_t document); /* what is visible is of before a power cut */
/*  A revision that is not visible has something stored. */
bool depot_has_remains (const depot_t *self, uuid_t document);
/*  No longer of interest. */
void depot_forget (depot_t *self, uuid_t document);

#endif
