#include "broker/server.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/loopback.h"
#include "broker/ballast.h"
#include "broker/checkpoint.h"
#include "store/blob.h"
#include "store/blob_walk.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zmq.h>

#define DRAIN_MAX     512         /* messages a turn takes from one socket: timers must not starve */
#define DRAIN_BYTES   (16u << 20) /* and about so much: a turn holds what it took in its batch, and in RocksDB's */
#define FIRST_PID     5           /* of what is polled: processes of workers from here on */
#define FEED_HWM      20000
#define DISK_CHECK_MS 1000u
/*  Of the space that is to stay free: with less than a half of it no task is begun, since what is stored for those that
 *  were accepted takes space, too; with less than an eighth the ballast goes, which is a quarter. */
#define HOLD_PART     2u
#define BALLAST_PART  4u
#define RELEASE_PART  8u
#define WALK_MS       3600000u /* how often all blob files are looked at */
#define WALK_STEP     32       /* files a turn */
#define LATE_MS       500u /* a turn so late was stopped, or waited for its disk or a processor: beats waited, too */
#define LAST_WORDS_MS 50u  /* a process that ended may have said more than has come through the sockets yet */

/*  A worker's own socket, and its process when it runs on this host. */
typedef struct {
    uuid_t id;
    void *push;
    int pid_fd;       /* -1: not watched */
    uint64_t gone_ms; /* its process ended: when it is given up; 0: it lives as far as is known */
} peer_t;

struct server {
    server_config_t config;
    core_t *core;
    void *context, *intake, *front, *feed;
    peer_t *peers;
    size_t peer_count, peer_room;
    zmq_pollitem_t *items;
    size_t item_room;
    char pub[256], host[64];
    uint64_t disk_checked_ms;
    bool has_ballast;
    checkpoint_t *checkpoint;
    blob_walk_t *walk; /* NULL: none is under way */
    uint64_t walk_at_ms;
    str_t scratch;
};

static void read_host (char *host, size_t size)
{
    FILE *file = fopen ("/proc/sys/kernel/random/boot_id", "r");
    if (!file || !fgets (host, (int)size, file))
        host[0] = 0;
    host[strcspn (host, "\n")] = 0;
    if (file)
        fclose (file);
}

static int bind_one (void *socket, const char *endpoint, err_t *err)
{
    if (zmq_bind (socket, endpoint) == 0)
        return 0;
    return err_set (err, errno == EINVAL ? ERR_CONFIG : ERR_IO, "cannot bind %s: %s", endpoint, zmq_strerror (errno));
}

server_t *server_new (void *context, const server_config_t *config, core_t *core, err_t *err)
{
    server_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->config = *config;
    self->core = core;
    self->context = context;
    self->checkpoint = checkpoint_new (config->kv, config->data_dir);
    read_host (self->host, sizeof self->host);
    int one = 1, feed_hwm = FEED_HWM;
    self->intake = frames_socket (context, ZMQ_PULL, 0, true, err);
    self->front = frames_socket (context, ZMQ_ROUTER, 1000, true, err);
    self->feed = frames_socket (context, ZMQ_XPUB, 1000, false, err);
    if (!self->intake || !self->front || !self->feed)
        goto fail;
    zmq_setsockopt (self->feed, ZMQ_SNDHWM, &feed_hwm, sizeof feed_hwm);
    zmq_setsockopt (self->feed, ZMQ_XPUB_VERBOSER, &one, sizeof one); /* every subscription: each wants its replay */
    if (bind_one (self->intake, config->intake, err) == -1 || bind_one (self->front, config->front, err) == -1)
        goto fail;
    if (config->feed && bind_one (self->feed, config->feed, err) == -1)
        goto fail;
    if (config->pub) {
        size_t size = sizeof self->pub;
        if (loopback_endpoint ("the feed", config->pub, err) == -1 || bind_one (self->feed, config->pub, err) == -1)
            goto fail;
        zmq_getsockopt (self->feed, ZMQ_LAST_ENDPOINT, self->pub, &size);
    }
    return self;
fail:
    server_destroy (&self);
    return NULL;
}

static void peer_close (server_t *self, size_t i)
{
    zmq_close (self->peers[i].push);
    if (self->peers[i].pid_fd != -1)
        close (self->peers[i].pid_fd);
    self->peers[i] = self->peers[--self->peer_count];
}

