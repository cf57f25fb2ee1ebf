/*  repair.h: makes a data directory whole again that nobody has open: does what the findings of verify call for, tells
 * of each, and looks again until nothing is left to do.
 *
 *  Nothing is invented but what is said: counters are counted, indexes of records are made from the records, what
 *  refers to nothing goes, documents whose content is damaged or missing are queued to be processed again from their
 *  bytes. What cannot be read is left behind, and said.
 */
#ifndef INTEGRITY_REPAIR_H
#define INTEGRITY_REPAIR_H

#include "base/err.h"
#include "integrity/report.h"

typedef struct {
    const char *dir;
    bool drop_lost; /* also deletes documents whose bytes are missing or damaged */
} repair_config_t;

/*  `done`: told of each finding that was repaired, or that said why; `left`: of what the last look still found. 0, or
 * -1: ERR_NOT_FOUND (nothing to repair there), ERR_CORRUPT (a database cannot be opened even so), ERR_NEWER_FORMAT,
 * ERR_IO, ERR_DISK_FULL. What was done until then was done. */
int repair_run (const repair_config_t *config, report_t *done, report_t *left, err_t *err);

#endif
