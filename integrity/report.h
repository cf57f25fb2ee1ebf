/*  report.h: what a look at a data directory found: each finding with its place, what is wrong, and what repair would
 *  do about it.
 */
#ifndef INTEGRITY_REPORT_H
#define INTEGRITY_REPORT_H

#include "base/str.h"
#include "base/uuid.h"

#include <stdint.h>

/*  What can be wrong. X (symbol, name, what helps where repair does not) */
#define FINDINGS(X)                                                                                                    \
    X (DATABASE, "database_damaged", "restore a backup")                                                               \
    X (UNREADABLE, "unreadable", "restore a backup")                                                                   \
    X (NEWER, "newer_format", "use the version of myelin that wrote it, or a newer one")                               \
    X (BAD_KEY, "bad_key", "restore a backup")                                                                         \
    X (BAD_RECORD, "bad_record", "restore a backup")                                                                   \
    X (WRONG_COUNT, "wrong_count", "restore a backup")                                                                 \
    X (DANGLING, "dangling", "restore a backup")                                                                       \
    X (INCOMPLETE, "incomplete", "restore a backup")                                                                   \
    X (DOCUMENT_LOST, "document_lost", "restore a backup")                                                             \
    X (BYTES_MISSING, "bytes_missing", "restore a backup, or delete the document and submit it again")                 \
    X (BYTES_DAMAGED, "bytes_damaged", "restore a backup, or delete the document and submit it again")                 \
    X (CONTENT_MISSING, "content_missing", "restore a backup")                                                         \
    X (CONTENT_DAMAGED, "content_damaged", "restore a backup")                                                         \
    X (CONTENT_UNKNOWN, "content_unknown", "restore a backup")                                                         \
    X (INDEX_DIFFERS, "index_differs", "remove index.sqlite: the next start makes it anew")                            \
    X (BACKUP_FILE, "backup_file", "use another backup")                                                               \
    X (UNUSED_FILE, "unused_file", "nothing: it is removed while myelin runs")                                         \
    X (INDEX_BEHIND, "index_behind", "nothing: the next start completes it")

typedef enum {
#define FINDING_ENUM(sym, name, otherwise) FINDING_##sym,
    FINDINGS (FINDING_ENUM)
#undef FINDING_ENUM
        FINDING_COUNT
} finding_kind_t;

/*  What repair does. X (symbol, sentence) */
#define FIXES(X)                                                                                                       \
    X (NONE, "")                                                                                                       \
    X (SALVAGE, "repair keeps what can be read of it, and says what was lost")                                         \
    X (DELETE, "repair removes the record")                                                                            \
    X (PUT, "repair writes the record anew")                                                                           \
    X (RESTORE_DOCUMENT, "repair makes the document's record anew, under another name, from its bytes")                \
    X (FORGET, "repair takes the document out of the content; it is processed again if the broker has it")             \
    X (FORGET_REVISION, "repair removes what is stored of this revision")                                              \
    X (PROCESS, "repair queues the document to be processed again")                                                    \
    X (INDEX, "repair makes the index anew")

typedef enum {
#define FIX_ENUM(sym, sentence) FIX_##sym,
    FIXES (FIX_ENUM)
#undef FIX_ENUM
        FIX_COUNT
} fix_t;

typedef enum { PLACE_BROKER, PLACE_CONTENT, PLACE_INDEX, PLACE_BLOBS, PLACE_BACKUP, PLACE_COUNT } finding_place_t;

/*  All spans are borrowed for the call that hands the finding on. */
typedef struct {
    finding_kind_t kind;
    bool is_note; /* nothing is wrong with it: it settles by itself */
    finding_place_t place;
    unsigned family;
    const char *family_name; /* NULL: none */
    span_t key;              /* of the record; or a file's name */
    fix_t fix;
    span_t value; /* FIX_PUT */
    span_t user;  /* FIX_FORGET…, FIX_PROCESS, FIX_RESTORE_DOCUMENT */
    uuid_t document;
    uint64_t revision;
    char text[512]; /* what is wrong */
} finding_t;

typedef void report_fn (void *listener, const finding_t *finding);

/*  What was looked at. X (name) */
#define REPORT_COUNTS(X)                                                                                               \
    X (records)                                                                                                        \
    X (record_bytes) X (users) X (documents) X (tasks) X (segments) X (chunks) X (vectors) X (blobs) X (blob_bytes)

typedef struct {
    report_fn *tell;
    void *listener;
    uint64_t findings, notes;
    uint64_t by_kind[FINDING_COUNT];
#define REPORT_COUNT_MEMBER(name) uint64_t name;
    REPORT_COUNTS (REPORT_COUNT_MEMBER)
#undef REPORT_COUNT_MEMBER
} report_t;

/*  Counts the finding and hands it to the listener (NULL: nobody). `format`: what is wrong, without a full stop. */
void report (report_t *self, finding_t *finding, const char *format, ...) __attribute__ ((format (printf, 3, 4)));

const char *finding_name (finding_kind_t kind);
/*  What to do about it: what repair does, or what else helps. */
const char *finding_remedy (const finding_t *finding);

/*  One line for people, one JSON object for programs; neither ends with a newline. */
void finding_text (const finding_t *finding, str_t *out);
void finding_json (const finding_t *finding, str_t *out);
/*  {"ok":…,"findings":…,"notes":…, what was looked at, "by_kind":{…}} */
void report_json (const report_t *self, str_t *out);

#endif
