/*  PDF through poppler-glib, page by page: a page is a unit that can be skipped, and a place to go on. */
#include "base/utf8.h"
#include "stages/extract/formats.h"
#include "stages/extract/outline.h"
#include "stages/extract/pdftext.h"

#include <poppler.h>
#include <stdio.h>
#include <stdlib.h>

/*  Blanks wider than this part of the characters' height separate words; inside words there are none so wide. */
#define WORD_GAP      0.12
#define RIGHT_TO_LEFT "\xe2\x80\xab" /* U+202B, with which poppler marks such text */

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

void pdf_preload (void)
{
    /* Poppler looks through its data when the first document is opened, and forgets it with the last. */
    static const char blank[] = "%PDF-1.1\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
                                "2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
                                "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\n"
                                "trailer<</Root 1 0 R>>\n%%EOF\n";
    static PopplerDocument *kept;
    err_t err;
    if (!kept)
        kept = open_document (span (blank, sizeof blank - 1), &err);
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

static double apart (double from_a, double to_a, double from_b, double to_b)
{
    return from_b > to_a ? from_b - to_a : from_a > to_b ? from_a - to_b : 0;
}

/*  Poppler writes words of neighbouring table cells without a blank. They stand apart, though. */
static bool is_gap (const PopplerRectangle *a, const PopplerRectangle *b)
{
    double height = a->y2 - a->y1 < b->y2 - b->y1 ? a->y2 - a->y1 : b->y2 - b->y1;
    return apart (a->x1, a->x2, b->x1, b->x2) > height * WORD_GAP ||
           apart (a->y1, a->y2, b->y1, b->y2) > height * WORD_GAP;
}

/*  The whole text of `page`. A selection from the upper left corner to the lower right misses the beginning of text
 * that is written from right to left: that is selected the other way round. */
static char *select_all (PopplerPage *page)
{
    char *text = poppler_page_get_text (page);
    if (!text || !strstr (text, RIGHT_TO_LEFT))
        return text;
    PopplerRectangle whole = { 0 };
    poppler_page_get_size (page, &whole.x1, &whole.y2);
    char *other = poppler_page_get_selected_text (page, POPPLER_SELECTION_GLYPH, &whole);
    bool more = other && strlen (other) > strlen (text);
    g_free (more ? text : other);
    return more ? other : text;
}

/*  Appends the text of `page` with blanks wherever there are some to be seen. */
static void page_text (PopplerPage *page, str_t *out)
{
    char *text = select_all (page);
    PopplerRectangle *boxes = NULL;
    guint count = 0;
    span_t rest = span_str (text);
    if (rest.size && (!poppler_page_get_text_layout (page, &boxes, &count) || g_utf8_strlen (text, -1) != (glong)count))
        count = 0;
    bool blank = true; /* before the character */
    for (guint at = 0; rest.size; at++) {
        size_t width = utf8_width (rest);
        width = width ? width : 1;
        bool is_blank = *rest.data == ' ' || *rest.data == '\n';
        if (at < count && !blank && !is_blank && is_gap (&boxes[at - 1], &boxes[at]))
            str_char (out, ' ');
        str_add (out, span (rest.data, width));
        blank = is_blank;
        rest = span (rest.data + width, rest.size - width);
    }
    g_free (boxes);
    g_free (text);
}

static void pour_page (PopplerDocument *document, int number, const outline_t *outline, sink_t *sink)
{
    char where[32];
    snprintf (where, sizeof where, "page=%d", number);
    if (!sink_unit (sink, where, span_str (where)))
        return;
    PopplerPage *page = poppler_document_get_page (document, number - 1);
    if (!page) {
        sink_bad (sink, ERR_DAMAGED_DOCUMENT, span_str (where), "page %d cannot be read", number);
        return;
    }
    str_t spaced = STR_INIT, text = STR_INIT;
    page_text (page, &spaced);
    pdf_clean_page (str_span (&spaced), &text);
    sink_page (sink, (uint32_t)number);
    outline_pour (outline, number, str_span (&text), sink);
    str_free (&spaced);
    str_free (&text);
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
        place_t next = sink_place (sink, "page=%d", number + 1);
        sink_border (sink, &next);
        sink_progress (sink, (uint64_t)number, (uint64_t)pages);
    }
    outline_destroy (&outline);
    g_object_unref (document);
    return 0;
}
