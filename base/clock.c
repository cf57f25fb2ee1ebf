#include "base/clock.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t read_us (clockid_t id)
{
    struct timespec ts;
    clock_gettime (id, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

uint64_t clock_mono_us (void)
{
    return read_us (CLOCK_MONOTONIC);
}

uint64_t clock_mono_ms (void)
{
    return clock_mono_us () / 1000u;
}

uint64_t clock_wall_ms (void)
{
    return read_us (CLOCK_REALTIME) / 1000u;
}

static void digits (char *out, unsigned value, int width)
{
    while (width--) {
        out[width] = (char)('0' + value % 10);
        value /= 10;
    }
}

void clock_rfc3339 (uint64_t wall_ms, char text[CLOCK_RFC3339_SIZE])
{
    time_t seconds = (time_t)(wall_ms / 1000u);
    struct tm tm;
    gmtime_r (&seconds, &tm);
    memcpy (text, "0000-00-00T00:00:00.000Z", CLOCK_RFC3339_SIZE);
    digits (text, (unsigned)tm.tm_year + 1900u, 4);
    digits (text + 5, (unsigned)tm.tm_mon + 1u, 2);
    digits (text + 8, (unsigned)tm.tm_mday, 2);
    digits (text + 11, (unsigned)tm.tm_hour, 2);
    digits (text + 14, (unsigned)tm.tm_min, 2);
    digits (text + 17, (unsigned)tm.tm_sec, 2);
    digits (text + 20, (unsigned)(wall_ms % 1000u), 3);
}

static bool number (const char **p, int width, int *value)
{
    *value = 0;
    for (int i = 0; i < width; i++, (*p)++) {
        if (!isdigit ((unsigned char)**p))
            return false;
        *value = *value * 10 + (**p - '0');
    }
    return true;
}

int clock_parse (span_t text, uint64_t *wall_ms)
{
    char copy[64];
    if (text.size >= sizeof copy)
        return -1;
    snprintf (copy, sizeof copy, "%.*s", SPAN_ARG (text));
    const char *p = copy;
    struct tm tm = { 0 };
    int year, month, day, hour = 0, minute = 0, second = 0, ms = 0, offset_minutes = 0;
    if (!number (&p, 4, &year) || *p++ != '-' || !number (&p, 2, &month) || *p++ != '-' || !number (&p, 2, &day))
        return -1;
    if (*p == 'T' || *p == 't' || *p == ' ') {
        p++;
        if (!number (&p, 2, &hour) || *p++ != ':' || !number (&p, 2, &minute) || *p++ != ':' ||
            !number (&p, 2, &second))
            return -1;
        if (*p == '.') {
            int scale = 100;
            for (p++; isdigit ((unsigned char)*p); p++, scale /= 10)
                ms += (*p - '0') * scale;
        }
        if (*p == 'Z' || *p == 'z')
            p++;
        else if (*p == '+' || *p == '-' || *p == ' ') { /* a '+' that a query string turned into a blank */
            int sign = *p++ == '-' ? -1 : 1, offset_hour, offset_minute;
            if (!number (&p, 2, &offset_hour) || *p++ != ':' || !number (&p, 2, &offset_minute))
                return -1;
            offset_minutes = sign * (offset_hour * 60 + offset_minute);
        } else
            return -1;
    }
    if (*p || (size_t)(p - copy) != text.size || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 ||
        minute > 59 || second > 60 || year < 1970)
        return -1;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    tm.tm_mday = day;
    tm.tm_hour = hour;
    tm.tm_min = minute;
    tm.tm_sec = second;
    int64_t seconds = (int64_t)timegm (&tm) - offset_minutes * 60;
    if (seconds < 0 || tm.tm_mon != month - 1) /* timegm makes 2 March of 31 February */
        return -1;
    *wall_ms = (uint64_t)seconds * 1000u + (uint64_t)ms;
    return 0;
}
