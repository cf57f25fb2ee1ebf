/*  script.h: what a document of the simulation holds, and how it behaves: all of it follows from the number of its
 *  content, so that whoever processes it, however often, must come to the same result.
 */
#ifndef TESTS_SIM_SCRIPT_H
#define TESTS_SIM_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#define SCRIPT_SEGMENTS_MAX 12u

/*  Segments that extract gives; 0: there is no text in it. */
static inline uint32_t script_segments (uint32_t content)
{
    return content % 23 == 5 ? 0 : 1 + content % 7 + (content % 5 == 0 ? 5 : 0);
}

/*  Extract refuses it at once. */
static inline bool script_is_damaged (uint32_t content)
{
    return content % 19 == 7;
}

/*  And of these it ends the parser. */
static inline bool script_is_deadly (uint32_t content)
{
    return script_is_damaged (content) && content % 2;
}

/*  A stage after extract refuses this segment, for good. */
static inline bool script_is_bad (uint32_t content, uint32_t segment)
{
    return content % 13 == 5 && (content + segment) % 3 == 0;
}

static inline uint32_t script_chunks (uint32_t content, uint32_t segment)
{
    return 1 + (content + segment) % 3;
}

/*  How costly each job is: some documents are worth checkpoints. */
static inline uint64_t script_cost_us (uint32_t content)
{
    return content % 5 == 0 ? 60000 : 500;
}

typedef struct {
    bool fails;
    bool partial;
    uint32_t chunks;
} outcome_t;

static inline outcome_t script_outcome (uint32_t content)
{
    outcome_t outcome = { .fails = script_is_damaged (content) };
    for (uint32_t i = 0; i < script_segments (content) && !outcome.fails; i++) {
        if (script_is_bad (content, i))
            outcome.partial = true;
        else
            outcome.chunks += script_chunks (content, i);
    }
    outcome.fails |= outcome.chunks == 0;
    outcome.partial &= !outcome.fails;
    return outcome;
}

#endif
