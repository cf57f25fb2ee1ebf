/*  attempts.h: holds the core to its fence: a result whose attempt is not at that worker, or was answered already, is
 *  ignored and counted.
 *
 *  What is at whose hands is known from what the core sends, not from what it remembers; only its counter is read.
 */
#ifndef TESTS_SIM_ATTEMPTS_H
#define TESTS_SIM_ATTEMPTS_H

#include "broker/core/core.h"

typedef struct attempts attempts_t;

attempts_t *attempts_new (void);
void attempts_destroy (attempts_t **self_p);

/*  Gives the core a message. False: it took a result that it should have ignored, or did not count it; told on stderr.
 */
bool attempts_input (attempts_t *self, core_t *core, const frames_t *in);
void attempts_out (attempts_t *self, const out_t *out); /* the core sends this */
void attempts_forget (attempts_t *self);                /* the core died: another epoch begins */
void attempts_print (const attempts_t *self);           /* how many were to be ignored */

#endif
