/*  verify.h: looks at every record and every byte of a data directory that no process has open, or of a backup, and
 *  says what does not fit. Nothing is written; memory does not grow with what is there.
 *
 *  The broker's records, the content's and the text index are each checked in themselves and against each other, the
 *  documents' bytes against their hashes, the kept counters against counting.
 */
#ifndef INTEGRITY_VERIFY_H
#define INTEGRITY_VERIFY_H

#include "base/err.h"
#include "integrity/report.h"
#include "store/kv.h"

typedef struct {
    const char *dir;
    bool is_backup; /* has no text index; its files were compared with their hashes already */
    /*  A backup that was made while Myelin ran: the content is some moments younger than the broker's records. What
     * that explains is a note: restore settles it. */
    bool was_running;
} verify_config_t;

/*  The caller makes sure that nobody has the directory open. Databases that cannot be opened are findings. -1: there is
 *  nothing to look at: ERR_NOT_FOUND. */
int verify_run (const verify_config_t *config, report_t *report, err_t *err);

/*  The same, on databases that are open (borrowed; NULL: left out). */
void verify_open (const verify_config_t *config, kv_t *broker, kv_t *content, report_t *report);

#endif
