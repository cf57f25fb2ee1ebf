/*  atoms.h: text as a row of atoms: sentences, or pieces of sentences that are too long for a chunk. */
#ifndef STAGES_CHUNK_ATOMS_H
#define STAGES_CHUNK_ATOMS_H

#include "base/span.h"

#include <stdint.h>

/*  What lies behind an atom; the higher, the better to cut there. */
typedef enum { BORDER_WORD, BORDER_SENTENCE, BORDER_PARAGRAPH, BORDER_SECTION, BORDER_FILE } border_t;

typedef struct {
    uint32_t start; /* bytes in the text; blanks at both ends are left out */
    uint32_t end;
    uint32_t tokens; /* at least 1 */
    border_t border;
} atom_t;

/*  Plain growing array; zero it before use, atoms_free after. */
typedef struct {
    atom_t *items;
    size_t count;
    size_t room;
    uint32_t atom_tokens;         /* longer sentences are cut … */
    uint32_t piece_tokens;        /* … into pieces of about this */
    struct UBreakIterator *words; /* ICU's, opened when first needed */
} atoms_t;

void atoms_free (atoms_t *self);

/*  Appends the atoms of text[from, to); the last one gets `border`. Nothing for blanks. */
void atoms_scan (atoms_t *self, span_t text, size_t from, size_t to, border_t border);

#endif
