#include "stages/extract/textkind.h"

#include <ctype.h>

/*  Which kind of text: by what it begins with (`start`, lower case), else by its name or declared type. */
static const struct {
    const char *start;
    const char *extensions;
    const char *declared; /* part of the media type */
    text_kind_t kind;
    const char *media_type;
} text_kinds[] = {
    { "<!doctype html", "", "", TEXT_HTML, "text/html" },
    { "<html", "", "", TEXT_HTML, "text/html" },
    { "<?xml", "", "", TEXT_XML, "application/xml" },
    { "", " md markdown mkd mdown ", "markdown", TEXT_MARKDOWN, "text/markdown" },
    { "", " html htm html4 html5 xhtml shtml ", "html", TEXT_HTML, "text/html" },
    { "<", " xml svg rss atom kml gpx xsd xsl xslt dbk docbook fb2 opml ttml ", "xml", TEXT_XML, "application/xml" },
    { "", " json geojson jsonl ndjson ", "json", TEXT_PLAIN, "application/json" },
    { "", " csv ", "text/csv", TEXT_PLAIN, "text/csv" },
    { "", " tsv tab ", "tab-separated", TEXT_PLAIN, "text/tab-separated-values" },
    { "", " yaml yml ", "yaml", TEXT_PLAIN, "application/yaml" },
};

bool name_has_extension (span_t name, const char *extensions)
{
    char wanted[18] = " ";
    size_t size = 0;
    while (size < name.size && size < 14 && name.data[name.size - 1 - size] != '.')
        size++;
    if (!size || size == name.size || name.data[name.size - 1 - size] != '.')
        return false;
    for (size_t i = 0; i < size; i++)
        wanted[1 + i] = (char)tolower ((unsigned char)name.data[name.size - size + i]);
    wanted[1 + size] = ' ';
    return strstr (extensions, wanted) != NULL;
}

static bool media_type_has (span_t media_type, const char *part)
{
    return *part && memmem (media_type.data ? media_type.data : "", media_type.size, part, strlen (part));
}

/*  Leaves out comments at the start. */
static const char *after_comments (const char *text)
{
    while (strncmp (text, "<!--", 4) == 0) {
        const char *end = strstr (text, "-->");
        if (!end)
            break;
        for (text = end + 3; *text && strchr (" \t\r\n", *text); text++)
            ;
    }
    return text;
}

text_kind_t text_kind (const char *start, span_t name, span_t declared, const char **media_type)
{
    start = after_comments (start);
    *media_type = "text/plain";
    text_kind_t kind = TEXT_PLAIN;
    for (size_t i = 0; i < sizeof text_kinds / sizeof *text_kinds; i++) {
        bool by_start = !*text_kinds[i].extensions;
        bool starts = strncmp (start, text_kinds[i].start, strlen (text_kinds[i].start)) == 0;
        if (starts && (by_start || name_has_extension (name, text_kinds[i].extensions) ||
                       media_type_has (declared, text_kinds[i].declared))) {
            kind = text_kinds[i].kind;
            *media_type = text_kinds[i].media_type;
            break;
        }
    }
    bool says_text = name_has_extension (name, " txt text log md ") || media_type_has (declared, "text/plain");
    if (kind == TEXT_XML && strstr (start, "<html")) {
        *media_type = "application/xhtml+xml";
        return TEXT_HTML;
    }
    if (kind == TEXT_XML && strstr (start, "<office:document")) {
        *media_type = "application/vnd.oasis.opendocument.text-flat-xml";
        return TEXT_FLAT_ODF;
    }
    if (kind == TEXT_PLAIN && *start == '<' && !says_text &&
        (strstr (start, "<html") || strstr (start, "<body") || strstr (start, "<head>"))) {
        *media_type = "text/html";
        return TEXT_HTML;
    }
    return kind;
}
