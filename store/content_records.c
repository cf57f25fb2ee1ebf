#include "store/content_records.h"
#include "store/records.h"
#include "wire/columns.h"

#define FLAT_FORMAT 1
#define CACHE_BYTES (24u << 20)
#define WRITE_BYTES (32u << 20)

#define CONTENT_SHAPE(SYM, name, version)                                                                              \
    static const codec_field_t name##_fields[] = { CONTENT_##SYM (CODEC_ROW, content_##name##_t) };                    \
    const codec_shape_t content_##name##_shape = { #name,                                                              \
                                                   version,                                                            \
                                                   CONTENT_KIND_##SYM,                                                 \
                                                   sizeof (content_##name##_t),                                        \
                                                   name##_fields,                                                      \
                                                   sizeof name##_fields / sizeof *name##_fields };
CONTENT_RECORDS (CONTENT_SHAPE)
#undef CONTENT_SHAPE

static const kv_family_t families[] = {
#define CONTENT_FAMILY_ROW(sym, name, point, large) { name, point, large },
    CONTENT_FAMILIES (CONTENT_FAMILY_ROW)
#undef CONTENT_FAMILY_ROW
};

static void put_le (char *at, uint64_t value, size_t width)
{
    for (size_t i = 0; i < width; i++)
        at[i] = (char)(value >> (8 * i));
}

static uint64_t get_le (const char *at, size_t width)
{
    uint64_t value = 0;
    for (size_t i = width; i-- > 0;)
        value = value << 8 | (unsigned char)at[i];
    return value;
}

void part_add (str_t *parts, part_t part)
{
    char *at = str_grow (parts, PART_SIZE);
    put_le (at, part.segment, 4);
    put_le (at + 4, part.first_chunk, 4);
    put_le (at + 8, part.chunks, 4);
    put_le (at + 12, part.row, 8);
}

size_t part_count (span_t parts)
{
    return parts.size / PART_SIZE;
}

part_t part_at (span_t parts, size_t index)
{
    const char *at = parts.data + index * PART_SIZE;
    return (part_t){ (uint32_t)get_le (at, 4), (uint32_t)get_le (at + 4, 4), (uint32_t)get_le (at + 8, 4),
                     get_le (at + 12, 8) };
}

long part_find (span_t parts, uint32_t segment)
{
    size_t low = 0, high = part_count (parts);
    while (low < high) {
        size_t middle = (low + high) / 2;
        uint32_t there = part_at (parts, middle).segment;
        if (there == segment)
            return (long)middle;
        if (there < segment)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

static void key_add (str_t *key, uint64_t value, size_t width)
{
    char *at = str_grow (key, width);
    for (size_t i = 0; i < width; i++)
        at[i] = (char)(value >> (8 * (width - 1 - i)));
}

void content_key_revision (str_t *key, span_t user, uuid_t document, uint64_t revision)
{
    record_key_number (key, user, document, revision);
}

void content_key (str_t *key, span_t user, uuid_t document, uint64_t revision, uint32_t segment)
{
    content_key_revision (key, user, document, revision);
    key_add (key, segment, 4);
}

void content_key_row (str_t *key, uint64_t row)
{
    str_clear (key);
    key_add (key, row, 8);
}

void content_put (kv_t *kv, content_family_t family, span_t key, const codec_shape_t *shape, const void *value)
{
    str_t bytes = STR_INIT;
    codec_encode (shape, value, &bytes);
    kv_put (kv, family, key, str_span (&bytes));
    str_free (&bytes);
}

/*  Of our own records a bad form is damage, not bad manners. */
static int damaged (int rc, err_t *err)
{
    if (rc < 0 && err && err->code != ERR_NEWER_FORMAT)
        err->code = ERR_CORRUPT;
    return rc;
}

int content_decode (const codec_shape_t *shape, span_t bytes, void *value, err_t *err)
{
    return damaged (codec_decode (shape, bytes, value, err), err);
}

int content_vectors (span_t record, vectors_t *vectors, err_t *err)
{
    return damaged (vectors_read (record, vectors, err), err);
}

int content_get (kv_t *kv, content_family_t family, span_t key, const codec_shape_t *shape, void *value, str_t *bytes,
                 err_t *err)
{
    int found = kv_get (kv, family, key, bytes, err);
    if (found != 1)
        return found;
    return content_decode (shape, str_span (bytes), value, err) < 0 ? -1 : 1;
}

void content_put_flat (kv_t *kv, content_family_t family, span_t key, span_t column)
{
    str_t bytes = STR_INIT;
    char *at = str_grow (&bytes, 1 + column.size);
    at[0] = FLAT_FORMAT;
    if (column.size)
        memcpy (at + 1, column.data, column.size);
    kv_put (kv, family, key, str_span (&bytes));
    str_free (&bytes);
}

int content_get_flat (kv_t *kv, content_family_t family, span_t key, span_t *column, str_t *bytes, err_t *err)
{
    int found = kv_get (kv, family, key, bytes, err);
    *column = SPAN_EMPTY;
    if (found != 1)
        return found;
    if (!bytes->size || (unsigned char)bytes->data[0] != FLAT_FORMAT)
        return err_set (err,
                        bytes->size && (unsigned char)bytes->data[0] > FLAT_FORMAT ? ERR_NEWER_FORMAT : ERR_CORRUPT,
                        "a %s record has a form this version does not know", families[family].name);
    *column = span (bytes->data + 1, bytes->size - 1);
    return 1;
}

int content_get_text (kv_t *kv, span_t key, span_t spans, span_t *text, str_t *bytes, err_t *err)
{
    int found = content_get_flat (kv, CONTENT_TEXT, key, text, bytes, err);
    if (found < 0)
        return -1;
    if (found == 0)
        return err_set (err, ERR_CORRUPT, "a stored segment has no text");
    return damaged (chunk_spans_check (spans, text->size, err), err);
}

/*  Reads the state; a new database gets one. */
static int open_state (kv_t *kv, content_state_t *state, err_t *err)
{
    static const span_t key = { "state", 5 };
    str_t bytes = STR_INIT;
    int rc = -1, found = content_get (kv, CONTENT_META, key, &content_state_shape, state, &bytes, err);
    if (found < 0)
        goto out;
    if (!found) {
        *state = (content_state_t){ CONTENT_FORMAT, uuid_new (), 1 };
        content_put (kv, CONTENT_META, key, &content_state_shape, state);
        if (kv_commit (kv, true, err) < 0)
            goto out;
    }
    if (state->format > CONTENT_FORMAT) {
        err_set (err, ERR_NEWER_FORMAT, "the content was written by a newer version (format %u, this one knows %u)",
                 state->format, CONTENT_FORMAT);
        goto out;
    }
    rc = 0;
out:
    str_free (&bytes);
    return rc;
}

kv_t *content_records_open_mode (const char *dir, kv_rocks_mode_t mode, err_t *err)
{
    kv_rocks_config_t config = { dir, families, CONTENT_FAMILY_COUNT, CACHE_BYTES, WRITE_BYTES, mode };
    return kv_rocks_open (&config, err);
}

const char *content_family_name (content_family_t family)
{
    return families[family].name;
}

kv_t *content_records_open (const char *dir, content_state_t *state, err_t *err)
{
    kv_t *kv = content_records_open_mode (dir, KV_ROCKS_NORMAL, err);
    if (kv && open_state (kv, state, err) < 0)
        kv_destroy (&kv);
    return kv;
}
