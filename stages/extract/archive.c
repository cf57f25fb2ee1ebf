/*  Archives and compressed files through libarchive. Every entry that can be read is a document of its own: its
 *  segments are its alone, its path is a mark and its first line. An entry is a unit, and a place to go on.
 */
#include "stages/extract/entryname.h"
#include "stages/extract/formats.h"
#include "stages/extract/rar5.h"
#include "stages/extract/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/*  So much of an entry is unpacked before it is decided whether the rest is wanted. */
#define LOOK_BYTES (64 * 1024)

/*  Only what the content is gets enabled: every further reader would be one more to attack. */
static const struct {
    const char *media_type;
    int (*format) (struct archive *);
    int (*also) (struct archive *);
    int (*filter) (struct archive *); /* a compressed file: holds a tar, cpio or iso archive, or one document */
} kinds[] = {
    { "application/zip", archive_read_support_format_zip, NULL, NULL },
    { "application/x-7z-compressed", archive_read_support_format_7zip, NULL, NULL },
    { "application/vnd.rar", archive_read_support_format_rar, archive_read_support_format_rar5, NULL },
    { "application/x-tar", archive_read_support_format_tar, archive_read_support_format_gnutar, NULL },
    { "application/x-iso9660-image", archive_read_support_format_iso9660, NULL, NULL },
    { "application/vnd.ms-cab-compressed", archive_read_support_format_cab, NULL, NULL },
    { "application/x-cpio", archive_read_support_format_cpio, NULL, NULL },
    { "application/x-archive", archive_read_support_format_ar, NULL, NULL },
    { "application/x-lzh-compressed", archive_read_support_format_lha, NULL, NULL },
    { "application/gzip", NULL, NULL, archive_read_support_filter_gzip },
    { "application/x-bzip2", NULL, NULL, archive_read_support_filter_bzip2 },
    { "application/x-xz", NULL, NULL, archive_read_support_filter_xz },
    { "application/zstd", NULL, NULL, archive_read_support_filter_zstd },
    { "application/x-lz4", NULL, NULL, archive_read_support_filter_lz4 },
    { "application/x-lzip", NULL, NULL, archive_read_support_filter_lzip },
    { "application/x-lzma", NULL, NULL, archive_read_support_filter_lzma },
    { "application/x-compress", NULL, NULL, archive_read_support_filter_compress },
};

typedef struct {
    const source_t *source;
    sink_t *sink;
    struct archive *archive;
    rar5_t rar5;        /* at the current entry, when it is such an archive */
    unsigned index;     /* of the current entry */
    bool locked;        /* it is encrypted */
    bool broken;        /* it cannot be unpacked further */
    bool alone;         /* its segments are its own */
    str_t outer;        /* path of this archive, "!/" appended; empty for the outermost */
    unsigned files;     /* entries that could be documents */
    unsigned encrypted; /* of these */
    unsigned damaged;   /* of these */
    unsigned starved;   /* of these: memory was not enough to unpack them */
    str_t held;         /* names of entries so far, as long as none could be read */
    bool said;          /* something was poured */
} reading_t;

static struct archive *open_archive (const source_t *source, err_t *err)
{
    struct archive *archive = archive_read_new ();
    if (!archive)
        abort ();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp (kinds[i].media_type, source->is->media_type) != 0)
            continue;
        if (kinds[i].filter) {
            kinds[i].filter (archive);
            archive_read_support_format_tar (archive);
            archive_read_support_format_cpio (archive);
            archive_read_support_format_iso9660 (archive);
            archive_read_support_format_empty (archive);
            archive_read_support_format_raw (archive);
        } else
            kinds[i].format (archive);
        if (kinds[i].also)
            kinds[i].also (archive);
    }
    if (archive_read_open_memory (archive, source->bytes.data, source->bytes.size) == ARCHIVE_OK)
        return archive;
    unpack_fault (archive, ERR_DAMAGED_DOCUMENT, "the archive cannot be read", err);
    archive_read_free (archive);
    return NULL;
}

