/*  sim: the unmodified core in a world made by dice: clients that submit, cancel, delete and ask; workers that die,
 *  stall, lie; crashes at every point of a turn, with and without the power; full disks; clocks that jump. After every
 *  step it is checked that the core keeps its promises:
 *
 *      what was acknowledged exists · a task ends in one final state, and that stays · what completed is in the depot,
 *      once, whole · what was cancelled, failed or deleted is not · progress never falls · events are numbered without
 *      gaps, and are their owner's · no worker has more than its slots · after every misfortune all work ends
 *
 *  `sim --seed N --steps M` replays. Exit code 1 and a reason on stderr when a promise is broken.
 */
#include "tests/sim/sim.h"
#include "base/log.h"
#include "base/options.h"
#include "broker/core/bugs.h"
#include "tests/sim/attempts.h"
#include "tests/sim/meetings.h"
#include "tests/sim/waits.h"

#define MEETINGS_STEPS 1000000u /* of so many it is expected that every pair was seen */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const option_t table[] = {
    { "seed", OPTION_NUMBER, "1", "N", "the same seed, the same run" },
    { "steps", OPTION_NUMBER, "100000", "N", "how long" },
#ifdef MYELIN_BUGS
    { "bug", OPTION_NUMBER, "0", "N", "one that is to be found; 0: all, one after the other" },
#endif
    { "trace", OPTION_NUMBER, "0", "N", "from this step on every message is printed; 0: none is" },
    { 0 },
};

#ifdef MYELIN_BUGS
core_bug_t core_bug;
#endif

sim_t sim;
static waits_t *waits;
static attempts_t *attempts;
const char *const user_names[USERS] = { "ann", "bob", "local" };
const char *const status_names[STATUSES] = { "?", "pending", "processing", "completed", "failed", "cancelled" };

void broken (const char *format, ...)
{
    va_list args;
    va_start (args, format);
    fprintf (stderr, "sim: step %" PRIu64 ": ", sim.step);
    vfprintf (stderr, format, args);
    fprintf (stderr, "\n");
    va_end (args);
    exit (1);
}

const char *name_of (uuid_t id)
{
    static char text[UUID_TEXT];
    uuid_text (id, text);
    return text;
}

/*  --- letters --- */

static void trace (const char *what, const wire_msg_t *msg)
{
    if (!sim.trace || sim.step < sim.trace)
        return;
    str_t text = STR_INIT;
    wire_print (msg, &text);
    fprintf (stderr, "%" PRIu64 " %s %.*s\n", sim.step, what, SPAN_ARG (str_span (&text)));
    str_free (&text);
}

static void trace_out (const out_t *out)
{
    wire_msg_t msg;
    err_t err;
    if (!sim.trace || sim.step < sim.trace)
        return;
    if (out->kind == OUT_PUBLISH)
        fprintf (stderr, "%" PRIu64 " pub %.*s\n", sim.step, SPAN_ARG (buf_span (out->frames[1])));
    else if (out->kind <= OUT_WORKER && wire_decode (buf_span (out->frames[0]), &msg, &err) == 0)
        trace ("out", &msg);
}

void post_letter (frames_t *letter)
{
    if (sim.letter_count == LETTERS_MAX)
        broken ("%zu letters are on the way to the broker", sim.letter_count);
    sim.letters[sim.letter_count++] = *letter;
}

/*  How seldom somebody meddles with a job: the later the stage, the fewer there are. */
static uint32_t seldom (uint8_t stage)
{
    static const uint32_t times[STAGE_COUNT] = { 40, 30, 12, 1 };
    return stage < STAGE_COUNT ? times[stage] : 1;
}

