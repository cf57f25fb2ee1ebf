#include "store/kv_rocks.h"
#include "base/failpoint.h"
#include "store/wal.h"
#include "store/wal_mark.h"

#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAMILIES_MAX 32
#define KEPT_BYTES   (4u << 20)

typedef struct {
    kv_t kv;
    rocksdb_t *db;
    rocksdb_options_t *options[FAMILIES_MAX];
    rocksdb_block_based_table_options_t *tables[FAMILIES_MAX];
    rocksdb_column_family_handle_t *handles[FAMILIES_MAX];
    unsigned family_count;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
    rocksdb_writeoptions_t *write_sync;
    rocksdb_writebatch_t *batch; /* empty between commits; kept for its memory */
    wal_mark_t *mark;            /* follows every synced commit; NULL: it is not written */
} rocks_t;

typedef struct {
    kv_iter_t iter;
    rocksdb_iterator_t *it; /* NULL: the database has no such family */
} rocks_iter_t;

/*  A file is missing that the database names as its own. */
static bool lacks_file (const char *text)
{
    return strstr (text, "No such file") &&
           (strstr (text, "MANIFEST-") || strstr (text, ".sst") || strstr (text, ".blob") || strstr (text, ".log"));
}

int kv_rocks_error (err_t *err, char *text, const char *doing)
{
    err_code_t code = ERR_IO;
    if (strstr (text, "No space left") || strstr (text, "NoSpace") || strstr (text, "Disk quota"))
        code = ERR_DISK_FULL;
    else if (strstr (text, "Corruption") || strstr (text, "checksum") || lacks_file (text))
        code = ERR_CORRUPT;
    else if (strstr (text, "lock "))
        code = ERR_LOCKED;
    err_set (err, code, "%s: %s", doing, text);
    rocksdb_free (text);
    return -1;
}

static int rocks_get (kv_t *kv, unsigned family, span_t key, str_t *value, err_t *err)
{
    rocks_t *self = (rocks_t *)kv;
    char *error = NULL;
    if (!self->handles[family])
        return 0;
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned_cf (self->db, self->read, self->handles[family], key.data, key.size, &error);
    if (error)
        return kv_rocks_error (err, error, "cannot read the database");
    if (!slice)
        return 0;
    size_t size = 0;
    const char *data = rocksdb_pinnableslice_value (slice, &size);
    str_add (value, span (data, size));
    rocksdb_pinnableslice_destroy (slice);
    return 1;
}

static int put_mark (rocks_t *self, const rocksdb_writeoptions_t *how, err_t *err)
{
    char *error = NULL;
    rocksdb_writebatch_put_log_data (self->batch, wal_mark_bytes (self->mark), WAL_MARK_SIZE);
    rocksdb_write (self->db, how, self->batch, &error);
    rocksdb_writebatch_clear (self->batch);
    return error ? kv_rocks_error (err, error, "cannot write the database") : 0;
}

static int rocks_commit (kv_t *kv, const kv_batch_t *batch, bool sync, err_t *err)
{
    rocks_t *self = (rocks_t *)kv;
    rocksdb_writebatch_t *out = self->batch;
    const char *bytes = batch->bytes.data;
    for (size_t i = 0; i < batch->count; i++) {
        const kv_write_t *w = &batch->writes[i];
        if (w->is_delete)
            rocksdb_writebatch_delete_cf (out, self->handles[w->family], bytes + w->key, w->key_size);
        else
            rocksdb_writebatch_put_cf (out, self->handles[w->family], bytes + w->key, w->key_size, bytes + w->value,
                                       w->value_size);
    }
    char *error = NULL;
    rocksdb_write (self->db, sync ? self->write_sync : self->write, out, &error);
    if (batch->bytes.size > KEPT_BYTES) { /* a rare large one shall not hold its memory for good */
        rocksdb_writebatch_destroy (out);
        self->batch = rocksdb_writebatch_create ();
    } else
        rocksdb_writebatch_clear (out);
    if (error)
        return kv_rocks_error (err, error, "cannot write the database");
    err_t why;
    if (sync && self->mark) {
        FAILPOINT (KV_MARK);
        put_mark (self, self->write, &why); /* the commit is durable; what is wrong shows in the next one */
    }
    return 0;
}

