#include "client/scale.h"

#include <ctype.h>
#include <string.h>

#define LOOK_MOST_MS 2000u   /* what one look may count for: who looked away has not seen what was between */
#define SOON_MS      5000.0  /* over how long a lack is taken … */
#define LONG_MS      20000.0 /* … and what is to spare */
#define BUSY_LONG    0.95    /* of the workers, on average: they had no time to spare */
#define NOTHING      0.02    /* an average that is as good as 0 */
#define CALM_TIMES   16u     /* who stands still for so many times its turn_ms is trusted again */

void scale_init (scale_t *self, const scale_limits_t *limits, uint64_t now_ms)
{
    *self = (scale_t){ .limits = *limits, .looked_ms = now_ms };
    for (int i = 0; i < SCALE_STAGES; i++)
        self->stages[i] = (scale_stage_t){
            .count = limits->least[i], .changed_ms = now_ms, .turn_ms = SCALE_TURN_MS, .grew = true
        }; /* the first growth is no turn */
}

bool scale_is_needed (const scale_limits_t *limits)
{
    for (int i = 0; i < SCALE_STAGES; i++)
        if (limits->least[i] < limits->most[i])
            return true;
    return false;
}

/*  Rises while it is so, falls twice as fast while it is not: what lasts is told from what comes and goes. */
static void count_time (uint64_t *counted_ms, bool is_so, uint64_t passed_ms, uint64_t most_ms)
{
    if (is_so)
        *counted_ms += passed_ms;
    else
        *counted_ms -= *counted_ms < 2 * passed_ms ? *counted_ms : 2 * passed_ms;
    if (*counted_ms > most_ms)
        *counted_ms = most_ms;
}

/*  Would still have time to spare with one worker less. */
static bool has_too_many (const scale_stage_t *stage)
{
    return stage->count > 0 && stage->busy_long <= SCALE_FULL * (stage->count - 1) + NOTHING;
}

/*  Units wait although all are at work; and either many do, or it has been so for a while: that now and then one waits
 *  for a moment is how a queue with time to spare looks, too. */
static bool has_too_few (const scale_stage_t *stage, uint64_t ready, unsigned workers, unsigned busy)
{
    return ready > 0 && busy >= workers && (ready > 2u * workers || stage->busy >= BUSY_LONG * workers);
}

static void look_at (scale_stage_t *stage, uint64_t ready, unsigned workers, unsigned busy, uint64_t passed_ms)
{
    bool settled = workers >= stage->count; /* else one is on its way: nobody knows what it will change */
    stage->busy += (busy - stage->busy) * (double)passed_ms / (SOON_MS + (double)passed_ms);
    stage->busy_long += (busy - stage->busy_long) * (double)passed_ms / (LONG_MS + (double)passed_ms);
    count_time (&stage->lacks_ms, settled && has_too_few (stage, ready, workers, busy), passed_ms, SCALE_ADD_MS);
    count_time (&stage->spares_ms, settled && busy < workers && has_too_many (stage), passed_ms, SCALE_REMOVE_MS);
}

/*  It may change in this direction, as far as its past goes. */
static bool may_turn (scale_stage_t *stage, bool grow, uint64_t now_ms)
{
    uint64_t still_ms = now_ms - stage->changed_ms;
    while (stage->turn_ms > SCALE_TURN_MS && still_ms >= CALM_TIMES * stage->turn_ms)
        stage->turn_ms /= 2;
    return stage->grew == grow || still_ms >= stage->turn_ms;
}

/*  A stage with time to spare, for one that has none: the one with most of it. -1: there is none. */
static int find_giver (scale_t *self, int taker, uint64_t now_ms)
{
    int best = -1;
    double most = 0;
    for (int i = 0; i < SCALE_STAGES; i++) {
        scale_stage_t *stage = &self->stages[i];
        double spare = stage->count - stage->busy_long;
        if (i == taker || stage->count <= self->limits.least[i] || stage->spares_ms < SCALE_GIVE_MS || spare <= most ||
            !may_turn (stage, false, now_ms))
            continue;
        best = i;
        most = spare;
    }
    return best;
}

static unsigned total (const scale_t *self)
{
    unsigned sum = 0;
    for (int i = 0; i < SCALE_STAGES; i++)
        sum += self->stages[i].count;
    return sum;
}