/*  Now and then somebody meddles with a task just before the broker reads of it, or just after. */
static void post (void *self, frames_t *letter)
{
    (void)self;
    uuid_t task = letter->msg.kind == WIRE_KIND_RESULT ? letter->msg.result.task : (uuid_t){ { 0 } };
    bool meddle = sim.meddlesome && !sim.calm && !uuid_is_null (task) &&
                  dice_one_in (&sim.dice, seldom (letter->msg.result.stage));
    bool before = meddle && !dice_one_in (&sim.dice, 3); /* who is before meets it */
    /* The worst time for a cancel: storage has committed, and the broker has not read of it. */
    if (!sim.calm && letter->msg.kind == WIRE_KIND_RESULT && letter->msg.result.stage == STAGE_STORAGE &&
        clients_is_last (task, letter->msg.result.segment) && dice_one_in (&sim.dice, 6))
        clients_ask_about (ASK_CANCEL, task);
    else if (before)
        clients_meddle_with (task);
    post_letter (letter);
    if (meddle && !before)
        clients_meddle_with (task);
}

/*  Or when a job has just left for a worker. */
static void meddle_with_job (const out_t *out)
{
    wire_msg_t msg;
    err_t err;
    if (sim.calm || wire_decode (buf_span (out->frames[0]), &msg, &err) == -1 || msg.kind != WIRE_KIND_JOB)
        return;
    if (sim.meddlesome && dice_one_in (&sim.dice, msg.job.final ? 1 : 2 * seldom (msg.job.stage)))
        clients_meddle_with (msg.job.task);
}

static void release_one (const out_t *out)
{
    trace_out (out);
    attempts_out (attempts, out);
    switch (out->kind) {
    case OUT_REPLY:
        clients_hear_answer (out);
        break;
    case OUT_WORKER:
        if (!hands_hear (sim.hands, out))
            broken ("the broker breaks the rules of its grants");
        meddle_with_job (out);
        break;
    case OUT_PUBLISH:
        clients_hear_event (out);
        break;
    case OUT_KILL:
        hands_kill_one (sim.hands, out->worker, sim.now);
        sim.killed++;
        break;
    default:
        break;
    }
}

/*  --- crashes --- */

static void open_core (void)
{
    err_t err = { 0 };
    sim.config.seed = dice_roll (&sim.dice);
    limits_choose ();
    sim.core = core_new (&sim.config, sim.kv, sim.now, sim.wall, &err);
    if (!sim.core)
        broken ("the core does not start: %s", err.message);
    core_subscription (sim.core, SPAN_EMPTY, true);
    sim.disk_full = false;
}

/*  The broker dies. What nobody answered nobody knows the end of. */
static void crash (bool power)
{
    if (sim.trace)
        fprintf (stderr, "%" PRIu64 " crash%s\n", sim.step, power ? ", power lost" : "");
    core_destroy (&sim.core);
    waits_forget (waits);
    attempts_forget (attempts);
    kv_memory_crash (sim.kv, power);
    if (power)
        depot_power_lost (sim.depot);
    hands_broker_died (sim.hands);
    sim.crashes++;
    sim.cuts += power;
    size_t kept = 0;
    for (size_t i = 0; i < sim.letter_count; i++) /* some of what was on the way comes through to the next one */
        if (power || dice_one_in (&sim.dice, 2) || sim.letters[i].route)
            frames_clear (&sim.letters[i]);
        else
            sim.letters[kept++] = sim.letters[i];
    sim.letter_count = kept;
    sim.asked_count = 0;
    for (uint32_t i = 0; i < USERS; i++) {
        sim.seq_loose[i] = true;
        if (power)
            sim.seq[i] = 0; /* those who listened lost power, too */
    }
    for (size_t i = 0; i < sim.task_count; i++) {
        sim.tasks[i].power_lost |= power;
        if (power && !is_final (sim.tasks[i].final))
            sim.tasks[i].progress = 0;
    }
    open_core ();
}