void server_destroy (server_t **self_p)
{
    server_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    while (self->peer_count)
        peer_close (self, 0);
    void *sockets[] = { self->intake, self->front, self->feed };
    for (size_t i = 0; i < 3; i++)
        if (sockets[i])
            zmq_close (sockets[i]);
    free (self->peers);
    free (self->items);
    blob_walk_destroy (&self->walk);
    checkpoint_destroy (&self->checkpoint);
    str_free (&self->scratch);
    free (self);
}

const char *server_pub (const server_t *self)
{
    return self->pub;
}

/*  --- the outbox --- */

static peer_t *peer_find (server_t *self, uuid_t id)
{
    for (size_t i = 0; i < self->peer_count; i++)
        if (uuid_eq (self->peers[i].id, id))
            return &self->peers[i];
    return NULL;
}

static void peer_connect (server_t *self, const out_t *out)
{
    err_t err;
    if (self->peer_count == self->peer_room) {
        self->peer_room = self->peer_room ? self->peer_room * 2 : 16;
        self->peers = realloc (self->peers, self->peer_room * sizeof *self->peers);
        if (!self->peers)
            abort ();
    }
    peer_t *peer = &self->peers[self->peer_count];
    *peer = (peer_t){ out->worker, frames_socket (self->context, ZMQ_PUSH, 0, true, &err), -1, 0 };
    if (!peer->push) {
        log_write (LOG_ERROR, "no_socket", NULL, "%s", err.message);
        core_worker_gone (self->core, out->worker); /* its next beat tries again */
        return;
    }
    str_clear (&self->scratch);
    str_add (&self->scratch, buf_span (out->frames[0]));
    str_char (&self->scratch, 0);
    if (zmq_connect (peer->push, self->scratch.data) == -1)
        log_write (LOG_WARN, "bad_endpoint", NULL, "a worker named an endpoint that cannot be connected: %s",
                   zmq_strerror (errno));
    /* Its death shows at once in a pidfd; elsewhere its silence has to do. */
    if (out->pid && self->host[0] && span_is (buf_span (out->frames[1]), self->host))
        peer->pid_fd = (int)syscall (SYS_pidfd_open, (pid_t)out->pid, 0);
    self->peer_count++;
}

static int send_out (void *socket, const out_t *out, const char *what, err_t *err)
{
    return frames_send_encoded (socket, out->route, buf_span (out->frames[0]), out->frames + 1, out->frame_count - 1,
                                what, err);
}

static int remove_file (const char *path, err_t *err)
{
    if (FAILPOINT_ERROR (BROKER_UNLINK_BEFORE, err) == -1)
        return -1;
    if (unlink (path) == -1 && errno != ENOENT)
        return err_set_errno (err, ERR_IO, errno, "cannot remove %s", path);
    FAILPOINT (BROKER_UNLINK_AFTER);
    return 0;
}

/*  A job, or what else there is to say to a worker. */
static int send_word (void *push, const out_t *out, err_t *err)
{
    bool is_job = wire_kind (buf_span (out->frames[0])) == WIRE_KIND_JOB;
    if ((is_job ? FAILPOINT_ERROR (BROKER_SEND_JOB, err) : FAILPOINT_ERROR (BROKER_SEND_ACK, err)) == -1)
        return -1;
    return send_out (push, out, is_job ? "a job" : "a word to a worker", err);
}

static void release_one (server_t *self, const out_t *out)
{
    err_t err;
    switch (out->kind) {
    case OUT_REPLY:
        FAILPOINT (BROKER_SEND_REPLY);
        if (send_out (self->front, out, "a reply", &err) == -1)
            log_write (LOG_DEBUG, "asker_gone", NULL, "a reply found no one: %s", err.message);
        break;
    case OUT_WORKER: {
        peer_t *peer = peer_find (self, out->worker);
        if (peer && send_word (peer->push, out, &err) == -1) {
            log_write (LOG_WARN, "worker_unreachable", NULL, "%s", err.message);
            peer->gone_ms = 1; /* in the next turn: what follows from it has to be committed first */
        }
        break;
    }
    case OUT_PUBLISH:
        if (FAILPOINT_ERROR (BROKER_SEND_EVENT, &err) == 0)
            send_out (self->feed, out, "an event", &err);
        break;
    case OUT_CONNECT:
        peer_connect (self, out);
        break;
    case OUT_DISCONNECT: {
        peer_t *peer = peer_find (self, out->worker);
        if (peer)
            peer_close (self, (size_t)(peer - self->peers));
        break;
    }
    case OUT_KILL: {
        const peer_t *peer = peer_find (self, out->worker);
        if (peer && peer->pid_fd != -1) /* whoever started it starts another */
            syscall (SYS_pidfd_send_signal, peer->pid_fd, SIGKILL, NULL, 0);
        break;
    }
    case OUT_UNLINK:
        if (checkpoint_keeps (self->checkpoint))
            break; /* it is written down that it is to go */
        str_clear (&self->scratch);
        str_add (&self->scratch, buf_span (out->frames[0]));
        if (remove_file (self->scratch.data, &err) == -1)
            log_write (LOG_WARN, "blob_left", NULL, "%s; the next start tries again", err.message);
        else
            core_unlinked (self->core, buf_span (out->frames[0]));
        break;
    }
}