/*  Begins the text of the entry at `path`: its path is the first line. */
static void say_path (reading_t *reading, span_t path)
{
    sink_newlines (reading->sink, 1);
    sink_path (reading->sink, path);
    sink_text (reading->sink, path);
    sink_newlines (reading->sink, 1);
    reading->said = true;
}

/*  Pours the names that were held back: the archive is not wholly unreadable. */
static void release_held (reading_t *reading)
{
    for (size_t at = 0; at < reading->held.size;) {
        size_t size = strlen (reading->held.data + at);
        say_path (reading, span (reading->held.data + at, size));
        at += size + 1;
    }
    str_clear (&reading->held);
}

/*  An entry of which only the name is known. Names of entries that are locked or broken wait until something else can
 *  be read: an archive that is all locked is an encrypted document, not a list of names. */
static void say_name_only (reading_t *reading, span_t path, err_code_t code)
{
    bool closed = code == ERR_ENCRYPTED_DOCUMENT || code == ERR_DAMAGED_DOCUMENT || code == ERR_MEMORY_EXCEEDED;
    if (closed && !reading->said && !reading->source->depth && !sink_resumed (reading->sink)) {
        str_add (&reading->held, path);
        str_char (&reading->held, 0);
        return;
    }
    release_held (reading);
    say_path (reading, path);
}

static void count_bad (reading_t *reading, span_t path, const err_t *why)
{
    reading->encrypted += why->code == ERR_ENCRYPTED_DOCUMENT;
    reading->damaged += why->code == ERR_DAMAGED_DOCUMENT;
    reading->starved += why->code == ERR_MEMORY_EXCEEDED;
    sink_bad (reading->sink, why->code, path, "%s", why->message);
}

/*  Unpacks the current entry, unless its first bytes say that nothing here reads it. UNPACK_… */
static int fetch (reading_t *reading, span_t name, str_t *bytes, err_t *err)
{
    int rc = unpack_entry (reading->archive, reading->sink, LOOK_BYTES, bytes, err);
    if (rc != UNPACK_MORE)
        return rc;
    source_t look = { str_span (bytes), name, SPAN_EMPTY, reading->source->depth + 1, NULL };
    detected_t detected;
    err_t ignored;
    if (!format_detect (&look, &detected, &ignored) && detected.format == FORMAT_NONE)
        return UNPACK_OK; /* what is there is enough to say so */
    return unpack_entry (reading->archive, reading->sink, 0, bytes, err);
}

static source_t inner_source (const reading_t *reading, span_t name, span_t bytes)
{
    return (source_t){ bytes, name, SPAN_EMPTY, reading->source->depth + 1, NULL };
}

/*  True when something here reads it; else *err says why not. */
static bool can_read (const source_t *inner, const sink_t *sink, err_t *err)
{
    detected_t detected;
    if (format_detect (inner, &detected, err))
        return false;
    if (detected.format == FORMAT_NONE) {
        err_set (err, ERR_UNSUPPORTED_MEDIA_TYPE, "nothing here reads documents of type %s", detected.media_type);
        return false;
    }
    if (detected.format == FORMAT_ARCHIVE && inner->depth > sink_limits (sink)->depth) {
        err_set (err, ERR_TOO_DEEP, "archives are read to a depth of %" PRIu64, sink_limits (sink)->depth);
        return false;
    }
    return true;
}

/*  Pours one entry that was unpacked and can be read. -1 and *err when it gave nothing. */
static int pour_entry (const source_t *inner, sink_t *sink, err_t *err)
{
    detected_t detected;
    sink_nest (sink, 1);
    int rc = extract_source (inner, sink, &detected, err);
    sink_nest (sink, -1);
    return rc;
}

