/*  damage.h: what is damaged, and how it is told whether that was noticed. */
#ifndef TESTS_DAMAGE_DAMAGE_H
#define TESTS_DAMAGE_DAMAGE_H

#include <stdint.h>

/*  What became of a damaged directory. X (symbol, name) */
#define VERDICTS(X)                                                                                                    \
    X (WHOLE, "whole")     /* all that was synced is there, and right */                                               \
    X (REFUSED, "refused") /* it does not open, and says why */                                                        \
    X (PARTLY, "partly")   /* some reads fail as damaged, the others are right */                                      \
    X (WRONG, "WRONG")     /* something is missing or wrong and nobody says so; or it crashed or hung */

typedef enum {
#define VERDICT_ENUM(sym, name) VERDICT_##sym,
    VERDICTS (VERDICT_ENUM)
#undef VERDICT_ENUM
        VERDICT_COUNT
} verdict_t;

#define LIVES    3
#define WHY_SIZE 600

typedef struct {
    const char *name;
    /*  Writes into `dir` what the process of this life writes, 0 to LIVES - 1. The last one does not close: it is
     * killed. */
    void (*write) (const char *dir, int life);
    /*  Opens and reads everything. *why: what was said or what is wrong. `lost`: that many of the last commits may be
     * missing, each as a whole and only from the end (records only). */
    verdict_t (*check) (const char *dir, int lost, char why[WHY_SIZE]);
} subject_t;

extern const subject_t records_subject, content_subject;

/*  A number below `count` that only `seed` decides. */
uint64_t dice (uint64_t *seed, uint64_t count);

#endif
