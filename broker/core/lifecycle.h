/*  lifecycle.h: what may happen to a task, as a table of (status, event) → (allowed?, next status).
 *
 *      submit ─→ pending ──start──→ processing ──complete──→ completed ─┐
 *                   │                   │ ├─────fail───────→ failed ────┤ replay: back to pending
 *                   └──────cancel───────┘ └────cancel──────→ cancelled ─┘ remove: gone
 */
#ifndef BROKER_CORE_LIFECYCLE_H
#define BROKER_CORE_LIFECYCLE_H

#include <stdbool.h>

/*  X (symbol, name) */
#define TASK_STATUSES(X)                                                                                               \
    X (PENDING, "pending")                                                                                             \
    X (PROCESSING, "processing") X (COMPLETED, "completed") X (FAILED, "failed") X (CANCELLED, "cancelled")
typedef enum {
#define TASK_STATUS_ENUM(sym, name) TASK_##sym,
    TASK_STATUSES (TASK_STATUS_ENUM)
#undef TASK_STATUS_ENUM
        TASK_STATUS_COUNT
} task_status_t;

/*  X (symbol, name) */
#define TASK_EVENTS(X)                                                                                                 \
    X (START, "start")       /* its first job goes out */                                                              \
    X (RESUME, "resume")     /* the broker restarted: it waits again */                                                \
    X (COMPLETE, "complete") /* its revision is committed */                                                           \
    X (FAIL, "fail")                                                                                                   \
    X (CANCEL, "cancel")                                                                                               \
    X (REPRIORITISE, "reprioritise")                                                                                   \
    X (HURRY, "hurry")   /* to the front of the queue */                                                               \
    X (REPLAY, "replay") /* again, as a new revision */                                                                \
    X (REMOVE, "remove")
typedef enum {
#define TASK_EVENT_ENUM(sym, name) TASK_ON_##sym,
    TASK_EVENTS (TASK_EVENT_ENUM)
#undef TASK_EVENT_ENUM
        TASK_EVENT_COUNT
} task_event_t;

/*  True and *next when `event` may happen in `status`; false: the answer is a conflict. */
bool lifecycle_step (task_status_t status, task_event_t event, task_status_t *next);
bool lifecycle_ended (task_status_t status);
const char *task_status_name (task_status_t status);
const char *task_event_name (task_event_t event);

#endif
