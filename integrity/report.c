#include "integrity/report.h"
#include "store/records.h"

#include <ctype.h>
#include <stdio.h>

static const struct {
    const char *name, *otherwise;
} kinds[FINDING_COUNT] = {
#define FINDING_ROW(sym, name, otherwise) { name, otherwise },
    FINDINGS (FINDING_ROW)
#undef FINDING_ROW
};

static const char *const fixes[FIX_COUNT] = {
#define FIX_ROW(sym, sentence) sentence,
    FIXES (FIX_ROW)
#undef FIX_ROW
};

static const char *const places[PLACE_COUNT] = { "broker", "content", "index", "blobs", "backup" };

void report (report_t *self, finding_t *finding, const char *format, ...)
{
    err_t text;
    va_list args;
    va_start (args, format);
    err_setv (&text, ERR_CORRUPT, format, args); /* makes untrusted names printable */
    va_end (args);
    memcpy (finding->text, text.message, sizeof finding->text);
    if (finding->is_note)
        self->notes++;
    else
        self->findings++;
    self->by_kind[finding->kind]++;
    if (self->tell)
        self->tell (self->listener, finding);
}

const char *finding_name (finding_kind_t kind)
{
    return kinds[kind].name;
}

const char *finding_remedy (const finding_t *finding)
{
    return finding->fix == FIX_NONE ? kinds[finding->kind].otherwise : fixes[finding->fix];
}

static bool is_plain (span_t text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!isprint ((unsigned char)text.data[i]))
            return false;
    return true;
}

static void add_hex (str_t *out, span_t bytes)
{
    for (size_t i = 0; i < bytes.size; i++)
        str_format (out, "%02x", (unsigned char)bytes.data[i]);
}

/*  What follows the user in a key: ids, then a number of 8 or 4 bytes or both. */
static void add_rest (str_t *out, span_t rest)
{
    for (; rest.size >= UUID_SIZE; rest = span (rest.data + UUID_SIZE, rest.size - UUID_SIZE)) {
        char text[UUID_TEXT];
        uuid_text (record_key_id (rest), text);
        str_format (out, " %s", text);
    }
    if (rest.size >= 8) {
        str_format (out, " %llu", (unsigned long long)record_key_u64 (rest));
        rest = span (rest.data + 8, rest.size - 8);
    }
    if (rest.size) {
        str_char (out, ' ');
        add_hex (out, rest);
    }
}

static void add_key (str_t *out, span_t key)
{
    span_t user, rest;
    if (key.size == 8)
        str_format (out, "row %llu", (unsigned long long)record_key_u64 (key));
    else if (is_plain (key))
        str_add (out, key);
    else if (record_key_parse (key, &user, &rest) == 0 && is_plain (user)) {
        str_add (out, user);
        add_rest (out, rest);
    } else
        add_hex (out, key);
}

static void add_where (str_t *out, const finding_t *finding)
{
    str_text (out, places[finding->place]);
    if (finding->family_name)
        str_format (out, "/%s", finding->family_name);
}

void finding_text (const finding_t *finding, str_t *out)
{
    str_format (out, "%s%s: ", finding->is_note ? "note: " : "", finding_name (finding->kind));
    add_where (out, finding);
    if (finding->key.size) {
        str_char (out, ' ');
        add_key (out, finding->key);
    }
    str_format (out, ": %s (%s)", finding->text, finding_remedy (finding));
}

void finding_json (const finding_t *finding, str_t *out)
{
    str_t where = STR_INIT, key = STR_INIT, hex = STR_INIT;
    add_where (&where, finding);
    add_key (&key, finding->key);
    add_hex (&hex, finding->key);
    str_char (out, '{');
    str_key_str (out, "finding", span_str (finding_name (finding->kind)));
    str_key_raw (out, "note", finding->is_note ? SPAN_LIT ("true") : SPAN_LIT ("false"));
    str_key_str (out, "where", str_span (&where));
    str_key_str (out, "key", str_span (&key));
    str_key_str (out, "key_hex", str_span (&hex));
    str_key_str (out, "message", span_str (finding->text));
    str_key_str (out, "remedy", span_str (finding_remedy (finding)));
    str_key_raw (out, "repairable", finding->fix == FIX_NONE ? SPAN_LIT ("false") : SPAN_LIT ("true"));
    str_char (out, '}');
    str_free (&where);
    str_free (&key);
    str_free (&hex);
}

void report_json (const report_t *self, str_t *out)
{
    str_char (out, '{');
    str_key_raw (out, "ok", self->findings ? SPAN_LIT ("false") : SPAN_LIT ("true"));
    str_key_u64 (out, "findings", self->findings);
    str_key_u64 (out, "notes", self->notes);
#define REPORT_COUNT_KEY(name) str_key_u64 (out, #name, self->name);
    REPORT_COUNTS (REPORT_COUNT_KEY)
#undef REPORT_COUNT_KEY
    str_key (out, "by_kind");
    str_char (out, '{');
    for (int i = 0; i < FINDING_COUNT; i++)
        if (self->by_kind[i])
            str_key_u64 (out, finding_name ((finding_kind_t)i), self->by_kind[i]);
    str_text (out, "}}");
}
