#include "integrity/repair.h"
#include "base/clock.h"
#include "broker/core/core.h"
#include "integrity/repair_private.h"
#include "integrity/verify_private.h"
#include "store/content.h"
#include "store/index.h"
#include "store/wal_losses.h"

#include <stdio.h>

#define ROUNDS_MAX   20 /* each takes something away; a few are enough for whatever hangs together */
#define PENDING_MAX  2000
#define TURN_TASKS   256
#define INDEX_MEMORY (8u << 20)

typedef struct {
    const repair_config_t *config;
    verify_config_t look;
    report_t *done;
    kv_t *broker, *content;
    core_t *core; /* while documents are queued again */
    uint64_t fixed, to_process, lost_bytes;
    uint64_t salvage_broker, salvage_content;
    bool index_is_stale, failed;
    report_t last; /* of the last look at all records, when it found nothing, and nothing was changed since */
    bool is_known_well;
    size_t turn;
    err_t *err;
} repair_t;

/*  --- opening --- */

typedef kv_t *open_fn (const char *dir, kv_rocks_mode_t mode, err_t *err);

static void tell_database (repair_t *self, finding_place_t place, const err_t *why)
{
    finding_t finding = { .kind = FINDING_DATABASE, .place = place, .fix = FIX_SALVAGE };
    report (self->done, &finding, "%s", why->message);
}

typedef struct {
    repair_t *repair;
    finding_place_t place;
} loss_t;

static void tell_loss (void *listener, const wal_loss_t *damage)
{
    const loss_t *self = listener;
    char changes[64] = "an unknown number of";
    finding_t finding = { .kind = FINDING_UNREADABLE, .place = self->place, .fix = FIX_SALVAGE };
    if (damage->changes != UINT64_MAX)
        snprintf (changes, sizeof changes, "%llu", damage->changes);
    report (self->repair->done, &finding,
            "bytes %llu to %llu of the log %06llu.log are damaged: %s changes of records are lost", damage->from,
            damage->to, damage->log, changes);
}

/*  A log that is damaged is read as far, and from as far on, as it can be. */
static kv_t *open_one (repair_t *self, const char *name, finding_place_t place, open_fn *open)
{
    str_t path = STR_INIT;
    err_t why;
    str_format (&path, "%s/%s", self->config->dir, name);
    kv_t *kv = open (path.data, KV_ROCKS_NORMAL, &why);
    if (!kv && mend_current (self->config->dir, place, self->done, &why) == 1)
        kv = open (path.data, KV_ROCKS_NORMAL, &why);
    if (!kv && why.code == ERR_CORRUPT) {
        loss_t loss = { self, place };
        tell_database (self, place, &why);
        if (wal_losses (path.data, tell_loss, &loss, &why) == 0)
            kv = open (path.data, KV_ROCKS_LOSSY, &why);
        if (!kv && why.code == ERR_CORRUPT && salvage (self->config->dir, place, self->done, &why) == 0)
            kv = open (path.data, KV_ROCKS_NORMAL, &why);
        self->index_is_stale |= place == PLACE_CONTENT;
    }
    if (!kv && why.code == ERR_CORRUPT) {
        err_set (self->err, ERR_CORRUPT, "nothing can be made of the database %s: restore a backup (%s)", path.data,
                 why.message);
    } else if (!kv)
        *self->err = why;
    str_free (&path);
    return kv;
}

static int open_both (repair_t *self)
{
    self->broker = open_one (self, "broker", PLACE_BROKER, records_open_mode);
    self->content = self->broker ? open_one (self, "content", PLACE_CONTENT, content_records_open_mode) : NULL;
    return self->content ? 0 : -1;
}

static void close_both (repair_t *self)
{
    kv_destroy (&self->broker);
    kv_destroy (&self->content);
}

/*  --- rounds --- */

/*  Hands the finding on to whoever listens, as it is. */
static void tell (repair_t *self, const finding_t *finding)
{
    finding_t copy = *finding;
    copy.is_note = false;
    report (self->done, &copy, "%s", finding->text);
}

static int commit_some (repair_t *self, size_t most)
{
    kv_t *both[] = { self->broker, self->content };
    for (int i = 0; i < 2; i++)
        if (kv_pending (both[i]) > most && kv_commit (both[i], true, self->err) == -1)
            self->failed = true;
    return self->failed ? -1 : 0;
}

static void on_finding (void *listener, const finding_t *finding)
{
    repair_t *self = listener;
    bool is_told = finding->fix == FIX_INDEX && self->index_is_stale;
    self->to_process += finding->fix == FIX_PROCESS;
    self->index_is_stale |= finding->fix == FIX_INDEX;
    self->salvage_broker += finding->fix == FIX_SALVAGE && finding->place == PLACE_BROKER;
    self->salvage_content += finding->fix == FIX_SALVAGE && finding->place == PLACE_CONTENT;
    self->lost_bytes += finding->kind == FINDING_BYTES_MISSING || finding->kind == FINDING_BYTES_DAMAGED;
    if (self->failed)
        return;
    int did = fix_apply (self->config->dir, self->broker, self->content, finding, self->err);
    if (did < 0 && self->err->code == ERR_CORRUPT) /* then what can be read is copied, and it is tried again */
        self->salvage_content++;
    else if (did < 0)
        self->failed = true;
    if (did > 0) {
        tell (self, finding);
        self->fixed++;
        self->index_is_stale |= finding->place == PLACE_CONTENT;
    } else if (finding->fix == FIX_INDEX && !is_told)
        tell (self, finding);
    commit_some (self, PENDING_MAX);
}

