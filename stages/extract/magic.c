#include "stages/extract/magic.h"

#include <magic.h>
#include <stdio.h>

#define LOOK_MAX (64 * 1024)

static magic_t database; /* one per process, kept */

int magic_preload (void)
{
    if (database)
        return 0;
    magic_t opened = magic_open (MAGIC_NONE);
    if (opened && magic_load (opened, NULL) == 0) {
        database = opened;
        return 0;
    }
    if (opened)
        magic_close (opened);
    return -1;
}

static const char *ask (span_t bytes, int flags)
{
    if (magic_preload () || magic_setflags (database, flags))
        return NULL;
    return magic_buffer (database, bytes.data, bytes.size < LOOK_MAX ? bytes.size : LOOK_MAX);
}

void magic_media_type (span_t bytes, char *text, size_t size)
{
    const char *type = ask (bytes, MAGIC_MIME_TYPE);
    snprintf (text, size, "%s", type && strchr (type, '/') ? type : "application/octet-stream");
}

bool magic_is_ebcdic (span_t bytes)
{
    const char *charset = ask (bytes, MAGIC_MIME_ENCODING);
    return charset && strcmp (charset, "ebcdic") == 0;
}
