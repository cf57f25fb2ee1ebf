/*  The broker's records against the content: what the broker says is completed is there, and nothing else is seen.
 *
 *  Storage is durable before the broker says so, so after any crash the content may be one step ahead: a task that
 *  lives explains its own revision. It is never behind.
 */
#include "integrity/verify_private.h"

static finding_t between (verify_t *self, finding_place_t place, unsigned family, finding_kind_t kind, span_t key,
                          fix_t fix, span_t user, uuid_t id)
{
    finding_t finding = verify_finding (place, family, kind, key, fix);
    finding.is_note = self->config->was_running; /* the content is younger than the records: restore settles it */
    finding.user = user;
    finding.document = id;
    return finding;
}

/*  Storage is about to be told to drop the revision (0: all of them). */
static bool is_purged (verify_t *self, span_t user, uuid_t id, uint64_t revision)
{
    record_key_number (&self->other, user, id, revision);
    return verify_has (self->broker, FAMILY_PURGES, str_span (&self->other));
}

static bool has_living (verify_t *self, span_t user, uuid_t task, uint64_t revision)
{
    record_live_t live;
    record_key (&self->key, user, task);
    return verify_get (self, FAMILY_LIVE, str_span (&self->key), &record_live_shape, &live, &self->other) == 1 &&
           live.revision == revision;
}

/*  A task of the document that has not ended makes this revision. */
static bool is_in_work (verify_t *self, span_t user, uuid_t id, const record_document_t *document, uint64_t revision)
{
    if (has_living (self, user, document->task, revision) || has_living (self, user, document->first_task, revision))
        return true;
    kv_iter_t *it = kv_iterate (self->broker, FAMILY_DOCUMENT_TASKS);
    str_t prefix = STR_INIT;
    bool found = false;
    record_key (&prefix, user, id);
    for (it->ops->seek (it, str_span (&prefix)); !found && it->ops->valid (it); it->ops->step (it, true)) {
        span_t key = it->ops->key (it);
        if (key.size != prefix.size + UUID_SIZE || memcmp (key.data, prefix.data, prefix.size) != 0)
            break;
        found = has_living (self, user, record_key_id (span (key.data + prefix.size, UUID_SIZE)), revision);
    }
    kv_iter_destroy (&it);
    str_free (&prefix);
    return found;
}

/*  --- what the broker says is completed --- */

/*  The broker's record does not say what the content has: it is to. */
static void report_document (verify_t *self, span_t key, span_t user, uuid_t id, const record_document_t *is,
                             const content_document_t *there)
{
    record_document_t document = *is;
    str_t value = STR_INIT;
    document.revision = there->revision;
    document.chunks = there->chunks;
    if (document.revisions < there->revision)
        document.revisions = there->revision;
    codec_encode (&record_document_shape, &document, &value);
    finding_t finding = between (self, PLACE_BROKER, FAMILY_DOCUMENTS, FINDING_WRONG_COUNT, key, FIX_PUT, user, id);
    finding.value = str_span (&value);
    report (self->report, &finding, "revision %llu with %u chunks is visible, the record says %llu with %u",
            (unsigned long long)there->revision, there->chunks, (unsigned long long)is->revision, is->chunks);
    str_free (&value);
}

/*  Storage takes nothing more of a revision up to `dropped_through`: right for those of tasks that ended without it. */
static bool is_taken_for_deleted (verify_t *self, span_t user, uuid_t id, const record_document_t *document,
                                  uint64_t dropped_through)
{
    if (!dropped_through || is_purged (self, user, id, 0))
        return false;
    return dropped_through > document->revisions || (document->revision && dropped_through >= document->revision) ||
           is_in_work (self, user, id, document, dropped_through);
}

static void check_document (verify_t *self, void *context, span_t key, span_t value)
{
    span_t user, rest;
    record_document_t document;
    content_document_t there = { 0 };
    (void)context;
    if (record_key_parse (key, &user, &rest) == -1 || rest.size != UUID_SIZE ||
        codec_decode (&record_document_shape, value, &document, NULL) == -1)
        return; /* reported already */
    uuid_t id = record_key_id (rest);
    int got = verify_get_content (self, CONTENT_DOCUMENTS, key, &content_document_shape, &there, &self->value);
    if (got < 0)
        return;
    finding_t finding =
        between (self, PLACE_BROKER, FAMILY_DOCUMENTS, FINDING_CONTENT_MISSING, key, FIX_PROCESS, user, id);
    if (got && is_taken_for_deleted (self, user, id, &document, there.dropped_through)) {
        finding.kind = FINDING_CONTENT_DAMAGED;
        report (self->report, &finding, "the content takes '%.*s' for deleted", SPAN_ARG (document.filename));
    } else if (document.revision > there.revision)
        report (self->report, &finding, "revision %llu of '%.*s' was completed and is not in the content",
                (unsigned long long)document.revision, SPAN_ARG (document.filename));
    else if (there.revision > document.revision) {
        if (!is_in_work (self, user, id, &document, there.revision))
            report_document (self, key, user, id, &document, &there);
    } else if (there.revision && there.chunks != document.chunks)
        report_document (self, key, user, id, &document, &there);
}

/*  --- what the content has --- */

static void report_unknown (verify_t *self, span_t key, span_t user, uuid_t id)
{
    finding_t finding =
        between (self, PLACE_CONTENT, CONTENT_DOCUMENTS, FINDING_CONTENT_UNKNOWN, key, FIX_FORGET, user, id);
    report (self->report, &finding, "search finds a document that the broker does not have");
}

