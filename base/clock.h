/*  clock.h: the two clocks, and how times are shown. Cores take `now` as an argument; only loops read clocks. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/span.h"

#include <stdint.h>

#define CLOCK_RFC3339_SIZE 25

uint64_t clock_mono_ms (void); /* monotonic: leases, deadlines */
uint64_t clock_mono_us (void);
uint64_t clock_wall_ms (void); /* Unix time: display only */

/*  "2024-05-06T07:08:09.123Z" and a NUL. */
void clock_rfc3339 (uint64_t wall_ms, char text[CLOCK_RFC3339_SIZE]);

/*  Reads RFC 3339 (any offset, fraction optional) or a plain date; 0, or -1 when it is neither. */
int clock_parse (span_t text, uint64_t *wall_ms);

#endif
