/*  failpoint.h: named places around every commit and every send at which a test has a process die, stand still, or a
 *  call fail. They exist only where MYELIN_FAILPOINTS is defined, in builds for tests: release programs have none.
 *
 *  The environment says what happens where:
 *
 *    MYELIN_FAILPOINTS="broker.commit.before=crash@3,blob.*=error@1/10*20"
 *
 *    name    of the table, or the beginning of some with a `*`; what is named later wins
 *    action  crash (SIGKILL to itself), error (the call returns its error), pause (SIGSTOP to itself)
 *    @N      the Nth time that this process passes;  @1/N  each time, with a chance of one in N;  neither: each time
 *    *M      at most M times, counted over all processes that share the file of counts; neither: for ever
 *
 *  MYELIN_FAILPOINTS_COUNTS names that file. It holds for each failpoint in the order of the table two little-endian
 *  64-bit numbers, how often it was passed and how often something was done; it is made when it is missing, and what is
 *  counted there outlives the process that counted. A value that cannot be understood ends the program with exit
 * code 2.
 */
#ifndef BASE_FAILPOINT_H
#define BASE_FAILPOINT_H

#include "base/err.h"

/*  X (symbol, name, the call can return an error) */
#define FAILPOINTS(X)                                                                                                  \
    X (BROKER_START, "broker.start", false)                                                                            \
    X (BROKER_COMMIT_BEFORE, "broker.commit.before", true)                                                             \
    X (BROKER_COMMIT_AFTER, "broker.commit.after", false)                                                              \
    X (BROKER_SEND_REPLY, "broker.send.reply", false)                                                                  \
    X (BROKER_SEND_JOB, "broker.send.job", true)                                                                       \
    X (BROKER_SEND_ACK, "broker.send.ack", true)                                                                       \
    X (BROKER_SEND_EVENT, "broker.send.event", true)                                                                   \
    X (BROKER_UNLINK_BEFORE, "broker.unlink.before", true)                                                             \
    X (BROKER_UNLINK_AFTER, "broker.unlink.after", false)                                                              \
    X (WORKER_JOB, "worker.job", false)                                                                                \
    X (WORKER_RESULT_BEFORE, "worker.result.before", true)                                                             \
    X (WORKER_RESULT_AFTER, "worker.result.after", false)                                                              \
    X (WORKER_ACK, "worker.ack", false)                                                                                \
    X (KV_MARK, "kv.mark", false)                                                                                      \
    X (STORAGE_START, "storage.start", false)                                                                          \
    X (STORAGE_APPLY, "storage.apply", true)                                                                           \
    X (STORAGE_REMOVALS_BEFORE, "storage.removals.before", true)                                                       \
    X (STORAGE_REMOVALS_AFTER, "storage.removals.after", false)                                                        \
    X (STORAGE_COMMIT_BEFORE, "storage.commit.before", true)                                                           \
    X (STORAGE_COMMIT_AFTER, "storage.commit.after", false)                                                            \
    X (STORAGE_INDEX_BEFORE, "storage.index.before", true)                                                             \
    X (STORAGE_INDEX_AFTER, "storage.index.after", false)                                                              \
    X (STORAGE_SWITCH_BEFORE, "storage.switch.before", true)                                                           \
    X (STORAGE_SWITCH_AFTER, "storage.switch.after", false)                                                            \
    X (STORAGE_REPLY, "storage.reply", false)                                                                          \
    X (BLOB_WRITE, "blob.write", true)                                                                                 \
    X (BLOB_SYNC, "blob.sync", true)                                                                                   \
    X (BLOB_RENAME, "blob.rename", true)                                                                               \
    X (BLOB_DIR_SYNC, "blob.dir.sync", true)                                                                           \
    X (BLOB_KEPT, "blob.kept", false)                                                                                  \
    X (GATEWAY_ASK, "gateway.ask", true)                                                                               \
    X (GATEWAY_ANSWER, "gateway.answer", false)

typedef enum {
#define FAILPOINT_ENUM(sym, name, can_fail) FAILPOINT_##sym,
    FAILPOINTS (FAILPOINT_ENUM)
#undef FAILPOINT_ENUM
        FAILPOINT_COUNT
} failpoint_t;

#ifdef MYELIN_FAILPOINTS

/*  0, or -1 with ERR_IO in *err (NULL is allowed) when the call shall fail. Thread-safe. */
int failpoint_pass (failpoint_t which, err_t *err);

/*  A statement: a place where a process may die or stand still. */
#define FAILPOINT(sym) (void)failpoint_pass (FAILPOINT_##sym, NULL)
/*  An expression: the same, and -1 with *err when the call shall return its error. */
#define FAILPOINT_ERROR(sym, err) failpoint_pass (FAILPOINT_##sym, err)

#else
#define FAILPOINT(sym)            (void)0
#define FAILPOINT_ERROR(sym, err) 0
#endif

#endif
