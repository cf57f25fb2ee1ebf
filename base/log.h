/*  log.h: one function, JSON lines on stderr.
 *
 *  {"at","level","program","pid","event","message", "task","stage","segment","attempt"}: the last four where there
 *  are such. `event` is a stable identifier for machines, the message is for people. Never log document contents
 *  or secrets; untrusted text is escaped.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/err.h"
#include "base/uuid.h"

typedef enum { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR } log_level_t;

/*  Where in the work something happened; leave out what there is not. */
typedef struct {
    uuid_t task;       /* null: none */
    const char *stage; /* NULL: none */
    uint64_t segment;  /* number + 1; 0: none */
    uint64_t attempt;  /* 0: none */
} log_where_t;

/*  Names the program (borrowed for good) and the least level that is written. Default: "myelin", LOG_INFO. */
void log_init (const char *program, log_level_t level);

/*  0, or -1 when `name` is none of debug, info, warn, error. */
int log_level_parse (const char *name, log_level_t *level);

void log_write (log_level_t level, const char *event, const log_where_t *where, const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));

/*  The last word of a program that cannot go on: logs the error, and says `failed REASON` in a line on stdout, for a
 *  supervisor to repeat. Returns what the program is to end with, as err_exit. */
int log_failed (const char *event, const err_t *err);

#endif
