#include "gateway/args.h"
#include "base/clock.h"
#include "base/utf8.h"

typedef struct {
    const char *name;
    arg_type_t type;
    uint64_t least;
    uint64_t most;
    const char *words;
} row_t;

static const row_t rows[ARG_COUNT] = {
#define ARG_ROW(sym, name, type, least, most, words) { name, ARG_IS_##type, least, most, words },
    ARGS (ARG_ROW)
#undef ARG_ROW
};

/*  In the order of the bits of the broker's task filter. */
static const char statuses[] = "pending,processing,completed,failed,cancelled";

/*  Cuts the text before the next comma off *rest. */
static span_t next_word (span_t *rest)
{
    const char *comma = rest->size ? memchr (rest->data, ',', rest->size) : NULL;
    span_t word = span (rest->data, comma ? (size_t)(comma - rest->data) : rest->size);
    size_t used = comma ? word.size + 1 : word.size;
    rest->data += used;
    rest->size -= used;
    return word;
}

/*  Place of `word` in a comma-separated list; -1: none. */
static int place_of (const char *list, span_t word)
{
    span_t rest = span_str (list);
    for (int i = 0; rest.size; i++)
        if (span_eq (next_word (&rest), word))
            return i;
    return -1;
}

static int read_number (span_t text, uint64_t least, uint64_t most, uint64_t *number)
{
    uint64_t value = 0;
    if (!text.size || text.size > 19)
        return -1;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return -1;
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    if (value < least || value > most)
        return -1;
    *number = value;
    return 0;
}

/*  next_word does not see that nothing follows the last comma. */
static bool is_cut_short (span_t list)
{
    return !list.size || list.data[list.size - 1] == ',';
}

/*  A list of things that each are a bit: statuses, priorities. */
static int read_mask (const row_t *row, span_t text, uint64_t *mask)
{
    *mask = 0;
    if (is_cut_short (text))
        return -1;
    do {
        span_t word = next_word (&text);
        uint64_t bit;
        if (row->type == ARG_IS_STATUSES) {
            int place = place_of (statuses, word);
            if (place == -1)
                return -1;
            bit = (uint64_t)place;
        } else if (read_number (word, row->least, row->most, &bit) == -1)
            return -1;
        *mask |= (uint64_t)1 << bit;
    } while (text.size);
    return 0;
}

static int read_codes (span_t text)
{
    if (is_cut_short (text))
        return -1;
    do {
        span_t word = next_word (&text);
        char name[64];
        if (!word.size || word.size >= sizeof name)
            return -1;
        memcpy (name, word.data, word.size);
        name[word.size] = 0;
        err_code_t code = err_code (name);
        if (code == ERR_NONE || strcmp (err_name (code), name) != 0)
            return -1;
    } while (text.size);
    return 0;
}

static int read_object (json_t *value, uint64_t most, str_t *options)
{
    if (!json_is_object (value))
        return -1;
    char *text = json_dumps (value, JSON_COMPACT);
    if (!text)
        return -1;
    str_clear (options);
    str_text (options, text);
    free (text);
    return options->size <= most ? 0 : -1;
}

static int read_text (args_t *self, arg_t arg, span_t text, str_t *options)
{
    const row_t *row = &rows[arg];
    uint64_t *number = &self->values[arg].number;
    self->values[arg].text = text;
    switch (row->type) {
    case ARG_IS_NUMBER:
        return read_number (text, row->least, row->most, number);
    case ARG_IS_BOOL:
        *number = span_is (text, "true") || span_is (text, "1");
        return *number || span_is (text, "false") || span_is (text, "0") ? 0 : -1;
    case ARG_IS_ID:
        /* The null id means "not given" from here on, and with that everything: nobody may ask for it by name. */
        return uuid_parse (text, &self->values[arg].id) == 0 && !uuid_is_null (self->values[arg].id) ? 0 : -1;
    case ARG_IS_TIME:
        return clock_parse (text, number);
    case ARG_IS_TEXT:
        return text.size >= row->least && text.size <= row->most && utf8_is_valid (text) ? 0 : -1;
    case ARG_IS_PRIORITIES:
    case ARG_IS_STATUSES:
        return read_mask (row, text, number);
    case ARG_IS_CODES:
        return read_codes (text);
    case ARG_IS_WORD: {
        int place = place_of (row->words, text);
        *number = (uint64_t)place;
        return place;
    }
    case ARG_IS_OBJECT: {
        json_t *value = options ? json_loadb (text.data, text.size, JSON_REJECT_DUPLICATES, NULL) : NULL;
        int rc = value ? read_object (value, row->most, options) : -1;
        json_decref (value);
        return rc;
    }
    }
    return -1;
}