/*  Reads the current entry, which begins at `here`. -1 and *err only when the whole archive cannot go on. */
static int read_entry (reading_t *reading, span_t path, span_t name, const place_t *here, err_t *err)
{
    sink_t *sink = reading->sink;
    str_t bytes = STR_INIT;
    err_t broken, why;
    int unpacked = fetch (reading, name, &bytes, &broken);
    source_t inner = inner_source (reading, name, str_span (&bytes));
    bool limit = unpacked == UNPACK_LIMIT, bad = unpacked < 0 && !limit;
    reading->broken = unpacked == UNPACK_DAMAGED;
    if (!bytes.size) { /* an empty file is no fault */
        if (bad)
            count_bad (reading, path, &broken);
        say_name_only (reading, path, unpacked < 0 ? broken.code : ERR_NONE);
    } else if (!can_read (&inner, sink, &why)) {
        count_bad (reading, path, bad ? &broken : &why);
        say_name_only (reading, path, bad ? broken.code : why.code);
    } else { /* what came before it broke off stays */
        release_held (reading);
        sink_close (sink, here);
        if (bad) /* told with the entry's own segments */
            count_bad (reading, path, &broken);
        say_path (reading, path);
        if (pour_entry (&inner, sink, &why) && unpacked >= 0)
            count_bad (reading, path, &why);
        reading->alone = true;
    }
    str_free (&bytes);
    return limit ? err_set (err, broken.code, "%s", broken.message) : 0;
}

/*  The one document in a compressed file: as if it had come by itself. */
static int read_single (reading_t *reading, err_t *err)
{
    if (archive_filter_code (reading->archive, 0) == ARCHIVE_FILTER_NONE) /* these would be the same bytes again */
        return err_set (err, ERR_DAMAGED_DOCUMENT, "the compressed document is damaged: its header makes no sense");
    str_t bytes = STR_INIT;
    int rc = -1, unpacked = unpack_entry (reading->archive, reading->sink, 0, &bytes, err);
    span_t name = reading->source->name;
    while (name.size && name.data[name.size - 1] != '.') /* notes.txt.gz → notes.txt */
        name.size--;
    name.size -= name.size > 0;
    if (unpacked < 0 && !bytes.size)
        goto out;
    if (unpacked < 0) /* what came before it broke off stays */
        sink_bad (reading->sink, err->code, SPAN_EMPTY, "%s", err->message);
    source_t inner = inner_source (reading, name, str_span (&bytes));
    if (!bytes.size)
        err_set (err, ERR_EMPTY_DOCUMENT, "the compressed document has 0 bytes");
    else if (can_read (&inner, reading->sink, err))
        rc = pour_entry (&inner, reading->sink, err);
out:
    str_free (&bytes);
    return rc;
}

/*  The archive broke off: an error when nothing came out of it, else one more bad part. */
static int broken_off (reading_t *reading, err_t *err)
{
    const char *why = archive_error_string (reading->archive);
    bool locked = archive_read_has_encrypted_entries (reading->archive) == 1 || (why && strcasestr (why, "encrypt"));
    err_t cause;
    unpack_fault (reading->archive, locked ? ERR_ENCRYPTED_DOCUMENT : ERR_DAMAGED_DOCUMENT,
                  locked ? "the archive is encrypted" : "the archive cannot be read", &cause);
    if (!reading->files) {
        *err = cause;
        return -1;
    }
    sink_bad (reading->sink, cause.code, SPAN_EMPTY, "%s", cause.message);
    return 0;
}

/*  Counts and reads the current entry. -1 and *err only when the whole archive cannot go on. */
static int take_entry (reading_t *reading, struct archive_entry *entry, err_t *err)
{
    sink_t *sink = reading->sink;
    place_t here = sink_place (sink, "entry=%u", reading->index);
    if (sink_entry (sink, err))
        return -1;
    bool link = archive_entry_hardlink (entry) && !archive_entry_size (entry); /* in cpio the last one has the data */
    if (archive_entry_filetype (entry) != AE_IFREG || link)
        return 0;
    str_t path = STR_INIT;
    str_add (&path, str_span (&reading->outer));
    size_t prefix = path.size;
    entry_name (entry, &path);
    span_t name = span (path.data + prefix, path.size - prefix);
    reading->files++;
    int rc = 0;
    if (reading->locked) {
        err_t why;
        err_set (&why, ERR_ENCRYPTED_DOCUMENT, "the entry is encrypted with a password");
        count_bad (reading, str_span (&path), &why);
        say_name_only (reading, str_span (&path), why.code);
    } else if (sink_unit (sink, here.base, str_span (&path)))
        rc = read_entry (reading, str_span (&path), name, &here, err);
    str_free (&path);
    return rc;
}

