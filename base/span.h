/*  span.h: a borrowed run of bytes. Plain visible struct; says nothing about ownership or NUL termination. */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct {
    const char *data;
    size_t size;
} span_t;

#define SPAN_EMPTY     ((span_t){ NULL, 0 })
#define SPAN_LIT(text) ((span_t){ "" text, sizeof (text) - 1 })
/*  For printf: printf ("%.*s", SPAN_ARG (span)) */
#define SPAN_ARG(span) (int)(span).size, (span).data ? (span).data : ""

static inline span_t span (const void *data, size_t size)
{
    return (span_t){ data, size };
}

static inline span_t span_str (const char *text)
{
    return (span_t){ text, text ? strlen (text) : 0 };
}

static inline bool span_eq (span_t a, span_t b)
{
    return a.size == b.size && (a.size == 0 || memcmp (a.data, b.data, a.size) == 0);
}

static inline bool span_is (span_t a, const char *text)
{
    return span_eq (a, span_str (text));
}

static inline bool span_starts (span_t text, span_t prefix)
{
    return text.size >= prefix.size && (prefix.size == 0 || memcmp (text.data, prefix.data, prefix.size) == 0);
}

#endif
