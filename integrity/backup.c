#include "integrity/backup.h"
#include "base/clock.h"
#include "integrity/files.h"
#include "wire/frames.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>
#include <zmq.h>

#define ANSWER_MS 60000  /* a large database on a slow disk; also: a process that is just being started again */
#define KEEP_MS   10000u /* how often the broker is told that we are still at it */

static const char *const parts[] = { "broker", "content", "blobs" };
#define PART_COUNT (sizeof parts / sizeof *parts)

typedef struct {
    const backup_config_t *config;
    str_t to, partial, staging;
    int partial_fd, staging_fd; /* locked: nobody else makes or removes these */
    void *context, *broker, *storage;
    uint64_t kept_ms;
} backup_t;

/*  --- talking to what runs --- */

static void *connect_to (backup_t *self, const char *name, err_t *err)
{
    str_t endpoint = STR_INIT;
    str_format (&endpoint, "ipc://%s/%s", self->config->run, name);
    void *socket = frames_socket (self->context, ZMQ_DEALER, 0, true, err);
    if (socket && zmq_connect (socket, endpoint.data) == -1) {
        err_set (err, ERR_UNAVAILABLE, "cannot connect to %s: %s", endpoint.data, zmq_strerror (errno));
        zmq_close (socket);
        socket = NULL;
    }
    str_free (&endpoint);
    return socket;
}

static int ask (void *socket, const char *who, checkpoint_action_t action, err_t *err)
{
    wire_msg_t msg = { .kind = WIRE_KIND_CHECKPOINT,
                       .checkpoint = { .req = 1, .user = SPAN_LIT ("local"), .action = (uint8_t)action } };
    frames_t in = { 0 };
    zmq_pollitem_t item = { socket, 0, ZMQ_POLLIN, 0 };
    int rc = -1;
    if (frames_send (socket, NULL, &msg, NULL, 0, err) == -1)
        return -1;
    if (zmq_poll (&item, 1, ANSWER_MS) <= 0 || frames_recv (socket, false, &in, err) != 1 ||
        in.msg.kind != WIRE_KIND_REPLY) {
        err_set (err, ERR_UNAVAILABLE, "the %s does not answer; the log of myelin up says why", who);
    } else if (in.msg.reply.code.size) {
        char code[64];
        snprintf (code, sizeof code, "%.*s", SPAN_ARG (in.msg.reply.code));
        err_set (err, err_code (code), "the %s says: %.*s", who, SPAN_ARG (in.msg.reply.detail));
    } else
        rc = 0;
    frames_clear (&in);
    return rc;
}

/*  --- the parts --- */

/*  Of a database these never change once they are there; blobs are all like that. */
static bool is_fixed (const char *path)
{
    const char *end = strrchr (path, '.');
    return end && (strcmp (end, ".sst") == 0 || strcmp (end, ".blob") == 0);
}

typedef struct {
    backup_t *backup;
    const char *from, *to;
    bool all_fixed, copy;
    str_t source, target, made; /* made: the directory made last */
} transfer_t;

static bool is_wanted (const char *path)
{
    const char *name = strrchr (path, '/');
    name = name ? name + 1 : path;
    return strcmp (name, "LOCK") != 0 && strncmp (name, "LOG", 3) != 0 && strncmp (path, "tmp/", 4) != 0;
}

/*  Tells the broker now and then that the files are not linked yet. */
static int keep (backup_t *self, err_t *err)
{
    if (!self->broker || !self->kept_ms || clock_mono_ms () < self->kept_ms + KEEP_MS)
        return 0;
    self->kept_ms = clock_mono_ms ();
    return ask (self->broker, "broker", CHECKPOINT_KEEP, err);
}

