/*  The documents' bytes against their size and hash. */
#include "integrity/verify_private.h"

#include "integrity/files.h"
#include "store/blob.h"
#include "store/blob_walk.h"

static void compare (verify_t *self, finding_t *finding, const record_document_t *document, uint64_t bytes, hash_t hash)
{
    self->report->blobs++;
    self->report->blob_bytes += bytes;
    finding->kind = FINDING_BYTES_DAMAGED;
    if (bytes != document->bytes)
        report (self->report, finding, "the document '%.*s' has %llu bytes, %llu are there",
                SPAN_ARG (document->filename), (unsigned long long)document->bytes, (unsigned long long)bytes);
    else if (!span_eq (document->hash, span (hash.bytes, HASH_SIZE)))
        report (self->report, finding, "the bytes of the document '%.*s' are not those that were submitted",
                SPAN_ARG (document->filename));
}

static void check_file (verify_t *self, span_t key, span_t user, uuid_t id, const record_document_t *document)
{
    str_t path = STR_INIT;
    uint64_t bytes;
    hash_t hash;
    err_t err;
    memcpy (hash.bytes, document->hash.data, HASH_SIZE);
    blob_path (&path, self->config->dir, user, hash);
    finding_t finding = { .place = PLACE_BLOBS, .key = key, .user = user, .document = id };
    if (files_hash (path.data, false, &hash, &bytes, &err) == 0)
        compare (self, &finding, document, bytes, hash);
    else {
        finding.kind = FINDING_BYTES_MISSING;
        report (self->report, &finding, "the bytes of the document '%.*s' are not there: %s",
                SPAN_ARG (document->filename), err.message);
    }
    str_free (&path);
}

void verify_bytes (verify_t *self, span_t key, span_t user, uuid_t id, const record_document_t *document)
{
    if (document->in_file) {
        check_file (self, key, user, id, document);
        return;
    }
    finding_t finding =
        verify_finding (PLACE_BROKER, FAMILY_BLOBS, FINDING_BYTES_MISSING, key, FIX_NONE); /* has the same key */
    finding.user = user;
    finding.document = id;
    err_t err = { 0 };
    int got = kv_get (self->broker, FAMILY_BLOBS, key, &self->value, &err);
    if (got == 1)
        compare (self, &finding, document, self->value.size, hash_of (str_span (&self->value)));
    else
        report (self->report, &finding, "the bytes of the document '%.*s' %s%s", SPAN_ARG (document->filename),
                got ? "cannot be read: " : "are not there", got ? err.message : "");
}

void verify_unused_files (verify_t *self)
{
    blob_walk_t *walk = blob_walk_new (self->config->dir);
    str_t user = STR_INIT, path = STR_INIT;
    hash_t hash;
    while (walk && blob_walk_next (walk, &user, &hash)) {
        record_key_bytes (&self->key, str_span (&user), span (hash.bytes, HASH_SIZE));
        if (verify_has (self->broker, FAMILY_HASHES, str_span (&self->key)))
            continue;
        blob_path (&path, self->config->dir, str_span (&user), hash);
        finding_t finding = {
            .kind = FINDING_UNUSED_FILE, .is_note = true, .place = PLACE_BLOBS, .key = span (path.data, path.size)
        };
        report (self->report, &finding, "no document has these bytes");
    }
    blob_walk_destroy (&walk);
    str_free (&user);
    str_free (&path);
}