static int salvage_one (repair_t *self, finding_place_t place)
{
    close_both (self);
    if (salvage (self->config->dir, place, self->done, self->err) == -1)
        return -1;
    self->index_is_stale = true;
    return open_both (self);
}

/*  Looks and mends until there is nothing more to mend in the records. */
static int mend (repair_t *self)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        report_t pass = { .tell = on_finding, .listener = self };
        self->fixed = self->to_process = self->lost_bytes = self->salvage_broker = self->salvage_content = 0;
        verify_open (&self->look, self->broker, self->content, &pass);
        if (self->failed || commit_some (self, 0) == -1)
            return -1;
        if (self->salvage_broker && salvage_one (self, PLACE_BROKER) == -1)
            return -1;
        if (self->salvage_content && salvage_one (self, PLACE_CONTENT) == -1)
            return -1;
        self->last = pass;
        self->is_known_well = !pass.findings;
        if (!self->fixed && !self->salvage_broker && !self->salvage_content)
            return 0;
    }
    return 0;
}

/*  --- what needs the broker's own hands: tasks, and deletions --- */

static void end_turn (repair_t *self)
{
    out_t out;
    if (!self->failed &&
        (core_commit (self->core, self->err) == -1 || kv_commit (self->content, true, self->err) == -1))
        self->failed = true;
    while (core_outbox_take (self->core, &out))
        out_clear (&out); /* nobody is there to hear of it */
    self->turn = 0;
}

static void delete_document (repair_t *self, const finding_t *finding)
{
    wire_document_delete_t msg = { .req = 1, .user = finding->user, .document = finding->document };
    frames_t in = { .route = buf_copy (SPAN_LIT ("repair")),
                    .msg = { .kind = WIRE_KIND_DOCUMENT_DELETE, .document_delete = msg } };
    if (core_input (self->core, &in, self->err) == -1)
        self->failed = true;
    buf_unref (&in.route);
}

static void process_again (repair_t *self, const finding_t *finding)
{
    content_document_t there = { 0 };
    str_t key = STR_INIT, bytes = STR_INIT;
    record_key (&key, finding->user, finding->document);
    if (content_get (self->content, CONTENT_DOCUMENTS, str_span (&key), &content_document_shape, &there, &bytes, NULL) <
        0)
        there.revision = 0;
    if (fix_forget (self->content, finding->user, finding->document, 0, self->err) < 0 ||
        core_process_again (self->core, finding->user, finding->document, there.revision, uuid_new (), self->err) == -1)
        self->failed = true;
    self->index_is_stale = true;
    str_free (&key);
    str_free (&bytes);
}

static void on_work (void *listener, const finding_t *finding)
{
    repair_t *self = listener;
    bool is_lost = finding->kind == FINDING_BYTES_MISSING || finding->kind == FINDING_BYTES_DAMAGED;
    if (self->failed || (finding->fix != FIX_PROCESS && !(is_lost && self->config->drop_lost)))
        return;
    if (is_lost)
        delete_document (self, finding);
    else
        process_again (self, finding);
    tell (self, finding);
    if (++self->turn == TURN_TASKS)
        end_turn (self);
}

static int queue_again (repair_t *self)
{
    core_config_t config = core_config_default;
    report_t pass = { .tell = on_work, .listener = self };
    config.data_dir = self->config->dir;
    if (!self->to_process && !(self->config->drop_lost && self->lost_bytes))
        return 0;
    self->core = core_new (&config, self->broker, clock_mono_ms (), clock_wall_ms (), self->err);
    if (!self->core)
        return -1;
    verify_open (&self->look, self->broker, self->content, &pass);
    end_turn (self);
    core_destroy (&self->core);
    self->is_known_well = false;
    return self->failed ? -1 : 0;
}

/*  --- the index --- */

static int renew_index (repair_t *self)
{
    str_t path = STR_INIT;
    content_config_t config = { self->config->dir, INDEX_MEMORY };
    str_format (&path, "%s/index.sqlite", self->config->dir);
    if (self->index_is_stale)
        index_discard (path.data);
    content_t *content = content_open (&config, self->err); /* brings it up to date, or makes it */
    int rc = content ? 0 : -1;
    content_close (&content);
    str_free (&path);
    return rc;
}

int repair_run (const repair_config_t *config, report_t *done, report_t *left, err_t *err)
{
    repair_t self = { .config = config, .look = { .dir = config->dir }, .done = done, .err = err };
    verify_config_t look = { .dir = config->dir };
    int rc = -1;
    err->code = ERR_NONE;
    if (open_both (&self) == 0 && mend (&self) == 0 && queue_again (&self) == 0)
        rc = 0;
    close_both (&self);
    if (rc == 0)
        rc = renew_index (&self);
    if (rc == -1 || !self.is_known_well)
        return rc == -1 ? -1 : verify_run (&look, left, err);
    /* Everything was looked at after the last change, and the index was compared, or is made of it. */
    self.last.tell = left->tell;
    self.last.listener = left->listener;
    *left = self.last;
    return 0;
}
