/*  meetings.h: what each request that meddles with a task meets when the broker reads it: in which state the task is,
 * and which messages about it are under way. A run that is long enough has to show every pair that there can be.
 */
#ifndef TESTS_SIM_MEETINGS_H
#define TESTS_SIM_MEETINGS_H

#include "wire/frames.h"

/*  The broker is about to read this letter. */
void meetings_note (const frames_t *letter);
/*  Says how many pairs were met. `complete`: broken, unless that is all. */
void meetings_print (bool complete);

#endif