static void release (server_t *self)
{
    out_t out;
    while (core_outbox_take (self->core, &out)) {
        release_one (self, &out);
        out_clear (&out);
    }
}

/*  --- inputs --- */

static bool blob_is_there (server_t *self, const wire_submit_t *msg)
{
    hash_t hash;
    if (!msg->in_file || msg->hash.size != HASH_SIZE)
        return true; /* nothing to look for; the core says what is wrong */
    memcpy (hash.bytes, msg->hash.data, HASH_SIZE);
    blob_path (&self->scratch, self->config.data_dir, msg->user, hash);
    return access (self->scratch.data, R_OK) == 0;
}

static void drain (server_t *self, void *socket, bool router)
{
    frames_t in = { 0 };
    err_t err;
    size_t bytes = 0;
    for (int i = 0; i < DRAIN_MAX && bytes < DRAIN_BYTES; i++) {
        int got = frames_recv (socket, router, &in, &err);
        if (got == 0)
            break;
        for (size_t p = 0; p < in.payload_count; p++)
            bytes += buf_size (in.payload[p]);
        if (got == 1 && router && in.msg.kind == WIRE_KIND_CHECKPOINT)
            checkpoint_input (self->checkpoint, socket, &in, clock_mono_ms ());
        else if (got == 1 && in.msg.kind == WIRE_KIND_SUBMIT && !blob_is_there (self, &in.msg.submit)) {
            /* The same content was deleted between the upload and this submit. */
            err_set (&err, ERR_UNAVAILABLE, "the uploaded file is gone again; submit it once more");
            core_reject (self->core, &in, &err);
        } else if (got == -1 || core_input (self->core, &in, &err) == -1)
            log_write (LOG_WARN, "message_dropped", NULL, "%s", err.message);
    }
    frames_clear (&in);
}

static void drain_feed (server_t *self)
{
    char topic[512];
    for (int i = 0; i < DRAIN_MAX; i++) {
        int size = zmq_recv (self->feed, topic, sizeof topic, ZMQ_DONTWAIT);
        if (size == -1)
            return;
        if (size >= 1 && size <= (int)sizeof topic && (topic[0] == 0 || topic[0] == 1))
            core_subscription (self->core, span (topic + 1, (size_t)size - 1), topic[0] == 1);
        /* Anything else is a message a subscriber sent upstream: not ours. */
    }
}

static void check_disk (server_t *self, uint64_t now)
{
    if (self->disk_checked_ms && now < self->disk_checked_ms + DISK_CHECK_MS)
        return;
    self->disk_checked_ms = now;
    struct statvfs fs;
    if (statvfs (self->config.data_dir, &fs) == -1)
        return;
    uint64_t available = (uint64_t)fs.f_bavail * fs.f_frsize, reserve = self->config.disk_reserve_bytes;
    core_refuse (self->core, available < reserve ? ERR_DISK_FULL : ERR_NONE);
    core_disk_room (self->core, available < reserve ? 0 : available - reserve);
    core_hold (self->core, available < reserve / HOLD_PART);
    if (self->has_ballast && available < reserve / RELEASE_PART)
        self->has_ballast = !ballast_release (self->config.data_dir);
    else if (!self->has_ballast && reserve && available > reserve + reserve / BALLAST_PART)
        self->has_ballast = ballast_keep (self->config.data_dir, reserve / BALLAST_PART);
}

/*  Files that no document has: of uploads whose submit never came. Returns when to go on. */
static uint64_t look_at_files (server_t *self, uint64_t now)
{
    if (now < self->walk_at_ms)
        return self->walk_at_ms;
    if (!self->walk && !(self->walk = blob_walk_new (self->config.data_dir)))
        return self->walk_at_ms = now + WALK_MS;
    for (int i = 0; i < WALK_STEP; i++) {
        hash_t hash;
        if (!blob_walk_next (self->walk, &self->scratch, &hash)) {
            blob_walk_destroy (&self->walk);
            return self->walk_at_ms = now + WALK_MS;
        }
        core_file_found (self->core, str_span (&self->scratch), hash);
    }
    return now;
}