/*  One turn, which may end anywhere. */
void turn (void)
{
    err_t err;
    sim.turns++;
    core_begin (sim.core, sim.now, sim.wall);
    size_t reading = sim.letter_count ? 1 + dice_below (&sim.dice, 6) : 0;
    if (sim.calm)
        reading = sim.letter_count;
    for (size_t i = 0; i < reading && sim.letter_count; i++) {
        /* Letters of one sender keep their order; to pick another sender's first is enough disorder. */
        frames_t letter = sim.letters[0];
        memmove (sim.letters, sim.letters + 1, --sim.letter_count * sizeof *sim.letters);
        trace ("in ", &letter.msg);
        meetings_note (&letter);
        if (!attempts_input (attempts, sim.core, &letter))
            broken ("a result that is void is not ignored and counted");
        frames_clear (&letter);
    }
    bool unlucky = !sim.calm && dice_one_in (&sim.dice, 100);
    if (unlucky && dice_one_in (&sim.dice, 3)) {
        crash (dice_one_in (&sim.dice, 2)); /* before the commit */
        return;
    }
    waits_before (waits, sim.core);
    core_dispatch (sim.core);
    if (!waits_after (waits, sim.core))
        broken ("a bound of waiting is broken");
    if (unlucky && dice_one_in (&sim.dice, 3))
        kv_memory_fail_next_commit (sim.kv);
    if (core_commit (sim.core, &err) == -1) {
        crash (dice_one_in (&sim.dice, 2));
        return;
    }
    out_t out;
    for (size_t i = 0; core_outbox_take (sim.core, &out); i++) {
        release_one (&out);
        out_clear (&out);
        if (unlucky && dice_one_in (&sim.dice, 4)) { /* after the commit, in the middle of what it had to say */
            crash (dice_one_in (&sim.dice, 2));
            return;
        }
    }
}

/*  --- the whole --- */

void pass (uint64_t ms)
{
    sim.now += ms;
    sim.wall += ms;
}

static void hire_all (void)
{
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        for (int i = 0; i < (stage == STAGE_STORAGE ? 1 : 2); i++)
            hands_hire (sim.hands, (stage_t)stage, stage == STAGE_EXTRACT ? 2 : 4, sim.now);
}

static void misfortune (void)
{
    uuid_t gone;
    switch (dice_below (&sim.dice, 10)) {
    case 8:
        hands_hang (sim.hands);
        break;
    case 9:
        hands_lose (sim.hands);
        break;
    case 0:
        hands_kill (sim.hands, sim.now, &gone);
        if (!dice_one_in (&sim.dice, 4)) /* else only its silence tells */
            core_worker_gone (sim.core, gone);
        break;
    case 1:
        hands_stall (sim.hands, sim.now);
        break;
    case 2:
        hands_drain (sim.hands, sim.now);
        break;
    case 3:
    case 4:
        hands_lie (sim.hands, sim.now);
        break;
    case 5:
        sim.disk_full = !sim.disk_full;
        core_refuse (sim.core, sim.disk_full ? ERR_DISK_FULL : ERR_NONE);
        break;
    case 6:
        sim.wall += dice_below (&sim.dice, 7200000);
        sim.wall -= dice_below (&sim.dice, 7200000);
        break;
    default:
        pass (dice_below (&sim.dice, 6000));
        break;
    }
}

static void step (void)
{
    uint32_t what = dice_below (&sim.dice, 100);
    if (what < 40)
        hands_step (sim.hands, sim.now);
    else if (what < 75)
        turn ();
    else if (what < 84)
        pass (1 + dice_below (&sim.dice, sim.rush ? 400 : 40));
    else if (what < 90) {
        clients_submit ();
        if (sim.rush)
            clients_submit ();
    } else if (what < 94)
        clients_meddle (ASK_GET);
    else if (what < 98)
        clients_meddle ((ask_t)(ASK_CANCEL + dice_below (&sim.dice, ASK_RETRY)));
    else if (dice_one_in (&sim.dice, 2))
        misfortune ();
}

