#include "base/log.h"
#include "base/clock.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static const char *const names[] = { "debug", "info", "warn", "error" };
static const char *program_name = "myelin";
static log_level_t least = LOG_INFO;

void log_init (const char *program, log_level_t level)
{
    program_name = program;
    least = level;
}

int log_level_parse (const char *name, log_level_t *level)
{
    for (int i = 0; i < 4; i++)
        if (strcmp (names[i], name) == 0) {
            *level = (log_level_t)i;
            return 0;
        }
    return -1;
}

void log_write (log_level_t level, const char *event, const log_where_t *where, const char *format, ...)
{
    if (level < least)
        return;
    char message[1024];
    va_list args;
    va_start (args, format);
    vsnprintf (message, sizeof message, format, args);
    va_end (args);

    str_t line = STR_INIT;
    str_char (&line, '{');
    str_key_time (&line, "at", clock_wall_ms ());
    str_key_str (&line, "level", span_str (names[level]));
    str_key_str (&line, "program", span_str (program_name));
    str_key_u64 (&line, "pid", (uint64_t)getpid ());
    str_key_str (&line, "event", span_str (event));
    str_key_str (&line, "message", span_str (message));
    if (where && !uuid_is_null (where->task)) {
        char text[UUID_TEXT];
        uuid_text (where->task, text);
        str_key_str (&line, "task", span_str (text));
    }
    if (where && where->stage)
        str_key_str (&line, "stage", span_str (where->stage));
    if (where && where->segment)
        str_key_u64 (&line, "segment", where->segment - 1);
    if (where && where->attempt)
        str_key_u64 (&line, "attempt", where->attempt);
    str_text (&line, "}\n");
    /* One write: lines of several processes on one pipe stay whole. A log that cannot be written must not stop work. */
    ssize_t written = write (STDERR_FILENO, line.data, line.size);
    (void)written;
    str_free (&line);
}

int log_failed (const char *event, const err_t *err)
{
    log_write (LOG_ERROR, event, NULL, "%s", err->message);
    printf ("failed %s\n", err->message);
    fflush (stdout);
    return err_exit (err);
}
