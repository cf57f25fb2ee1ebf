#include "stages/extract/entryname.h"
#include "base/utf8.h"
#include "stages/extract/charset.h"
#include "stages/extract/clean.h"

#define ENTRY_NAME_MAX 1024

void entry_name (struct archive_entry *entry, str_t *path)
{
    const char *name = archive_entry_pathname_utf8 (entry);
    str_t decoded = STR_INIT;
    if (!name || !utf8_is_valid (span_str (name))) {
        name = archive_entry_pathname (entry);
        charset_t charset;
        err_t ignored;
        if (name && !utf8_is_valid (span_str (name)) && !charset_find (span_str (name), SPAN_EMPTY, &charset) &&
            !charset_to_utf8 (span_str (name), &charset, &decoded, &ignored))
            name = decoded.data;
    }
    clean_line (path, name && *name ? span_str (name) : SPAN_LIT ("?"), ENTRY_NAME_MAX);
    str_free (&decoded);
}