static int read_json (args_t *self, arg_t arg, json_t *value, str_t *options)
{
    const row_t *row = &rows[arg];
    switch (row->type) {
    case ARG_IS_NUMBER:
        if (!json_is_integer (value) || json_integer_value (value) < 0)
            return -1;
        self->values[arg].number = (uint64_t)json_integer_value (value);
        return self->values[arg].number >= row->least && self->values[arg].number <= row->most ? 0 : -1;
    case ARG_IS_BOOL:
        self->values[arg].number = json_is_true (value);
        return json_is_boolean (value) ? 0 : -1;
    case ARG_IS_OBJECT:
        return read_object (value, row->most, options);
    default:
        if (!json_is_string (value))
            return -1;
        return read_text (self, arg, span (json_string_value (value), json_string_length (value)), options);
    }
}

static int invalid (arg_t arg, err_code_t code, const char *what, err_t *err)
{
    const row_t *row = &rows[arg];
    switch (row->type) {
    case ARG_IS_NUMBER:
    case ARG_IS_PRIORITIES:
        return err_set (err, code, "%s '%s' must be %s from %llu to %llu", what, row->name,
                        row->type == ARG_IS_NUMBER ? "a whole number" : "whole numbers, comma-separated,",
                        (unsigned long long)row->least, (unsigned long long)row->most);
    case ARG_IS_BOOL:
        return err_set (err, code, "%s '%s' must be true or false", what, row->name);
    case ARG_IS_ID:
        return err_set (err, code, "%s '%s' must be a UUID", what, row->name);
    case ARG_IS_TIME:
        return err_set (err, code, "%s '%s' must be an RFC 3339 time or a date", what, row->name);
    case ARG_IS_TEXT:
        return err_set (err, code, "%s '%s' must be %llu to %llu bytes of text", what, row->name,
                        (unsigned long long)row->least, (unsigned long long)row->most);
    case ARG_IS_STATUSES:
        return err_set (err, code, "%s '%s' must be of %s, comma-separated", what, row->name, statuses);
    case ARG_IS_CODES:
        return err_set (err, code, "%s '%s' must be names of error codes, comma-separated", what, row->name);
    case ARG_IS_WORD:
        return err_set (err, code, "%s '%s' must be one of: %s", what, row->name, row->words);
    case ARG_IS_OBJECT:
        return err_set (err, code, "%s '%s' must be a JSON object of at most %llu bytes", what, row->name,
                        (unsigned long long)row->most);
    }
    return -1;
}

static int find (uint32_t known, span_t name)
{
    for (int i = 0; i < ARG_COUNT; i++)
        if (known & 1u << i && span_is (name, rows[i].name))
            return i;
    return -1;
}

/*  The least similar of error messages is the one that lists what would have been right. */
static int unknown (uint32_t known, span_t name, err_code_t code, const char *what, err_t *err)
{
    str_t names = STR_INIT;
    for (int i = 0; i < ARG_COUNT; i++)
        if (known & 1u << i) {
            str_text (&names, names.size ? ", " : "");
            str_text (&names, rows[i].name);
        }
    err_set (err, code, "%s '%.*s' is not known here%s%s", what, (int)(name.size > 64 ? 64 : name.size),
             name.data ? name.data : "", names.size ? "; known are: " : "", names.size ? names.data : "");
    str_free (&names);
    return -1;
}

