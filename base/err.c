#include "base/err.h"
#include "base/utf8.h"

#include <errno.h>
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

void err_setv (err_t *err, err_code_t code, const char *format, va_list args)
{
    err->code = code;
    err->retry_after_s = 0;
    bool cut = vsnprintf (err->message, sizeof err->message, format, args) >= (int)sizeof err->message;
    span_t rest = span_str (err->message);
    while (rest.size) {
        size_t width = utf8_width (rest);
        char *at = err->message + (rest.data - err->message);
        if (!width && cut && rest.size < 4) { /* the beginning of a character */
            *at = 0;
            return;
        }
        if (!width || (unsigned char)*at < 0x20 || *at == 0x7f)
            *at = '?';
        width = width ? width : 1;
        rest = span (rest.data + width, rest.size - width);
    }
}

int err_set (err_t *err, err_code_t code, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start (args, format);
        err_setv (err, code, format, args);
        va_end (args);
    }
    return -1;
}

int err_set_errno (err_t *err, err_code_t code, int errnum, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start (args, format);
        err_setv (err, errnum == ENOSPC || errnum == EDQUOT ? ERR_DISK_FULL : code, format, args);
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

int err_exit (const err_t *err)
{
    return err->code == ERR_CONFIG ? 2 : 1;
}
