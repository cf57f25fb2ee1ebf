#include "extract_fixture.h"

/* link: extract archive */

static void archive_of (int (*format) (struct archive *), str_t *out, const char *name, span_t bytes)
{
    member_spec_t members[] = { { name, bytes }, { NULL, SPAN_EMPTY } };
    str_clear (out);
    make_archive (format, members, out);
}

static void entries_are_segments_with_their_path (void **state)
{
    static const member_spec_t members[] = {
        { "notes/a.txt", SPAN_LIT ("first") },
        { "notes/b.md", SPAN_LIT ("# Head\n\nsecond") },
        { "\xc3\xa9t\xc3\xa9.html", SPAN_LIT ("<p>third") },
        { NULL, SPAN_EMPTY },
    };
    static int (*const formats[]) (struct archive *) = {
        archive_write_set_format_zip,
        archive_write_set_format_pax_restricted,
        archive_write_set_format_7zip,
        archive_write_set_format_cpio_newc,
    };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        str_t file = STR_INIT;
        make_archive (formats[i], members, &file);
        got_t got = { .count = 0 };
        text_of (&got, str_span (&file), "a.bin");
        assert_int_equal (got.count, 3);
        assert_string_equal (got.segments[0].text.data, "notes/a.txt\nfirst");
        assert_string_equal (got.segments[1].text.data, "notes/b.md\n\nHead\n\nsecond");
        assert_string_equal (got.segments[2].text.data, "\xc3\xa9t\xc3\xa9.html\n\nthird");
        assert_mark_before (&got.segments[0], "first", MARK_PATH, 0, "notes/a.txt");
        assert_mark_before (&got.segments[1], "second", MARK_PATH, 0, "notes/b.md");
        assert_mark_before (&got.segments[1], "second", MARK_HEADING, 1, "Head");
        got_free (&got);
        str_free (&file);
    }
}

static void a_compressed_document_is_that_document (void **state)
{
    size_t room = 1 << 16, used = 0;
    char *memory = malloc (room);
    struct archive *archive = archive_write_new ();
    archive_write_set_format_raw (archive);
    archive_write_add_filter_gzip (archive);
    archive_write_open_memory (archive, memory, room, &used);
    struct archive_entry *entry = archive_entry_new ();
    archive_entry_set_pathname (entry, "x");
    archive_entry_set_filetype (entry, AE_IFREG);
    archive_write_header (archive, entry);
    archive_write_data (archive, "# Head\n\ntext", 12);
    archive_entry_free (entry);
    archive_write_close (archive);
    archive_write_free (archive);
    got_t got = { .count = 0 };
    assert_string_equal (text_of (&got, span (memory, used), "notes.md.gz"), "Head\n\ntext");
    assert_mark_before (&got.segments[0], "text", MARK_HEADING, 1, "Head");
    got_free (&got);
    free (memory);
}

static void archives_are_read_to_depth_three (void **state)
{
    str_t file = STR_INIT, inner = STR_INIT;
    archive_of (NULL, &file, "note.txt", SPAN_LIT ("hello"));
    const char *const names[] = { "a.zip", "b.zip", "c.zip", "d.zip" };
    for (int i = 0; i < 3; i++) {
        str_clear (&inner);
        str_add (&inner, str_span (&file));
        archive_of (NULL, &file, names[i], str_span (&inner));
    }
    got_t got = { .count = 0 };
    assert_non_null (strstr (text_of (&got, str_span (&file), "x.zip"), "hello"));
    got_segment_t *last = &got.segments[got.count - 1];
    assert_mark_before (last, "hello", MARK_PATH, 0, "c.zip!/b.zip!/a.zip!/note.txt");
    got_free (&got);

    str_clear (&inner);
    str_add (&inner, str_span (&file));
    archive_of (NULL, &file, names[3], str_span (&inner));
    assert_null (strstr (text_of (&got, str_span (&file), "x.zip"), "hello"));
    assert_string_equal (got.warnings.data, "too_deep@d.zip!/c.zip!/b.zip!/a.zip\n");
    got_free (&got);
    str_free (&file);
    str_free (&inner);
}

