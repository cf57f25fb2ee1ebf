#include "stages/embed/provider.h"
#include "stages/embed/kinds.h"

#include <stdlib.h>

static const provider_kind_t *const kinds[] = { &provider_hash };
#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

struct provider {
    const provider_kind_t *kind;
    void *state;
};

provider_t *provider_new (const char *name, err_t *err)
{
    const provider_kind_t *kind = NULL;
    for (size_t i = 0; i < KIND_COUNT && !kind; i++)
        if (strcmp (kinds[i]->name, name) == 0)
            kind = kinds[i];
    if (!kind) {
        err_set (err, ERR_CONFIG, "there is no embedding provider '%s'; known: %s", name, kinds[0]->name);
        return NULL;
    }
    void *state = kind->new_state (err);
    if (!state)
        return NULL;
    provider_t *self = malloc (sizeof *self);
    if (!self)
        abort ();
    *self = (provider_t){ kind, state };
    return self;
}

void provider_destroy (provider_t **self_p)
{
    provider_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    self->kind->destroy_state (self->state);
    free (self);
}

uint32_t provider_dims (const provider_t *self)
{
    return self->kind->dims;
}

span_t provider_model (const provider_t *self)
{
    return span_str (self->kind->model);
}

int provider_embed (provider_t *self, const span_t *texts, size_t count, float *rows, err_t *err)
{
    return self->kind->embed (self->state, texts, count, rows, err);
}
