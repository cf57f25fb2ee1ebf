/*  extract_file: runs the extractor on files, in this very process, and prints what it gives.
 *
 *    extract_file [--child] [--segments] [--quiet] [--cursor C --first N --offset B] [--type T] FILE…
 *
 *  With --child as a worker does it: a parser process for each document.
 *  The text goes to stdout; with --segments each one with its marks and cursor. What else there is to say (type,
 *  metadata, warnings, the error) goes to stderr. Exit 1 when a document gave no text.
 */
#include "base/clock.h"
#include "stages/extract/extract.h"
#include "stages/extract/parser.h"
#include "wire/columns.h"

#include <fcntl.h>
#include <inttypes.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    bool segments, quiet;
    uint32_t first;
    uint64_t offset;
    const char *cursor, *type;
    parser_t *parser; /* NULL: in this process */
} wishes_t;

static int print_segment (void *self, const sink_segment_t *segment)
{
    const wishes_t *wishes = self;
    if (wishes->quiet)
        return 0;
    if (wishes->segments) {
        printf ("--- segment %" PRIu32 ", %zu bytes, permille %" PRIu32 ", cursor %.*s\n", segment->number,
                segment->text.size, segment->permille, SPAN_ARG (segment->cursor));
        size_t at = 0;
        mark_t mark;
        while (mark_next (segment->marks, &at, &mark) == 1)
            printf ("--- mark %" PRIu32 " kind %d number %" PRIu32 " '%.*s'\n", mark.offset, mark.kind, mark.number,
                    SPAN_ARG (mark.text));
    }
    fwrite (segment->text.data, 1, segment->text.size, stdout);
    putchar ('\n');
    return 0;
}

static void print_warning (void *self, err_code_t code, span_t where, span_t message)
{
    fprintf (stderr, "warning %s at '%.*s': %.*s\n", err_name (code), SPAN_ARG (where), SPAN_ARG (message));
}

static void print_meta (void *self, meta_key_t key, span_t value)
{
    const wishes_t *wishes = self;
    if (!wishes->quiet)
        fprintf (stderr, "meta %s = %.*s\n", meta_name (key), SPAN_ARG (value));
}

static int ignore_step (void *self, uint32_t permille, span_t unit, span_t where)
{
    return 0;
}

static int extract_one (const char *path, wishes_t *wishes)
{
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat (fd, &info)) {
        perror (path);
        return -1;
    }
    void *data = info.st_size ? mmap (NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    close (fd);
    limits_t limits = LIMITS_DEFAULT;
    sink_config_t config = {
        .out = { wishes, print_segment, print_warning, print_meta, ignore_step },
        .limits = &limits,
        .document_bytes = (uint64_t)info.st_size,
        .cursor = span_str (wishes->cursor),
        .first_segment = wishes->first,
        .text_offset = wishes->offset,
    };
    sink_t *sink = sink_new (&config);
    const char *slash = strrchr (path, '/');
    source_t source = { span (data, (size_t)info.st_size), span_str (slash ? slash + 1 : path), span_str (wishes->type),
                        0, NULL };
    detected_t detected;
    err_t err;
    uint64_t began = clock_mono_us ();
    int rc = extract_document (&source, sink, &detected, &err);
    fprintf (stderr, "%s: %s, %" PRIu64 " bytes of text, %" PRIu32 " bad parts, %" PRIu64 " us%s%s%s%s\n", path,
             detected.media_type, sink_poured (sink), sink_bad_count (sink), clock_mono_us () - began,
             rc ? ", failed: " : "", rc ? err_name (err.code) : "", rc ? ": " : "", rc ? err.message : "");
    sink_destroy (&sink);
    if (info.st_size)
        munmap (data, (size_t)info.st_size);
    return rc;
}

/*  The same through a parser process. */
static int extract_by_parser (const char *path, wishes_t *wishes)
{
    const char *slash = strrchr (path, '/');
    parser_request_t request = { .document = open (path, O_RDONLY | O_CLOEXEC),
                                 .name = span_str (slash ? slash + 1 : path),
                                 .media_type = span_str (wishes->type),
                                 .cursor = span_str (wishes->cursor),
                                 .first_segment = wishes->first,
                                 .text_offset = wishes->offset };
    parser_t *parser = wishes->parser;
    parser_state_t state = PARSER_IDLE;
    parser_segment_t segment;
    err_t err;
    uint64_t began = clock_mono_us (), bytes = 0;
    if (request.document < 0 || parser_start (parser, &request, &err)) {
        perror (path);
        return -1;
    }
    while ((state = parser_next (parser, &segment, &err)) == PARSER_IDLE || state == PARSER_SEGMENT) {
        if (state == PARSER_SEGMENT) {
            sink_segment_t shown = { .number = segment.number,
                                     .permille = segment.permille,
                                     .text = buf_span (segment.text),
                                     .marks = buf_span (segment.marks),
                                     .cursor = segment.cursor };
            print_segment (wishes, &shown);
            if (segment.warnings.size)
                fprintf (stderr, "warnings %.*s\n", SPAN_ARG (segment.warnings));
            bytes += buf_size (segment.text);
            buf_unref (&segment.text);
            buf_unref (&segment.marks);
            continue;
        }
        struct pollfd items[] = { { parser_zygote_fd (parser), POLLIN, 0 }, { parser_output_fd (parser), POLLIN, 0 } };
        poll (items, 2, parser_timeout_ms (parser));
    }
    str_t metadata = STR_INIT;
    parser_metadata (parser, &metadata);
    if (!wishes->quiet && metadata.size)
        fprintf (stderr, "meta %.*s\n", SPAN_ARG (str_span (&metadata)));
    if (parser_warnings (parser).size)
        fprintf (stderr, "warnings %.*s\n", SPAN_ARG (parser_warnings (parser)));
    bool failed = state != PARSER_DONE;
    fprintf (stderr, "%s: %.*s, %" PRIu64 " bytes of text, %" PRIu32 " bad parts, %" PRIu64 " us%s%s%s%s\n", path,
             SPAN_ARG (parser_media_type (parser)), bytes, parser_bad (parser), clock_mono_us () - began,
             failed ? ", failed: " : "", failed ? err_name (err.code) : "", failed ? ": " : "",
             failed ? err.message : "");
    str_free (&metadata);
    return failed ? -1 : 0;
}

int main (int argc, char **argv)
{
    setlocale (LC_CTYPE, "C.UTF-8");
    limits_t limits = LIMITS_DEFAULT;
    zygote_t *zygote = NULL;
    wishes_t wishes = { .quiet = false };
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp (word, "--segments") == 0)
            wishes.segments = true;
        else if (strcmp (word, "--child") == 0 && !zygote && (zygote = zygote_new (&limits, NULL)))
            wishes.parser = parser_new (zygote, &limits);
        else if (strcmp (word, "--quiet") == 0)
            wishes.quiet = true;
        else if (strcmp (word, "--cursor") == 0 && ++i)
            wishes.cursor = value;
        else if (strcmp (word, "--first") == 0 && ++i)
            wishes.first = (uint32_t)strtoul (value, NULL, 10);
        else if (strcmp (word, "--offset") == 0 && ++i)
            wishes.offset = strtoull (value, NULL, 10);
        else if (strcmp (word, "--type") == 0 && ++i)
            wishes.type = value;
        else
            failed |= (wishes.parser ? extract_by_parser (word, &wishes) : extract_one (word, &wishes)) != 0;
    }
    parser_destroy (&wishes.parser);
    zygote_destroy (&zygote);
    return failed;
}