static void one_bad_entry_costs_only_itself (void **state)
{
    static const member_spec_t members[] = {
        { "a.txt", SPAN_LIT ("first") },
        { "b.png", SPAN_LIT ("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0") },
        { "c.pdf", SPAN_LIT ("%PDF-1.7 but no more") },
        { "d.txt", SPAN_LIT ("") },
        { "e.txt", SPAN_LIT ("last") },
        { NULL, SPAN_EMPTY },
    };
    str_t file = STR_INIT;
    make_archive (NULL, members, &file);
    got_t got = { .count = 0 };
    text_of (&got, str_span (&file), "x.zip");
    assert_string_equal (got.all.data, "a.txt\nfirstb.pngc.pdfd.txte.txt\nlast");
    assert_string_equal (got.warnings.data, "unsupported_media_type@b.png\ndamaged_document@c.pdf\n");
    got_free (&got);
    str_free (&file);
}

static void an_archive_goes_on_after_any_entry (void **state)
{
    str_t long_text = STR_INIT, file = STR_INIT;
    while (long_text.size < 600000)
        str_format (&long_text, "line %zu\n", long_text.size);
    const member_spec_t members[] = {
        { "a.txt", SPAN_LIT ("first") },
        { "bad.pdf", SPAN_LIT ("%PDF-1.7 but no more") },
        { "long.txt", str_span (&long_text) },
        { "e.txt", SPAN_LIT ("last") },
        { NULL, SPAN_EMPTY },
    };
    make_archive (NULL, members, &file);
    assert_goes_on_anywhere (str_span (&file), "x.zip", NULL, 5);
    limits_t tight = LIMITS_DEFAULT; /* nothing is counted twice */
    tight.inflated_bytes = long_text.size + 100;
    tight.entries = 4;
    assert_goes_on_anywhere (str_span (&file), "x.zip", &tight, 5);
    str_clear (&file);
    make_archive (archive_write_set_format_pax_restricted, members, &file);
    assert_goes_on_anywhere (span (file.data, file.size / 2), "x.tar", NULL, 3); /* cut in long.txt: one bad part */
    str_free (&file);
    str_free (&long_text);
}

static err_code_t limited (span_t bytes, const limits_t *limits, const char *warning)
{
    got_t got = { .count = 0 };
    err_t err = { .code = ERR_NONE };
    extract_after (&got, bytes, "x.zip", NULL, NULL, 0, limits, &err);
    if (warning && (!got.warnings.size || !strstr (got.warnings.data, warning)))
        fail_msg ("no warning '%s' in '%s'", warning, got.warnings.size ? got.warnings.data : "");
    got_free (&got);
    return err.code;
}

static void bombs_end_at_the_limits (void **state)
{
    str_t zeros = STR_INIT, file = STR_INIT;
    memset (str_grow (&zeros, 3 * MIB), ' ', 3 * MIB);
    zeros.data[0] = 'x';
    const member_spec_t members[] = { { "a.txt", SPAN_LIT ("first") },
                                      { "b.txt", str_span (&zeros) },
                                      { "c.txt", SPAN_LIT ("third") },
                                      { NULL, SPAN_EMPTY } };
    make_archive (NULL, members, &file);
    limits_t limits = LIMITS_DEFAULT;
    limits.ratio_from = MIB;
    assert_int_equal (limited (str_span (&file), &limits, "ratio_exceeded@"), ERR_NONE);
    limits = (limits_t)LIMITS_DEFAULT;
    limits.inflated_bytes = MIB;
    assert_int_equal (limited (str_span (&file), &limits, "inflated_too_large@"), ERR_NONE);
    limits = (limits_t)LIMITS_DEFAULT;
    limits.entry_bytes = MIB;
    assert_int_equal (limited (str_span (&file), &limits, "too_large@b.txt"), ERR_NONE);
    limits = (limits_t)LIMITS_DEFAULT;
    limits.entries = 2;
    assert_int_equal (limited (str_span (&file), &limits, "too_many_entries@"), ERR_NONE);
    str_free (&zeros);
    str_free (&file);
}

