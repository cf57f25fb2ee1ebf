/*  A database whose files are damaged: what can be read of it becomes a new one. */
#include "base/dir.h"
#include "integrity/files.h"
#include "integrity/repair_private.h"
#include "store/content_records.h"
#include "store/kv_skip.h"
#include "store/records.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define BATCH_BYTES (4u << 20)

static void tell_lost (report_t *done, finding_place_t place, const char *family, span_t last, const err_t *why)
{
    finding_t finding = {
        .kind = FINDING_UNREADABLE, .place = place, .family_name = family, .key = last, .fix = FIX_SALVAGE
    };
    report (done, &finding, "what follows %s cannot be read: %s", last.size ? "this record" : "the beginning",
            why->message);
}

static int copy_family (kv_t *from, kv_t *to, unsigned family, finding_place_t place, report_t *done, err_t *err)
{
    const char *name = place == PLACE_BROKER ? record_family_name ((record_family_t)family)
                                             : content_family_name ((content_family_t)family);
    err_t why;
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
        more = it->ops->check (it, &why) < 0;
        if (more) {
            tell_lost (done, place, name, str_span (&last), &why);
            more = kv_iter_skip (it, str_span (&last));
        }
    }
    if (rc == 0)
        rc = kv_commit (to, true, err);
    kv_iter_destroy (&it);
    str_free (&last);
    return rc;
}

/*  One takes the place of the other in a single step: at no time there is none, which a start would take for a new and
 *  empty one. */
static int exchange (const char *new, const char *old, err_t *err)
{
    if (renameat2 (AT_FDCWD, new, AT_FDCWD, old, RENAME_EXCHANGE) == 0)
        return files_remove (new, err);
    if (errno != EINVAL && errno != ENOSYS) /* a file system that cannot: in two steps then */
        return err_set_errno (err, ERR_IO, errno, "cannot put %s in the place of %s", new, old);
    if (files_remove (old, err) == -1)
        return -1;
    return rename (new, old) == 0 ? 0 : err_set_errno (err, ERR_IO, errno, "cannot rename %s to %s", new, old);
}

int salvage (const char *dir, finding_place_t place, report_t *done, err_t *err)
{
    bool is_broker = place == PLACE_BROKER;
    const char *name = is_broker ? "broker" : "content";
    str_t old = STR_INIT, new = STR_INIT;
    kv_t *(*open) (const char *, kv_rocks_mode_t, err_t *) = is_broker ? records_open_mode : content_records_open_mode;
    unsigned count = is_broker ? FAMILY_COUNT : CONTENT_FAMILY_COUNT;
    kv_t *to = NULL, *from = NULL;
    int rc = -1;
    str_format (&old, "%s/%s", dir, name);
    str_format (&new, "%s/%s.salvaged", dir, name);
    if (files_remove (new.data, err) == -1 || !(from = open (old.data, KV_ROCKS_SALVAGE, err)) ||
        !(to = open (new.data, KV_ROCKS_NORMAL, err)))
        goto out;
    rc = 0;
    for (unsigned family = 0; family < count && rc == 0; family++)
        rc = copy_family (from, to, family, place, done, err);
out:
    kv_destroy (&to);
    kv_destroy (&from);
    if (rc == -1)
        files_remove (new.data, NULL);
    else if (files_sync_tree (new.data, err) == -1 || exchange (new.data, old.data, err) == -1)
        rc = -1;
    else
        rc = dir_sync (dir, err);
    str_free (&old);
    str_free (&new);
    return rc;
}

/*  Number of the newest MANIFEST; 0: there is none. */
static unsigned long long newest_manifest (const char *path)
{
    DIR *dir = opendir (path);
    struct dirent *entry;
    unsigned long long newest = 0, number;
    while (dir && (entry = readdir (dir)))
        if (sscanf (entry->d_name, "MANIFEST-%llu", &number) == 1 && number > newest)
            newest = number;
    if (dir)
        closedir (dir);
    return newest;
}

/*  Whether the file says just that. */
static bool says (const char *path, const str_t *text)
{
    char there[64];
    FILE *file = fopen (path, "re");
    size_t size = file ? fread (there, 1, sizeof there, file) : 0;
    if (file)
        fclose (file);
    return span_eq (span (there, size), str_span (text));
}

int mend_current (const char *dir, finding_place_t place, report_t *done, err_t *err)
{
    str_t path = STR_INIT, name = STR_INIT, text = STR_INIT;
    int rc = 0;
    str_format (&path, "%s/%s", dir, place == PLACE_BROKER ? "broker" : "content");
    unsigned long long newest = newest_manifest (path.data);
    str_format (&name, "%s/CURRENT", path.data);
    str_format (&text, "MANIFEST-%06llu\n", newest);
    if (newest && !says (name.data, &text)) {
        finding_t finding = { .kind = FINDING_DATABASE, .place = place, .fix = FIX_PUT };
        FILE *file = fopen (name.data, "we");
        bool written = file && fwrite (text.data, 1, text.size, file) == text.size && fflush (file) == 0 &&
                       fsync (fileno (file)) == 0;
        if (file)
            fclose (file);
        rc = written && dir_sync (path.data, err) == 0
                 ? 1
                 : err_set_errno (err, ERR_IO, errno, "cannot write %s", name.data);
        if (rc == 1)
            report (done, &finding, "the file CURRENT does not name the newest list of files");
    }
    str_free (&path);
    str_free (&name);
    str_free (&text);
    return rc;
}
