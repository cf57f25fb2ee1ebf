#include "integrity/manifest.h"
#include "base/clock.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void file_name (str_t *path, const char *dir)
{
    str_format (path, "%s/" MANIFEST_NAME, dir);
}

/*  --- writing --- */

struct manifest_writer {
    FILE *file;
    str_t path, line;
    hasher_t hasher;
    manifest_sums_t sums;
};

/*  Writes the line and its end; what went wrong shows when the file is flushed. */
static void put_line (manifest_writer_t *self)
{
    str_char (&self->line, '\n');
    hash_feed (&self->hasher, str_span (&self->line));
    fwrite (self->line.data, 1, self->line.size, self->file);
    str_clear (&self->line);
}

static void put_hash (str_t *line, hash_t hash)
{
    char text[HASH_TEXT];
    hash_text (hash, text);
    str_key_str (line, "blake2b", span_str (text));
}

manifest_writer_t *manifest_writer_new (const char *dir, bool running, err_t *err)
{
    manifest_writer_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    file_name (&self->path, dir);
    self->file = fopen (self->path.data, "wxe");
    if (!self->file) {
        err_set_errno (err, ERR_IO, errno, "cannot make %s", self->path.data);
        manifest_writer_destroy (&self);
        return NULL;
    }
    hash_start (&self->hasher);
    str_format (&self->line, "{\"myelin_backup\":%d", MANIFEST_FORMAT);
    str_key_str (&self->line, "version", span_str (MYELIN_VERSION));
    str_key_time (&self->line, "at", clock_wall_ms ());
    str_key_raw (&self->line, "running", running ? SPAN_LIT ("true") : SPAN_LIT ("false"));
    str_char (&self->line, '}');
    put_line (self);
    return self;
}

void manifest_add (manifest_writer_t *self, const char *path, uint64_t bytes, hash_t hash)
{
    str_char (&self->line, '{');
    str_key_str (&self->line, "path", span_str (path));
    str_key_u64 (&self->line, "bytes", bytes);
    put_hash (&self->line, hash);
    str_char (&self->line, '}');
    put_line (self);
    self->sums.files++;
    self->sums.bytes += bytes;
}

int manifest_writer_end (manifest_writer_t *self, manifest_sums_t *sums, err_t *err)
{
    str_char (&self->line, '{');
    str_key_u64 (&self->line, "files", self->sums.files);
    str_key_u64 (&self->line, "bytes", self->sums.bytes);
    put_hash (&self->line, hash_end (&self->hasher));
    str_text (&self->line, "}\n");
    fwrite (self->line.data, 1, self->line.size, self->file);
    if (fflush (self->file) != 0 || ferror (self->file) || fsync (fileno (self->file)) == -1)
        return err_set_errno (err, ERR_IO, errno, "cannot write %s", self->path.data);
    *sums = self->sums;
    return 0;
}

void manifest_writer_destroy (manifest_writer_t **self_p)
{
    manifest_writer_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    if (self->file)
        fclose (self->file);
    str_free (&self->path);
    str_free (&self->line);
    free (self);
}

/*  --- reading --- */

struct manifest_reader {
    FILE *file;
    str_t path;
    char *line;
    size_t room;
    hasher_t hasher;
    manifest_sums_t sums;
    bool was_running;
};

static int damaged (const manifest_reader_t *self, err_t *err)
{
    return err_set (err, ERR_CORRUPT, "%s is damaged or incomplete: use another backup", self->path.data);
}

/*  The next line as an object, NULL when it is none. The caller decrefs. `before`: the hash of all lines before it. */
static json_t *next_line (manifest_reader_t *self, hash_t *before)
{
    ssize_t size = getline (&self->line, &self->room, self->file);
    hasher_t so_far = self->hasher;
    *before = hash_end (&so_far);
    if (size <= 0 || self->line[size - 1] != '\n')
        return NULL;
    hash_feed (&self->hasher, span (self->line, (size_t)size));
    json_t *object = json_loadb (self->line, (size_t)size, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object (object)) {
        json_decref (object);
        return NULL;
    }
    return object;
}

manifest_reader_t *manifest_reader_new (const char *dir, err_t *err)
{
    manifest_reader_t *self = calloc (1, sizeof *self);
    hash_t before;
    json_t *head = NULL;
    if (!self)
        abort ();
    file_name (&self->path, dir);
    self->file = fopen (self->path.data, "re");
    if (!self->file) {
        if (errno == ENOENT || errno == ENOTDIR)
            err_set (err, ERR_NOT_FOUND, "'%s' is no backup, or one that did not come to its end: it has no %s", dir,
                     MANIFEST_NAME);
        else
            err_set_errno (err, ERR_IO, errno, "cannot read %s", self->path.data);
        goto failed;
    }
    hash_start (&self->hasher);
    head = next_line (self, &before);
    json_int_t format = json_integer_value (json_object_get (head, "myelin_backup"));
    if (format > MANIFEST_FORMAT) {
        err_set (err, ERR_NEWER_FORMAT, "the backup '%s' was made by a newer version: use a newer myelin", dir);
        goto failed;
    }
    if (format < 1) {
        damaged (self, err);
        goto failed;
    }
    self->was_running = json_is_true (json_object_get (head, "running"));
    json_decref (head);
    return self;
failed:
    json_decref (head);
    manifest_reader_destroy (&self);
    return NULL;
}

bool manifest_was_running (const manifest_reader_t *self)
{
    return self->was_running;
}

static bool read_hash (const json_t *text, hash_t *hash)
{
    const char *hex = json_string_value (text);
    size_t size = 0;
    return hex && sodium_hex2bin (hash->bytes, HASH_SIZE, hex, strlen (hex), NULL, &size, NULL) == 0 &&
           size == HASH_SIZE;
}

/*  Names a file below the directory. */
static bool is_safe (const char *path)
{
    if (!path || !*path || *path == '/')
        return false;
    for (const char *part = path; *part;) {
        size_t size = strcspn (part, "/");
        if (size == 0 || (size == 1 && part[0] == '.') || (size == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        part += size + (part[size] == '/');
    }
    return path[strlen (path) - 1] != '/';
}

int manifest_next (manifest_reader_t *self, str_t *path, uint64_t *bytes, hash_t *hash, err_t *err)
{
    hash_t before;
    int rc = -1;
    json_t *line = next_line (self, &before);
    const char *name = json_string_value (json_object_get (line, "path"));
    *bytes = (uint64_t)json_integer_value (json_object_get (line, "bytes"));
    if (!line || !read_hash (json_object_get (line, "blake2b"), hash)) {
        damaged (self, err);
    } else if (name) {
        str_clear (path);
        str_text (path, name);
        self->sums.files++;
        self->sums.bytes += *bytes;
        rc = is_safe (name) ? 1 : damaged (self, err);
    } else {
        bool whole = memcmp (before.bytes, hash->bytes, HASH_SIZE) == 0 && *bytes == self->sums.bytes &&
                     (uint64_t)json_integer_value (json_object_get (line, "files")) == self->sums.files &&
                     getc (self->file) == EOF;
        rc = whole ? 0 : damaged (self, err);
    }
    json_decref (line);
    return rc;
}

manifest_sums_t manifest_sums (const manifest_reader_t *self)
{
    return self->sums;
}

void manifest_reader_destroy (manifest_reader_t **self_p)
{
    manifest_reader_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    if (self->file)
        fclose (self->file);
    free (self->line);
    str_free (&self->path);
    free (self);
}
