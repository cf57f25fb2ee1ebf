/*  What tests of the extractors share: an output that collects, and documents made on the spot. */
#ifndef TESTS_EXTRACT_FIXTURE_H
#define TESTS_EXTRACT_FIXTURE_H

#include "stages/extract/checks.h"
#include "stages/extract/extract.h"
#include "wire/columns.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#include <archive.h>
#include <archive_entry.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SEGMENTS_MAX 64

typedef struct {
    str_t text;
    str_t marks;
    str_t cursor;
    uint32_t number;
    uint32_t permille;
} got_segment_t;

/*  Everything that came out of a sink. */
typedef struct {
    got_segment_t segments[SEGMENTS_MAX];
    size_t count;
    str_t all;      /* the text of all segments */
    str_t warnings; /* "code@where\n" each */
    str_t meta;     /* "key=value\n" each */
} got_t;

static int got_segment (void *self, const sink_segment_t *segment)
{
    got_t *got = self;
    assert_true (got->count < SEGMENTS_MAX);
    record_segment_t record = { segment->number, segment->permille, segment->bad,
                                segment->text,   segment->marks,    segment->cursor };
    err_t err;
    if (check_segment (&record, &err)) /* the worker would not believe it */
        fail_msg ("segment %u: %s", segment->number, err.message);
    str_t bytes = STR_INIT;
    record_encode (&(record_t){ .kind = RECORD_KIND_SEGMENT, .segment = record }, &bytes);
    assert_in_range (bytes.size, 1, RECORD_MAX);
    str_free (&bytes);
    got_segment_t *to = &got->segments[got->count++];
    str_add (&to->text, segment->text);
    str_add (&to->marks, segment->marks);
    str_add (&to->cursor, segment->cursor);
    to->number = segment->number;
    to->permille = segment->permille;
    str_add (&got->all, segment->text);
    return 0;
}

static void got_warning (void *self, err_code_t code, span_t where, span_t message)
{
    record_warning_t record = { span_str (err_name (code)), where, message };
    err_t err;
    if (check_warning (&record, &err))
        fail_msg ("a warning: %s", err.message);
    str_format (&((got_t *)self)->warnings, "%s@%.*s\n", err_name (code), SPAN_ARG (where));
}

static void got_meta (void *self, meta_key_t key, span_t value)
{
    str_format (&((got_t *)self)->meta, "%s=%.*s\n", meta_name (key), SPAN_ARG (value));
}

static int got_step (void *self, uint32_t permille, span_t unit, span_t where)
{
    err_t err;
    if (check_step (&(record_step_t){ permille, unit, where }, &err))
        fail_msg ("a step: %s", err.message);
    return 0;
}

static inline void got_free (got_t *got)
{
    for (size_t i = 0; i < got->count; i++) {
        str_free (&got->segments[i].text);
        str_free (&got->segments[i].marks);
        str_free (&got->segments[i].cursor);
    }
    str_free (&got->all);
    str_free (&got->warnings);
    str_free (&got->meta);
    *got = (got_t){ .count = 0 };
}

static const limits_t fixture_limits = LIMITS_DEFAULT;

static inline sink_config_t sink_config (got_t *got, const limits_t *limits)
{
    return (sink_config_t){ .out = { got, got_segment, got_warning, got_meta, got_step },
                            .limits = limits ? limits : &fixture_limits,
                            .document_bytes = 1024 };
}

/*  Extracts `bytes` from the start, or from behind `after` (NULL: the start). */
static inline int extract_after (got_t *got, span_t bytes, const char *name, const char *type,
                                 const got_segment_t *after, uint64_t text_offset, const limits_t *limits, err_t *err)
{
    sink_config_t config = sink_config (got, limits);
    config.document_bytes = bytes.size;
    if (after) {
        config.cursor = str_span (&after->cursor);
        config.first_segment = after->number + 1;
        config.text_offset = text_offset;
    }
    sink_t *sink = sink_new (&config);
    source_t source = { bytes, span_str (name), span_str (type), 0, NULL };
    detected_t detected;
    int rc = extract_document (&source, sink, &detected, err);
    sink_destroy (&sink);
    return rc;
}

static inline int extract (got_t *got, span_t bytes, const char *name, err_t *err)
{
    return extract_after (got, bytes, name, NULL, NULL, 0, NULL, err);
}