static void iter_seek (kv_iter_t *iter, span_t key)
{
    rocks_iter_t *self = (rocks_iter_t *)iter;
    if (self->it)
        rocksdb_iter_seek (self->it, key.data, key.size);
}

static void iter_seek_for_prev (kv_iter_t *iter, span_t key)
{
    rocks_iter_t *self = (rocks_iter_t *)iter;
    if (self->it)
        rocksdb_iter_seek_for_prev (self->it, key.data, key.size);
}

static void iter_step (kv_iter_t *iter, bool forward)
{
    if (forward)
        rocksdb_iter_next (((rocks_iter_t *)iter)->it);
    else
        rocksdb_iter_prev (((rocks_iter_t *)iter)->it);
}

static bool iter_valid (const kv_iter_t *iter)
{
    const rocks_iter_t *self = (const rocks_iter_t *)iter;
    return self->it && rocksdb_iter_valid (self->it);
}

static span_t iter_key (const kv_iter_t *iter)
{
    size_t size = 0;
    const char *data = rocksdb_iter_key (((const rocks_iter_t *)iter)->it, &size);
    return span (data, size);
}

static span_t iter_value (const kv_iter_t *iter)
{
    size_t size = 0;
    const char *data = rocksdb_iter_value (((const rocks_iter_t *)iter)->it, &size);
    return span (data, size);
}

static int iter_check (const kv_iter_t *iter, err_t *err)
{
    const rocks_iter_t *self = (const rocks_iter_t *)iter;
    char *error = NULL;
    if (self->it)
        rocksdb_iter_get_error (self->it, &error);
    return error ? kv_rocks_error (err, error, "cannot read the database") : 0;
}

static void iter_destroy (kv_iter_t *iter)
{
    rocks_iter_t *self = (rocks_iter_t *)iter;
    if (self->it)
        rocksdb_iter_destroy (self->it);
    free (self);
}

static const kv_iter_ops_t iter_ops = { iter_seek, iter_seek_for_prev, iter_step,  iter_valid,
                                        iter_key,  iter_value,         iter_check, iter_destroy };

static kv_iter_t *rocks_iterate (kv_t *kv, unsigned family)
{
    rocks_t *self = (rocks_t *)kv;
    rocks_iter_t *iter = calloc (1, sizeof *iter);
    if (!iter)
        abort ();
    iter->iter.ops = &iter_ops;
    if (self->handles[family])
        iter->it = rocksdb_create_iterator_cf (self->db, self->read, self->handles[family]);
    return &iter->iter;
}

static void rocks_destroy (kv_t *kv)
{
    rocks_t *self = (rocks_t *)kv;
    for (unsigned i = 0; i < self->family_count && self->db; i++)
        if (self->handles[i])
            rocksdb_column_family_handle_destroy (self->handles[i]);
    if (self->db)
        rocksdb_close (self->db);
    for (unsigned i = 0; i < self->family_count; i++)
        rocksdb_options_destroy (self->options[i]); /* frees its table options too, once they were set */
    for (unsigned i = 0; i < self->family_count; i++)
        rocksdb_block_based_options_destroy (self->tables[i]);
    rocksdb_cache_destroy (self->cache);
    rocksdb_readoptions_destroy (self->read);
    rocksdb_writeoptions_destroy (self->write);
    rocksdb_writeoptions_destroy (self->write_sync);
    rocksdb_writebatch_destroy (self->batch);
    wal_mark_destroy (&self->mark);
    free (self);
}

static const kv_ops_t rocks_ops = { rocks_get, rocks_commit, rocks_iterate, rocks_destroy };

static int view_commit (kv_t *kv, const kv_batch_t *batch, bool sync, err_t *err)
{
    return err_set (err, ERR_INTERNAL, "a view of the database cannot be written");
}

/*  A view borrows what its store never changes, and has read options of its own, which hold the snapshot. */
typedef struct {
    rocks_t rocks;
    const rocksdb_snapshot_t *snapshot;
} rocks_view_t;

static void view_destroy (kv_t *kv)
{
    rocks_view_t *self = (rocks_view_t *)kv;
    rocksdb_readoptions_destroy (self->rocks.read);
    rocksdb_release_snapshot (self->rocks.db, self->snapshot);
    free (self);
}

static const kv_ops_t view_ops = { rocks_get, view_commit, rocks_iterate, view_destroy };

