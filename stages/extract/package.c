#include "stages/extract/package.h"
#include "stages/extract/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>

typedef struct {
    char *name;
    str_t bytes;
} member_t;

struct package {
    member_t *members;
    size_t count;
};

/*  Reads the current entry as a new member; -1 and *err when a limit is reached. */
static int take_member (package_t *self, struct archive *archive, const char *name, sink_t *sink, err_t *err)
{
    self->members = realloc (self->members, (self->count + 1) * sizeof *self->members);
    if (!self->members)
        abort ();
    member_t *member = &self->members[self->count++];
    *member = (member_t){ .name = strdup (name) };
    if (!member->name)
        abort ();
    err_t why;
    int rc = unpack_entry (archive, sink, 0, &member->bytes, &why);
    if (rc == UNPACK_LIMIT || (rc < 0 && why.code == ERR_MEMORY_EXCEEDED)) { /* without it the rest makes no sense */
        *err = why;
        return -1;
    }
    if (rc < 0)
        sink_bad (sink, why.code, span_str (name), "%s", why.message);
    return 0;
}

static int read_members (package_t *self, struct archive *archive, package_wanted_fn *wanted, sink_t *sink, err_t *err)
{
    struct archive_entry *entry;
    int rc;
    while ((rc = archive_read_next_header (archive, &entry)) >= ARCHIVE_WARN && rc != ARCHIVE_EOF) {
        if (sink_entry (sink, err))
            return -1;
        const char *name = archive_entry_pathname (entry);
        if (!name || !wanted (name))
            continue;
        if (archive_entry_is_encrypted (entry))
            return err_set (err, ERR_ENCRYPTED_DOCUMENT, "the document is encrypted with a password");
        if (take_member (self, archive, name, sink, err))
            return -1;
    }
    if (rc != ARCHIVE_EOF) {
        if (!self->count)
            return unpack_fault (archive, ERR_DAMAGED_DOCUMENT, "the document is damaged", err);
        err_t why;
        unpack_fault (archive, ERR_DAMAGED_DOCUMENT, "the end of the document is damaged", &why);
        sink_bad (sink, why.code, SPAN_EMPTY, "%s", why.message);
    }
    return 0;
}

package_t *package_open (span_t bytes, package_wanted_fn *wanted, sink_t *sink, err_t *err)
{
    package_t *self = calloc (1, sizeof *self);
    struct archive *archive = archive_read_new ();
    if (!self || !archive)
        abort ();
    archive_read_support_format_zip (archive);
    int rc = -1;
    if (archive_read_open_memory (archive, bytes.data, bytes.size) != ARCHIVE_OK) {
        unpack_fault (archive, ERR_DAMAGED_DOCUMENT, "the document is damaged", err);
    } else
        rc = read_members (self, archive, wanted, sink, err);
    archive_read_free (archive);
    if (rc)
        package_destroy (&self);
    return self;
}

void package_destroy (package_t **self_p)
{
    package_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++) {
        free (self->members[i].name);
        str_free (&self->members[i].bytes);
    }
    free (self->members);
    free (self);
    *self_p = NULL;
}

size_t package_count (const package_t *self)
{
    return self->count;
}

const char *package_name (const package_t *self, size_t index)
{
    return self->members[index].name;
}

span_t package_bytes (const package_t *self, size_t index)
{
    return str_span (&self->members[index].bytes);
}

span_t package_find (const package_t *self, const char *name)
{
    for (size_t i = 0; i < self->count; i++)
        if (strcmp (self->members[i].name, name) == 0)
            return str_span (&self->members[i].bytes);
    return SPAN_EMPTY;
}
