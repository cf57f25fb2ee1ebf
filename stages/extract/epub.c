/*  EPUB: the HTML files of the spine, in its order. A spine item is a unit, and a place to go on. */
#include "stages/extract/formats.h"
#include "stages/extract/html.h"
#include "stages/extract/package.h"
#include "stages/extract/properties.h"
#include "stages/extract/xml.h"

#include <stdio.h>
#include <stdlib.h>

#define PATH_SIZE 512
#define ID_SIZE   128
#define ITEMS_MAX 10000

typedef struct {
    char id[ID_SIZE];
    char path[PATH_SIZE];
} item_t;

typedef struct {
    char root[PATH_SIZE]; /* of the package document */
    item_t *items;
    size_t count;
    size_t *spine; /* indexes of items */
    size_t spine_count;
} book_t;

static bool has_suffix (const char *name, const char *suffix)
{
    size_t size = strlen (name), more = strlen (suffix);
    return size >= more && strcasecmp (name + size - more, suffix) == 0;
}

static bool wanted (const char *name)
{
    static const char *const suffixes[] = { "html", ".htm", ".xml", ".opf" };
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (has_suffix (name, suffixes[i]))
            return true;
    return false;
}

static int hex (char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/*  `href` (percent-encoded, relative to the file `base`) as a member name: no "..", no fragment. */
static void resolve (const char *base, span_t href, char path[PATH_SIZE])
{
    const char *slash = strrchr (base, '/');
    size_t size = slash ? (size_t)(slash - base) + 1 : 0;
    memcpy (path, base, size);
    for (size_t i = 0; i < href.size && href.data[i] != '#' && size < PATH_SIZE - 1; i++) {
        char c = href.data[i];
        if (c == '%' && i + 2 < href.size && hex (href.data[i + 1]) >= 0 && hex (href.data[i + 2]) >= 0) {
            c = (char)(hex (href.data[i + 1]) * 16 + hex (href.data[i + 2]));
            i += 2;
        }
        path[size++] = c;
        if (size >= 3 && memcmp (path + size - 3, "../", 3) == 0) {
            for (size -= size > 3 ? 4 : 3; size > 0 && path[size - 1] != '/'; size--)
                ;
        }
    }
    path[size] = 0;
}

static int see_container (void *self, const char *name, const xml_attributes_t *attributes)
{
    book_t *book = self;
    span_t path = xml_attribute (attributes, "full-path");
    if (strcmp (name, "rootfile") == 0 && path.size && !*book->root)
        snprintf (book->root, sizeof book->root, "%.*s", SPAN_ARG (path));
    return 0;
}

static void *grow (void *rows, size_t count, size_t size)
{
    if (count & (count - 1)) /* grows at powers of two */
        return rows;
    void *more = realloc (rows, (count ? count * 2 : 1) * size);
    if (!more)
        abort ();
    return more;
}

static int see_package (void *self, const char *name, const xml_attributes_t *attributes)
{
    book_t *book = self;
    if (strcmp (name, "item") == 0 && book->count < ITEMS_MAX) {
        book->items = grow (book->items, book->count, sizeof *book->items);
        item_t *item = &book->items[book->count++];
        snprintf (item->id, sizeof item->id, "%.*s", SPAN_ARG (xml_attribute (attributes, "id")));
        resolve (book->root, xml_attribute (attributes, "href"), item->path);
    } else if (strcmp (name, "itemref") == 0 && book->spine_count < ITEMS_MAX) {
        span_t id = xml_attribute (attributes, "idref");
        for (size_t i = 0; i < book->count; i++)
            if (span_is (id, book->items[i].id)) {
                book->spine = grow (book->spine, book->spine_count, sizeof *book->spine);
                book->spine[book->spine_count++] = i;
                break;
            }
    }
    return 0;
}

/*  Reads container and package document. A book without a spine gets its HTML files in the order of the file. */
static void read_book (book_t *book, const package_t *package, sink_t *sink)
{
    static const xml_walker_t container = { see_container, NULL, NULL }, opf = { see_package, NULL, NULL };
    err_t ignored;
    span_t bytes = package_find (package, "META-INF/container.xml");
    if (bytes.size)
        xml_walk (bytes, NULL, 0, &container, book, &ignored);
    bytes = package_find (package, book->root);
    if (bytes.size) {
        xml_walk (bytes, NULL, 0, &opf, book, &ignored);
        properties_pour (bytes, sink);
    }
    for (size_t i = 0; !bytes.size && i < package_count (package) && book->count < ITEMS_MAX; i++) {
        const char *name = package_name (package, i);
        if (!has_suffix (name, "html") && !has_suffix (name, ".htm"))
            continue;
        book->items = grow (book->items, book->count, sizeof *book->items);
        book->spine = grow (book->spine, book->spine_count, sizeof *book->spine);
        snprintf (book->items[book->count].path, PATH_SIZE, "%s", name);
        book->spine[book->spine_count++] = book->count++;
    }
}

typedef struct {
    const book_t *book;
    bool encrypted;
} drm_t;

/*  META-INF/encryption.xml names what is encrypted. Fonts often are (obfuscated); chapters only in a locked book. */
static int see_encryption (void *self, const char *name, const xml_attributes_t *attributes)
{
    drm_t *drm = self;
    char path[PATH_SIZE];
    if (strcmp (name, "CipherReference") != 0)
        return 0;
    resolve ("", xml_attribute (attributes, "URI"), path);
    for (size_t i = 0; i < drm->book->spine_count; i++)
        drm->encrypted |= strcmp (drm->book->items[drm->book->spine[i]].path, path) == 0;
    return 0;
}

static bool is_locked (const book_t *book, const package_t *package)
{
    static const xml_walker_t walker = { see_encryption, NULL, NULL };
    span_t bytes = package_find (package, "META-INF/encryption.xml");
    drm_t drm = { book, false };
    err_t ignored;
    if (bytes.size)
        xml_walk (bytes, NULL, 0, &walker, &drm, &ignored);
    return drm.encrypted;
}

static void pour_chapter (const char *path, span_t bytes, sink_t *sink)
{
    charset_t charset;
    str_t text = STR_INIT;
    err_t err;
    if (!bytes.size || charset_find (bytes, SPAN_EMPTY, &charset) || charset_to_utf8 (bytes, &charset, &text, &err)) {
        sink_bad (sink, ERR_DAMAGED_DOCUMENT, span_str (path), "the chapter is missing or no text");
    } else {
        flow_t flow;
        flow_init (&flow, sink);
        flow_block (&flow);
        html_pour (str_span (&text), &flow);
        flow_end (&flow);
    }
    str_free (&text);
}

int extract_epub (const source_t *source, sink_t *sink, err_t *err)
{
    package_t *package = package_open (source->bytes, wanted, sink, err);
    if (!package)
        return -1;
    sink_counted_always (sink);
    int rc = -1;
    book_t book = { .count = 0 };
    read_book (&book, package, sink);
    if (is_locked (&book, package)) {
        err_set (err, ERR_ENCRYPTED_DOCUMENT, "the book is locked (DRM)");
        goto out;
    }
    if (!book.spine_count) {
        err_set (err, ERR_DAMAGED_DOCUMENT, "the book names no chapters");
        goto out;
    }
    size_t first = 0;
    if (!source->depth)
        sscanf (sink_base (sink).data, "chapter=%zu", &first);
    for (size_t i = first; i < book.spine_count && !sink_stopped (sink); i++) {
        char unit[32];
        snprintf (unit, sizeof unit, "chapter=%zu", i);
        const char *path = book.items[book.spine[i]].path;
        sink_heading (sink, 1, SPAN_EMPTY);
        if (sink_unit (sink, unit, span_str (path))) {
            sink_nest (sink, 1); /* progress and title are the book's */
            pour_chapter (path, package_find (package, path), sink);
            sink_nest (sink, -1);
        }
        place_t next = sink_place (sink, "chapter=%zu", i + 1);
        sink_border (sink, &next);
        sink_progress (sink, i + 1, book.spine_count);
    }
    rc = 0;
out:
    free (book.items);
    free (book.spine);
    package_destroy (&package);
    return rc;
}