static int transfer_one (void *context, const char *path, err_t *err)
{
    transfer_t *self = context;
    if (!is_wanted (path))
        return 0;
    str_clear (&self->source);
    str_format (&self->source, "%s/%s", self->from, path);
    str_clear (&self->target);
    str_format (&self->target, "%s/%s", self->to, path);
    size_t parent = (size_t)(strrchr (self->target.data, '/') - self->target.data);
    if (!span_eq (span (self->target.data, parent), str_span (&self->made))) {
        str_clear (&self->made);
        str_add (&self->made, span (self->target.data, parent));
        if (files_make_dir (self->made.data, err) == -1)
            return -1;
    }
    if (keep (self->backup, err) == -1)
        return -1;
    if (self->backup->kept_ms && access (self->source.data, F_OK) == -1 && errno == ENOENT)
        return 0; /* removed since the walk saw it, while Myelin works: nothing that the broker's copy knows */
    return (self->all_fixed || is_fixed (path)) && !self->copy
               ? files_link (self->source.data, self->target.data, err)
               : files_copy (self->source.data, self->target.data, NULL, NULL, err);
}

/*  All files below `from` into `to`, which is made. */
static int transfer (backup_t *self, const char *from, const char *to, bool all_fixed, bool copy, err_t *err)
{
    transfer_t transfer_of = { .backup = self, .from = from, .to = to, .all_fixed = all_fixed, .copy = copy };
    int rc = files_make_dir (to, err);
    if (rc == 0)
        rc = files_walk (from, transfer_one, &transfer_of, err);
    str_free (&transfer_of.source);
    str_free (&transfer_of.target);
    str_free (&transfer_of.made);
    return rc;
}

static void join (str_t *path, const char *dir, const char *name)
{
    str_clear (path);
    str_format (path, "%s/%s", dir, name);
}

/*  Nothing runs: straight from the data directory. */
static int take_stopped (backup_t *self, err_t *err)
{
    str_t from = STR_INIT, to = STR_INIT;
    int rc = 0;
    for (size_t i = 0; i < PART_COUNT && rc == 0; i++) {
        join (&from, self->config->data, parts[i]);
        join (&to, self->partial.data, parts[i]);
        rc = transfer (self, from.data, to.data, strcmp (parts[i], "blobs") == 0, self->config->copy, err);
    }
    str_free (&from);
    str_free (&to);
    return rc;
}

/*  Whatever the file system of the backup: first into a directory next to the data, where links always are possible, so
 *  that nothing is held up for longer than that takes. */
static int stage (backup_t *self, err_t *err)
{
    str_t from = STR_INIT, to = STR_INIT;
    int rc = -1;
    if (!(self->broker = connect_to (self, "front", err)) || !(self->storage = connect_to (self, "query", err)) ||
        ask (self->broker, "broker", CHECKPOINT_BEGIN, err) == -1)
        goto out;
    self->kept_ms = clock_mono_ms ();
    join (&from, self->config->data, "blobs");
    join (&to, self->staging.data, "blobs");
    if (transfer (self, from.data, to.data, true, false, err) == -1 ||
        ask (self->broker, "broker", CHECKPOINT_END, err) == -1)
        goto out;
    self->kept_ms = 0;
    rc = ask (self->storage, "storage", CHECKPOINT_BEGIN, err);
out:
    str_free (&from);
    str_free (&to);
    return rc;
}

static int move_staged (backup_t *self, err_t *err)
{
    str_t from = STR_INIT, to = STR_INIT;
    int rc = 0;
    for (size_t i = 0; i < PART_COUNT && rc == 0; i++) {
        join (&from, self->staging.data, parts[i]);
        join (&to, self->partial.data, parts[i]);
        if (!self->config->copy && rename (from.data, to.data) == 0)
            continue;
        if (self->config->copy ? access (from.data, F_OK) == -1 : errno != EXDEV)
            rc = err_set_errno (err, ERR_IO, errno, "cannot move %s to %s", from.data, to.data);
        else
            rc = transfer (self, from.data, to.data, false, true, err);
    }
    str_free (&from);
    str_free (&to);
    return rc;
}

/*  --- the whole --- */

/*  A directory of our own, empty, that nobody else may have at the same time. Returns its locked descriptor. */
static int own_dir (const char *path, const char *what, err_t *err)
{
    if (files_make_dir (path, err) == -1)
        return -1;
    int fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd == -1)
        return err_set_errno (err, ERR_IO, errno, "cannot use the directory '%s'", path);
    if (flock (fd, LOCK_EX | LOCK_NB) == -1) {
        close (fd);
        return err_set (err, ERR_CONFLICT, "another backup is being made %s", what);
    }
    return fd;
}

