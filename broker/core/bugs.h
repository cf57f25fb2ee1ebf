/*  bugs.h: deliberate bugs, to see that the tests find them. They exist only where MYELIN_BUGS is defined: in a build
 * of the core for that one test (tests/sim).
 */
#ifndef BROKER_CORE_BUGS_H
#define BROKER_CORE_BUGS_H

/*  X (symbol, what goes wrong) */
#define CORE_BUGS(X)                                                                                                   \
    X (UNSYNCED, "what an answer promises is not synced")                                                              \
    X (NO_FENCE, "a result counts whatever its epoch is")                                                              \
    X (MISCOUNT, "a task that completes is counted twice")                                                             \
    X (LOST_REQUEUE, "what waited at a worker that died is forgotten")                                                 \
    X (OLD_CHECKPOINT, "a checkpoint of another revision is gone on from")                                             \
    X (COUNTED_AHEAD, "a checkpoint counts segments that will come again")                                             \
    X (ONE_SLOT_MORE, "a worker is given one job more than it has slots")                                              \
    X (REMAINS, "what a cancelled task stored stays")                                                                  \
    X (UNSAVED_SEQ, "the number of the last event is not saved")                                                       \
    X (LATE_CANCEL, "a task is cancelled while storage commits it")                                                    \
    X (FALLING, "progress is told though it falls")                                                                    \
    X (WRONG_USER, "an event is told to whoever asked last")                                                           \
    X (STALE_JOBS, "a worker that comes back is not told that what it holds is void")                                  \
    X (DOUBLED, "a result that comes again counts again")                                                              \
    X (UNCOUNTED, "a result that is ignored is not counted")                                                           \
    X (NO_AGEING, "the oldest has no turn of its own")                                                                 \
    X (NO_CHARGE, "whatever a user takes is charged to nobody")                                                        \
    X (BYTES_KEPT, "the bytes of a deleted document stay counted")                                                     \
    X (ONE_TASK_MORE, "one task more may wait than may")                                                               \
    X (TOKENS_FREE, "a submit takes no token of its user's rate")

typedef enum {
    BUG_NONE,
#define CORE_BUG_ENUM(sym, what) BUG_##sym,
    CORE_BUGS (CORE_BUG_ENUM)
#undef CORE_BUG_ENUM
        BUG_COUNT
} core_bug_t;

#ifdef MYELIN_BUGS
extern core_bug_t core_bug;
#define BUG(sym) (core_bug == BUG_##sym)
#else
#define BUG(sym) false
#endif

#endif