static void check_visible (verify_t *self, void *context, span_t key, span_t value)
{
    span_t user, rest;
    content_document_t document;
    (void)context;
    if (record_key_parse (key, &user, &rest) == -1 || rest.size != UUID_SIZE ||
        content_decode (&content_document_shape, value, &document, NULL) < 0 || !document.revision)
        return;
    uuid_t id = record_key_id (rest);
    if (!verify_has (self->broker, FAMILY_DOCUMENTS, key) && !is_purged (self, user, id, 0))
        report_unknown (self, key, user, id);
}

/*  Segments of a revision that is not visible: somebody is at work on it, or it is to be removed. */
static void check_revision (verify_t *self, span_t key, span_t user, uuid_t id, uint64_t revision)
{
    record_document_t document;
    content_document_t visible = { 0 };
    str_t bytes = STR_INIT, document_key = STR_INIT;
    record_key (&document_key, user, id);
    int got_visible = verify_get_content (self, CONTENT_DOCUMENTS, str_span (&document_key), &content_document_shape,
                                          &visible, &self->value);
    int got = verify_get (self, FAMILY_DOCUMENTS, str_span (&document_key), &record_document_shape, &document, &bytes);
    bool is_new = got_visible >= 0 && revision > visible.revision && revision > visible.dropped_through;
    content_key_revision (&self->key, user, id, revision);
    bool is_garbage = verify_has (self->content, CONTENT_GARBAGE, str_span (&self->key));
    if (is_new && !is_garbage && got >= 0 && !is_purged (self, user, id, revision) && !is_purged (self, user, id, 0) &&
        !(got == 1 && is_in_work (self, user, id, &document, revision))) {
        finding_t finding =
            between (self, PLACE_CONTENT, CONTENT_SEGMENTS, FINDING_DANGLING, key, FIX_FORGET_REVISION, user, id);
        finding.revision = revision;
        report (self->report, &finding, "no task makes this revision, and nothing will remove it");
    }
    str_free (&bytes);
    str_free (&document_key);
}

static void check_revisions (verify_t *self)
{
    kv_iter_t *it = kv_iterate (self->content, CONTENT_SEGMENTS);
    str_t first = STR_INIT;
    span_t user, rest;
    for (it->ops->seek (it, SPAN_EMPTY); it->ops->valid (it);) {
        span_t key = it->ops->key (it);
        if (record_key_parse (key, &user, &rest) == -1 || rest.size != UUID_SIZE + 12) {
            it->ops->step (it, true);
            continue;
        }
        str_clear (&first);
        str_add (&first, key);
        record_key_parse (str_span (&first), &user, &rest);
        check_revision (self, str_span (&first), user, record_key_id (rest),
                        record_key_u64 (span (rest.data + UUID_SIZE, 8)));
        memset (first.data + first.size - 4, 0xff, 4); /* behind all its segments */
        str_char (&first, 0);
        it->ops->seek (it, str_span (&first));
    }
    kv_iter_destroy (&it);
    str_free (&first);
}

/*  --- checkpoints --- */

/*  A task goes on behind its checkpoint: what is before it must be there. */
static void check_work (verify_t *self, void *context, span_t key, span_t value)
{
    span_t user, rest;
    record_resume_t resume;
    record_live_t live;
    (void)context;
    if (record_key_parse (key, &user, &rest) == -1 || codec_decode (&record_resume_shape, value, &resume, NULL) == -1 ||
        verify_get (self, FAMILY_LIVE, key, &record_live_shape, &live, &self->value) != 1 ||
        live.revision != resume.revision)
        return;
    content_document_t there = { 0 };
    record_key (&self->key, user, live.document);
    if (verify_get_content (self, CONTENT_DOCUMENTS, str_span (&self->key), &content_document_shape, &there,
                            &self->other) == 1 &&
        there.revision >= live.revision)
        return; /* committed already */
    uint64_t stored = 0, wanted = resume.segments > resume.failed ? resume.segments - resume.failed : 0;
    kv_iter_t *it = kv_iterate (self->content, CONTENT_SEGMENTS);
    content_key (&self->key, user, live.document, live.revision, 0);
    str_t end = STR_INIT;
    content_key (&end, user, live.document, live.revision, resume.segments);
    for (it->ops->seek (it, str_span (&self->key)); it->ops->valid (it); it->ops->step (it, true)) {
        span_t at = it->ops->key (it);
        if (at.size != end.size || memcmp (at.data, end.data, end.size) >= 0)
            break;
        stored++;
    }
    kv_iter_destroy (&it);
    str_free (&end);
    if (stored < wanted) {
        finding_t finding =
            between (self, PLACE_BROKER, FAMILY_WORK, FINDING_CONTENT_MISSING, key, FIX_DELETE, user, live.document);
        report (self->report, &finding, "the checkpoint says %llu segments are stored, %llu are",
                (unsigned long long)wanted, (unsigned long long)stored);
    }
}

void verify_between (verify_t *self)
{
    self->is_second = true;
    verify_walk (self, PLACE_BROKER, FAMILY_DOCUMENTS, check_document, NULL);
    verify_walk (self, PLACE_CONTENT, CONTENT_DOCUMENTS, check_visible, NULL);
    check_revisions (self);
    verify_walk (self, PLACE_BROKER, FAMILY_WORK, check_work, NULL);
}
