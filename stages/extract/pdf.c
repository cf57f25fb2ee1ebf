/*  PDF through poppler-glib, page by page: a page is a unit that can be skipped, and a place to go on. */
#include "stages/extract/formats.h"
#include "stages/extract/outline.h"
#include "stages/extract/pdftext.h"

#include <poppler.h>
#include <stdio.h>
#include <stdlib.h>

static PopplerDocument *open_document (span_t bytes, err_t *err)
{
    GError *error = NULL;
    GBytes *data = g_bytes_new_static (bytes.data, bytes.size);
    PopplerDocument *document = poppler_document_new_from_bytes (data, NULL, &error);
    g_bytes_unref (data);
    if (document && poppler_document_get_n_pages (document) > 0)
        return document;
    if (document)
        err_set (err, ERR_DAMAGED_DOCUMENT, "the PDF has no pages");
    else if (g_error_matches (error, POPPLER_ERROR, POPPLER_ERROR_ENCRYPTED))
        err_set (err, ERR_ENCRYPTED_DOCUMENT, "the PDF can only be opened with a password");
    else
        err_set (err, ERR_DAMAGED_DOCUMENT, "the PDF is damaged: %s", error ? error->message : "it cannot be opened");
    g_clear_error (&error);
    g_clear_object (&document);
    return NULL;
}

static void pour_meta (PopplerDocument *document, int pages, sink_t *sink)
{
    struct {
        meta_key_t key;
        char *value;
    } rows[] = {
        { META_TITLE, poppler_document_get_title (document) },
        { META_AUTHOR, poppler_document_get_author (document) },
        { META_SUBJECT, poppler_document_get_subject (document) },
        { META_KEYWORDS, poppler_document_get_keywords (document) },
        { META_PRODUCER, poppler_document_get_producer (document) },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sink_meta (sink, rows[i].key, span_str (rows[i].value));
        g_free (rows[i].value);
    }
    char count[16];
    snprintf (count, sizeof count, "%d", pages);
    sink_meta (sink, META_PAGES, span_str (count));
}

static void pour_page (PopplerDocument *document, int number, const outline_t *outline, sink_t *sink)
{
    char where[32];
    snprintf (where, sizeof where, "page=%d", number);
    if (!sink_unit (sink, where))
        return;
    PopplerPage *page = poppler_document_get_page (document, number - 1);
    if (!page) {
        sink_bad (sink, ERR_DAMAGED_DOCUMENT, span_str (where), "page %d cannot be read", number);
        return;
    }
    char *raw = poppler_page_get_text (page);
    str_t text = STR_INIT;
    pdf_clean_page (span_str (raw), &text);
    sink_page (sink, (uint32_t)number);
    outline_pour (outline, number, str_span (&text), sink);
    str_free (&text);
    g_free (raw);
    g_object_unref (page);
}

int extract_pdf (const source_t *source, sink_t *sink, err_t *err)
{
    PopplerDocument *document = open_document (source->bytes, err);
    if (!document)
        return -1;
    int pages = poppler_document_get_n_pages (document), first = 1;
    pour_meta (document, pages, sink);
    outline_t *outline = outline_new (document);
    if (!source->depth && sscanf (sink_base (sink).data, "page=%d", &first) == 1)
        outline_enter (outline, first, sink);
    for (int number = first < 1 ? 1 : first; number <= pages && !sink_stopped (sink); number++) {
        pour_page (document, number, outline, sink);
        char next[32];
        snprintf (next, sizeof next, "page=%d", number + 1);
        sink_border (sink, next);
        sink_progress (sink, (uint64_t)number, (uint64_t)pages);
    }
    outline_destroy (&outline);
    g_object_unref (document);
    return 0;
}
