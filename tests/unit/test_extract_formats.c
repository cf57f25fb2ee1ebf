#include "extract_fixture.h"

/* link: extract archive */

static void expect (const char *name, span_t bytes, const char *expected)
{
    got_t got = { .count = 0 };
    const char *text = text_of (&got, bytes, name);
    if (strcmp (text, expected) != 0)
        fail_msg ("%s gives '%s'\ninstead of '%s'", name, text, expected);
    got_free (&got);
}

static err_code_t code_of (const char *name, span_t bytes)
{
    got_t got = { .count = 0 };
    err_t err = { .code = ERR_NONE };
    int rc = extract (&got, bytes, name, &err);
    got_free (&got);
    return rc ? err.code : ERR_NONE;
}

static void markdown_reads_as_text_with_headings (void **state)
{
    static const span_t text = SPAN_LIT ("---\ntitle: Note\n---\n# One\n\nSome *words* and [a link](http://x).\n\n"
                                         "## Two\n\n- first\n- second\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
                                         "```\ncode  here\n```\n<p>raw <b>html</b></p>\n");
    got_t got = { .count = 0 };
    assert_string_equal (text_of (&got, text, "n.md"),
                         "title: Note\n\nOne\n\nSome words and a link.\n\nTwo\n\nfirst\nsecond\n\na\tb\n1\t2\n\n"
                         "code  here\n\nraw html");
    assert_mark_before (&got.segments[0], "Some", MARK_HEADING, 1, "One");
    assert_mark_before (&got.segments[0], "second", MARK_HEADING, 2, "One > Two");
    got_free (&got);
}

static void html_reads_as_text_with_headings (void **state)
{
    static const span_t html =
        SPAN_LIT ("<!DOCTYPE html><html><head><title>T</title><style>b{}</style><script>var x = '<p>no</p>';</script>"
                  "</head><body><h1>One\n two</h1><p>A&eacute; <b>b</b>old&nbsp;x<br>next</p><div hidden>no</div>"
                  "<ul><li>i<li>j</ul><table><tr><th>h<th>k</tr><tr><td><p>1</p><td>2</table>"
                  "<pre> a\n  b</pre><img alt='a picture'></body>");
    got_t got = { .count = 0 };
    assert_string_equal (text_of (&got, html, "a.html"),
                         "T\n\nOne two\n\nA\xc3\xa9 bold\xc2\xa0x\nnext\n\ni\nj\n\nh\tk\n1\t2\n\n a\n  b\n\na picture");
    assert_mark_before (&got.segments[0], "next", MARK_HEADING, 1, "One two");
    assert_non_null (strstr (got.meta.data, "title=T\n"));
    got_free (&got);
}

static void html_is_read_in_the_encoding_it_is_in (void **state)
{
    expect ("a.html", SPAN_LIT ("<meta charset=iso-8859-1><p>caf\xe9"), "caf\xc3\xa9");
    expect ("b.html", SPAN_LIT ("<meta charset=iso-8859-1><p>caf\xc3\xa9"), "caf\xc3\xa9");
    expect ("c.html",
            SPAN_LIT ("<meta http-equiv=Content-Type content='text/html; charset=koi8-r'><p>\xd7\xcf\xc4\xc1"),
            "\xd0\xb2\xd0\xbe\xd0\xb4\xd0\xb0");
}

static void a_nul_does_not_end_a_document (void **state)
{
    static const struct {
        const char *name;
        span_t before, after;
    } rows[] = { { "a.html", SPAN_LIT ("<p>one</p>\0<p>"), SPAN_LIT ("last</p>") },
                 { "a.html", SPAN_LIT ("<p>one\0"), SPAN_LIT ("last</p>") },
                 { "a.xml", SPAN_LIT ("<?xml version='1.0'?><a>\0"), SPAN_LIT ("last</a>") } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        str_t document = STR_INIT;
        str_add (&document, rows[i].before);
        while (document.size < 3000) /* with more NULs than one in a thousand it would be no text */
            str_text (&document, "many words ");
        str_add (&document, rows[i].after);
        got_t got = { .count = 0 };
        const char *text = text_of (&got, str_span (&document), rows[i].name);
        if (!strstr (text, "words last"))
            fail_msg ("row %zu ends early: '%s'", i, text);
        got_free (&got);
        str_free (&document);
    }
}

