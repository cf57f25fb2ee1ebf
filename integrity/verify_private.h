/*  verify_private.h: what the parts of verify share. */
#ifndef INTEGRITY_VERIFY_PRIVATE_H
#define INTEGRITY_VERIFY_PRIVATE_H

#include "broker/core/lifecycle.h"
#include "integrity/verify.h"
#include "store/content_records.h"
#include "store/records.h"

typedef struct {
    const verify_config_t *config;
    report_t *report;
    kv_t *broker, *content;  /* NULL: cannot be looked at */
    bool is_second;          /* look at the same records: they were counted, and what cannot be read was reported */
    str_t key, value, other; /* scratch of the check that runs */
} verify_t;

/*  One record of a walk. */
typedef void verify_record_fn (verify_t *self, void *context, span_t key, span_t value);

/*  Hands every record of the family to `check` (NULL: it is only read). Parts that cannot be read are reported and
 *  stepped over. */
void verify_walk (verify_t *self, finding_place_t place, unsigned family, verify_record_fn *check, void *context);

/*  A finding about a record. */
finding_t verify_finding (finding_place_t place, unsigned family, finding_kind_t kind, span_t key, fix_t fix);

/*  Reports what kv_get and decoders said of a record that is there: BAD_RECORD, NEWER, or UNREADABLE. */
void verify_bad (verify_t *self, finding_place_t place, unsigned family, span_t key, fix_t fix, const err_t *err);

/*  The parts of a key: a user in his partition, and `rest_size` bytes after it (SIZE_MAX: any). False: reported. */
bool verify_key (verify_t *self, finding_place_t place, unsigned family, span_t key, size_t rest_size, span_t *user,
                 span_t *rest);

/*  1, 0, or -1: reported (with FIX_DELETE). */
int verify_get (verify_t *self, record_family_t family, span_t key, const codec_shape_t *shape, void *value,
                str_t *bytes);
int verify_get_content (verify_t *self, content_family_t family, span_t key, const codec_shape_t *shape, void *value,
                        str_t *bytes);
/*  Whether there is such a record, whatever is in it. */
bool verify_has (kv_t *kv, unsigned family, span_t key);

/*  The documents' bytes (verify_bytes.c): the inline ones, the files, files that no document has. */
void verify_bytes (verify_t *self, span_t key, span_t user, uuid_t id, const record_document_t *document);
void verify_unused_files (verify_t *self);

void verify_broker (verify_t *self);
void verify_users (verify_t *self);
void verify_content (verify_t *self);
void verify_segments (verify_t *self);
void verify_between (verify_t *self); /* the two databases */

#endif
