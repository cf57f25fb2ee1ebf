/*  waits.h: holds the core to its bounds of waiting, with the units that wait to be begun (extract, nothing in hand):
 *
 *  - of its own user, a unit that has n older ones before it sees at most QUEUE_OLDEST_EVERY × (n + 1) taken first;
 *  - of the others, none is taken twice before a user that has stood still for longer than priorities and debts are
 *    worth together.
 *
 *  Looks into the core, around its dispatch; tells on stderr what is wrong.
 */
#ifndef TESTS_SIM_WAITS_H
#define TESTS_SIM_WAITS_H

#include "broker/core/core.h"

typedef struct waits waits_t;

waits_t *waits_new (void);
void waits_destroy (waits_t **self_p);

void waits_before (waits_t *self, const core_t *core); /* all inputs of the turn are applied */
bool waits_after (waits_t *self, const core_t *core);  /* it has dispatched; false: a bound is broken */
void waits_forget (waits_t *self);                     /* the core died: who waited is counted anew */
void waits_print (const waits_t *self);                /* how near the bounds it came */

#endif
