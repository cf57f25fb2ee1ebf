#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    const char *name;
    const char *title;
    int status;
    err_class_t class;
} row_t;

static const row_t rows[ERR_COUNT] = { [ERR_NONE] = { "none", "No error", 200, ERR_REJECT },
#define ERR_ROW(sym, name, status, class, title) [ERR_##sym] = { name, title, status, ERR_##class },
                                       ERR_CODES (ERR_ROW)
#undef ERR_ROW
};

static const row_t *row (err_code_t code)
{
    return &rows[code < ERR_COUNT ? code : ERR_INTERNAL];
}

static void fill (err_t *err, err_code_t code, const char *format, va_list args)
{
    err->code = code;
    vsnprintf (err->message, sizeof err->message, format, args);
    for (char *p = err->message; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
}

int err_set (err_t *err, err_code_t code, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start (args, format);
        fill (err, code, format, args);
        va_end (args);
    }
    return -1;
}

int err_set_errno (err_t *err, err_code_t code, int errnum, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start (args, format);
        fill (err, errnum == ENOSPC || errnum == EDQUOT ? ERR_DISK_FULL : code, format, args);
        va_end (args);
        size_t used = strlen (err->message);
        snprintf (err->message + used, sizeof err->message - used, ": %s", strerror (errnum));
    }
    return -1;
}

const char *err_name (err_code_t code)
{
    return row (code)->name;
}

const char *err_title (err_code_t code)
{
    return row (code)->title;
}

int err_status (err_code_t code)
{
    return row (code)->status;
}

err_class_t err_class (err_code_t code)
{
    return row (code)->class;
}

err_code_t err_code (const char *name)
{
    for (int code = 0; code < ERR_COUNT; code++)
        if (strcmp (rows[code].name, name) == 0)
            return (err_code_t)code;
    return ERR_INTERNAL;
}