static void cut_archives_keep_what_came_before (void **state)
{
    static const member_spec_t members[] = {
        { "a.txt", SPAN_LIT ("first") },
        { "b.txt", SPAN_LIT ("second") },
        { NULL, SPAN_EMPTY },
    };
    str_t file = STR_INIT;
    make_archive (archive_write_set_format_pax_restricted, members, &file);
    for (size_t size = 1; size < file.size; size += 97) {
        got_t got = { .count = 0 };
        err_t err = { .code = ERR_NONE };
        int rc = extract (&got, span (file.data, size), "a.tar", &err);
        assert_true (rc == 0 ? got.all.size > 0 : err.code != ERR_NONE);
        if (size > 2000 && size < 2500)
            assert_non_null (strstr (got.all.data, "first"));
        got_free (&got);
    }
    str_free (&file);
}

static void rar5_block (str_t *out, char type, span_t fields, span_t extra, span_t data)
{
    str_t head = STR_INIT;
    str_char (&head, type);
    str_char (&head, (char)((extra.size ? 1 : 0) | (data.size ? 2 : 0)));
    if (extra.size)
        str_char (&head, (char)extra.size);
    if (data.size)
        str_char (&head, (char)data.size);
    str_add (&head, fields);
    str_add (&head, extra);
    str_t sized = STR_INIT;
    str_char (&sized, (char)head.size);
    str_add (&sized, str_span (&head));
    uint32_t crc = ~0u;
    for (size_t i = 0; i < sized.size; i++) {
        crc ^= (unsigned char)sized.data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    for (int i = 0; i < 4; i++)
        str_char (out, (char)(~crc >> 8 * i));
    str_add (out, str_span (&sized));
    str_add (out, data);
    str_free (&head);
    str_free (&sized);
}

/*  A RAR 5 archive with one stored entry for each letter, "a.txt" and so on; encrypted those in capitals. */
static void rar5_archive (str_t *out, const char *letters)
{
    char lock[37] = { 36, 1 }; /* size, type, and parameters that do not matter */
    str_clear (out);
    str_add (out, SPAN_LIT ("Rar!\x1a\x07\x01\0"));
    rar5_block (out, 1, SPAN_LIT ("\0"), SPAN_EMPTY, SPAN_EMPTY);
    for (; *letters; letters++) {
        bool locked = *letters < 'a';
        str_t fields = STR_INIT;
        str_add (&fields, SPAN_LIT ("\0\5\x20\0\0\5")); /* flags, size, attributes, stored, Windows, size of the name */
        str_char (&fields, (char)(*letters | 32));
        str_text (&fields, ".txt");
        rar5_block (out, 2, str_span (&fields), locked ? span (lock, sizeof lock) : SPAN_EMPTY, SPAN_LIT ("words"));
        str_free (&fields);
    }
    rar5_block (out, 5, SPAN_LIT ("\0"), SPAN_EMPTY, SPAN_EMPTY);
}

static void encrypted_entries_of_rar5_are_told (void **state)
{
    str_t file = STR_INIT;
    got_t got = { .count = 0 };
    rar5_archive (&file, "abc");
    assert_string_equal (text_of (&got, str_span (&file), "x.rar"), "a.txt\nwordsb.txt\nwordsc.txt\nwords");
    rar5_archive (&file, "aBc");
    assert_string_equal (text_of (&got, str_span (&file), "x.rar"), "a.txt\nwordsb.txtc.txt\nwords");
    assert_string_equal (got.warnings.data, "encrypted_document@b.txt\n");
    got_free (&got);
    rar5_archive (&file, "AB");
    assert_int_equal (limited (str_span (&file), NULL, NULL), ERR_ENCRYPTED_DOCUMENT);
    rar5_archive (&file, "aB");
    for (size_t size = 0; size < file.size; size++) /* cut anywhere it is survived */
        limited (span (file.data, size), NULL, NULL);
    str_free (&file);
}

static void the_data_of_hard_links_are_read_wherever_they_are (void **state)
{
    size_t room = 1 << 16, used = 0;
    char *memory = malloc (room);
    struct archive *archive = archive_write_new ();
    archive_write_set_format_cpio_newc (archive);
    archive_write_open_memory (archive, memory, room, &used);
    for (int i = 0; i < 2; i++) { /* the data come with the last name */
        struct archive_entry *entry = archive_entry_new ();
        archive_entry_set_pathname (entry, i ? "b.txt" : "a.txt");
        archive_entry_set_filetype (entry, AE_IFREG);
        archive_entry_set_nlink (entry, 2);
        archive_entry_set_dev (entry, 1);
        archive_entry_set_ino (entry, 7);
        archive_entry_set_size (entry, i ? 5 : 0);
        archive_write_header (archive, entry);
        archive_write_data (archive, "words", i ? 5 : 0);
        archive_entry_free (entry);
    }
    archive_write_close (archive);
    archive_write_free (archive);
    got_t got = { .count = 0 };
    assert_string_equal (text_of (&got, span (memory, used), "x.cpio"), "a.txtb.txt\nwords");
    got_free (&got);
    free (memory);
}

static void a_compressed_file_without_a_good_header_is_damaged (void **state)
{
    static const span_t files[] = { SPAN_LIT ("\x1f\x8b\x08\xff\xff\xff\xff\xff\xff\xff and so on"),
                                    SPAN_LIT ("\x04\x22\x4d\x18\xff\xff\xff\xff and so on") };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        assert_int_equal (limited (files[i], NULL, NULL), ERR_DAMAGED_DOCUMENT);
}

static int tar_gz (struct archive *archive)
{
    archive_write_add_filter_gzip (archive);
    return archive_write_set_format_pax_restricted (archive);
}

static void what_nobody_wants_costs_what_it_takes_to_get_behind_it (void **state)
{
    str_t picture = STR_INIT, long_text = STR_INIT, file = STR_INIT;
    str_add (&picture, SPAN_LIT ("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0"));
    memset (str_grow (&picture, 2 * MIB), 0, 2 * MIB);
    while (long_text.size < 300000)
        str_format (&long_text, "line %zu\n", long_text.size);
    const member_spec_t members[] = { { "a.txt", SPAN_LIT ("first") },
                                      { "b.png", str_span (&picture) },
                                      { "c.txt", str_span (&long_text) },
                                      { "d.txt", SPAN_LIT ("last") },
                                      { NULL, SPAN_EMPTY } };
    limits_t limits = LIMITS_DEFAULT, enough = LIMITS_DEFAULT;
    limits.inflated_bytes = MIB;
    enough.inflated_bytes = picture.size + long_text.size + 9; /* counted once, by whichever run */
    static int (*const solid[]) (struct archive *) = { tar_gz, archive_write_set_format_7zip };
    for (size_t i = 0; i < sizeof solid / sizeof *solid; i++) {
        str_clear (&file);
        make_archive (solid[i], members, &file);
        assert_int_equal (limited (str_span (&file), &limits, "inflated_too_large@"), ERR_NONE);
        assert_goes_on_anywhere (str_span (&file), "x", &enough, 3);
        enough.entry_bytes = 100000; /* the rest of c.txt as well */
        assert_goes_on_anywhere (str_span (&file), "x", &enough, 3);
        enough.entry_bytes = limits.entry_bytes;
    }
    str_clear (&file);
    make_archive (NULL, members, &file); /* in a zip file it is jumped over */
    assert_goes_on_anywhere (str_span (&file), "x.zip", &limits, 3);
    str_free (&picture);
    str_free (&long_text);
    str_free (&file);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (entries_are_segments_with_their_path),
        cmocka_unit_test (a_compressed_document_is_that_document),
        cmocka_unit_test (archives_are_read_to_depth_three),
        cmocka_unit_test (one_bad_entry_costs_only_itself),
        cmocka_unit_test (an_archive_goes_on_after_any_entry),
        cmocka_unit_test (bombs_end_at_the_limits),
        cmocka_unit_test (cut_archives_keep_what_came_before),
        cmocka_unit_test (encrypted_entries_of_rar5_are_told),
        cmocka_unit_test (what_nobody_wants_costs_what_it_takes_to_get_behind_it),
        cmocka_unit_test (the_data_of_hard_links_are_read_wherever_they_are),
        cmocka_unit_test (a_compressed_file_without_a_good_header_is_damaged),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
