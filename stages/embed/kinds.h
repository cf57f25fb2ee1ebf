/*  kinds.h: the providers there are, for provider.c only. */
#ifndef STAGES_EMBED_KINDS_H
#define STAGES_EMBED_KINDS_H

#include "stages/embed/provider.h"

typedef struct {
    const char *name;
    const char *model;
    uint32_t dims;
    void *(*new_state) (err_t *err);
    void (*destroy_state) (void *state);
    int (*embed) (void *state, const span_t *texts, size_t count, float *rows, err_t *err);
} provider_kind_t;

extern const provider_kind_t provider_hash; /* hash.c */

#endif
