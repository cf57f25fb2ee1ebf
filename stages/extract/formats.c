#include "stages/extract/formats.h"
#include "stages/extract/magic.h"
#include "stages/extract/textkind.h"
#include "stages/extract/zipnames.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define SNIFF_MAX 4096

static extract_fn *const functions[] = { NULL,
#define FORMAT_FUNCTION(sym, function) function,
                                         FORMATS (FORMAT_FUNCTION)
#undef FORMAT_FUNCTION
};

/*  Some signatures are what a text may begin with: there a second look decides. */

static bool is_bzip2 (span_t bytes)
{
    return bytes.size >= 10 && bytes.data[3] >= '1' && bytes.data[3] <= '9' &&
           (memcmp (bytes.data + 4, "\x31\x41\x59\x26\x53\x59", 6) == 0 || /* a block, or the end */
            memcmp (bytes.data + 4, "\x17\x72\x45\x38\x50\x90", 6) == 0);
}

static bool is_digits (span_t bytes, size_t size, const char *digits)
{
    for (size_t i = 0; i < size; i++)
        if (i >= bytes.size || !bytes.data[i] || !strchr (digits, bytes.data[i]))
            return false;
    return true;
}

static bool is_new_cpio (span_t bytes)
{
    return is_digits (bytes, 110, "0123456789abcdefABCDEF");
}

static bool is_odc_cpio (span_t bytes)
{
    return is_digits (bytes, 76, "01234567");
}

/*  Its header says how long the name is, the NUL at its end included. */
static bool is_binary_cpio (span_t bytes)
{
    if (bytes.size < 26)
        return false;
    size_t name = (unsigned char)bytes.data[20] | (size_t)(unsigned char)bytes.data[21] << 8;
    return name > 0 && bytes.size >= 26 + name && !bytes.data[26 + name - 1];
}

static bool is_lha (span_t bytes)
{
    return bytes.size > 6 && bytes.data[6] == '-';
}

#define SIGNATURE_IF(offset, bytes, format, type, also)                                                                \
    {                                                                                                                  \
        offset, bytes, sizeof (bytes) - 1, FORMAT_##format, type, also                                                 \
    }
