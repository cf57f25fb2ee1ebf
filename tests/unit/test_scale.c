#include "client/scale.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* link: client */

#define TICK_MS   100u
#define LOOK_MS   500u
#define JOIN_MS   300u  /* from the start of a process to its first beat */
#define IN_HAND   500.0 /* units between the stages: then extract is held back, as by --active */
#define MINUTE_MS 60000u

/*  A pipeline of three stages under a load: units arrive, wait, and are worked off at so many a second. */
typedef struct {
    scale_t scale;
    uint64_t now, joined_at[SCALE_STAGES], noise;
    double arrive;              /* units a second */
    double rate[SCALE_STAGES];  /* units that one worker does in a second */
    double queue[SCALE_STAGES]; /* that wait */
    double busy[SCALE_STAGES];  /* workers, in the last tick */
    double capacity;            /* workers that can be busy at once: cores */
    unsigned workers[SCALE_STAGES];
    bool broken[SCALE_STAGES]; /* what is started does not come up */
    unsigned changes, turns;
    int last[SCALE_STAGES]; /* +1: grew; -1: shrank; 0: neither */
} pipeline_t;

static scale_limits_t limits (const char *text)
{
    scale_limits_t found = { .least = { 2, 1, 2 }, .most = { 2, 1, 2 } };
    assert_int_equal (scale_parse (text, &found, NULL), 0);
    return found;
}

static pipeline_t pipeline (const char *workers)
{
    pipeline_t self = { .now = 1000000, .capacity = 1000, .rate = { 10, 1000, 10 } };
    scale_limits_t found = limits (workers);
    scale_init (&self.scale, &found, self.now);
    for (int i = 0; i < SCALE_STAGES; i++)
        self.workers[i] = found.least[i];
    return self;
}

static double dice (pipeline_t *self)
{
    self->noise = self->noise * 6364136223846793005u + 1442695040888963407u;
    return (double)(self->noise >> 40) / (double)(1u << 24);
}

static void work (pipeline_t *self)
{
    double could[SCALE_STAGES], wanted = 0;
    for (int i = 0; i < SCALE_STAGES; i++) {
        could[i] = self->workers[i] * self->rate[i] * TICK_MS / 1000;
        if (i == STAGE_EXTRACT && self->queue[STAGE_CHUNK] + self->queue[STAGE_EMBED] >= IN_HAND)
            could[i] = 0;
        if (could[i] > self->queue[i])
            could[i] = self->queue[i];
        wanted += could[i] / (self->rate[i] * TICK_MS / 1000);
    }
    double share = wanted > self->capacity ? self->capacity / wanted : 1;
    for (int i = SCALE_STAGES - 1; i >= 0; i--) { /* who waits for a core is busy, too */
        self->busy[i] = could[i] / (self->rate[i] * TICK_MS / 1000);
        self->queue[i] -= could[i] * share;
        if (i + 1 < SCALE_STAGES)
            self->queue[i + 1] += could[i] * share;
    }
    self->queue[STAGE_EXTRACT] += self->arrive * TICK_MS / 1000;
}

static void look (pipeline_t *self)
{
    scale_load_t load = { .processes = 0 };
    scale_change_t change;
    for (int i = 0; i < SCALE_STAGES; i++) {
        double sampled = self->busy[i] + dice (self); /* a look sees whole workers */
        load.busy[i] = (unsigned)sampled < self->workers[i] ? (unsigned)sampled : self->workers[i];
        load.workers[i] = self->workers[i];
        load.ready[i] = (uint64_t)self->queue[i];
        load.processes += self->scale.stages[i].count;
    }
    if (!scale_look (&self->scale, &load, self->now, &change))
        return;
    scale_done (&self->scale, &change, self->now);
    int way = change.add ? 1 : -1;
    self->changes++;
    self->turns += self->last[change.stage] == -way;
    self->last[change.stage] = way;
    if (change.add)
        self->joined_at[change.stage] = self->now + JOIN_MS;
    else
        self->workers[change.stage]--;
}