static void content_says_what_a_document_is (void **state)
{
    static const struct {
        span_t bytes;
        const char *name, *media_type;
    } rows[] = {
        { SPAN_LIT ("<!-- x --><!doctype HTML><p>a"), "a.txt", "text/html" },
        { SPAN_LIT ("<p>a"), "a.txt", "text/plain" },
        { SPAN_LIT ("<p>a"), "a.html", "text/html" },
        { SPAN_LIT ("<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'/>"), "a",
          "application/xhtml+xml" },
        { SPAN_LIT ("<?xml version='1.0'?><a/>"), "a.html", "application/xml" },
        { SPAN_LIT ("# a"), "README.MD", "text/markdown" },
        { SPAN_LIT ("{}"), "a.json", "application/json" },
        { SPAN_LIT ("a,b"), "a.csv", "text/csv" },
        { SPAN_LIT ("int main;"), "a.c", "text/plain" },
        { SPAN_LIT ("%PDF-1.4"), "a.txt", "application/pdf" },
        { SPAN_LIT ("about %PDF-1.4"), "a.txt", "text/plain" },
        { SPAN_LIT ("7z\xbc\xaf\x27\x1c\0\4"), "a.docx", "application/x-7z-compressed" },
        { SPAN_LIT ("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0"), "a.pdf", "image/png" },
        /* Texts that begin as archives do. */
        { SPAN_LIT ("070707 12:00:01 the service has started, and so have all of its many workers, at last"), "a.log",
          "text/plain" },
        { SPAN_LIT ("070701 the first of July"), "a.txt", "text/plain" },
        { SPAN_LIT ("\xc7\x71 is how this note in Latin-1 begins"), "a.txt", "text/plain" },
        { SPAN_LIT ("a -lh5 switch"), "a.txt", "text/plain" },
        { SPAN_LIT ("BZhanghai"), "a.txt", "text/plain" },
        { SPAN_LIT ("LZIP is a format"), "a.txt", "text/plain" },
        { SPAN_LIT ("MSCF is one, too"), "a.txt", "text/plain" },
        { SPAN_LIT ("xar! they cried"), "a.txt", "text/plain" },
        { SPAN_LIT ("BZh9\x17\x72\x45\x38\x50\x90\0\0\0\0"), "a.txt", "application/x-bzip2" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        source_t source = { rows[i].bytes, span_str (rows[i].name), SPAN_EMPTY, 0, NULL };
        detected_t detected;
        err_t err;
        assert_int_equal (format_detect (&source, &detected, &err), 0);
        if (strcmp (detected.media_type, rows[i].media_type) != 0)
            fail_msg ("row %zu is %s, not %s", i, detected.media_type, rows[i].media_type);
    }
}

static void bad_documents_say_why (void **state)
{
    assert_int_equal (code_of ("a.txt", SPAN_LIT ("")), ERR_EMPTY_DOCUMENT);
    assert_int_equal (code_of ("a.txt", SPAN_LIT (" \n\t ")), ERR_EMPTY_DOCUMENT);
    assert_int_equal (code_of ("a.html", SPAN_LIT ("<script>x</script>")), ERR_EMPTY_DOCUMENT);
    assert_int_equal (code_of ("a.pdf", SPAN_LIT ("%PDF-1.4\nnothing of the kind")), ERR_DAMAGED_DOCUMENT);
    assert_int_equal (code_of ("a.png", SPAN_LIT ("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0")),
                      ERR_UNSUPPORTED_MEDIA_TYPE);
    assert_int_equal (code_of ("a.zip", SPAN_LIT ("PK\3\4 and no more")), ERR_DAMAGED_DOCUMENT);
    assert_int_equal (code_of ("a.gz", SPAN_LIT ("\x1f\x8b\x08\0\0\0\0\0\0\3 no deflate")), ERR_DAMAGED_DOCUMENT);
    assert_int_equal (
        code_of ("a.docx", SPAN_LIT ("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1....E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0"
                                     "c\0k\0a\0g\0e\0")),
        ERR_ENCRYPTED_DOCUMENT);
}

static void xml_gives_its_text_and_no_entities (void **state)
{
    expect ("a.xml", SPAN_LIT ("<?xml version='1.0'?><a><b>one</b><b>two</b>\n<c x='no'>t&amp;h</c></a>"),
            "one two\nt&h");
    expect ("b.xml",
            SPAN_LIT ("<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'boom'><!ENTITY f SYSTEM "
                      "'file:///etc/passwd'>]><a>x &b;&f; y</a>"),
            "x y");
    expect ("c.xml", SPAN_LIT ("<?xml version='1.0' encoding='iso-8859-1'?><a>caf\xe9</a>"), "caf\xc3\xa9");
}

#define WORD(body)                                                                                                     \
    SPAN_LIT ("<?xml version='1.0'?><w:document xmlns:w='w' xmlns:m='m' xmlns:mc='mc'><w:body>" body                   \
              "</w:body></w:document>")

static void docx_reads_as_text_with_headings_and_labels (void **state)
{
    static const member_spec_t members[] = {
        { "[Content_Types].xml", SPAN_LIT ("<Types/>") },
        { "word/styles.xml",
          SPAN_LIT ("<w:styles xmlns:w='w'><w:style w:styleId='H'><w:name w:val='heading 2'/></w:style>"
                    "<w:style w:styleId='Mine'><w:basedOn w:val='H'/></w:style></w:styles>") },
        { "word/numbering.xml",
          SPAN_LIT (
              "<w:numbering xmlns:w='w'><w:abstractNum w:abstractNumId='3'><w:lvl w:ilvl='0'><w:start w:val='4'/>"
              "<w:numFmt w:val='upperRoman'/><w:lvlText w:val='%1.'/></w:lvl><w:lvl w:ilvl='1'><w:start w:val='1'/>"
              "<w:numFmt w:val='lowerLetter'/><w:lvlText w:val='%1%2)'/></w:lvl></w:abstractNum>"
              "<w:num w:numId='1'><w:abstractNumId w:val='3'/></w:num></w:numbering>") },
        { "word/document.xml",
          WORD (
              "<w:p><w:pPr><w:pStyle w:val='Mine'/></w:pPr><w:r><w:t>He</w:t></w:r><w:r><w:t>ad</w:t></w:r></w:p>"
              "<w:p><w:r><w:t xml:space='preserve'>one "
              "</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
              "<w:r><w:t>two</w:t><w:br/><w:t>three</w:t></w:r></w:p>"
              "<w:p><w:pPr><w:numPr><w:ilvl w:val='0'/><w:numId "
              "w:val='1'/></w:numPr></w:pPr><w:r><w:t>a</w:t></w:r></w:p>"
              "<w:p><w:pPr><w:numPr><w:ilvl w:val='1'/><w:numId "
              "w:val='1'/></w:numPr></w:pPr><w:r><w:t>b</w:t></w:r></w:p>"
              "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>x</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>y</w:t></w:r></w:p></"
              "w:tc>"
              "</w:tr></w:tbl><w:p><m:oMath><m:sSup><m:e><m:r><m:t>a</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r>"
              "</m:sup></m:sSup></m:oMath></w:p>"
              "<mc:AlternateContent><mc:Choice><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Choice><mc:Fallback><w:p><w:r>"
              "<w:t>box</w:t></w:r></w:p></mc:Fallback></mc:AlternateContent>") },
        { "word/footnotes.xml", WORD ("<w:p><w:r><w:t>a note</w:t></w:r></w:p>") },
        { "docProps/core.xml", SPAN_LIT ("<p><title>My title</title><creator>Me</creator></p>") },
        { NULL, SPAN_EMPTY },
    };
    str_t zip = STR_INIT;
    make_archive (NULL, members, &zip);
    got_t got = { .count = 0 };
    assert_string_equal (text_of (&got, str_span (&zip), "a.zip"), "Head\n\none two\nthree\nIV. a\nIVa) b\n\nx\ty\n\n"
                                                                   "a^2\n\nbox\n\na note");
    assert_mark_before (&got.segments[0], "three", MARK_HEADING, 2, "Head");
    assert_non_null (strstr (got.meta.data, "title=My title\nauthor=Me\n"));
    got_free (&got);
    str_free (&zip);
}

static void an_office_document_with_a_doctype_is_refused (void **state)
{
    static const member_spec_t members[] = {
        { "[Content_Types].xml", SPAN_LIT ("<Types/>") },
        { "word/document.xml",
          SPAN_LIT ("<!DOCTYPE x [<!ENTITY a 'b'>]><w:document xmlns:w='w'><w:p><w:r><w:t>&a;</w:t>"
                    "</w:r></w:p></w:document>") },
        { NULL, SPAN_EMPTY },
    };
    str_t zip = STR_INIT;
    make_archive (NULL, members, &zip);
    assert_int_equal (code_of ("a.docx", str_span (&zip)), ERR_DAMAGED_DOCUMENT);
    str_free (&zip);
}

static void odt_reads_as_text_with_headings (void **state)
{
    static const member_spec_t members[] = {
        { "META-INF/manifest.xml", SPAN_LIT ("<manifest/>") },
        { "content.xml",
          SPAN_LIT (
              "<o:document-content xmlns:o='o' xmlns:t='t' xmlns:b='b'><t:h t:outline-level='1'>Head</t:h>"
              "<t:p>a<t:s t:c='3'/>b<t:note><t:note-citation>1</t:note-citation><t:note-body><t:p>noted</t:p>"
              "</t:note-body></t:note> c</t:p><t:list><t:list-item><t:p>i</t:p></t:list-item><t:list-item><t:p>j</t:p>"
              "</t:list-item></t:list><b:table><b:table-row><b:table-cell><t:p>1</t:p></b:table-cell>"
              "<b:table-cell><t:p>2</t:p></b:table-cell></b:table-row></b:table></o:document-content>") },
        { "styles.xml",
          SPAN_LIT ("<o:s xmlns:o='o' xmlns:t='t'><o:header><t:p>top</t:p></o:header><t:p>no</t:p></o:s>") },
        { NULL, SPAN_EMPTY },
    };
    str_t zip = STR_INIT;
    make_archive (NULL, members, &zip);
    got_t got = { .count = 0 };
    assert_string_equal (text_of (&got, str_span (&zip), "a.odt"), "Head\n\na b noted c\ni\nj\n\n1\t2\n\ntop");
    assert_mark_before (&got.segments[0], "noted", MARK_HEADING, 1, "Head");
    got_free (&got);
    str_free (&zip);
}

static void an_encrypted_odt_is_told (void **state)
{
    static const member_spec_t members[] = {
        { "META-INF/manifest.xml", SPAN_LIT ("<manifest><encryption-data/></manifest>") },
        { "content.xml", SPAN_LIT ("\x01\x02\x03") },
        { NULL, SPAN_EMPTY },
    };
    str_t zip = STR_INIT;
    make_archive (NULL, members, &zip);
    assert_int_equal (code_of ("a.odt", str_span (&zip)), ERR_ENCRYPTED_DOCUMENT);
    str_free (&zip);
}

static void epub_is_read_in_spine_order (void **state)
{
    static const member_spec_t members[] = {
        { "META-INF/container.xml", SPAN_LIT ("<c><rootfile full-path='in/book.opf'/></c>") },
        { "in/text/a.xhtml", SPAN_LIT ("<html><body><h1>Last</h1><p>z&nbsp;z</p></body></html>") },
        { "in/b%20.xhtml", SPAN_LIT ("<html><body><p>not this</p></body></html>") },
        { "in/b .xhtml", SPAN_LIT ("<html><body><h1>First</h1><p>a</p></body></html>") },
        { "in/book.opf", SPAN_LIT ("<p><title>Book</title><manifest><item id='2' href='text/../text/a.xhtml'/>"
                                   "<item id='1' href='b%20.xhtml'/></manifest><spine><itemref idref='1'/>"
                                   "<itemref idref='2'/></spine></p>") },
        { NULL, SPAN_EMPTY },
    };
    str_t zip = STR_INIT;
    make_archive (NULL, members, &zip);
    got_t got = { .count = 0 };
    assert_string_equal (text_of (&got, str_span (&zip), "a.epub"), "First\n\na\n\nLast\n\nz\xc2\xa0z");
    assert_mark_before (&got.segments[0], "z", MARK_HEADING, 1, "Last");
    assert_non_null (strstr (got.meta.data, "title=Book\n"));
    got_free (&got);
    str_free (&zip);
}

static void a_member_too_big_is_told (void **state)
{
    static const member_spec_t members[] = {
        { "META-INF/manifest.xml", SPAN_LIT ("<manifest/>") },
        { "content.xml",
          SPAN_LIT ("<o:document-content xmlns:o='o' xmlns:t='t'><t:p>body</t:p></o:document-content>") },
        { "styles.xml", SPAN_LIT ("<o:s xmlns:o='o'><!-- so long that it is more than one entry may have: a comment of "
                                  "many words, which nobody will ever read --></o:s>") },
        { NULL, SPAN_EMPTY },
    };
    str_t zip = STR_INIT;
    make_archive (NULL, members, &zip);
    limits_t limits = LIMITS_DEFAULT;
    limits.entry_bytes = 100;
    got_t got = { .count = 0 };
    err_t err;
    assert_int_equal (extract_after (&got, str_span (&zip), "a.odt", NULL, NULL, 0, &limits, &err), 0);
    assert_string_equal (got.all.data, "body");
    assert_string_equal (got.warnings.data, "too_large@styles.xml\n");
    got_free (&got);
    str_free (&zip);
}

static void an_epub_goes_on_after_any_segment (void **state)
{
    str_t chapter = STR_INIT, zip = STR_INIT;
    str_text (&chapter, "<html><body><h1>Head</h1>");
    while (chapter.size < 300000)
        str_format (&chapter, "<p>line %zu</p>", chapter.size);
    const member_spec_t members[] = {
        { "META-INF/container.xml", SPAN_LIT ("<c><rootfile full-path='book.opf'/></c>") },
        { "a.xhtml", str_span (&chapter) },
        { "b.xhtml", str_span (&chapter) },
        { "book.opf", SPAN_LIT ("<p><manifest><item id='1' href='a.xhtml'/><item id='2' href='b.xhtml'/>"
                                "<item id='3' href='gone.xhtml'/></manifest><spine><itemref idref='1'/>"
                                "<itemref idref='3'/><itemref idref='2'/></spine></p>") },
        { NULL, SPAN_EMPTY },
    };
    make_archive (NULL, members, &zip);
    limits_t tight = LIMITS_DEFAULT; /* every run unpacks the package: that counts once */
    tight.inflated_bytes = chapter.size * 2 + 1000;
    tight.entries = 4;
    assert_goes_on_anywhere (str_span (&zip), "a.epub", &tight, 2);
    str_free (&zip);
    str_free (&chapter);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (markdown_reads_as_text_with_headings),
        cmocka_unit_test (html_reads_as_text_with_headings),
        cmocka_unit_test (html_is_read_in_the_encoding_it_is_in),
        cmocka_unit_test (a_nul_does_not_end_a_document),
        cmocka_unit_test (content_says_what_a_document_is),
        cmocka_unit_test (bad_documents_say_why),
        cmocka_unit_test (xml_gives_its_text_and_no_entities),
        cmocka_unit_test (docx_reads_as_text_with_headings_and_labels),
        cmocka_unit_test (an_office_document_with_a_doctype_is_refused),
        cmocka_unit_test (odt_reads_as_text_with_headings),
        cmocka_unit_test (an_encrypted_odt_is_told),
        cmocka_unit_test (epub_is_read_in_spine_order),
        cmocka_unit_test (a_member_too_big_is_told),
        cmocka_unit_test (an_epub_goes_on_after_any_segment),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
