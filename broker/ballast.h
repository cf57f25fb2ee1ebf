/*  ballast.h: a file that takes space while there is plenty, to be given back when there is none: so that a database
 * can be opened again on a full disk, and documents be deleted.
 */
#ifndef BROKER_BALLAST_H
#define BROKER_BALLAST_H

#include <stdbool.h>
#include <stdint.h>

/*  DATA/ballast gets `bytes`, unless it is there. False: there is none now (the disk has no room, or says so). */
bool ballast_keep (const char *data_dir, uint64_t bytes);
/*  True: it was there, and is given back. */
bool ballast_release (const char *data_dir);

#endif
