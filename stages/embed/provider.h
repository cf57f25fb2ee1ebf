/*  provider.h: what turns texts into vectors. Providers are chosen by name; all give L2-normalised float32 rows.
 *
 *  hash   Signed feature hashing of words and character trigrams. No model, no network; a row depends on nothing
 *         but its text. Finds shared words and spellings, not meanings.
 *
 *  Not thread-safe: one provider for each thread.
 */
#ifndef STAGES_EMBED_PROVIDER_H
#define STAGES_EMBED_PROVIDER_H

#include "base/err.h"
#include "base/span.h"

#include <stdint.h>

typedef struct provider provider_t;

/*  NULL with ERR_CONFIG (names the known ones) when there is none of this name. */
provider_t *provider_new (const char *name, err_t *err);
void provider_destroy (provider_t **self_p);

uint32_t provider_dims (const provider_t *self);
/*  Names the space the vectors live in: rows of two models cannot be compared. Borrowed from the provider. */
span_t provider_model (const provider_t *self);

/*  Fills count × dims floats at `rows`. A text without a word gives a row of zeros. 0, or -1 and *err. */
int provider_embed (provider_t *self, const span_t *texts, size_t count, float *rows, err_t *err);

#endif
