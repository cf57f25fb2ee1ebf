#include "stages/extract/records.h"

#include <assert.h>

#define RECORD_VERSION 1

#define RECORD_FIELDS(SYM, name)                                                                                       \
    static const codec_field_t name##_fields[] = { RECORD_##SYM (CODEC_ROW, record_##name##_t) };
RECORDS (RECORD_FIELDS)
#undef RECORD_FIELDS

static const codec_shape_t shapes[RECORD_COUNT] = {
#define RECORD_SHAPE(SYM, name)                                                                                        \
    [RECORD_KIND_##SYM] = { #name,                                                                                     \
                            RECORD_VERSION,                                                                            \
                            RECORD_KIND_##SYM,                                                                         \
                            sizeof (record_##name##_t),                                                                \
                            name##_fields,                                                                             \
                            sizeof name##_fields / sizeof *name##_fields },
    RECORDS (RECORD_SHAPE)
#undef RECORD_SHAPE
};

/*  All members of the union start where it starts; &record->segment is just the shortest way to say so. */
void record_encode (const record_t *record, str_t *out)
{
    assert (record->kind > RECORD_NONE && record->kind < RECORD_COUNT);
    codec_encode (&shapes[record->kind], &record->segment, out);
}

int record_decode (span_t bytes, record_t *record, err_t *err)
{
    unsigned kind = bytes.size > 1 ? (unsigned char)bytes.data[1] : 0; /* after the version */
    if (kind <= RECORD_NONE || kind >= RECORD_COUNT)
        return err_set (err, ERR_PROTOCOL, "there is no record of kind %u", kind);
    *record = (record_t){ .kind = (record_kind_t)kind };
    return codec_decode (&shapes[kind], bytes, &record->segment, err);
}