bool scale_look (scale_t *self, const scale_load_t *load, uint64_t now_ms, scale_change_t *change)
{
    uint64_t passed_ms = now_ms - self->looked_ms;
    passed_ms = passed_ms < LOOK_MOST_MS ? passed_ms : LOOK_MOST_MS;
    self->looked_ms = now_ms;
    for (int i = 0; i < SCALE_STAGES; i++)
        look_at (&self->stages[i], load->ready[i], load->workers[i], load->busy[i], passed_ms);

    for (int i = SCALE_STAGES - 1; i >= 0; i--) { /* later stages first: what is in hand shall end */
        scale_stage_t *stage = &self->stages[i];
        if (stage->lacks_ms < SCALE_ADD_MS || stage->count >= self->limits.most[i] || !may_turn (stage, true, now_ms))
            continue;
        if (total (self) < self->limits.total) {
            *change = (scale_change_t){ (stage_t)i, true };
            return load->processes < self->limits.total; /* else the one that makes room has not gone yet */
        }
        int giver = find_giver (self, i, now_ms);
        if (giver >= 0) {
            *change = (scale_change_t){ (stage_t)giver, false };
            return true;
        }
    }
    for (int i = 0; i < SCALE_STAGES; i++) {
        scale_stage_t *stage = &self->stages[i];
        if (stage->spares_ms < SCALE_REMOVE_MS || stage->count <= self->limits.least[i] ||
            !may_turn (stage, false, now_ms))
            continue;
        *change = (scale_change_t){ (stage_t)i, false };
        return true;
    }
    return false;
}

void scale_done (scale_t *self, const scale_change_t *change, uint64_t now_ms)
{
    scale_stage_t *stage = &self->stages[change->stage];
    stage->count += change->add ? 1 : -1;
    if (stage->grew != change->add) {
        uint64_t doubled = 2 * stage->turn_ms;
        stage->turn_ms = doubled < SCALE_TURN_MOST_MS ? doubled : SCALE_TURN_MOST_MS;
    }
    stage->grew = change->add;
    stage->changed_ms = now_ms;
    stage->lacks_ms = change->add ? SCALE_ADD_MS - SCALE_MORE_MS : 0;
    stage->spares_ms = 0;
}

/*  --- what the option says --- */

static int read_count (const char **text, unsigned *count)
{
    unsigned value = 0;
    if (!isdigit ((unsigned char)**text))
        return -1;
    for (; isdigit ((unsigned char)**text); ++*text)
        value = value > SCALE_MOST ? value : 10 * value + (unsigned)(**text - '0');
    *count = value;
    return value > SCALE_MOST ? -1 : 0;
}

/*  "N" or "N-M", up to a comma or the end. */
static int read_range (const char **text, unsigned *least, unsigned *most)
{
    if (read_count (text, least) == -1)
        return -1;
    *most = *least;
    if (**text == '-') {
        ++*text;
        if (read_count (text, most) == -1 || *most < *least)
            return -1;
    }
    return **text == ',' || !**text ? 0 : -1;
}

/*  A total alone, or one that the ranges must fit into. */
static int check_total (scale_limits_t *limits, unsigned named, err_t *err)
{
    unsigned least = 0, most = 0;
    for (int i = 0; i < SCALE_STAGES; i++) {
        if (!named) {
            limits->least[i] = 1;
            limits->most[i] = limits->total > SCALE_STAGES ? limits->total - (SCALE_STAGES - 1) : 1;
        }
        least += limits->least[i];
        most += limits->most[i];
    }
    if (!limits->total)
        limits->total = most;
    if (limits->total < least)
        return err_set (err, ERR_CONFIG, "--workers: a total of %u is less than the %u that the stages have at least",
                        limits->total, least);
    return 0;
}

int scale_parse (const char *text, scale_limits_t *limits, err_t *err)
{
    unsigned named = 0; /* mask of stages; a bit more for the total */
    const unsigned total_bit = 1u << STAGE_COUNT;
    limits->total = 0;
    do {
        const char *item = text, *equals = text + strcspn (text, ",=");
        stage_t stage = STAGE_COUNT;
        span_t name = span (item, (size_t)(equals - item));
        bool is_total = *equals != '=' || span_is (name, "total");
        unsigned least, most;
        text = *equals == '=' ? equals + 1 : item;
        if ((!is_total && stage_parse (name, &stage) == -1) || read_range (&text, &least, &most) == -1 ||
            (is_total && (least != most || !least)))
            return err_set (err, ERR_CONFIG,
                            "--workers takes stages with a count or a range of at most %d, such as "
                            "extract=2,chunk=1,embed=1-4, and total=N; not '%s'",
                            SCALE_MOST, item);
        if (stage == STAGE_STORAGE && most != 1)
            return err_set (err, ERR_CONFIG, "--workers: there is always one storage process");
        unsigned bit = is_total ? total_bit : 1u << stage;
        if (named & bit)
            return err_set (err, ERR_CONFIG, "--workers: %.*s is given twice", SPAN_ARG (name));
        named |= bit;
        if (is_total)
            limits->total = least;
        else if (stage < SCALE_STAGES) {
            limits->least[stage] = least;
            limits->most[stage] = most;
        }
    } while (*text++);
    return check_total (limits, named & ((1u << SCALE_STAGES) - 1), err);
}
