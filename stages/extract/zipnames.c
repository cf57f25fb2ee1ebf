#include "stages/extract/zipnames.h"

#include <stdint.h>
#include <stdio.h>

#define LOCAL_HEAD   30
#define CENTRAL_HEAD 46
#define END_HEAD     22
#define END_LOOK     (65535 + END_HEAD)
#define NAMES_MAX    4096 /* names that are looked at */

typedef struct {
    bool content_types, container, content, manifest, word, excel, powerpoint;
} seen_t;

static uint32_t le16 (const char *at)
{
    return (uint32_t)(unsigned char)at[0] | (uint32_t)(unsigned char)at[1] << 8;
}

static uint32_t le32 (const char *at)
{
    return le16 (at) | le16 (at + 2) << 16;
}

static bool begins (span_t name, const char *with)
{
    size_t size = strlen (with);
    return name.size >= size && memcmp (name.data, with, size) == 0;
}

static void see (seen_t *seen, span_t name)
{
    if (name.size && name.data[0] == '/')
        name = span (name.data + 1, name.size - 1);
    seen->content_types |= span_is (name, "[Content_Types].xml");
    seen->container |= span_is (name, "META-INF/container.xml");
    seen->content |= span_is (name, "content.xml");
    seen->manifest |= span_is (name, "META-INF/manifest.xml");
    seen->word |= begins (name, "word/document");
    seen->excel |= begins (name, "xl/workbook");
    seen->powerpoint |= begins (name, "ppt/presentation");
}

/*  The record at the end of a zip file; NULL when there is none. */
static const char *find_end (span_t bytes)
{
    size_t from = bytes.size > END_LOOK ? bytes.size - END_LOOK : 0;
    for (size_t at = bytes.size >= END_HEAD ? bytes.size - END_HEAD + 1 : 0; at-- > from;)
        if (memcmp (bytes.data + at, "PK\5\6", 4) == 0)
            return bytes.data + at;
    return NULL;
}

bool zip_ends_here (span_t bytes)
{
    return find_end (bytes) != NULL;
}

/*  Names in the central directory; false when there is none to be found. */
static bool see_central (span_t bytes, seen_t *seen)
{
    const char *end = find_end (bytes);
    if (!end)
        return false;
    size_t at = le32 (end + 16), count = 0;
    while (at + CENTRAL_HEAD <= bytes.size && memcmp (bytes.data + at, "PK\1\2", 4) == 0 && count++ < NAMES_MAX) {
        const char *head = bytes.data + at;
        size_t name = le16 (head + 28);
        if (at + CENTRAL_HEAD + name > bytes.size)
            break;
        see (seen, span (head + CENTRAL_HEAD, name));
        at += CENTRAL_HEAD + name + le16 (head + 30) + le16 (head + 32);
    }
    return count > 0;
}

/*  Names in local headers, for a file whose end is missing. */
static void see_local (span_t bytes, seen_t *seen)
{
    size_t at = 0, count = 0;
    while (at + LOCAL_HEAD <= bytes.size && count++ < NAMES_MAX) {
        const char *head = memmem (bytes.data + at, bytes.size - at, "PK\3\4", 4);
        if (!head)
            return;
        at = (size_t)(head - bytes.data);
        if (at + LOCAL_HEAD > bytes.size || at + LOCAL_HEAD + le16 (head + 26) > bytes.size)
            return;
        see (seen, span (head + LOCAL_HEAD, le16 (head + 26)));
        at += LOCAL_HEAD;
    }
}

/*  EPUB and ODF begin with a stored member `mimetype`. */
static void read_mimetype (span_t bytes, zip_kind_t *kind)
{
    if (bytes.size < LOCAL_HEAD + 8 || le16 (bytes.data + 26) != 8 || le16 (bytes.data + 8) != 0 ||
        memcmp (bytes.data + LOCAL_HEAD, "mimetype", 8) != 0)
        return;
    size_t at = LOCAL_HEAD + 8 + le16 (bytes.data + 28), size = 0;
    while (at + size < bytes.size && size < sizeof kind->mimetype - 1 && bytes.data[at + size] > ' ' &&
           bytes.data[at + size] < 0x7f &&
           memcmp (bytes.data + at + size, "PK", bytes.size - at - size < 2 ? 1 : 2) != 0)
        size++;
    memcpy (kind->mimetype, bytes.data + (at < bytes.size ? at : 0), at < bytes.size ? size : 0);
}

void zip_names (span_t bytes, zip_kind_t *kind)
{
    *kind = (zip_kind_t){ .epub = false };
    seen_t seen = { .content_types = false };
    if (!see_central (bytes, &seen))
        see_local (bytes, &seen);
    read_mimetype (bytes, kind);
    kind->epub = strcmp (kind->mimetype, "application/epub+zip") == 0 || (seen.container && !*kind->mimetype);
    kind->odf = strstr (kind->mimetype, "opendocument") || (seen.content && seen.manifest);
    kind->word = seen.word && seen.content_types;
    kind->excel = seen.excel && seen.content_types;
    kind->powerpoint = seen.powerpoint && seen.content_types;
}
