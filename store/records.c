#include "store/records.h"

#define CACHE_BYTES        (48u << 20)
#define WRITE_BUFFER_BYTES (64u << 20)

#define RECORD_TABLE(SYM, name, record_version)                                                                        \
    static const codec_field_t name##_fields[] = { RECORD_##SYM (CODEC_ROW, record_##name##_t) };                      \
    const codec_shape_t record_##name##_shape = { "record " #name,   record_version,                                   \
                                                  RECORD_KIND_##SYM, sizeof (record_##name##_t),                       \
                                                  name##_fields,     sizeof name##_fields / sizeof name##_fields[0] };
RECORDS (RECORD_TABLE)
#undef RECORD_TABLE

static const kv_family_t families[FAMILY_COUNT] = {
#define RECORD_FAMILY_ROW(sym, name, point, large) { name, point, large },
    RECORD_FAMILIES (RECORD_FAMILY_ROW)
#undef RECORD_FAMILY_ROW
};

kv_t *records_open_mode (const char *dir, kv_rocks_mode_t mode, err_t *err)
{
    kv_rocks_config_t config = { dir, families, FAMILY_COUNT, CACHE_BYTES, WRITE_BUFFER_BYTES, mode };
    return kv_rocks_open (&config, err);
}

kv_t *records_open (const char *dir, err_t *err)
{
    return records_open_mode (dir, KV_ROCKS_NORMAL, err);
}

const char *record_family_name (record_family_t family)
{
    return families[family].name;
}

uint16_t record_partition (span_t user)
{
    uint32_t h = 0x811c9dc5u; /* FNV-1a */
    for (size_t i = 0; i < user.size; i++)
        h = (h ^ (unsigned char)user.data[i]) * 0x01000193u;
    return (uint16_t)(h ^ (h >> 16));
}

static void add_be (str_t *key, uint64_t value, size_t width)
{
    char *at = str_grow (key, width);
    for (size_t i = 0; i < width; i++)
        at[i] = (char)(value >> (8 * (width - 1 - i)));
}

static void add_id (str_t *key, uuid_t id)
{
    str_add (key, span (id.bytes, UUID_SIZE));
}

void record_key_user (str_t *key, span_t user)
{
    str_clear (key);
    add_be (key, record_partition (user), 2);
    add_be (key, user.size, 1);
    str_add (key, user);
}

void record_key (str_t *key, span_t user, uuid_t id)
{
    record_key_user (key, user);
    add_id (key, id);
}

void record_key_ended (str_t *key, span_t user, uint8_t status, uuid_t id)
{
    record_key_user (key, user);
    add_be (key, status, 1);
    add_id (key, id);
}

void record_key_pair (str_t *key, span_t user, uuid_t a, uuid_t b)
{
    record_key (key, user, a);
    add_id (key, b);
}

void record_key_number (str_t *key, span_t user, uuid_t id, uint64_t number)
{
    record_key (key, user, id);
    add_be (key, number, 8);
}

void record_key_bytes (str_t *key, span_t user, span_t bytes)
{
    record_key_user (key, user);
    str_add (key, bytes);
}

int record_key_parse (span_t key, span_t *user, span_t *rest)
{
    if (key.size < 3)
        return -1;
    size_t size = (unsigned char)key.data[2];
    if (key.size < 3 + size)
        return -1;
    *user = span (key.data + 3, size);
    *rest = span (key.data + 3 + size, key.size - 3 - size);
    return 0;
}

uuid_t record_key_id (span_t bytes)
{
    uuid_t id;
    memcpy (id.bytes, bytes.data, UUID_SIZE);
    return id;
}

uint64_t record_key_u64 (span_t bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | (unsigned char)bytes.data[i];
    return value;
}

void record_put (kv_t *kv, record_family_t family, span_t key, const codec_shape_t *shape, const void *value)
{
    str_t bytes = STR_INIT;
    codec_encode (shape, value, &bytes);
    kv_put (kv, family, key, str_span (&bytes));
    str_free (&bytes);
}

int record_get (kv_t *kv, record_family_t family, span_t key, const codec_shape_t *shape, void *value, str_t *bytes,
                err_t *err)
{
    int found = kv_get (kv, family, key, bytes, err);
    if (found != 1)
        return found;
    if (codec_decode (shape, str_span (bytes), value, err) == 0)
        return 1;
    if (err && err->code != ERR_NEWER_FORMAT)
        err->code = ERR_CORRUPT; /* of our own records a bad form is damage, not bad manners */
    return -1;
}
