/*  chunk.c: packs atoms into chunks, section by section. */
#include "stages/chunk/chunk.h"
#include "stages/chunk/atoms.h"
#include "wire/columns.h"

int chunk_options_check (const chunk_options_t *options, err_t *err)
{
    if (options->tokens < CHUNK_TOKENS_MIN || options->tokens > CHUNK_TOKENS_MAX)
        return err_set (err, ERR_CONFIG, "chunks of %u tokens are not possible; choose %d to %d", options->tokens,
                        CHUNK_TOKENS_MIN, CHUNK_TOKENS_MAX);
    if (options->overlap > options->tokens / 2)
        return err_set (err, ERR_CONFIG, "an overlap of %u tokens is more than half of a chunk of %u", options->overlap,
                        options->tokens);
    return 0;
}

/*  Atoms of the text, with borders at the marks. */
static int scan (atoms_t *atoms, span_t text, span_t marks, err_t *err)
{
    size_t at = 0, from = 0;
    mark_t mark;
    int rc;
    uint32_t last = 0;
    while ((rc = mark_next (marks, &at, &mark)) == 1) {
        if (mark.offset < last || mark.offset > text.size)
            return err_set (err, ERR_PROTOCOL, "a mark at %u does not fit its text of %zu bytes", mark.offset,
                            text.size);
        last = mark.offset;
        if (mark.kind == MARK_PAGE || mark.kind == MARK_TIME) /* sentences go on across them */
            continue;
        size_t offset = mark.offset;
        while (offset > from && offset < text.size && ((unsigned char)text.data[offset] & 0xc0) == 0x80)
            offset--;
        border_t border = mark.kind == MARK_PATH ? BORDER_FILE : BORDER_SECTION;
        if (offset > from)
            atoms_scan (atoms, text, from, offset, border);
        else if (atoms->count && atoms->items[atoms->count - 1].border < border)
            atoms->items[atoms->count - 1].border = border; /* several marks at one place: the strongest holds */
        from = offset;
    }
    if (rc == -1)
        return err_set (err, ERR_PROTOCOL, "the marks of a segment are damaged");
    atoms_scan (atoms, text, from, text.size, BORDER_FILE);
    return 0;
}

static uint32_t sum (const atom_t *atoms, size_t from, size_t to)
{
    uint32_t tokens = 0;
    while (from < to)
        tokens += atoms[from++].tokens;
    return tokens;
}

/*  Where the chunk that begins at atom `from` ends. At least up to `must` (there is something new in it). The best
 *  border in the second half of the chunk is taken, the last one of the best. */
static size_t chunk_end (const atom_t *atoms, size_t from, size_t must, size_t end, uint32_t target)
{
    size_t best = must;
    uint32_t tokens = sum (atoms, from, must);
    for (size_t i = must; i < end && tokens + atoms[i].tokens <= target; i++) {
        tokens += atoms[i].tokens;
        border_t border = i + 1 == end ? BORDER_FILE : atoms[i].border;
        if (border >= atoms[best - 1].border || sum (atoms, from, best) * 2 < target)
            best = i + 1;
    }
    return best;
}

/*  Chunks of atoms[from, end), which is one section. */
static void pack (const atom_t *atoms, size_t from, size_t end, const chunk_options_t *options, str_t *spans)
{
    size_t done = from; /* atoms before it are in a chunk */
    uint32_t left = sum (atoms, from, end);
    while (done < end) {
        uint32_t shared = sum (atoms, from, done), all = shared + left;
        uint32_t target = options->tokens;
        if (all > target && all + options->overlap < 2 * target) /* two even ones rather than a full one and a rest */
            target = (all + options->overlap + 1) / 2;
        size_t to = all <= options->tokens ? end : chunk_end (atoms, from, done + 1, end, target);
        chunk_span_add (spans, (chunk_span_t){ atoms[from].start, atoms[to - 1].end, sum (atoms, from, to) });
        left -= sum (atoms, done, to);
        done = to;
        if (done == end)
            break;
        size_t next = done;
        uint32_t tokens = 0;
        while (next > from + 1 && tokens + atoms[next - 1].tokens <= options->overlap)
            tokens += atoms[--next].tokens;
        while (next < done && tokens + atoms[done].tokens > options->tokens)
            tokens -= atoms[next++].tokens;
        from = next;
    }
}

int chunk_text (span_t text, span_t marks, const chunk_options_t *options, str_t *spans, err_t *err)
{
    int rc = -1;
    /* Atoms of half a chunk at most, so that long sentences still pack well. */
    atoms_t atoms = { .atom_tokens = options->tokens / 2,
                      .piece_tokens = options->overlap > options->tokens / 8 ? options->overlap : options->tokens / 8 };
    if (scan (&atoms, text, marks, err) == -1)
        goto out;
    size_t from = 0;
    uint32_t tokens = 0;
    for (size_t i = 0; i < atoms.count; i++) {
        tokens += atoms.items[i].tokens;
        border_t border = atoms.items[i].border;
        bool tiny = tokens < options->tokens / 8;
        if (i + 1 < atoms.count && (border < BORDER_SECTION || (border == BORDER_SECTION && tiny)))
            continue;
        pack (atoms.items, from, i + 1, options, spans);
        from = i + 1;
        tokens = 0;
    }
    rc = 0;
out:
    atoms_free (&atoms);
    return rc;
}
