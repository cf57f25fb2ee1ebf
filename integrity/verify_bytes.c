/*  The documents' bytes against their size and hash. */
#include "integrity/verify_private.h"

#include "base/hash.h"
#include "store/blob.h"
#include "store/blob_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define STEP_BYTES (256u << 10)

/*  Size and hash of a file. 0, or -1 with an errno. */
static int hash_file (const char *path, uint64_t *bytes, hash_t *hash)
{
    static char step[STEP_BYTES];
    hasher_t hasher;
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    ssize_t got = -1;
    if (fd == -1)
        return -1;
    hash_start (&hasher);
    *bytes = 0;
    while ((got = read (fd, step, sizeof step)) > 0 || (got == -1 && errno == EINTR)) {
        if (got == -1)
            continue;
        hash_feed (&hasher, span (step, (size_t)got));
        *bytes += (uint64_t)got;
    }
    int trouble = errno;
    close (fd);
    errno = trouble;
    *hash = hash_end (&hasher);
    return got == 0 ? 0 : -1;
}

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

static void check_file (verify_t *self, span_t key, span_t user, const record_document_t *document)
{
    str_t path = STR_INIT;
    uint64_t bytes;
    hash_t hash;
    memcpy (hash.bytes, document->hash.data, HASH_SIZE);
    blob_path (&path, self->config->dir, user, hash);
    finding_t finding = { .place = PLACE_BLOBS, .key = key, .user = user };
    if (hash_file (path.data, &bytes, &hash) == 0)
        compare (self, &finding, document, bytes, hash);
    else {
        finding.kind = FINDING_BYTES_MISSING;
        report (self->report, &finding, "the bytes of the document '%.*s' cannot be read: %s: %s",
                SPAN_ARG (document->filename), path.data, strerror (errno));
    }
    str_free (&path);
}

void verify_bytes (verify_t *self, span_t key, span_t user, uuid_t id, const record_document_t *document)
{
    (void)id;
    if (document->in_file) {
        check_file (self, key, user, document);
        return;
    }
    finding_t finding =
        verify_finding (PLACE_BROKER, FAMILY_BLOBS, FINDING_BYTES_MISSING, key, FIX_NONE); /* has the same key */
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
