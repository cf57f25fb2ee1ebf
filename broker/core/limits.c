#include "broker/core/limits.h"

#define NS_A_MS         1000000u
#define NS_A_S          1000000000u
#define RETRY_MAX_S     3600u
#define RETRY_UNKNOWN_S 30u   /* nothing was ever processed that could tell how long it takes */
#define RECORDS_BYTES   4096u /* what a document takes besides its bytes */
#define DATABASE_COPIES 2u    /* what is committed is in the log first, then in a table */

/*  The bucket as one number (a "theoretical arrival time"): when it will be full again. */
int limits_take_token (core_t *self, user_t *user, err_t *err)
{
    uint32_t rate = self->config.user_rate, burst = self->config.user_burst ? self->config.user_burst : 1;
    if (!rate)
        return 0;
    uint64_t now = self->now * NS_A_MS, each = NS_A_S / rate;
    uint64_t full_at = user->bucket_full_ns > now ? user->bucket_full_ns : now;
    if (full_at + each > now + burst * each) {
        err_set (err, ERR_RATE_LIMITED, "more than %u requests a second that make work, %u at once: send fewer", rate,
                 burst);
        if (err)
            err->retry_after_s = (uint32_t)((full_at + each - burst * each - now + NS_A_S - 1) / NS_A_S);
        return -1;
    }
    user->bucket_full_ns = BUG (TOKENS_FREE) ? full_at : full_at + each;
    return 0;
}

/*  Until one of the user's tasks is begun: as fast as extraction goes now; else as long as a task has taken. */
static uint32_t next_start_s (const user_t *user)
{
    double rate = user->done_per_second[STAGE_EXTRACT];
    const record_user_t *record = &user->record;
    double seconds = rate > 0            ? 1 / rate
                     : record->completed ? (double)record->processing_ms / 1000 / (double)record->completed
                                         : RETRY_UNKNOWN_S;
    return seconds < 1 ? 1 : seconds > RETRY_MAX_S ? RETRY_MAX_S : (uint32_t)(seconds + 0.999);
}

int limits_check_task (const core_t *self, const user_t *user, err_t *err)
{
    uint64_t mine = self->config.user_tasks, all = self->config.tasks_max;
    if (mine && user->pending >= mine + BUG (ONE_TASK_MORE))
        err_set (err, ERR_QUEUE_FULL, "%llu tasks of yours wait already: try again when some have been begun",
                 (unsigned long long)user->pending);
    else if (all && self->tasks.count >= all)
        err_set (err, ERR_QUEUE_FULL, "%zu tasks wait already, of all users: try again when some have ended",
                 self->tasks.count);
    else
        return 0;
    if (err)
        err->retry_after_s = next_start_s (user);
    return -1;
}

int limits_check_bytes (const core_t *self, const user_t *user, uint64_t bytes, err_t *err)
{
    uint64_t most = self->config.user_bytes, used = user->record.bytes;
    if (!most || (used <= most && bytes <= most - used))
        return 0;
    err_set (err, ERR_QUOTA_EXCEEDED, "your documents have %llu of %llu bytes, and %llu more do not fit: delete some",
             (unsigned long long)used, (unsigned long long)most, (unsigned long long)bytes);
    if (err)
        err->retry_after_s = RETRY_MAX_S; /* it takes the user, not time */
    return -1;
}

static uint64_t on_disk (uint64_t bytes)
{
    return bytes * DATABASE_COPIES + RECORDS_BYTES;
}

int limits_check_disk (const core_t *self, uint64_t bytes, err_t *err)
{
    if (on_disk (bytes) <= self->disk_room)
        return 0;
    return err_set (err, ERR_DISK_FULL, "the disk is nearly full: free some space, then try again");
}

void limits_use_disk (core_t *self, uint64_t bytes)
{
    uint64_t used = on_disk (bytes);
    self->disk_room -= used < self->disk_room ? used : self->disk_room;
}