static void check_limits (const pipeline_t *self)
{
    unsigned sum = 0;
    for (int i = 0; i < SCALE_STAGES; i++) {
        unsigned count = self->scale.stages[i].count;
        assert_in_range (count, self->scale.limits.least[i], self->scale.limits.most[i]);
        sum += count;
    }
    assert_true (sum <= self->scale.limits.total);
}

static void run (pipeline_t *self, uint64_t ms)
{
    for (uint64_t end = self->now + ms; self->now < end; self->now += TICK_MS) {
        work (self);
        for (int i = 0; i < SCALE_STAGES; i++)
            if (self->workers[i] < self->scale.stages[i].count && self->now >= self->joined_at[i] && !self->broken[i])
                self->workers[i] = self->scale.stages[i].count;
        if (self->now % LOOK_MS == 0)
            look (self);
        check_limits (self);
    }
}

static unsigned count (const pipeline_t *self, stage_t stage)
{
    return self->scale.stages[stage].count;
}

/*  --- loads --- */

static void a_step_grows_what_lacks_workers_within_seconds_and_nothing_else (void **state)
{
    (void)state;
    pipeline_t self = pipeline ("extract=1-4,chunk=1-2,embed=1-4");
    self.arrive = 25;
    run (&self, 30000);
    assert_in_range (count (&self, STAGE_EXTRACT), 3, 4);
    assert_in_range (count (&self, STAGE_EMBED), 3, 4);
    assert_int_equal (count (&self, STAGE_CHUNK), 1);
    run (&self, 2 * MINUTE_MS); /* what had piled up is worked off */
    unsigned before = self.changes;
    run (&self, 60 * MINUTE_MS);
    assert_in_range (self.changes - before, 0, 2); /* the one more that the pile took may go */
    assert_true (self.queue[STAGE_EXTRACT] < 10);
}

static void a_burst_that_is_over_soon_changes_nothing (void **state)
{
    (void)state;
    pipeline_t self = pipeline ("extract=1-4,chunk=1,embed=1-4");
    for (int i = 0; i < 100; i++) {
        self.queue[STAGE_EXTRACT] += 15; /* a second and a half of work */
        run (&self, 10000);
    }
    assert_int_equal (self.changes, 0);
}

/*  Whatever the load: after it has settled, an hour of it brings next to no change. */
static void a_steady_load_does_not_flap (void **state)
{
    (void)state;
    for (unsigned tenths = 0; tenths <= 60; tenths++) {
        pipeline_t self = pipeline ("extract=1-4,chunk=1,embed=1-4");
        self.noise = tenths;
        self.arrive = tenths; /* tenths of a worker, in both stages */
        run (&self, 5 * MINUTE_MS);
        unsigned before = self.changes;
        run (&self, 60 * MINUTE_MS);
        if (self.changes - before > 4)
            fail_msg ("%u changes in an hour of a load of %u tenths", self.changes - before, tenths);
    }
}

static void a_noisy_load_does_not_flap (void **state)
{
    (void)state;
    for (unsigned tenths = 2; tenths <= 38; tenths++) {
        pipeline_t self = pipeline ("extract=1-4,chunk=1,embed=1-4");
        self.noise = tenths;
        for (unsigned second = 0; second < 65 * 60; second++) { /* between nothing and twice as much */
            self.arrive = 2 * tenths * dice (&self);
            run (&self, 1000);
            if (second == 5 * 60)
                self.changes = 0;
        }
        if (self.changes > 24) /* of two stages: each turns once in five minutes */
            fail_msg ("%u changes in an hour of about %u tenths", self.changes, tenths);
    }
}

static void workers_follow_a_load_that_moves_from_stage_to_stage (void **state)
{
    (void)state;
    pipeline_t self = pipeline ("extract=1-4,chunk=1,embed=1-4,total=6");
    for (int round = 0; round < 5; round++) {
        self.rate[STAGE_EXTRACT] = 10;
        self.rate[STAGE_EMBED] = 1000;
        self.arrive = 38;
        run (&self, 5 * MINUTE_MS);
        assert_int_equal (count (&self, STAGE_EXTRACT), 4);
        self.rate[STAGE_EXTRACT] = 1000;
        self.rate[STAGE_EMBED] = 10;
        run (&self, 5 * MINUTE_MS);
        assert_int_equal (count (&self, STAGE_EMBED), 4);
    }
    assert_in_range (self.changes, 10 * 3, 10 * 8); /* three come, three go; a few more at most */
}

