/*  scale.h: how many workers each stage should have: decides, and does nothing.
 *
 *  A stage grows when units wait while all of its workers are busy, and that lasts. It shrinks when what remains would
 *  still have time to spare, and that lasts longer. When no worker more may run, a stage that has time to spare gives
 *  one up for one that has not. One worker comes or goes at a time, and the next one not before the first has come.
 *
 *  What would make it flap is met twice: between growing and shrinking lies a band of loads at which nothing changes;
 * and a stage that turns round (grows after it shrank, or the reverse) must have stood still for a while, twice as long
 * with every turn, so that under a load that never changes the turns become fewer and fewer (docs/adr/0017).
 */
#ifndef CLIENT_SCALE_H
#define CLIENT_SCALE_H

#include "wire/messages.h"

#include <stdbool.h>
#include <stdint.h>

#define SCALE_STAGES       STAGE_STORAGE /* the stages before it; there is always one storage */
#define SCALE_MOST         64u           /* workers of a stage, or in all */
#define SCALE_ADD_MS       3000u         /* a stage grows when it has lacked workers for so long */
#define SCALE_MORE_MS      1500u         /* and grows further after so long */
#define SCALE_REMOVE_MS    30000u        /* shrinks when it has had too many for so long */
#define SCALE_GIVE_MS      5000u         /* the same, when another stage lacks workers */
#define SCALE_TURN_MS      5000u         /* stands still so long before it turns round the first time */
#define SCALE_TURN_MOST_MS 600000u
#define SCALE_FULL         0.7 /* what remains may be busy for this part of its time */

typedef struct {
    unsigned least[SCALE_STAGES], most[SCALE_STAGES];
    unsigned total; /* most of all stages together; not less than all `least` */
} scale_limits_t;

/*  How it is now. */
typedef struct {
    uint64_t ready[SCALE_STAGES];   /* units that wait for a worker */
    unsigned workers[SCALE_STAGES]; /* that the broker knows */
    unsigned busy[SCALE_STAGES];    /* of those, how many have something to do */
    unsigned processes;             /* that run, of all these stages: also those that are on their way out */
} scale_load_t;

typedef struct {
    stage_t stage;
    bool add; /* false: remove one that is idle */
} scale_change_t;

typedef struct {
    unsigned count;         /* workers it should have */
    double busy, busy_long; /* workers, on average: over seconds, over half a minute */
    uint64_t lacks_ms, spares_ms;
    uint64_t changed_ms, turn_ms; /* when it last changed; how long it must stand still before it turns round */
    bool grew;                    /* its last change */
} scale_stage_t;

typedef struct {
    scale_limits_t limits;
    scale_stage_t stages[SCALE_STAGES];
    uint64_t looked_ms;
} scale_t;

/*  Begins with the least of each. */
void scale_init (scale_t *self, const scale_limits_t *limits, uint64_t now_ms);

/*  True: *change should be made, and scale_done said when it is. Look about twice a second. */
bool scale_look (scale_t *self, const scale_load_t *load, uint64_t now_ms, scale_change_t *change);
void scale_done (scale_t *self, const scale_change_t *change, uint64_t now_ms);

/*  True when there is something to decide: some stage may have different numbers of workers. */
bool scale_is_needed (const scale_limits_t *limits);

/*  Reads what --workers takes: `extract=2,embed=1-4`, `total=6`, or a number alone, which is a total. Stages that are
 * not named keep what *limits has. -1 with ERR_CONFIG. */
int scale_parse (const char *text, scale_limits_t *limits, err_t *err);

#endif