int args_text (args_t *self, uint32_t known, span_t name, span_t value, err_t *err)
{
    int arg = find (known, name);
    if (arg == -1)
        return unknown (known, name, ERR_UNKNOWN_PARAMETER, "parameter", err);
    if (self->given & 1u << arg)
        return err_set (err, ERR_INVALID_PARAMETER, "parameter '%s' is given twice", rows[arg].name);
    if (read_text (self, (arg_t)arg, value, NULL) == -1)
        return invalid ((arg_t)arg, ERR_INVALID_PARAMETER, "parameter", err);
    self->given |= 1u << arg;
    return 0;
}

int args_field (args_t *self, uint32_t known, span_t name, span_t value, str_t *options, err_t *err)
{
    int arg = find (known, name);
    if (arg == -1)
        return unknown (known, name, ERR_UNKNOWN_FIELD, "field", err);
    if (self->given & 1u << arg)
        return err_set (err, ERR_INVALID_VALUE, "field '%s' is given twice", rows[arg].name);
    if (read_text (self, (arg_t)arg, value, options) == -1)
        return invalid ((arg_t)arg, ERR_INVALID_VALUE, "field", err);
    self->given |= 1u << arg;
    return 0;
}

int args_json (args_t *self, uint32_t known, json_t *object, str_t *options, err_t *err)
{
    if (!json_is_object (object))
        return err_set (err, ERR_MALFORMED, "the body must be a JSON object");
    const char *name;
    json_t *value;
    json_object_foreach (object, name, value)
    {
        int arg = find (known, span_str (name));
        if (arg == -1)
            return unknown (known, span_str (name), ERR_UNKNOWN_FIELD, "field", err);
        if (json_is_null (value)) {
            self->nulls |= 1u << arg;
            continue;
        }
        if (self->given & 1u << arg)
            return err_set (err, ERR_INVALID_VALUE, "'%s' is given twice, in the query and in the body", name);
        if (read_json (self, (arg_t)arg, value, options) == -1)
            return invalid ((arg_t)arg, ERR_INVALID_VALUE, "field", err);
        self->given |= 1u << arg;
    }
    return 0;
}

int args_require (const args_t *self, uint32_t required, err_code_t code, err_t *err)
{
    uint32_t missing = required & ~self->given;
    if (!missing)
        return 0;
    return err_set (err, code, "'%s' is required", rows[__builtin_ctz (missing)].name);
}

void args_hash (const args_t *self, arg_t arg, hasher_t *hasher)
{
    switch (rows[arg].type) {
    case ARG_IS_ID:
        hash_feed (hasher, span (self->values[arg].id.bytes, UUID_SIZE));
        break;
    case ARG_IS_TEXT:
    case ARG_IS_CODES: {
        uint64_t size = self->values[arg].text.size;
        hash_feed (hasher, span (&size, sizeof size));
        hash_feed (hasher, self->values[arg].text);
        break;
    }
    case ARG_IS_OBJECT: /* the request has its text */
        break;
    default:
        hash_feed (hasher, span (&self->values[arg].number, sizeof self->values[arg].number));
    }
}

bool args_has (const args_t *self, arg_t arg)
{
    return self->given & 1u << arg;
}

uint64_t args_number (const args_t *self, arg_t arg, uint64_t fallback)
{
    return args_has (self, arg) ? self->values[arg].number : fallback;
}

uuid_t args_id (const args_t *self, arg_t arg)
{
    return args_has (self, arg) ? self->values[arg].id : (uuid_t){ 0 };
}

span_t args_span (const args_t *self, arg_t arg)
{
    return args_has (self, arg) ? self->values[arg].text : SPAN_EMPTY;
}