static void run (uint64_t seed, uint64_t steps, uint64_t trace_from)
{
    sim = (sim_t){
        .dice = { seed }, .config = core_config_default, .trace = trace_from, .now = 1000000, .wall = 1700000000000u
    };
    sim.config.active_max = 16;
    sim.config.window = 3;
    sim.config.silence_ms = 8000;
    sim.letters = calloc (LETTERS_MAX, sizeof *sim.letters);
    sim.kv = kv_memory_new (FAMILY_COUNT);
    sim.depot = depot_new ();
    waits = waits_new ();
    attempts = attempts_new ();
    sim.hands = hands_new (&sim.dice, sim.depot, post, NULL);
    open_core ();
    hire_all ();
    for (sim.step = 1; sim.step <= steps; sim.step++) {
        step ();
        if (sim.step % SETTLE_EVERY == 0 || sim.step == steps) {
            check_settled ();
            sim.rush = dice_one_in (&sim.dice, 3);
            sim.meddlesome = dice_one_in (&sim.dice, 3);
        }
    }
    printf ("seed %" PRIu64 ": %" PRIu64 " steps, %" PRIu64 " turns, %" PRIu64 " crashes (%" PRIu64
            " without power), %" PRIu64 " events, %" PRIu64 " workers killed for standing still, %" PRIu64
            " tasks ended, %" PRIu64 " results checked\n",
            seed, steps, sim.turns, sim.crashes, sim.cuts, sim.events, sim.killed, sim.ended, sim.results_checked);
    waits_print (waits);
    attempts_print (attempts);
    printf ("refused: %" PRIu64 " for the tasks that wait, %" PRIu64 " for the rate, %" PRIu64 " for the bytes\n",
            sim.limited[0], sim.limited[1], sim.limited[2]);
    meetings_print (steps >= MEETINGS_STEPS);
    waits_destroy (&waits);
    attempts_destroy (&attempts);
    hands_destroy (&sim.hands);
    core_destroy (&sim.core);
    kv_destroy (&sim.kv);
    depot_destroy (&sim.depot);
    for (size_t i = 0; i < sim.letter_count; i++)
        frames_clear (&sim.letters[i]);
    free (sim.letters);
    free (sim.asked);
}

#ifdef MYELIN_BUGS
static const char *const bug_names[] = { "none",
#define CORE_BUG_NAME(sym, what) what,
                                         CORE_BUGS (CORE_BUG_NAME)
#undef CORE_BUG_NAME
};

#define TRIES 12u /* seeds: the rarer a bug shows, the more luck it takes */

/*  True when the bug breaks a promise within `steps`. */
static bool is_found (int bug, uint64_t seed, uint64_t steps)
{
    fflush (stdout);
    pid_t pid = fork ();
    if (pid == 0) {
        core_bug = (core_bug_t)bug;
        run (seed, steps, 0);
        _exit (0);
    }
    int status = 0;
    return pid > 0 && waitpid (pid, &status, 0) == pid && WIFEXITED (status) && WEXITSTATUS (status) == 1;
}

/*  Says which are not found. */
static int hunt (uint64_t seed, uint64_t steps)
{
    int missed = 0;
    for (int bug = 1; bug < BUG_COUNT; bug++) {
        bool found = false;
        for (uint64_t i = 0; i < TRIES && !found; i++)
            found = is_found (bug, seed + i, steps);
        missed += !found;
        printf ("%-6s %s\n", found ? "found" : "MISSED", bug_names[bug]);
    }
    printf ("%d of %d bugs found\n", BUG_COUNT - 1 - missed, BUG_COUNT - 1);
    return missed ? 1 : 0;
}
#endif

int main (int argc, char **argv)
{
    err_t err;
    options_t *options = options_new (table, argc, argv, &err);
    if (!options || options_help_wanted (options)) {
        fprintf (stderr, "%s\n", options ? "sim [--seed N] [--steps M]" : err.message);
        return 2;
    }
    uint64_t seed = options_number (options, "seed"), steps = options_number (options, "steps");
    uint64_t trace_from = options_number (options, "trace");
    log_init ("sim", LOG_ERROR + 1);
#ifdef MYELIN_BUGS
    core_bug = (core_bug_t)options_number (options, "bug");
    if (core_bug == BUG_NONE) {
        options_destroy (&options);
        return hunt (seed, steps);
    }
#endif
    options_destroy (&options);
    run (seed, steps, trace_from);
    return 0;
}