/*  The text of a good document, as a string that the got_t keeps. */
static inline const char *text_of (got_t *got, span_t bytes, const char *name)
{
    err_t err = { .code = ERR_NONE };
    got_free (got);
    if (extract (got, bytes, name, &err))
        fail_msg ("%s: %s", name, err.message);
    return got->all.data;
}

/*  Asserts that `rest` is what `whole` has behind its first `count` segments. */
static inline void assert_same_rest (const got_t *rest, const got_t *whole, size_t count)
{
    assert_int_equal (rest->count, whole->count - count);
    for (size_t i = 0; i < rest->count; i++) {
        const got_segment_t *a = &rest->segments[i], *b = &whole->segments[count + i];
        assert_int_equal (a->number, b->number);
        assert_true (span_eq (str_span (&a->text), str_span (&b->text)));
        assert_true (span_eq (str_span (&a->marks), str_span (&b->marks)));
        assert_string_equal (a->cursor.data, b->cursor.data);
    }
}

/*  Extracts the document, and again from behind each of its segments: the rest is the same, and so is its cost. */
static inline void assert_goes_on_anywhere (span_t bytes, const char *name, const limits_t *limits, size_t least)
{
    got_t whole = { .count = 0 };
    err_t err;
    assert_int_equal (extract_after (&whole, bytes, name, NULL, NULL, 0, limits, &err), 0);
    assert_in_range (whole.count, least, SEGMENTS_MAX);
    uint64_t offset = 0;
    for (size_t i = 0; i + 1 < whole.count; i++) {
        got_t rest = { .count = 0 };
        offset += whole.segments[i].text.size;
        if (extract_after (&rest, bytes, name, NULL, &whole.segments[i], offset, limits, &err))
            fail_msg ("from segment %zu: %s", i, err.message);
        assert_same_rest (&rest, &whole, i + 1);
        got_free (&rest);
    }
    got_free (&whole);
}

/*  Asserts that the segment has a mark of `kind` with this text right before `needle`. */
static inline void assert_mark_before (const got_segment_t *segment, const char *needle, mark_kind_t kind,
                                       uint32_t number, const char *text)
{
    const char *at = strstr (segment->text.data, needle);
    assert_non_null (at);
    size_t next = 0;
    mark_t mark, held = { .kind = MARK_COUNT };
    while (mark_next (str_span (&segment->marks), &next, &mark) == 1)
        if (mark.kind == kind && mark.offset <= (size_t)(at - segment->text.data))
            held = mark;
    assert_int_equal (held.kind, kind);
    assert_int_equal (held.number, number);
    if (!span_is (held.text, text))
        fail_msg ("'%s' is under '%.*s', not '%s'", needle, SPAN_ARG (held.text), text);
}

/*  Members of a zip file to be made. */
typedef struct {
    const char *name;
    span_t bytes;
} member_spec_t;

/*  A zip file (or, with `format`, another archive) with these members, up to one without a name. */
static inline void make_archive (int (*format) (struct archive *), const member_spec_t *members, str_t *out)
{
    size_t room = 1 << 22, used = 0;
    char *memory = malloc (room);
    setlocale (LC_CTYPE, "C.UTF-8"); /* libarchive goes by it */
    struct archive *archive = archive_write_new ();
    assert_int_equal ((format ? format : archive_write_set_format_zip) (archive), ARCHIVE_OK);
    assert_int_equal (archive_write_open_memory (archive, memory, room, &used), ARCHIVE_OK);
    for (; members->name; members++) {
        struct archive_entry *entry = archive_entry_new ();
        archive_entry_set_pathname_utf8 (entry, members->name);
        archive_entry_set_filetype (entry, AE_IFREG);
        archive_entry_set_perm (entry, 0644);
        archive_entry_set_size (entry, (la_int64_t)members->bytes.size);
        assert_int_equal (archive_write_header (archive, entry), ARCHIVE_OK);
        assert_int_equal (archive_write_data (archive, members->bytes.data, members->bytes.size),
                          (la_ssize_t)members->bytes.size);
        archive_entry_free (entry);
    }
    assert_int_equal (archive_write_close (archive), ARCHIVE_OK);
    archive_write_free (archive);
    str_add (out, span (memory, used));
    free (memory);
}

#endif