/*  Half of the time each stage has nothing to do: too short a time to move anything. */
static void a_load_that_swings_fast_is_not_followed (void **state)
{
    (void)state;
    pipeline_t self = pipeline ("extract=1-4,chunk=1,embed=1-4");
    self.rate[STAGE_EMBED] = 1000;
    run (&self, MINUTE_MS);
    for (int i = 0; i < 900; i++) {
        self.arrive = i % 2 ? 0 : 30;
        run (&self, 2000);
        if (i == 150)
            self.changes = 0;
    }
    assert_in_range (self.changes, 0, 6);
}

/*  Three workers for two stages that could do with four. The one that moves stays: the other one's time to spare is not
 *  enough to move it back. */
static void where_no_number_is_right_it_settles_all_the_same (void **state)
{
    (void)state;
    for (unsigned load = 10; load <= 100; load += 5) {
        pipeline_t self = pipeline ("extract=1-2,chunk=1,embed=1-2,total=4");
        self.arrive = load;
        run (&self, 10 * MINUTE_MS);
        assert_in_range (self.changes, 0, 6);
        self.changes = 0;
        run (&self, 60 * MINUTE_MS);
        assert_in_range (self.changes, 0, 2);
    }
}

/*  Work for a minute, nothing for a minute, and so on: to turn round becomes dear, and after a while it is not worth
 * it. A day later, when such a load comes once more, that is forgotten. */
static void who_turns_often_turns_less_often (void **state)
{
    (void)state;
    pipeline_t self = pipeline ("extract=1-4,chunk=1,embed=1");
    self.rate[STAGE_EMBED] = 1000;
    unsigned turns[3] = { 0 };
    for (unsigned hour = 0; hour < 3; hour++) {
        for (unsigned minute = 0; minute < 60; minute++) {
            self.arrive = minute % 2 ? 0 : 35;
            run (&self, MINUTE_MS);
        }
        turns[hour] = self.turns;
        self.turns = 0;
    }
    assert_in_range (turns[0], 2, 14); /* of 120 that the load would make */
    assert_in_range (turns[1], 0, 8);
    assert_in_range (turns[2], 0, 8);
    self.arrive = 0;
    run (&self, 24 * 60 * MINUTE_MS);
    assert_int_equal (count (&self, STAGE_EXTRACT), 1);
    self.arrive = 35;
    run (&self, MINUTE_MS / 2);
    assert_int_equal (count (&self, STAGE_EXTRACT), 4);
}

/*  Everything is busy because the cores are: it grows to its limits at most, and stays there. */
static void too_few_cores_do_not_make_it_flap (void **state)
{
    (void)state;
    pipeline_t self = pipeline ("extract=1-4,chunk=1,embed=1-4");
    self.capacity = 2;
    self.arrive = 50;
    run (&self, 10 * MINUTE_MS);
    unsigned before = self.changes;
    run (&self, 60 * MINUTE_MS);
    assert_in_range (self.changes - before, 0, 12);
}

static void what_has_nothing_to_do_goes_back_to_its_least (void **state)
{
    (void)state;
    pipeline_t self = pipeline ("extract=1-4,chunk=1,embed=0-4");
    self.arrive = 35;
    run (&self, 2 * MINUTE_MS);
    assert_int_equal (count (&self, STAGE_EXTRACT), 4);
    self.arrive = 0;
    run (&self, 4 * MINUTE_MS);
    assert_int_equal (count (&self, STAGE_EXTRACT), 1);
    assert_int_equal (count (&self, STAGE_EMBED), 0);
    self.queue[STAGE_EXTRACT] = 1; /* and one unit is enough to bring one back */
    run (&self, MINUTE_MS / 2);
    assert_true (self.queue[STAGE_EMBED] < 0.5);
}

