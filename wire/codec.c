#include "wire/codec.h"

static void put_le (str_t *out, uint64_t value, size_t width)
{
    char *at = str_grow (out, width);
    for (size_t i = 0; i < width; i++)
        at[i] = (char)(value >> (8 * i));
}

void codec_encode (const codec_shape_t *shape, const void *value, str_t *out)
{
    put_le (out, shape->version, 1);
    put_le (out, shape->kind, 1);
    for (size_t i = 0; i < shape->field_count; i++) {
        const char *member = (const char *)value + shape->fields[i].offset;
        switch (shape->fields[i].type) {
        case CODEC_u8:
            put_le (out, *(const uint8_t *)member, 1);
            break;
        case CODEC_u32:
            put_le (out, *(const uint32_t *)(const void *)member, 4);
            break;
        case CODEC_u64:
            put_le (out, *(const uint64_t *)(const void *)member, 8);
            break;
        case CODEC_uuid:
            str_add (out, span (member, UUID_SIZE));
            break;
        case CODEC_span: {
            const span_t *text = (const span_t *)(const void *)member;
            put_le (out, (uint32_t)text->size, 4);
            str_add (out, *text);
            break;
        }
        }
    }
}

/*  A cursor whose failure is sticky: after the first short read all reads give zeros. */
typedef struct {
    const unsigned char *at;
    size_t left;
    bool failed;
} reader_t;

static const unsigned char *take (reader_t *reader, size_t size)
{
    if (reader->failed || reader->left < size) {
        reader->failed = true;
        return NULL;
    }
    const unsigned char *at = reader->at;
    reader->at += size;
    reader->left -= size;
    return at;
}

static uint64_t get_le (reader_t *reader, size_t width)
{
    const unsigned char *at = take (reader, width);
    uint64_t value = 0;
    for (size_t i = 0; at && i < width; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static void get_field (reader_t *reader, codec_type_t type, char *member)
{
    switch (type) {
    case CODEC_u8:
        *(uint8_t *)member = (uint8_t)get_le (reader, 1);
        break;
    case CODEC_u32:
        *(uint32_t *)(void *)member = (uint32_t)get_le (reader, 4);
        break;
    case CODEC_u64:
        *(uint64_t *)(void *)member = get_le (reader, 8);
        break;
    case CODEC_uuid: {
        const unsigned char *at = take (reader, UUID_SIZE);
        if (at)
            memcpy (member, at, UUID_SIZE);
        break;
    }
    case CODEC_span: {
        size_t size = get_le (reader, 4);
        const unsigned char *at = take (reader, size);
        *(span_t *)(void *)member = span (at, at ? size : 0);
        break;
    }
    }
}

int codec_decode (const codec_shape_t *shape, span_t bytes, void *value, err_t *err)
{
    reader_t reader = { (const unsigned char *)bytes.data, bytes.size, false };
    uint64_t version = get_le (&reader, 1), kind = get_le (&reader, 1);
    if (reader.failed)
        return err_set (err, ERR_PROTOCOL, "%s: %zu bytes are too few for a header", shape->name, bytes.size);
    if (version != shape->version)
        return err_set (err, version > shape->version ? ERR_NEWER_FORMAT : ERR_PROTOCOL,
                        "%s: version %u, this program reads %u", shape->name, (unsigned)version, shape->version);
    if (kind != shape->kind)
        return err_set (err, ERR_PROTOCOL, "%s: kind %u instead of %u", shape->name, (unsigned)kind, shape->kind);
    memset (value, 0, shape->struct_size);
    for (size_t i = 0; i < shape->field_count; i++) {
        get_field (&reader, shape->fields[i].type, (char *)value + shape->fields[i].offset);
        if (reader.failed)
            return err_set (err, ERR_PROTOCOL, "%s: cut short in field %s", shape->name, shape->fields[i].name);
    }
    if (reader.left)
        return err_set (err, ERR_PROTOCOL, "%s: %zu bytes too many", shape->name, reader.left);
    return 0;
}

static void print_text (str_t *out, span_t text)
{
    str_char (out, '"');
    for (size_t i = 0; i < text.size && i < 64; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
            str_format (out, "\\x%02x", c);
        else
            str_char (out, (char)c);
    }
    str_text (out, text.size > 64 ? "…\"" : "\"");
}

void codec_print (const codec_shape_t *shape, const void *value, str_t *out)
{
    str_text (out, shape->name);
    str_text (out, " {");
    for (size_t i = 0; i < shape->field_count; i++) {
        const codec_field_t *field = &shape->fields[i];
        const char *member = (const char *)value + field->offset;
        str_format (out, "%s%s=", i ? " " : "", field->name);
        switch (field->type) {
        case CODEC_u8:
            str_u64 (out, *(const uint8_t *)member);
            break;
        case CODEC_u32:
            str_u64 (out, *(const uint32_t *)(const void *)member);
            break;
        case CODEC_u64:
            str_u64 (out, *(const uint64_t *)(const void *)member);
            break;
        case CODEC_uuid: {
            char text[UUID_TEXT];
            uuid_t id;
            memcpy (&id, member, sizeof id);
            uuid_text (id, text);
            str_text (out, text);
            break;
        }
        case CODEC_span:
            print_text (out, *(const span_t *)(const void *)member);
            break;
        }
    }
    str_char (out, '}');
}
