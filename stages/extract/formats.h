/*  formats.h: the table of formats that can be read, and which of them a document is.
 *
 *  What a document is says its content. The declared type and the name only decide between kinds of text.
 */
#ifndef EXTRACT_FORMATS_H
#define EXTRACT_FORMATS_H

#include "stages/extract/charset.h"
#include "stages/extract/sink.h"

typedef struct detected detected_t;

/*  A document, or one inside another. All borrowed. */
typedef struct {
    span_t bytes;
    span_t name;       /* file name or path in the archive; may be empty */
    span_t media_type; /* as declared; may be empty */
    unsigned depth;    /* archives around it */
    const detected_t *is;
} source_t;

/*  Pours the document. 0, or -1 and *err when it could not be read (to the end); what was poured stays. */
typedef int extract_fn (const source_t *source, sink_t *sink, err_t *err);

/*  X (symbol, function) */
#define FORMATS(X)                                                                                                     \
    X (TEXT, extract_text)                                                                                             \
    X (MARKDOWN, extract_markdown)                                                                                     \
    X (HTML, extract_html)                                                                                             \
    X (XML, extract_xml)                                                                                               \
    X (PDF, extract_pdf)                                                                                               \
    X (DOCX, extract_docx)                                                                                             \
    X (ODF, extract_odf)                                                                                               \
    X (FLAT_ODF, extract_flat_odf)                                                                                     \
    X (EPUB, extract_epub)                                                                                             \
    X (ARCHIVE, extract_archive)

typedef enum {
    FORMAT_NONE, /* known, but nothing here reads it */
#define FORMAT_ENUM(sym, function) FORMAT_##sym,
    FORMATS (FORMAT_ENUM)
#undef FORMAT_ENUM
} format_t;

#define FORMAT_DECLARE(sym, function) extract_fn function;
FORMATS (FORMAT_DECLARE)
#undef FORMAT_DECLARE

/*  In a process that will parse: has poppler read what it needs of its data files. Never undone. */
void pdf_preload (void);

struct detected {
    format_t format;
    char media_type[100];
    charset_t charset; /* of the text formats */
};

/*  0 and *detected (FORMAT_NONE: media_type says what it is); or -1 with ERR_EMPTY_DOCUMENT, ERR_ENCRYPTED_DOCUMENT. */
int format_detect (const source_t *source, detected_t *detected, err_t *err);

/*  Detects and pours. -1 with the code of what went wrong, also when the document holds no text. */
int extract_source (const source_t *source, sink_t *sink, detected_t *detected, err_t *err);

#endif
