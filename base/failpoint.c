#include "base/failpoint.h"

#ifdef MYELIN_FAILPOINTS
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

typedef enum { ACTION_NONE, ACTION_CRASH, ACTION_ERROR, ACTION_PAUSE } action_t;

typedef struct {
    _Atomic uint64_t passed, done; /* in the shared file, or in memory of our own */
} count_t;

typedef struct {
    action_t action;
    uint64_t nth;    /* 0: any */
    uint32_t chance; /* one in so many; 0: always */
    uint64_t most;
    _Atomic uint64_t passed; /* by this process */
} plan_t;

static const struct {
    const char *name;
    bool can_fail;
} points[FAILPOINT_COUNT] = {
#define FAILPOINT_ROW(sym, name, can_fail) { name, can_fail },
    FAILPOINTS (FAILPOINT_ROW)
#undef FAILPOINT_ROW
};
static const char *const actions[] = { "none", "crash", "error", "pause" };

static plan_t plans[FAILPOINT_COUNT];
static count_t own_counts[FAILPOINT_COUNT], *counts = own_counts;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static _Noreturn void refuse (const char *what, span_t text)
{
    err_t err;
    err_set (&err, ERR_CONFIG, "MYELIN_FAILPOINTS: %s '%.*s'", what, SPAN_ARG (text));
    _exit (log_failed ("usage", &err));
}

/*  Takes what is before `mark`, or all of it; then what is left has no data. */
static span_t take (span_t *text, char mark)
{
    const char *end = text->size ? memchr (text->data, mark, text->size) : NULL;
    span_t head = span (text->data, end ? (size_t)(end - text->data) : text->size);
    *text = end ? span (end + 1, text->size - head.size - 1) : SPAN_EMPTY;
    return head;
}

static uint64_t number (span_t text)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.size && text.data[i] >= '0' && text.data[i] <= '9' && value < UINT32_MAX; i++)
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    if (!value)
        refuse ("a number above 0 is wanted, not", text);
    return value;
}

static bool is_named (span_t pattern, const char *name)
{
    if (pattern.size && pattern.data[pattern.size - 1] == '*')
        return strncmp (name, pattern.data, pattern.size - 1) == 0;
    return span_is (pattern, name);
}

static void set (span_t name, const plan_t *plan)
{
    bool found = false, exact = !name.size || name.data[name.size - 1] != '*';
    for (int i = 0; i < FAILPOINT_COUNT; i++) {
        if (!is_named (name, points[i].name))
            continue;
        found = true;
        if (plan->action == ACTION_ERROR && !points[i].can_fail) {
            if (exact)
                refuse ("no error can be returned at", name);
            continue;
        }
        plans[i].action = plan->action;
        plans[i].nth = plan->nth;
        plans[i].chance = plan->chance;
        plans[i].most = plan->most;
    }
    if (!found)
        refuse ("there is no failpoint", name);
}

static void read_plan (span_t text)
{
    while (text.size) {
        span_t most = take (&text, ','), name = take (&most, '=');
        span_t when = take (&most, '*'), what = take (&when, '@');
        plan_t plan = { .most = most.data ? number (most) : UINT64_MAX };
        for (int i = ACTION_CRASH; i <= ACTION_PAUSE; i++)
            if (span_is (what, actions[i]))
                plan.action = (action_t)i;
        if (!plan.action)
            refuse ("the action is crash, error or pause, not", what);
        if (when.size > 2 && memcmp (when.data, "1/", 2) == 0)
            plan.chance = (uint32_t)number (span (when.data + 2, when.size - 2));
        else if (when.data)
            plan.nth = number (when);
        set (name, &plan);
    }
}

static void share_counts (const char *path)
{
    int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *bytes = MAP_FAILED;
    if (fd != -1 && ftruncate (fd, sizeof own_counts) == 0)
        bytes = mmap (NULL, sizeof own_counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        refuse ("cannot use the file of counts", span_str (path));
    close (fd);
    counts = bytes;
}

static void begin (void)
{
    const char *text = getenv ("MYELIN_FAILPOINTS"), *path = getenv ("MYELIN_FAILPOINTS_COUNTS");
    if (path && *path)
        share_counts (path);
    if (text)
        read_plan (span_str (text));
}

/*  A mistake shall show at the start, not when the place is passed. */
__attribute__ ((constructor)) static void begin_early (void)
{
    pthread_once (&once, begin);
}

/*  Takes one of the times that are left. */
static bool take_turn (count_t *count, uint64_t most)
{
    uint64_t done = atomic_load (&count->done);
    while (done < most)
        if (atomic_compare_exchange_weak (&count->done, &done, done + 1))
            return true;
    return false;
}

static bool is_due (plan_t *plan, uint64_t passed)
{
    uint32_t dice = 0;
    if (plan->nth)
        return passed == plan->nth;
    return !plan->chance || (getrandom (&dice, sizeof dice, 0) == (ssize_t)sizeof dice && dice % plan->chance == 0);
}

int failpoint_pass (failpoint_t which, err_t *err)
{
    pthread_once (&once, begin);
    plan_t *plan = &plans[which];
    atomic_fetch_add (&counts[which].passed, 1);
    uint64_t passed = atomic_fetch_add (&plan->passed, 1) + 1;
    if (!plan->action || !is_due (plan, passed) || !take_turn (&counts[which], plan->most))
        return 0;
    log_write (LOG_INFO, "failpoint", NULL, "%s: %s", points[which].name, actions[plan->action]);
    if (plan->action == ACTION_ERROR)
        return err_set (err, ERR_IO, "failpoint %s", points[which].name);
    kill (getpid (), plan->action == ACTION_CRASH ? SIGKILL : SIGSTOP);
    return 0;
}
#endif