static int wait_for_input (server_t *self, int signal_fd, uint64_t deadline_ms)
{
    size_t count = FIRST_PID + self->peer_count;
    if (count > self->item_room) {
        self->item_room = count + 16;
        self->items = realloc (self->items, self->item_room * sizeof *self->items);
        if (!self->items)
            abort ();
    }
    self->items[0] = (zmq_pollitem_t){ .socket = self->intake, .events = ZMQ_POLLIN };
    self->items[1] = (zmq_pollitem_t){ .socket = self->front, .events = ZMQ_POLLIN };
    self->items[2] = (zmq_pollitem_t){ .socket = self->feed, .events = ZMQ_POLLIN };
    self->items[3] = (zmq_pollitem_t){ .fd = signal_fd, .events = ZMQ_POLLIN };
    self->items[4] = (zmq_pollitem_t){ .fd = checkpoint_fd (self->checkpoint), .events = ZMQ_POLLIN };
    int used = FIRST_PID;
    for (size_t i = 0; i < self->peer_count; i++)
        if (self->peers[i].pid_fd != -1)
            self->items[used++] = (zmq_pollitem_t){ .fd = self->peers[i].pid_fd, .events = ZMQ_POLLIN };
    uint64_t now = clock_mono_ms ();
    long timeout = deadline_ms > now ? (long)(deadline_ms - now) : 0;
    zmq_poll (self->items, used, timeout);
    return used;
}

/*  Processes that ended are given up when what they said last has been heard. */
static void check_pids (server_t *self, int used, uint64_t now)
{
    for (int i = FIRST_PID; i < used; i++)
        if (self->items[i].revents)
            for (size_t p = 0; p < self->peer_count; p++)
                if (self->peers[p].pid_fd == self->items[i].fd) {
                    close (self->peers[p].pid_fd);
                    self->peers[p].pid_fd = -1; /* whatever becomes of it: it would be readable for ever */
                    self->peers[p].gone_ms = now + LAST_WORDS_MS;
                }
    for (size_t p = 0; p < self->peer_count; p++) {
        peer_t *peer = &self->peers[p];
        if (peer->gone_ms && peer->gone_ms <= now) {
            peer->gone_ms = 0;
            core_worker_gone (self->core, peer->id); /* the commit's outbox takes the peer away */
        }
    }
}

static uint64_t next_gone (const server_t *self)
{
    uint64_t next = UINT64_MAX;
    for (size_t p = 0; p < self->peer_count; p++)
        if (self->peers[p].gone_ms && self->peers[p].gone_ms < next)
            next = self->peers[p].gone_ms;
    return next;
}

static int commit (server_t *self, err_t *err)
{
    bool writes = core_has_writes (self->core);
    if (writes && FAILPOINT_ERROR (BROKER_COMMIT_BEFORE, err) == -1)
        return -1;
    if (core_commit (self->core, err) == -1)
        return -1;
    if (writes)
        FAILPOINT (BROKER_COMMIT_AFTER);
    return 0;
}

int server_run (server_t *self, int signal_fd, err_t *err)
{
    uint64_t deadline = 0;
    bool stop = false;
    while (!stop) {
        int used = wait_for_input (self, signal_fd, deadline);
        uint64_t now = clock_mono_ms ();
        core_begin (self->core, now, clock_wall_ms ());
        /* What workers said meanwhile may still be in the kernel: ZeroMQ's threads stood still with this one. */
        if (deadline && now > deadline + LATE_MS)
            core_stood_still (self->core, now - deadline);
        if (checkpoint_turn (self->checkpoint, self->front, now) && core_unlink_again (self->core, err) == -1)
            return -1;
        check_disk (self, now);
        drain (self, self->intake, false);
        check_pids (self, used, now); /* after the intake: what a worker finished last counts */
        drain (self, self->front, true);
        drain_feed (self);
        uint64_t look_at = look_at_files (self, now);
        deadline = core_dispatch (self->core);
        if (look_at < deadline)
            deadline = look_at;
        if (checkpoint_deadline (self->checkpoint) < deadline)
            deadline = checkpoint_deadline (self->checkpoint);
        if (commit (self, err) == -1)
            return -1;
        release (self);
        uint64_t gone_at = next_gone (self);
        if (gone_at < deadline)
            deadline = gone_at;
        stop = self->items[3].revents & ZMQ_POLLIN;
    }
    return 0;
}
