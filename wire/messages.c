#include "wire/messages.h"

#define WIRE_TABLE(SYM, name) static const codec_field_t name##_fields[] = { WIRE_##SYM (CODEC_ROW, wire_##name##_t) };
WIRE_MESSAGES (WIRE_TABLE)
#undef WIRE_TABLE

static const codec_shape_t shapes[WIRE_KIND_COUNT] = {
#define WIRE_SHAPE(SYM, name)                                                                                          \
    [WIRE_KIND_##SYM] = { #name,           WIRE_VERSION,                                                               \
                          WIRE_KIND_##SYM, sizeof (wire_##name##_t),                                                   \
                          name##_fields,   sizeof name##_fields / sizeof name##_fields[0] },
    WIRE_MESSAGES (WIRE_SHAPE)
#undef WIRE_SHAPE
};

static const char *const stage_names[STAGE_COUNT] = {
#define WIRE_STAGE_NAME(sym, name) name,
    WIRE_STAGES (WIRE_STAGE_NAME)
#undef WIRE_STAGE_NAME
};

const codec_shape_t *wire_shape (wire_kind_t kind)
{
    return kind > WIRE_NONE && kind < WIRE_KIND_COUNT ? &shapes[kind] : NULL;
}

/*  All members of the union start where it starts; &msg->hello is just the shortest way to say so. */
void wire_encode (const wire_msg_t *msg, str_t *out)
{
    codec_encode (wire_shape (msg->kind), &msg->hello, out);
}

wire_kind_t wire_kind (span_t frame)
{
    return frame.size >= 2 ? (wire_kind_t)(unsigned char)frame.data[1] : WIRE_NONE;
}

int wire_decode (span_t frame, wire_msg_t *msg, err_t *err)
{
    wire_kind_t kind = wire_kind (frame);
    const codec_shape_t *shape = wire_shape (kind);
    if (!shape)
        return err_set (err, ERR_PROTOCOL, "a frame of %zu bytes is no Myelin message", frame.size);
    if (codec_decode (shape, frame, &msg->hello, err) == -1)
        return -1;
    msg->kind = kind;
    return 0;
}

void wire_print (const wire_msg_t *msg, str_t *out)
{
    codec_print (wire_shape (msg->kind), &msg->hello, out);
}

const char *stage_name (stage_t stage)
{
    return stage < STAGE_COUNT ? stage_names[stage] : "none";
}

int stage_parse (span_t name, stage_t *stage)
{
    for (int i = 0; i < STAGE_COUNT; i++)
        if (span_is (name, stage_names[i])) {
            *stage = (stage_t)i;
            return 0;
        }
    return -1;
}
