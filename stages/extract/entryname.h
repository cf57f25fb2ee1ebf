/*  entryname.h: the path of an archive entry as UTF-8, whatever its archive wrote it in. */
#ifndef EXTRACT_ENTRYNAME_H
#define EXTRACT_ENTRYNAME_H

#include "base/str.h"

#include <archive_entry.h>

/*  Appends the path on one line; "?" when there is none. It is a name only: nothing is ever written under it. */
void entry_name (struct archive_entry *entry, str_t *path);

#endif
