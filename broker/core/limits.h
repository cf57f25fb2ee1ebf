/*  limits.h: what a user may have waiting and stored, and ask for in a second; what all of them may; what the disk has
 *  room for. They are looked at before anything is stored.
 *
 *  Rate: a bucket of `user_burst` tokens that fills at `user_rate` a second; each request that makes work takes one,
 *  whatever comes of it afterwards. It is kept in memory alone: a restart fills it.
 */
#ifndef BROKER_CORE_LIMITS_H
#define BROKER_CORE_LIMITS_H

#include "broker/core/state.h"

/*  0, or -1 with the error that answers the request, when it may be sent again in err->retry_after_s. */

/*  Takes a token. ERR_RATE_LIMITED. */
int limits_take_token (core_t *self, user_t *user, err_t *err);
/*  One more task. ERR_QUEUE_FULL. */
int limits_check_task (const core_t *self, const user_t *user, err_t *err);
/*  A document of so many bytes more. ERR_QUOTA_EXCEEDED. */
int limits_check_bytes (const core_t *self, const user_t *user, uint64_t bytes, err_t *err);
/*  So much is about to be written. ERR_DISK_FULL. */
int limits_check_disk (const core_t *self, uint64_t bytes, err_t *err);
/*  It will be: takes that off what the disk has room for, until core_disk_room says how much there really is. */
void limits_use_disk (core_t *self, uint64_t bytes);

#endif