/*  True when what is not wanted has to be unpacked all the same to get behind it. Cabinets jump over it in their own
 *  way, which an entry that crashes their reader survives. */
static bool skips_by_unpacking (const reading_t *reading)
{
    return archive_filter_code (reading->archive, 0) != ARCHIVE_FILTER_NONE || reading->rar5.solid ||
           (archive_format (reading->archive) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_7ZIP;
}

/*  Gets behind what nobody wanted of the current entry. `counted`: no earlier run has counted it. */
static int leave_entry (reading_t *reading, bool counted, err_t *err)
{
    if (reading->locked || reading->broken || !skips_by_unpacking (reading))
        return 0;
    return unpack_rest (reading->archive, reading->sink, counted, err) == UNPACK_LIMIT ? -1 : 0;
}

/*  The current entry is done with: here the next one begins. */
static void end_entry (reading_t *reading)
{
    place_t next = sink_place (reading->sink, "entry=%u", reading->index + 1);
    if (reading->alone)
        sink_close (reading->sink, &next);
    else if (reading->said)
        sink_border (reading->sink, &next);
}

static int read_entries (reading_t *reading, err_t *err)
{
    unsigned first = 0, failures = 0;
    if (!reading->source->depth)
        sscanf (sink_base (reading->sink).data, "entry=%u", &first);
    for (reading->index = 0; !sink_stopped (reading->sink); reading->index++) {
        struct archive_entry *entry;
        int rc = archive_read_next_header (reading->archive, &entry);
        if (rc == ARCHIVE_EOF)
            break;
        if (rc == ARCHIVE_FATAL || (rc < ARCHIVE_WARN && ++failures > 10))
            return broken_off (reading, err);
        reading->locked = archive_entry_is_encrypted (entry) || rar5_next_is_encrypted (&reading->rar5);
        reading->broken = reading->alone = false;
        bool counted = reading->index >= first; /* else an earlier run did, and read it */
        if (counted && archive_format (reading->archive) == ARCHIVE_FORMAT_RAW)
            return read_single (reading, err);
        if ((counted && take_entry (reading, entry, err)) || leave_entry (reading, counted, err))
            return -1;
        end_entry (reading);
    }
    return 0;
}

/*  An archive of which no entry could be read is as bad as its entries. */
static int judge (const reading_t *reading, err_t *err)
{
    if (!reading->files || reading->said || sink_stopped (reading->sink))
        return 0;
    if (reading->encrypted == reading->files)
        return err_set (err, ERR_ENCRYPTED_DOCUMENT, "the archive is encrypted with a password");
    if (reading->encrypted + reading->damaged + reading->starved == reading->files)
        return err_set (err, reading->starved ? ERR_MEMORY_EXCEEDED : ERR_DAMAGED_DOCUMENT,
                        "no entry of the archive can be unpacked: %s", sink_first_bad (reading->sink)->message);
    return 0;
}

int extract_archive (const source_t *source, sink_t *sink, err_t *err)
{
    reading_t reading = { .source = source, .sink = sink };
    reading.archive = open_archive (source, err);
    if (!reading.archive)
        return -1;
    rar5_init (&reading.rar5, source->bytes);
    if (source->depth) {
        str_add (&reading.outer, sink_current_path (sink));
        if (reading.outer.size)
            str_text (&reading.outer, "!/");
    }
    uint64_t before = sink_poured (sink);
    int rc = read_entries (&reading, err);
    if (rc && sink_poured (sink) != before) { /* a limit was reached: what came before stays */
        sink_bad (sink, err->code, str_span (&reading.outer), "%s", err->message);
        rc = 0;
    }
    if (!rc)
        rc = judge (&reading, err);
    archive_read_free (reading.archive);
    str_free (&reading.outer);
    str_free (&reading.held);
    return rc;
}
