/*  limits.h: what one document may cost. Counted on actual bytes, never on declared sizes. */
#ifndef EXTRACT_LIMITS_H
#define EXTRACT_LIMITS_H

#include <stdint.h>

#define MIB ((uint64_t)1024 * 1024)

/*  X (name, default, what it bounds) */
#define LIMITS(X)                                                                                                      \
    X (text_bytes, 64 * MIB, "text of one document")                                                                   \
    X (inflated_bytes, 512 * MIB, "everything unpacked from one document, nested archives included")                   \
    X (ratio, 100, "unpacked bytes per byte of the document")                                                          \
    X (ratio_from, 16 * MIB, "unpacked bytes below which no ratio is suspicious")                                      \
    X (entries, 10000, "archive entries in one document, nested archives included")                                    \
    X (depth, 3, "archives inside archives")                                                                           \
    X (entry_bytes, 192 * MIB, "one archive entry: it is unpacked to memory")                                          \
    X (warnings, 100, "warnings kept; the rest is only counted")                                                       \
    X (memory_bytes, 1024 * MIB, "address space of the parser beyond the document itself")                             \
    X (stall_cpu_ms, 30 * 1000, "CPU time of the parser without progress")                                             \
    X (stall_ms, 300 * 1000, "time of the parser without progress, however little CPU it gets")                        \
    X (cpu_s, 3600, "CPU time of the parser in all")

typedef struct {
#define LIMITS_MEMBER(name, fallback, what) uint64_t name;
    LIMITS (LIMITS_MEMBER)
#undef LIMITS_MEMBER
} limits_t;

#define LIMITS_ROW(name, fallback, what) .name = fallback,
#define LIMITS_DEFAULT                                                                                                 \
    {                                                                                                                  \
        LIMITS (LIMITS_ROW)                                                                                            \
    }

#endif
