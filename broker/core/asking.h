/*  asking.h: what all handlers of requests share: who asks, how to answer, and what is looked up for it. */
#ifndef BROKER_CORE_ASKING_H
#define BROKER_CORE_ASKING_H

#include "broker/core/state.h"

#define DEFAULT_PRIORITY 5u

/*  Who asked, and how to answer. */
typedef struct {
    buf_t *route;
    uint64_t req;
    user_t *user;
    span_t idem_key, idem_hash;
} asker_t;

typedef void handler_fn (core_t *self, const asker_t *asker, const frames_t *in);

/*  Borrows from the request. */
asker_t ask_of (core_t *self, const frames_t *in);

/*  Answers, and keeps the answer when there is a key against doing things twice. Takes what is in *body; NULL: none. */
void ask_answer (core_t *self, const asker_t *asker, uint32_t status, span_t location, str_t *body);
void ask_refuse (core_t *self, const asker_t *asker, const err_t *err);
/*  True when this Idempotency-Key was answered before; the answer was given again, or refused for another request. */
bool ask_answered_before (core_t *self, const asker_t *asker);

/*  0 and the record filled (spans point into *bytes), or -1 with ERR_NOT_FOUND and what the store says. */
int ask_document (core_t *self, user_t *user, uuid_t id, record_document_t *document, str_t *bytes, err_t *err);
void ask_put_document (core_t *self, user_t *user, uuid_t id, const record_document_t *document);
int ask_task (core_t *self, user_t *user, uuid_t id, record_task_t *task, str_t *bytes, err_t *err); /* as last put */
/*  Appends the task, living or ended, as JSON. */
int ask_show_task (core_t *self, user_t *user, uuid_t id, str_t *out, err_t *err);
/*  Is new work taken at all? Of this priority? -1: no. */
int ask_check_open (const core_t *self, uint8_t priority, err_t *err);
/*  A task of a document that is stored already: takes a token. -1: it may not be made now. */
int ask_check_new_task (core_t *self, user_t *user, uint8_t priority, err_t *err);

/*  documents.c, quarantine.c */
void documents_admit (core_t *self, const asker_t *asker, const frames_t *in);
void documents_submit (core_t *self, const asker_t *asker, const frames_t *in);
void documents_get (core_t *self, const asker_t *asker, const frames_t *in);
void documents_blob (core_t *self, const asker_t *asker, const frames_t *in);
void documents_delete (core_t *self, const asker_t *asker, const frames_t *in);
void quarantine_retry (core_t *self, const asker_t *asker, const frames_t *in);

#endif
