#include "broker/core/lifecycle.h"

/*  -1: not allowed. Rows are statuses, columns events. */
static const signed char table[TASK_STATUS_COUNT][TASK_EVENT_COUNT] = {
#define NO -1
    /*                   start            resume        complete        fail         cancel          reprioritise hurry
       replay        remove */
    [TASK_PENDING] = { TASK_PROCESSING, TASK_PENDING, NO, TASK_FAILED, TASK_CANCELLED, TASK_PENDING, TASK_PENDING, NO,
                       TASK_CANCELLED },
    [TASK_PROCESSING] = { TASK_PROCESSING, TASK_PROCESSING, TASK_COMPLETED, TASK_FAILED, TASK_CANCELLED,
                          TASK_PROCESSING, NO, NO, TASK_CANCELLED },
    [TASK_COMPLETED] = { NO, NO, NO, NO, NO, NO, NO, TASK_PENDING, TASK_COMPLETED },
    [TASK_FAILED] = { NO, NO, NO, NO, NO, NO, NO, TASK_PENDING, TASK_FAILED },
    [TASK_CANCELLED] = { NO, NO, NO, NO, NO, NO, NO, TASK_PENDING, TASK_CANCELLED },
#undef NO
};

static const char *const status_names[TASK_STATUS_COUNT] = {
#define TASK_STATUS_NAME(sym, name) name,
    TASK_STATUSES (TASK_STATUS_NAME)
#undef TASK_STATUS_NAME
};

static const char *const event_names[TASK_EVENT_COUNT] = {
#define TASK_EVENT_NAME(sym, name) name,
    TASK_EVENTS (TASK_EVENT_NAME)
#undef TASK_EVENT_NAME
};

bool lifecycle_step (task_status_t status, task_event_t event, task_status_t *next)
{
    if (status >= TASK_STATUS_COUNT || event >= TASK_EVENT_COUNT || table[status][event] < 0)
        return false;
    *next = (task_status_t)table[status][event];
    return true;
}

bool lifecycle_ended (task_status_t status)
{
    return status != TASK_PENDING && status != TASK_PROCESSING;
}

const char *task_status_name (task_status_t status)
{
    return status < TASK_STATUS_COUNT ? status_names[status] : "unknown";
}

const char *task_event_name (task_event_t event)
{
    return event < TASK_EVENT_COUNT ? event_names[event] : "unknown";
}
