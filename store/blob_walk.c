#include "store/blob_walk.h"

#include <fts.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#define AGE_S 3600

struct blob_walk {
    FTS *tree;
};

blob_walk_t *blob_walk_new (const char *data_dir)
{
    str_t path = STR_INIT;
    str_format (&path, "%s/blobs", data_dir);
    char *const paths[] = { path.data, NULL };
    FTS *tree = fts_open (paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    str_free (&path);
    if (!tree)
        return NULL;
    blob_walk_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->tree = tree;
    return self;
}

void blob_walk_destroy (blob_walk_t **self_p)
{
    if (!*self_p)
        return;
    fts_close ((*self_p)->tree);
    free (*self_p);
    *self_p = NULL;
}

static int nibble (char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*  Bytes written as lower-case hexadecimal; false when the text is none. */
static bool read_hex (span_t text, str_t *bytes)
{
    str_clear (bytes);
    for (size_t i = 0; i + 1 < text.size; i += 2) {
        int high = nibble (text.data[i]), low = nibble (text.data[i + 1]);
        if (high < 0 || low < 0)
            return false;
        str_char (bytes, (char)(high << 4 | low));
    }
    return text.size % 2 == 0;
}

/*  blobs / u-USER / xx / HASH: a file at level 3. */
static bool is_blob (const FTSENT *entry, str_t *user, hash_t *hash)
{
    if (entry->fts_level != 3 || entry->fts_info != FTS_F || entry->fts_statp->st_mtime > time (NULL) - AGE_S)
        return false;
    const char *owner = entry->fts_parent->fts_parent->fts_name;
    str_t bytes = STR_INIT;
    bool good = read_hex (span (entry->fts_name, entry->fts_namelen), &bytes) && bytes.size == HASH_SIZE &&
                strncmp (owner, "u-", 2) == 0 && read_hex (span_str (owner + 2), user) && user->size;
    if (good)
        memcpy (hash->bytes, bytes.data, HASH_SIZE);
    str_free (&bytes);
    return good;
}

bool blob_walk_next (blob_walk_t *self, str_t *user, hash_t *hash)
{
    FTSENT *entry;
    while ((entry = fts_read (self->tree)))
        if (is_blob (entry, user, hash))
            return true;
    return false;
}