static void nothing_is_added_behind_one_that_does_not_come_up (void **state)
{
    (void)state;
    pipeline_t self = pipeline ("extract=1-4,chunk=1,embed=1");
    self.rate[STAGE_EMBED] = 1000;
    self.broken[STAGE_EXTRACT] = true;
    self.arrive = 100;
    run (&self, 5 * MINUTE_MS);
    assert_int_equal (count (&self, STAGE_EXTRACT), 2);
    self.broken[STAGE_EXTRACT] = false;
    run (&self, MINUTE_MS);
    assert_int_equal (count (&self, STAGE_EXTRACT), 4);
}

static void who_did_not_look_for_long_draws_no_conclusion_from_one_look (void **state)
{
    (void)state;
    pipeline_t self = pipeline ("extract=1-4,chunk=1,embed=1");
    self.queue[STAGE_EXTRACT] = 1000;
    self.busy[STAGE_EXTRACT] = 1;
    self.now += 10 * MINUTE_MS; /* the broker was away */
    look (&self);
    assert_int_equal (self.changes, 0);
}

/*  --- what the option says --- */

static void the_option_says_counts_ranges_and_totals (void **state)
{
    (void)state;
    scale_limits_t found = limits ("extract=3");
    assert_false (scale_is_needed (&found));
    assert_int_equal (found.least[STAGE_EXTRACT], 3);
    assert_int_equal (found.most[STAGE_EXTRACT], 3);
    assert_int_equal (found.least[STAGE_EMBED], 2); /* not named: as it was */
    found = limits ("extract=1-4,chunk=0,storage=1,total=5");
    assert_true (scale_is_needed (&found));
    assert_int_equal (found.most[STAGE_EXTRACT], 4);
    assert_int_equal (found.most[STAGE_CHUNK], 0);
    assert_int_equal (found.total, 5);
    found = limits ("6");
    for (int i = 0; i < SCALE_STAGES; i++) {
        assert_int_equal (found.least[i], 1);
        assert_int_equal (found.most[i], 4);
    }
    assert_int_equal (found.total, 6);
    found = limits ("extract=64,chunk=64,embed=64");
    assert_int_equal (found.total, 192);
}

static void the_option_refuses_what_cannot_be (void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        ",",
        "extract",
        "extract=",
        "extract=x",
        "extract=1,",
        "extract=1,,chunk=1",
        "extract=-1",
        "a=1",
        "extract=3-2",
        "extract=1-",
        "extract=65",
        "extract=1-65",
        "extract=99999999999999999999",
        "storage=2",
        "total=",
        "total=1-2",
        "extract=1-2-3",
        "2",

        "extract=1,extract=2",
        "total=8,9",
        "0",
        " extract=1",
        "extract = 1",
        "extract=1 ",
        "Extract=1",
        "extract=4-4,total=6",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        scale_limits_t found = { .least = { 2, 1, 2 }, .most = { 2, 1, 2 } };
        err_t err = { 0 };
        if (scale_parse (wrong[i], &found, &err) != -1)
            fail_msg ("'%s' is taken", wrong[i]);
        assert_int_equal (err.code, ERR_CONFIG);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_step_grows_what_lacks_workers_within_seconds_and_nothing_else),
        cmocka_unit_test (a_burst_that_is_over_soon_changes_nothing),
        cmocka_unit_test (a_steady_load_does_not_flap),
        cmocka_unit_test (a_noisy_load_does_not_flap),
        cmocka_unit_test (workers_follow_a_load_that_moves_from_stage_to_stage),
        cmocka_unit_test (a_load_that_swings_fast_is_not_followed),
        cmocka_unit_test (where_no_number_is_right_it_settles_all_the_same),
        cmocka_unit_test (who_turns_often_turns_less_often),
        cmocka_unit_test (too_few_cores_do_not_make_it_flap),
        cmocka_unit_test (what_has_nothing_to_do_goes_back_to_its_least),
        cmocka_unit_test (nothing_is_added_behind_one_that_does_not_come_up),
        cmocka_unit_test (who_did_not_look_for_long_draws_no_conclusion_from_one_look),
        cmocka_unit_test (the_option_says_counts_ranges_and_totals),
        cmocka_unit_test (the_option_refuses_what_cannot_be),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
