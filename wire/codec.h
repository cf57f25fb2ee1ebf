/*  codec.h: the one encoder, decoder and printer, over tables of fields. Messages (wire/messages.h) and stored
 *  records (store/records.h) are both described by such tables.
 *
 *  Form: version u8, kind u8, then the fields in table order: integers little-endian at their width, uuid as
 *  16 bytes, text as u32 length + bytes. Decoding is strict: a short field, a wrong kind and left-over bytes are
 *  errors. Decoded spans point into the input and live as long as it does.
 */
#ifndef WIRE_CODEC_H
#define WIRE_CODEC_H

#include "base/err.h"
#include "base/str.h"
#include "base/uuid.h"

#include <stddef.h>
#include <stdint.h>

typedef enum { CODEC_u8, CODEC_u32, CODEC_u64, CODEC_uuid, CODEC_span } codec_type_t;

typedef struct {
    const char *name;
    codec_type_t type;
    size_t offset; /* in the struct */
} codec_field_t;

typedef struct {
    const char *name;
    uint8_t version; /* bumped when the fields change */
    uint8_t kind;    /* what this is, within its family */
    size_t struct_size;
    const codec_field_t *fields;
    size_t field_count;
} codec_shape_t;

/*  C types of the field types; used to build the structs from the field lists. */
typedef uint8_t codec_c_u8;
typedef uint32_t codec_c_u32;
typedef uint64_t codec_c_u64;
typedef uuid_t codec_c_uuid;
typedef span_t codec_c_span;

/*  From a field list `#define LIST(F, S) F (S, u32, name) …` make a struct and its table. */
#define CODEC_MEMBER(S, type, name) codec_c_##type name;
#define CODEC_ROW(S, type, name)    { #name, CODEC_##type, offsetof (S, name) },
#define CODEC_STRUCT(LIST, T)                                                                                          \
    typedef struct {                                                                                                   \
        LIST (CODEC_MEMBER, T)                                                                                         \
    } T;

/*  Appends the encoded form to `out`. */
void codec_encode (const codec_shape_t *shape, const void *value, str_t *out);

/*  Fills *value from `bytes`; 0, or -1 with ERR_NEWER_FORMAT (version above the shape's) or ERR_PROTOCOL. */
int codec_decode (const codec_shape_t *shape, span_t bytes, void *value, err_t *err);

/*  Appends `name {field=value …}` for people; long texts are cut at 64 bytes, bytes that do not print are escaped. */
void codec_print (const codec_shape_t *shape, const void *value, str_t *out);

#endif
