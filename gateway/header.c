#include "gateway/header.h"

#include <strings.h>

static bool is_blank (char c)
{
    return c == ' ' || c == '\t';
}

/*  RFC 9110. */
static bool is_token (char c)
{
    return (unsigned char)c > 0x20 && c != 0x7f && !strchr ("\"(),/:;<=>?@[\\]{}", c);
}

static bool is_word (span_t text, const char *word)
{
    return text.size == strlen (word) && strncasecmp (text.data, word, text.size) == 0;
}

/*  Takes what is before the next semicolon off *rest, without blanks around it. */
static span_t take_word (span_t *rest)
{
    const char *stop = rest->size ? memchr (rest->data, ';', rest->size) : NULL;
    span_t word = span (rest->data, stop ? (size_t)(stop - rest->data) : rest->size);
    *rest = span (rest->data + word.size, rest->size - word.size);
    while (word.size && is_blank (word.data[word.size - 1]))
        word.size--;
    while (word.size && is_blank (*word.data))
        word = span (word.data + 1, word.size - 1);
    return word;
}

bool header_is (span_t header, const char *word)
{
    return is_word (take_word (&header), word);
}

static void skip (span_t *rest, size_t bytes)
{
    *rest = span (rest->data + bytes, rest->size - bytes);
}

static void skip_blanks (span_t *rest)
{
    while (rest->size && is_blank (*rest->data))
        skip (rest, 1);
}

static span_t take_token (span_t *rest)
{
    size_t size = 0;
    while (size < rest->size && is_token (rest->data[size]))
        size++;
    span_t token = span (rest->data, size);
    skip (rest, size);
    return token;
}

/*  -1: it does not end. *value may be NULL. */
static int take_quoted (span_t *rest, str_t *value)
{
    skip (rest, 1);
    while (rest->size && *rest->data != '"') {
        if (rest->size > 1 && *rest->data == '\\' && strchr ("\"\\", rest->data[1]))
            skip (rest, 1);
        if (value)
            str_char (value, *rest->data);
        skip (rest, 1);
    }
    if (!rest->size)
        return -1;
    skip (rest, 1);
    return 0;
}

int header_param (span_t header, const char *name, str_t *value)
{
    int found = 0;
    str_clear (value);
    for (take_word (&header); header.size;) {
        skip (&header, 1); /* the semicolon */
        skip_blanks (&header);
        span_t token = take_token (&header);
        if (!token.size) { /* nothing between two semicolons, or behind the last */
            if (header.size && *header.data != ';')
                return -1;
            continue;
        }
        skip_blanks (&header);
        if (!header.size || *header.data != '=')
            return -1;
        skip (&header, 1);
        skip_blanks (&header);
        bool wanted = is_word (token, name);
        if (wanted && found++)
            return -1;
        if (header.size && *header.data == '"') {
            if (take_quoted (&header, wanted ? value : NULL) == -1)
                return -1;
        } else {
            span_t text = take_token (&header);
            if (wanted)
                str_add (value, text);
        }
        skip_blanks (&header);
        if (header.size && *header.data != ';')
            return -1;
    }
    return found;
}
