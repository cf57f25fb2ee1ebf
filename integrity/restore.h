/*  restore.h: a backup becomes a data directory.
 *
 *  Every file is compared with its hash while it is copied. What a running Myelin changed while the backup was made is
 *  settled (integrity/repair.h): what the broker's records say is completed and the content lacks is queued again, what
 *  the records do not know yet is taken out of search. The text index is made. Only then is it put into its place.
 */
#ifndef INTEGRITY_RESTORE_H
#define INTEGRITY_RESTORE_H

#include "base/err.h"
#include "integrity/manifest.h"
#include "integrity/report.h"

/*  The directory in a data directory where a restore works; while it is there, the data is not whole. */
#define RESTORE_MARK "restoring"

/*  Compares every file of a backup with its manifest; findings are BACKUP_FILE. `was_running` as the manifest says. -1:
 *  it is no backup, or its manifest is damaged. */
int restore_check (const char *backup, report_t *report, bool *was_running, err_t *err);

typedef struct {
    const char *backup;
    const char
        *data; /* there, and locked by the caller; empty but for the lock, or with what an interrupted restore left */
} restore_config_t;

/*  `settled`: told of what was settled. 0; or -1 and nothing is there but what the next restore removes: ERR_CONFLICT
 * (the directory is not empty), ERR_CORRUPT (the message names the file), ERR_NOT_FOUND (it is no backup),
 *  ERR_NEWER_FORMAT, ERR_IO, ERR_DISK_FULL. */
int restore_run (const restore_config_t *config, report_t *settled, manifest_sums_t *sums, err_t *err);

#endif
