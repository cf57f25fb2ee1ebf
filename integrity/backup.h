/*  backup.h: a consistent copy of a data directory, whether Myelin runs on it or not.
 *
 *  It is made under the name TO.partial, and gets its own when it is complete and on disk. While Myelin runs, broker
 * and storage each copy their own database, the broker first (docs/adr/0011): what it says is completed is then surely
 * in the content, and what it does not know yet is seen, and dropped, by restore. From the broker's copy on until they
 * are linked it keeps the files of documents that are deleted. The text index is not in a backup: it is made from the
 * content.
 */
#ifndef INTEGRITY_BACKUP_H
#define INTEGRITY_BACKUP_H

#include "integrity/manifest.h"

typedef struct {
    const char *data; /* the data directory */
    const char *run;  /* directory of the sockets of what runs on it; NULL: nothing does, and the caller sees to that */
    const char *to;   /* the backup: missing, or an empty directory */
    bool copy;        /* copies everything, also where a second name for a file would do */
} backup_config_t;

/*  0 and *sums, or -1: ERR_CONFLICT (`to` is there, or another backup is being made), ERR_UNAVAILABLE (what runs does
 * not answer), ERR_CORRUPT, ERR_IO, ERR_DISK_FULL. Then nothing is left of it, as far as it can be removed. */
int backup_run (const backup_config_t *config, manifest_sums_t *sums, err_t *err);

#endif
