#include "bench/documents.h"
#include "base/utf8.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>

static void add_file (str_t *all, const char *path)
{
    size_t before = all->size;
    FILE *file = fopen (path, "rb");
    char piece[65536];
    for (size_t got; file && (got = fread (piece, 1, sizeof piece, file)) > 0;)
        str_add (all, span (piece, got));
    if (file)
        fclose (file);
    if (!utf8_is_valid (span (all->data + before, all->size - before)))
        all->size = before;
    else
        str_text (all, "\n\n");
    for (size_t i = before; i < all->size; i++) /* form feeds and the like would make it a case for a parser */
        if (((unsigned char)all->data[i] < ' ' && !strchr ("\t\r\n", all->data[i])) || all->data[i] == 0x7f)
            all->data[i] = ' ';
}

static int by_name (const FTSENT **a, const FTSENT **b)
{
    return strcmp ((*a)->fts_name, (*b)->fts_name);
}

static int read_texts (const char *directory, str_t *all, err_t *err)
{
    char *roots[] = { (char *)directory, NULL };
    FTS *walk = fts_open (roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    if (!walk)
        return err_set_errno (err, ERR_IO, errno, "cannot read %s", directory);
    for (FTSENT *entry; (entry = fts_read (walk));)
        if (entry->fts_info == FTS_F && entry->fts_namelen > 4 &&
            strcmp (entry->fts_name + entry->fts_namelen - 4, ".txt") == 0)
            add_file (all, entry->fts_path);
    fts_close (walk);
    return all->size ? 0 : err_set (err, ERR_IO, "there are no *.txt in UTF-8 below %s", directory);
}

int documents_make (documents_t *self, const char *directory, const char *name, size_t least, size_t most, size_t total,
                    err_t *err)
{
    *self = (documents_t){ 0 };
    str_t all = STR_INIT;
    int rc = -1;
    if (read_texts (directory, &all, err) == -1)
        goto out;
    size_t room = total / least + 1;
    size_t *ends = malloc (room * sizeof *ends);
    if (!ends)
        abort ();
    uint64_t seed = 1;
    size_t at = 0;
    for (self->count = 0; self->memory.size < total && self->count < room; self->count++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        size_t size = least + (size_t)(seed >> 33) % (most - least + 1);
        size_t start = self->memory.size;
        str_format (&self->memory, "%s, number %zu\n\n", name, self->count + 1);
        while (self->memory.size - start < size) {
            size_t left = size - (self->memory.size - start), there = all.size - at;
            size_t take = left < there ? utf8_cut (span (all.data + at, there), left) : there;
            if (!take)
                break; /* less than a character is missing */
            str_add (&self->memory, span (all.data + at, take));
            at = take == there ? 0 : at + take;
        }
        ends[self->count] = self->memory.size;
    }
    self->items = malloc ((self->count + 1) * sizeof *self->items);
    if (!self->items)
        abort ();
    for (size_t i = 0, start = 0; i < self->count; start = ends[i++])
        self->items[i] = span (self->memory.data + start, ends[i] - start);
    self->bytes = self->memory.size;
    free (ends);
    rc = 0;
out:
    str_free (&all);
    return rc;
}

void documents_free (documents_t *self)
{
    free (self->items);
    str_free (&self->memory);
    *self = (documents_t){ 0 };
}