#define SIGNATURE(offset, bytes, format, type) SIGNATURE_IF (offset, bytes, format, type, NULL)
static const struct {
    size_t offset;
    const char *bytes;
    size_t size;
    format_t format;
    const char *media_type;
    bool (*also) (span_t bytes); /* NULL: the signature says enough */
} signatures[] = {
    SIGNATURE (0, "%PDF-", PDF, "application/pdf"),
    SIGNATURE (0, "PK\3\4", ARCHIVE, "application/zip"),
    SIGNATURE (0, "PK\5\6", ARCHIVE, "application/zip"),
    SIGNATURE (0, "PK\7\x8PK\3\4", ARCHIVE, "application/zip"),
    SIGNATURE (0, "PK00PK\3\4", ARCHIVE, "application/zip"),
    SIGNATURE (0, "7z\xbc\xaf\x27\x1c", ARCHIVE, "application/x-7z-compressed"),
    SIGNATURE (0, "Rar!\x1a\x07", ARCHIVE, "application/vnd.rar"),
    SIGNATURE (0, "\x1f\x8b\x08", ARCHIVE, "application/gzip"),
    SIGNATURE_IF (0, "BZh", ARCHIVE, "application/x-bzip2", is_bzip2),
    SIGNATURE (0,
               "\xfd"
               "7zXZ\0",
               ARCHIVE, "application/x-xz"),
    SIGNATURE (0, "\x28\xb5\x2f\xfd", ARCHIVE, "application/zstd"),
    SIGNATURE (0, "\x04\x22\x4d\x18", ARCHIVE, "application/x-lz4"),
    SIGNATURE (0, "LZIP\0", ARCHIVE, "application/x-lzip"),
    SIGNATURE (0, "LZIP\1", ARCHIVE, "application/x-lzip"),
    SIGNATURE (0, "\x5d\0\0", ARCHIVE, "application/x-lzma"),
    SIGNATURE (0, "\x1f\x9d", ARCHIVE, "application/x-compress"),
    SIGNATURE (257, "ustar", ARCHIVE, "application/x-tar"),
    SIGNATURE (32769, "CD001", ARCHIVE, "application/x-iso9660-image"),
    SIGNATURE (0, "MSCF\0\0\0\0", ARCHIVE, "application/vnd.ms-cab-compressed"),
    SIGNATURE_IF (0, "070701", ARCHIVE, "application/x-cpio", is_new_cpio),
    SIGNATURE_IF (0, "070702", ARCHIVE, "application/x-cpio", is_new_cpio),
    SIGNATURE_IF (0, "070707", ARCHIVE, "application/x-cpio", is_odc_cpio),
    SIGNATURE_IF (0, "\xc7\x71", ARCHIVE, "application/x-cpio", is_binary_cpio),
    SIGNATURE (0, "!<arch>\n", ARCHIVE, "application/x-archive"),
    SIGNATURE_IF (2, "-lh", ARCHIVE, "application/x-lzh-compressed", is_lha),
    SIGNATURE (0, "xar!\0", NONE, "application/x-xar"),
    SIGNATURE (0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", NONE, "application/x-ole-storage"),
    SIGNATURE (0, "{\\rtf", NONE, "text/rtf"),
};

/*  A tar header from before "ustar": its checksum is right. */
static bool is_old_tar (span_t bytes)
{
    if (bytes.size < 512 || !bytes.data[0])
        return false;
    unsigned long sum = 0, wanted = 0;
    for (size_t i = 0; i < 512; i++)
        sum += i >= 148 && i < 156 ? ' ' : (unsigned char)bytes.data[i];
    size_t digits = 0;
    for (size_t i = 148; i < 156; i++)
        if (bytes.data[i] >= '0' && bytes.data[i] <= '7') {
            wanted = wanted * 8 + (unsigned long)(bytes.data[i] - '0');
            digits++;
        }
    return digits >= 4 && sum == wanted;
}

static int is (detected_t *detected, format_t format, const char *media_type)
{
    detected->format = format;
    snprintf (detected->media_type, sizeof detected->media_type, "%s", media_type);
    return 0;
}

/*  OLE storage: old office files, and the wrapper of encrypted new ones. */
static int detect_ole (span_t bytes, detected_t *detected, err_t *err)
{
    static const char package[] = "E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e";
    if (memmem (bytes.data, bytes.size, package, sizeof package - 1)) {
        is (detected, FORMAT_NONE, "application/x-ole-storage");
        return err_set (err, ERR_ENCRYPTED_DOCUMENT, "the office document is encrypted with a password");
    }
    detected->format = FORMAT_NONE;
    magic_media_type (bytes, detected->media_type, sizeof detected->media_type);
    return 0;
}

static int detect_zip (const source_t *source, detected_t *detected)
{
    zip_kind_t kind;
    zip_names (source->bytes, &kind);
    if (kind.epub)
        return is (detected, FORMAT_EPUB, "application/epub+zip");
    if (kind.odf)
        return is (detected, strstr (kind.mimetype, "opendocument.text") || !*kind.mimetype ? FORMAT_ODF : FORMAT_NONE,
                   *kind.mimetype ? kind.mimetype : "application/vnd.oasis.opendocument.text");
    if (kind.word)
        return is (detected, FORMAT_DOCX, "application/vnd.openxmlformats-officedocument.wordprocessingml.document");
    if (kind.excel)
        return is (detected, FORMAT_NONE, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet");
    if (kind.powerpoint)
        return is (detected, FORMAT_NONE, "application/vnd.openxmlformats-officedocument.presentationml.presentation");
    return is (detected, FORMAT_ARCHIVE, "application/zip");
}

/*  1 when a signature says what it is, 0 when none does, -1 and *err. */
static int detect_binary (const source_t *source, detected_t *detected, err_t *err)
{
    span_t bytes = source->bytes;
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        if (bytes.size < signatures[i].offset + signatures[i].size ||
            memcmp (bytes.data + signatures[i].offset, signatures[i].bytes, signatures[i].size) != 0 ||
            (signatures[i].also && !signatures[i].also (bytes)))
            continue;
        is (detected, signatures[i].format, signatures[i].media_type);
        if (strcmp (detected->media_type, "application/zip") == 0)
            detect_zip (source, detected);
        if (strcmp (detected->media_type, "application/x-ole-storage") == 0 && detect_ole (bytes, detected, err))
            return -1;
        return 1;
    }
    if (is_old_tar (bytes))
        return is (detected, FORMAT_ARCHIVE, "application/x-tar") + 1;
    return 0;
}

/*  PDF readers take a header anywhere in the first KiB. */
static bool is_late_pdf (const source_t *source, bool text)
{
    size_t look = source->bytes.size < 1024 ? source->bytes.size : 1024;
    if (!memmem (source->bytes.data, look, "%PDF-", 5))
        return false;
    return !text || name_has_extension (source->name, " pdf ") || span_is (source->media_type, "application/pdf");
}

typedef struct {
    char text[SNIFF_MAX + 1];
    size_t size;
} sniff_t;

static int take_sniff (void *self, span_t utf8, size_t consumed)
{
    sniff_t *sniff = self;
    for (size_t i = 0; i < utf8.size && sniff->size < SNIFF_MAX; i++) {
        char c = utf8.data[i];
        if (sniff->size || !strchr (" \t\r\n", c ? c : 'x'))
            sniff->text[sniff->size++] = (char)tolower ((unsigned char)c);
    }
    return sniff->size == SNIFF_MAX ? -1 : 0;
}

static void detect_text (const source_t *source, detected_t *detected)
{
    static const format_t formats[] = { [TEXT_PLAIN] = FORMAT_TEXT,
                                        [TEXT_MARKDOWN] = FORMAT_MARKDOWN,
                                        [TEXT_HTML] = FORMAT_HTML,
                                        [TEXT_XML] = FORMAT_XML,
                                        [TEXT_FLAT_ODF] = FORMAT_FLAT_ODF };
    sniff_t *sniff = calloc (1, sizeof *sniff);
    if (!sniff)
        abort ();
    span_t look = source->bytes;
    if (look.size > 2 * SNIFF_MAX)
        look.size = 2 * SNIFF_MAX;
    charset_decode (look, &detected->charset, take_sniff, sniff, NULL);
    const char *media_type;
    text_kind_t kind = text_kind (sniff->text, source->name, source->media_type, &media_type);
    is (detected, formats[kind], media_type);
    free (sniff);
}

int format_detect (const source_t *source, detected_t *detected, err_t *err)
{
    *detected = (detected_t){ .format = FORMAT_NONE };
    if (!source->bytes.size)
        return err_set (err, ERR_EMPTY_DOCUMENT, "the document has 0 bytes");
    int found = detect_binary (source, detected, err);
    if (found)
        return found > 0 ? 0 : -1;
    bool text = !charset_find (source->bytes, charset_of_media_type (source->media_type), &detected->charset);
    if (is_late_pdf (source, text))
        return is (detected, FORMAT_PDF, "application/pdf");
    if (text) {
        detect_text (source, detected);
    } else if (zip_ends_here (source->bytes)) { /* a self-extractor, or a part of a zip file that was split */
        detect_zip (source, detected);
    } else if (magic_is_ebcdic (source->bytes)) {
        snprintf (detected->charset.name, CHARSET_NAME, "ibm-500");
        is (detected, FORMAT_TEXT, "text/plain");
    } else
        magic_media_type (source->bytes, detected->media_type, sizeof detected->media_type);
    return 0;
}

int extract_source (const source_t *source, sink_t *sink, detected_t *detected, err_t *err)
{
    if (format_detect (source, detected, err))
        return -1;
    if (detected->format == FORMAT_NONE)
        return err_set (err, ERR_UNSUPPORTED_MEDIA_TYPE, "nothing here reads documents of type %s",
                        detected->media_type);
    source_t known = *source;
    known.is = detected;
    uint64_t before = sink_poured (sink);
    uint32_t bad = sink_bad_count (sink);
    if (functions[detected->format](&known, sink, err))
        return -1;
    if (sink_poured (sink) != before || sink_resumed (sink) || sink_stopped (sink))
        return 0;
    if (sink_bad_count (sink) != bad && sink_first_bad (sink)->code) {
        *err = *sink_first_bad (sink);
        return -1;
    }
    return err_set (err, ERR_EMPTY_DOCUMENT, "the document (%s) holds no text", detected->media_type);
}