/*  Removes all in it, of a backup that was interrupted. */
static int empty_dir (const char *path, err_t *err)
{
    str_t name = STR_INIT;
    int rc = 0;
    for (size_t i = 0; i < PART_COUNT && rc == 0; i++) {
        join (&name, path, parts[i]);
        rc = files_remove (name.data, err);
    }
    join (&name, path, MANIFEST_NAME);
    if (rc == 0)
        rc = files_remove (name.data, err);
    str_free (&name);
    return rc;
}

typedef struct {
    const backup_t *backup;
    manifest_writer_t *manifest;
    str_t path;
} listing_t;

static int list_one (void *context, const char *path, err_t *err)
{
    listing_t *self = context;
    hash_t hash;
    uint64_t bytes;
    if (strcmp (path, MANIFEST_NAME) == 0)
        return 0;
    join (&self->path, self->backup->partial.data, path);
    if (files_hash (self->path.data, true, &hash, &bytes, err) == -1)
        return -1;
    manifest_add (self->manifest, path, bytes, hash);
    return 0;
}

/*  Lists, hashes and syncs all that is there. */
static int write_manifest (const backup_t *self, manifest_sums_t *sums, err_t *err)
{
    listing_t listing = { .backup = self };
    int rc = -1;
    listing.manifest = manifest_writer_new (self->partial.data, self->config->run != NULL, err);
    if (listing.manifest && files_walk (self->partial.data, list_one, &listing, err) == 0 &&
        manifest_writer_end (listing.manifest, sums, err) == 0)
        rc = files_sync_tree (self->partial.data, err);
    manifest_writer_destroy (&listing.manifest);
    str_free (&listing.path);
    return rc;
}

static int make (backup_t *self, manifest_sums_t *sums, err_t *err)
{
    int empty = files_is_empty (self->to.data, err);
    if (empty < 1)
        return empty ? -1
                     : err_set (err, ERR_CONFLICT, "'%s' is there already: a backup needs a name of its own",
                                self->to.data);
    self->partial_fd = own_dir (self->partial.data, "there", err);
    if (self->partial_fd == -1 || empty_dir (self->partial.data, err) == -1)
        return -1;
    if (self->config->run) {
        self->staging_fd = own_dir (self->staging.data, "of this data directory", err);
        if (self->staging_fd == -1 || empty_dir (self->staging.data, err) == -1 || stage (self, err) == -1 ||
            move_staged (self, err) == -1)
            return -1;
    } else if (take_stopped (self, err) == -1)
        return -1;
    if (write_manifest (self, sums, err) == -1)
        return -1;
    if (rename (self->partial.data, self->to.data) == -1)
        return err_set_errno (err, ERR_IO, errno, "cannot rename %s to %s", self->partial.data, self->to.data);
    return files_sync_parent (self->to.data, err);
}

static void clean_up (backup_t *self, bool made)
{
    if (self->staging_fd != -1)
        files_remove (self->staging.data, NULL);
    if (self->partial_fd != -1 && !made)
        files_remove (self->partial.data, NULL);
    if (self->staging_fd != -1)
        close (self->staging_fd);
    if (self->partial_fd != -1)
        close (self->partial_fd);
    if (self->broker)
        zmq_close (self->broker);
    if (self->storage)
        zmq_close (self->storage);
    zmq_ctx_term (self->context);
    str_free (&self->to);
    str_free (&self->partial);
    str_free (&self->staging);
}

int backup_run (const backup_config_t *config, manifest_sums_t *sums, err_t *err)
{
    backup_t self = { .config = config, .partial_fd = -1, .staging_fd = -1, .context = zmq_ctx_new () };
    span_t to = span_str (config->to);
    while (to.size > 1 && to.data[to.size - 1] == '/')
        to.size--;
    str_add (&self.to, to);
    str_format (&self.partial, "%s.partial", self.to.data);
    str_format (&self.staging, "%s/checkpoint", config->data);
    int rc = make (&self, sums, err);
    clean_up (&self, rc == 0);
    return rc;
}
