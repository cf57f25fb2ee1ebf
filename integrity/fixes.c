#include "integrity/repair_private.h"

#include "base/clock.h"
#include "broker/core/lifecycle.h"
#include "integrity/files.h"
#include "store/blob.h"
#include "store/content_records.h"
#include "store/records.h"

/*  --- the content --- */

/*  Deletes every record of the family whose key starts so. Segments give their rows back too. */
static int delete_all (kv_t *kv, content_family_t family, span_t prefix, err_t *err)
{
    kv_iter_t *it = kv_iterate (kv, family);
    str_t row = STR_INIT;
    content_segment_t segment;
    for (it->ops->seek (it, prefix); it->ops->valid (it); it->ops->step (it, true)) {
        span_t key = it->ops->key (it);
        if (key.size < prefix.size || memcmp (key.data, prefix.data, prefix.size) != 0)
            break;
        if (family == CONTENT_SEGMENTS &&
            content_decode (&content_segment_shape, it->ops->value (it), &segment, NULL) == 0) {
            content_key_row (&row, segment.row);
            kv_delete (kv, CONTENT_ROWS, str_span (&row));
        }
        kv_delete (kv, family, key);
    }
    int rc = it->ops->check (it, err);
    kv_iter_destroy (&it);
    str_free (&row);
    return rc;
}

int fix_forget (kv_t *content, span_t user, uuid_t document, uint64_t revision, err_t *err)
{
    static const content_family_t families[] = { CONTENT_SEGMENTS, CONTENT_TEXT, CONTENT_MARKS, CONTENT_VECTORS,
                                                 CONTENT_GARBAGE };
    str_t prefix = STR_INIT;
    int rc = 0;
    if (revision)
        content_key_revision (&prefix, user, document, revision);
    else
        record_key (&prefix, user, document);
    for (size_t i = 0; i < sizeof families / sizeof *families && rc == 0; i++)
        rc = delete_all (content, families[i], str_span (&prefix), err);
    if (!revision)
        kv_delete (content, CONTENT_DOCUMENTS, str_span (&prefix));
    str_free (&prefix);
    return rc;
}

/*  --- a document that lost its record --- */

/*  Milliseconds in a UUIDv7: when the document was made. */
static uint64_t time_of (uuid_t id)
{
    uint64_t ms = 0;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | (unsigned char)id.bytes[i];
    return ms;
}

/*  Its bytes: inline under its id, or in a file under the hash. False: there are none. */
static bool find_bytes (const char *dir, kv_t *kv, span_t user, uuid_t id, span_t hash_wanted, hash_t *hash,
                        uint64_t *bytes, bool *in_file)
{
    str_t key = STR_INIT, value = STR_INIT, path = STR_INIT;
    record_key (&key, user, id);
    *in_file = kv_get (kv, FAMILY_BLOBS, str_span (&key), &value, NULL) != 1;
    bool found = true;
    if (!*in_file) {
        *hash = hash_of (str_span (&value));
        *bytes = value.size;
    } else if (hash_wanted.size == HASH_SIZE) {
        memcpy (hash->bytes, hash_wanted.data, HASH_SIZE);
        blob_path (&path, dir, user, *hash);
        found = files_hash (path.data, false, hash, bytes, NULL) == 0;
    } else
        found = false;
    if (found && hash_wanted.size)
        found = span_eq (span (hash->bytes, HASH_SIZE), hash_wanted);
    str_free (&key);
    str_free (&value);
    str_free (&path);
    return found;
}

/*  Its record, under a name that says so, and a task that processes it again. */
static void put_document (kv_t *kv, span_t user, uuid_t id, hash_t hash, uint64_t bytes, bool in_file)
{
    str_t key = STR_INIT, name = STR_INIT;
    char text[UUID_TEXT];
    uuid_text (id, text);
    str_format (&name, "recovered-%s", text);
    uint64_t now = clock_wall_ms (), revision = now / 1000; /* surely higher than any that was given out */
    uuid_t task = uuid_new ();
    record_document_t document = { .filename = str_span (&name),
                                   .bytes = bytes,
                                   .hash = span (hash.bytes, HASH_SIZE),
                                   .in_file = in_file,
                                   .created_at = time_of (id),
                                   .updated_at = now,
                                   .task = task,
                                   .first_task = task,
                                   .revisions = revision };
    record_key (&key, user, id);
    record_put (kv, FAMILY_DOCUMENTS, str_span (&key), &record_document_shape, &document);
    record_key_bytes (&key, user, document.hash);
    kv_put (kv, FAMILY_HASHES, str_span (&key), span (id.bytes, UUID_SIZE));
    record_task_t pending = { .document = id,
                              .status = TASK_PENDING,
                              .priority = 5,
                              .created_at = now,
                              .updated_at = now,
                              .revision = revision };
    record_key (&key, user, task);
    record_put (kv, FAMILY_TASKS, str_span (&key), &record_task_shape, &pending);
    str_free (&key); /* what else the task needs is incomplete now: the next look finds that */
    str_free (&name);
}

static int restore_document (const char *dir, kv_t *kv, const finding_t *finding)
{
    span_t user, rest, hash_wanted = SPAN_EMPTY;
    hash_t hash;
    uint64_t bytes = 0;
    bool in_file = false;
    if (finding->family == FAMILY_HASHES && record_key_parse (finding->key, &user, &rest) == 0)
        hash_wanted = rest;
    if (find_bytes (dir, kv, finding->user, finding->document, hash_wanted, &hash, &bytes, &in_file))
        put_document (kv, finding->user, finding->document, hash, bytes, in_file);
    else
        kv_delete (kv, finding->family, finding->key);
    return 1;
}

int fix_apply (const char *dir, kv_t *broker, kv_t *content, const finding_t *finding, err_t *err)
{
    kv_t *kv = finding->place == PLACE_CONTENT ? content : finding->place == PLACE_BROKER ? broker : NULL;
    switch (finding->fix) {
    case FIX_DELETE:
        kv_delete (kv, finding->family, finding->key);
        return 1;
    case FIX_PUT:
        kv_put (kv, finding->family, finding->key, finding->value);
        return 1;
    case FIX_RESTORE_DOCUMENT:
        return restore_document (dir, broker, finding);
    case FIX_FORGET:
    case FIX_FORGET_REVISION:
        return fix_forget (content, finding->user, finding->document,
                           finding->fix == FIX_FORGET ? 0 : finding->revision, err) == 0
                   ? 1
                   : -1;
    case FIX_NONE:
    case FIX_SALVAGE:
    case FIX_PROCESS:
    case FIX_INDEX:
    case FIX_COUNT:
        break;
    }
    return 0;
}