kv_t *kv_rocks_view (kv_t *store)
{
    const rocks_t *rocks = (const rocks_t *)store;
    rocks_view_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    /* The writer may be in the middle of a batch: only what does not change once it is open. */
    self->rocks.kv.ops = &view_ops;
    self->rocks.db = rocks->db;
    self->rocks.family_count = rocks->family_count;
    memcpy (self->rocks.handles, rocks->handles, sizeof rocks->handles);
    self->snapshot = rocksdb_create_snapshot (rocks->db);
    self->rocks.read = rocksdb_readoptions_create ();
    rocksdb_readoptions_set_verify_checksums (self->rocks.read, 1);
    rocksdb_readoptions_set_snapshot (self->rocks.read, self->snapshot);
    return &self->rocks.kv;
}

static void family_options (rocks_t *self, unsigned i, const kv_rocks_config_t *config)
{
    const kv_family_t *family = &config->families[i];
    rocksdb_options_t *o = self->options[i] = rocksdb_options_create ();
    rocksdb_block_based_table_options_t *t = self->tables[i] = rocksdb_block_based_options_create ();
    rocksdb_block_based_options_set_block_cache (t, self->cache);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks (t, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache (t, 1);
    if (family->point_lookups) {
        rocksdb_options_set_memtable_prefix_bloom_size_ratio (o, 0.02);
        rocksdb_options_set_memtable_whole_key_filtering (o, 1);
        rocksdb_block_based_options_set_filter_policy (t, rocksdb_filterpolicy_create_bloom_full (10));
    }
    rocksdb_options_set_block_based_table_factory (o, t);
    rocksdb_options_set_write_buffer_size (o, config->write_buffer_bytes / 2);
    rocksdb_options_set_compression (o, rocksdb_lz4_compression);
    if (family->large_values) {
        rocksdb_options_set_enable_blob_files (o, 1);
        rocksdb_options_set_min_blob_size (o, 512);
        rocksdb_options_set_blob_compression_type (o, rocksdb_lz4_compression);
        rocksdb_options_set_enable_blob_gc (o, 1);
    }
}

int kv_rocks_checkpoint (kv_t *store, const char *dir, err_t *err)
{
    rocks_t *self = (rocks_t *)store;
    char *error = NULL;
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create (self->db, &error);
    /* The log is copied, however long it is: to flush the tables instead would stop whoever writes for longer. */
    if (!error)
        rocksdb_checkpoint_create (checkpoint, dir, UINT64_MAX, &error);
    if (checkpoint)
        rocksdb_checkpoint_object_destroy (checkpoint);
    return error ? kv_rocks_error (err, error, "cannot make a checkpoint of the database") : 0;
}

static bool is_lossy (const kv_rocks_config_t *config)
{
    return config->mode == KV_ROCKS_LOSSY || config->mode == KV_ROCKS_SALVAGE;
}

static rocksdb_options_t *database_options (const kv_rocks_config_t *config)
{
    rocksdb_options_t *db = rocksdb_options_create ();
    bool may_write = config->mode == KV_ROCKS_NORMAL || config->mode == KV_ROCKS_LOSSY;
    rocksdb_options_set_create_if_missing (db, config->mode == KV_ROCKS_NORMAL);
    rocksdb_options_set_create_missing_column_families (db, may_write);
    rocksdb_options_set_paranoid_checks (db, config->mode != KV_ROCKS_SALVAGE);
    rocksdb_options_set_wal_recovery_mode (db, is_lossy (config) ? rocksdb_skip_any_corrupted_records_recovery
                                                                 : rocksdb_tolerate_corrupted_tail_records_recovery);
    rocksdb_options_set_db_write_buffer_size (db, config->write_buffer_bytes);
    rocksdb_options_set_max_total_wal_size (db, 4 * config->write_buffer_bytes);
    rocksdb_options_set_max_background_jobs (db, 2);
    rocksdb_options_set_max_open_files (db, 256);
    rocksdb_options_set_keep_log_file_num (db, 4);
    rocksdb_options_set_max_log_file_size (db, 4u << 20);
    rocksdb_options_set_stats_dump_period_sec (db, 0);
    return db;
}

static bool has_family (char *const *names, size_t count, const char *name)
{
    size_t i = 0;
    while (i < count && strcmp (names[i], name) != 0)
        i++;
    return i < count;
}

/*  Opens the families that are there; the handles of the others stay NULL. */
static void open_read_only (rocks_t *self, const rocksdb_options_t *db, const char *path, const char *const *names,
                            char **error)
{
    const char *there[FAMILIES_MAX];
    const rocksdb_options_t *options[FAMILIES_MAX];
    rocksdb_column_family_handle_t *handles[FAMILIES_MAX];
    unsigned place[FAMILIES_MAX], count = 0;
    size_t listed = 0;
    char **list = rocksdb_list_column_families (db, path, &listed, error);
    if (*error)
        return;
    for (unsigned i = 0; i < self->family_count; i++)
        if (has_family (list, listed, names[i])) {
            there[count] = names[i];
            options[count] = self->options[i];
            place[count++] = i;
        }
    rocksdb_list_column_families_destroy (list, listed);
    self->db = rocksdb_open_for_read_only_column_families (db, path, (int)count, there, options, handles, false, error);
    for (unsigned i = 0; i < count && !*error; i++)
        self->handles[place[i]] = handles[i];
}

/*  The new log begins with a mark: its sequence shows whether the manifest still says all that came before. */
static int begin_log (rocks_t *self, const char *path, err_t *err)
{
    self->mark = wal_mark_new (path, err);
    return self->mark ? put_mark (self, self->write_sync, err) : -1;
}

/*  Has the manifest say a sequence that is behind all that was skipped in the logs: what came in them after the last
 * change that could be read has used numbers up, and without it the next start would miss a log. */
static int close_gap (rocks_t *self, err_t *err)
{
    static const char key[] = "repaired";
    char *error = NULL;
    rocksdb_put_cf (self->db, self->write, self->handles[0], key, sizeof key - 1, "", 0, &error);
    if (!error)
        rocksdb_delete_cf (self->db, self->write, self->handles[0], key, sizeof key - 1, &error);
    rocksdb_flushoptions_t *how = rocksdb_flushoptions_create ();
    if (!error)
        rocksdb_flush_cf (self->db, how, self->handles[0], &error);
    rocksdb_flushoptions_destroy (how);
    return error ? kv_rocks_error (err, error, "cannot write the repaired database") : 0;
}

kv_t *kv_rocks_open (const kv_rocks_config_t *config, err_t *err)
{
    bool may_write = config->mode == KV_ROCKS_NORMAL || config->mode == KV_ROCKS_LOSSY;
    int torn = is_lossy (config) ? 0 : wal_check (config->path, may_write, err);
    if (torn == -1)
        return NULL;
    rocks_t *self = calloc (1, sizeof *self);
    if (!self || config->family_count > FAMILIES_MAX)
        abort ();
    self->kv.ops = &rocks_ops;
    self->family_count = config->family_count;
    self->cache = rocksdb_cache_create_lru (config->cache_bytes);
    self->read = rocksdb_readoptions_create ();
    rocksdb_readoptions_set_verify_checksums (self->read, 1);
    self->write = rocksdb_writeoptions_create ();
    self->write_sync = rocksdb_writeoptions_create ();
    rocksdb_writeoptions_set_sync (self->write_sync, 1);
    self->batch = rocksdb_writebatch_create ();
    const char *names[FAMILIES_MAX];
    for (unsigned i = 0; i < config->family_count; i++) {
        family_options (self, i, config);
        names[i] = i ? config->families[i].name : "default";
    }

    rocksdb_options_t *db = database_options (config);
    if (torn == 1) /* what a start would cut off is passed over */
        rocksdb_options_set_wal_recovery_mode (db, rocksdb_point_in_time_recovery);
    char *error = NULL;
    if (!may_write)
        open_read_only (self, db, config->path, names, &error);
    else
        self->db =
            rocksdb_open_column_families (db, config->path, (int)config->family_count, names,
                                          (const rocksdb_options_t *const *)self->options, self->handles, &error);
    rocksdb_options_destroy (db);
    if (error) {
        char doing[256];
        snprintf (doing, sizeof doing, "cannot open the database %s", config->path);
        kv_rocks_error (err, error, doing);
        self->db = NULL;
        kv_t *kv = &self->kv;
        kv_destroy (&kv);
        return NULL;
    }
    if ((config->mode == KV_ROCKS_LOSSY && close_gap (self, err) == -1) ||
        (may_write && begin_log (self, config->path, err) == -1)) {
        kv_t *kv = &self->kv;
        kv_destroy (&kv);
        return NULL;
    }
    return &self->kv;
}
