/*  answers.h: the reading half of the storage program: a thread that answers queries on a ROUTER of its own. */
#ifndef STAGES_STORAGE_ANSWERS_H
#define STAGES_STORAGE_ANSWERS_H

#include "store/content.h"

typedef struct answers answers_t;

/*  Binds `endpoint` and starts to answer SEARCH, CHUNKS, HEALTH and CHECKPOINT. `provider`: name of what embeds queries
 *  (stages/embed/provider.h). `content` and `context` are borrowed until answers_stop. NULL and *err on failure. */
answers_t *answers_start (void *context, content_t *content, const char *endpoint, const char *provider, err_t *err);

/*  A descriptor that becomes readable when the process has to start anew to answer well again (a damaged index). */
int answers_trouble_fd (const answers_t *self);

/*  Ends the thread; queries that were not read get no answer. */
void answers_stop (answers_t **self_p);

#endif
