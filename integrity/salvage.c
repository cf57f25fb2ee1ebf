/*  A database whose files are damaged: what can be read of it becomes a new one. */
#include "integrity/files.h"
#include "integrity/repair_private.h"
#include "store/content_records.h"
#include "store/kv_skip.h"
#include "store/records.h"

#include <errno.h>
#include <stdio.h>

#define BATCH_BYTES (4u << 20)

static int copy_family (kv_t *from, kv_t *to, unsigned family, uint64_t *lost, err_t *err)
{
    kv_iter_t *it = kv_iterate (from, family);
    str_t last = STR_INIT;
    size_t pending = 0;
    int rc = 0;
    bool more = true;
    it->ops->seek (it, SPAN_EMPTY);
    while (more && rc == 0) {
        for (; rc == 0 && it->ops->valid (it); it->ops->step (it, true)) {
            span_t key = it->ops->key (it), value = it->ops->value (it);
            kv_put (to, family, key, value);
            str_clear (&last);
            str_add (&last, key);
            if ((pending += key.size + value.size) > BATCH_BYTES) {
                rc = kv_commit (to, false, err);
                pending = 0;
            }
        }
        more = it->ops->check (it, NULL) < 0;
        if (more) {
            ++*lost;
            more = kv_iter_skip (it, str_span (&last));
        }
    }
    if (rc == 0)
        rc = kv_commit (to, true, err);
    kv_iter_destroy (&it);
    str_free (&last);
    return rc;
}

int salvage (const char *dir, const char *name, bool is_broker, uint64_t *lost, err_t *err)
{
    str_t old = STR_INIT, new = STR_INIT;
    kv_t *(*open) (const char *, kv_rocks_mode_t, err_t *) = is_broker ? records_open_mode : content_records_open_mode;
    unsigned count = is_broker ? FAMILY_COUNT : CONTENT_FAMILY_COUNT;
    kv_t *to = NULL, *from = NULL;
    int rc = -1;
    str_format (&old, "%s/%s", dir, name);
    str_format (&new, "%s/%s.salvaged", dir, name);
    if (files_remove (new.data, err) == -1 || !(from = open (old.data, KV_ROCKS_READ_ONLY, err)) ||
        !(to = open (new.data, KV_ROCKS_NORMAL, err)))
        goto out;
    rc = 0;
    for (unsigned family = 0; family < count && rc == 0; family++)
        rc = copy_family (from, to, family, lost, err);
out:
    kv_destroy (&to);
    kv_destroy (&from);
    if (rc == 0 && (rc = files_remove (old.data, err)) == 0 && rename (new.data, old.data) == -1)
        rc = err_set_errno (err, ERR_IO, errno, "cannot rename %s to %s", new.data, old.data);
    if (rc == 0)
        rc = files_sync_dir (dir, err);
    str_free (&old);
    str_free (&new);
    return rc;
}
