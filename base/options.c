/*  options.c: a value per row of the table, filled from the weakest source to the strongest: default, file,
 *  environment, command line. A value is checked where it enters, so that the message can say where it stood.
 */
#include "base/options.h"
#include "base/similar.h"
#include "base/str.h"

#include <assert.h>
#include <ctype.h>
#include <czmq.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CONFIG_MAX (1 << 20)

typedef struct {
    char *text; /* NULL: unset */
    uint64_t number;
    bool given;
} value_t;

struct options {
    const option_t *table;
    const option_t *const *family; /* tables of others whose names a file may have; NULL: none, and after reading */
    size_t count;
    value_t *values;
    char *config;
    bool help;
    char **words; /* borrowed strings of argv */
    int word_count;
};

static const option_t common[] = {
    { "config", OPTION_TEXT, NULL, "FILE", "read options from FILE: lines of `name = value`" },
    { "help", OPTION_FLAG, NULL, NULL, "show this" },
    { 0 },
};

static size_t row_count (const option_t *table)
{
    size_t count = 0;
    while (table[count].name)
        count++;
    return count;
}

/*  `-` and `_` are the same, so that a file may use either. */
static bool same_name (const char *a, span_t b)
{
    size_t i = 0;
    for (; i < b.size && a[i]; i++)
        if (a[i] != b.data[i] && !(a[i] == '-' && b.data[i] == '_'))
            return false;
    return i == b.size && !a[i];
}

static size_t find (const options_t *self, span_t name)
{
    size_t i = 0;
    while (i < self->count && !same_name (self->table[i].name, name))
        i++;
    return i;
}

static bool is_of_family (const options_t *self, span_t name)
{
    for (const option_t *const *table = self->family; table && *table; table++)
        for (const option_t *row = *table; row->name; row++)
            if (same_name (row->name, name))
                return true;
    return false;
}

static int unknown (const options_t *self, const char *where, const char *dashes, span_t name, err_t *err)
{
    char typed[64];
    snprintf (typed, sizeof typed, "%.*s", SPAN_ARG (name));
    similar_t near = { 0 };
    for (size_t i = 0; i < self->count; i++)
        similar_try (&near, typed, self->table[i].name);
    for (size_t i = 0; common[i].name; i++)
        similar_try (&near, typed, common[i].name);
    if (near.word)
        return err_set (err, ERR_CONFIG, "%s: there is no option '%s%s'; did you mean '%s%s'?", where, dashes, typed,
                        dashes, near.word);
    return err_set (err, ERR_CONFIG, "%s: there is no option '%s%s'", where, dashes, typed);
}

/*  Digits and, for sizes, a unit of 1024s. */
static int parse_number (const char *text, bool size, uint64_t *number)
{
    if (!isdigit ((unsigned char)*text))
        return -1;
    char *end;
    errno = 0;
    unsigned long long value = strtoull (text, &end, 10);
    if (errno)
        return -1;
    int shift = 0;
    if (size && *end) {
        static const char units[] = "KMGT";
        const char *unit = strchr (units, toupper ((unsigned char)*end));
        if (!unit)
            return -1;
        shift = 10 * (int)(unit - units + 1);
        end++;
        if (*end == 'i')
            end++;
        if (*end == 'B')
            end++;
    }
    if (*end || (shift && value > UINT64_MAX >> shift))
        return -1;
    *number = (uint64_t)value << shift;
    return 0;
}

static int parse_flag (const char *text, uint64_t *number)
{
    static const char *const words[] = { "0", "false", "no", "off", "1", "true", "yes", "on" };
    for (size_t i = 0; i < 8; i++)
        if (strcasecmp (text, words[i]) == 0) {
            *number = i >= 4;
            return 0;
        }
    return -1;
}

static int set (options_t *self, size_t index, const char *text, bool given, const char *where, err_t *err)
{
    const option_t *row = &self->table[index];
    uint64_t number = 0;
    const char *wanted = NULL;
    switch (row->type) {
    case OPTION_TEXT:
        break;
    case OPTION_NUMBER:
        if (parse_number (text, false, &number))
            wanted = "a whole number";
        break;
    case OPTION_SIZE:
        if (parse_number (text, true, &number))
            wanted = "a size such as 4096, 64M or 2G";
        break;
    case OPTION_FLAG:
        if (parse_flag (text, &number))
            wanted = "yes or no";
        break;
    }
    if (wanted)
        return err_set (err, ERR_CONFIG, "%s: '%s' takes %s, not '%s'", where, row->name, wanted, text);
    value_t *value = &self->values[index];
    free (value->text);
    value->text = strdup (text);
    value->number = number;
    value->given = given;
    return value->text ? 0 : err_set (err, ERR_NO_MEMORY, "out of memory");
}

static int read_defaults (options_t *self, err_t *err)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->table[i].fallback && set (self, i, self->table[i].fallback, false, "default", err))
            return -1;
    return 0;
}

/*  The whole file as a string that the caller frees; NULL and *err. czmq would take a missing file and a wrong one
 *  for the same. */
static char *read_file (const char *path, err_t *err)
{
    FILE *file = fopen (path, "re");
    if (!file) {
        err_set_errno (err, ERR_CONFIG, errno, "cannot open the configuration file '%s'", path);
        return NULL;
    }
    char *text = malloc (CONFIG_MAX + 1);
    assert (text);
    size_t size = fread (text, 1, CONFIG_MAX + 1, file);
    bool failed = ferror (file) != 0;
    fclose (file);
    if (failed || size > CONFIG_MAX || memchr (text, 0, size)) {
        err_set (err, ERR_CONFIG, "the configuration file '%s' %s", path,
                 failed              ? "cannot be read"
                 : size > CONFIG_MAX ? "is larger than 1 MiB"
                                     : "is not a text file");
        free (text);
        return NULL;
    }
    text[size] = 0;
    return text;
}

/*  Every line is `name = value`, a comment or empty: czmq takes a line without `=` for a section, and it would be lost.
 */
static int check_lines (const char *text, const char *path, err_t *err)
{
    for (unsigned line = 1; *text; line++) {
        size_t size = strcspn (text, "\n"), blank = strspn (text, " \t\r");
        if (blank < size && text[blank] != '#' && text[strcspn (text, "=#\n")] != '=')
            return err_set (err, ERR_CONFIG, "%s:%u: '%.*s' has no `=`; a line is `name = value`", path, line,
                            (int)(size - blank < 64 ? size - blank : 64), text + blank);
        text += size + (text[size] == '\n');
    }
    return 0;
}

static int read_config (options_t *self, const char *path, err_t *err)
{
    char *text = read_file (path, err);
    if (!text)
        return -1;
    int rc = -1;
    zconfig_t *root = NULL;
    if (check_lines (text, path, err) == -1)
        goto out;
    root = zconfig_str_load (text);
    if (!root) {
        err_set (err, ERR_CONFIG, "the configuration file '%s' is not made of `name = value` lines", path);
        goto out;
    }
    for (zconfig_t *item = zconfig_child (root); item; item = zconfig_next (item)) {
        const char *name = zconfig_name (item);
        size_t index = find (self, span_str (name));
        if (index == self->count && !zconfig_child (item) && is_of_family (self, span_str (name)))
            continue;
        if (index == self->count || zconfig_child (item)) {
            unknown (self, path, "", span_str (name), err);
            goto out;
        }
        const char *value = zconfig_value (item);
        if (set (self, index, value ? value : "", true, path, err))
            goto out;
    }
    rc = 0;
out:
    zconfig_destroy (&root);
    free (text);
    return rc;
}

/*  MYELIN_NAME for `name`. An empty variable is no value. */
static const char *environment (const char *name, char variable[80])
{
    size_t at = (size_t)snprintf (variable, 80, "MYELIN_");
    for (; *name && at < 79; name++)
        variable[at++] = *name == '-' ? '_' : (char)toupper ((unsigned char)*name);
    variable[at] = 0;
    const char *value = getenv (variable);
    return value && *value ? value : NULL;
}

static int read_environment (options_t *self, err_t *err)
{
    for (size_t i = 0; i < self->count; i++) {
        char variable[80];
        const char *value = environment (self->table[i].name, variable);
        if (value && set (self, i, value, true, variable, err))
            return -1;
    }
    return 0;
}

/*  Takes the value of the option at argv[*at]: after its `=` or as the next word. NULL and *err when missing. */
static const char *take_value (const char *inlined, int argc, char **argv, int *at, err_t *err)
{
    if (inlined)
        return inlined;
    if (*at + 1 >= argc) {
        err_set (err, ERR_CONFIG, "command line: '%s' needs a value", argv[*at]);
        return NULL;
    }
    return argv[++*at];
}

/*  Walks the command line. With `apply` unset only --config and --help are looked at (they must be known before the
 *  file is read), with it set the values are stored. */
static int read_arguments (options_t *self, int argc, char **argv, bool apply, err_t *err)
{
    bool words_only = false;
    self->word_count = 0;
    for (int at = 1; at < argc; at++) {
        const char *word = argv[at];
        if (words_only || word[0] != '-' || !word[1]) {
            self->words[self->word_count++] = argv[at];
            continue;
        }
        if (strcmp (word, "--") == 0) {
            words_only = true;
            continue;
        }
        if (strcmp (word, "-h") == 0 || strcmp (word, "--help") == 0) {
            self->help = true;
            continue;
        }
        if (word[1] != '-')
            return unknown (self, "command line", "", span_str (word), err);
        const char *equals = strchr (word, '=');
        span_t name = span (word + 2, equals ? (size_t)(equals - word - 2) : strlen (word + 2));
        const char *inlined = equals ? equals + 1 : NULL;
        if (span_is (name, "config")) {
            const char *value = take_value (inlined, argc, argv, &at, err);
            if (!value)
                return -1;
            free (self->config);
            self->config = strdup (value);
            continue;
        }
        size_t index = find (self, name);
        if (index == self->count)
            return unknown (self, "command line", "--", name, err);
        const char *value = self->table[index].type == OPTION_FLAG ? (inlined ? inlined : "yes")
                                                                   : take_value (inlined, argc, argv, &at, err);
        if (!value || (apply && set (self, index, value, true, "command line", err)))
            return -1;
    }
    return 0;
}

options_t *options_new_of (const option_t *table, const option_t *const *family, int argc, char **argv, err_t *err)
{
    options_t *self = calloc (1, sizeof *self);
    assert (self);
    self->table = table;
    self->family = family;
    self->count = row_count (table);
    self->values = calloc (self->count + 1, sizeof *self->values);
    self->words = calloc ((size_t)argc + 1, sizeof *self->words);
    assert (self->values && self->words);

    if (read_arguments (self, argc, argv, false, err))
        goto failed;
    if (!self->config) {
        char variable[80];
        const char *value = environment ("config", variable);
        self->config = value ? strdup (value) : NULL;
    }
    if (self->help) /* someone who asks for help need not have the rest right */
        return self;
    if (read_defaults (self, err) || (self->config && read_config (self, self->config, err)) ||
        read_environment (self, err) || read_arguments (self, argc, argv, true, err))
        goto failed;
    self->family = NULL;
    return self;
failed:
    options_destroy (&self);
    return NULL;
}

options_t *options_new (const option_t *table, int argc, char **argv, err_t *err)
{
    return options_new_of (table, NULL, argc, argv, err);
}

void options_destroy (options_t **self_p)
{
    options_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        free (self->values[i].text);
    free (self->values);
    free (self->words);
    free (self->config);
    free (self);
    *self_p = NULL;
}

bool options_help_wanted (const options_t *self)
{
    return self->help;
}

static void print_row (const option_t *row)
{
    char left[64];
    snprintf (left, sizeof left, "--%s%s%s", row->name, row->value ? " " : "", row->value ? row->value : "");
    /* What does not fit beside its name goes below it: 80 columns. */
    printf ("  %-23s ", left);
    if (strlen (left) > 23)
        printf ("\n%26s", "");
    printf ("%s", row->help);
    if (row->fallback && *row->fallback) {
        bool fits = 26 + strlen (row->help) + strlen (row->fallback) + 3 <= 80;
        printf ("%s(%s)", fits ? " " : "\n                          ", row->fallback);
    }
    printf ("\n");
}

void options_print_help (const option_t *table, const char *usage)
{
    printf ("%s\n", usage);
    for (const option_t *row = table; row->name; row++)
        print_row (row);
    for (const option_t *row = common; row->name; row++)
        print_row (row);
}

static const value_t *value_of (const options_t *self, const char *name)
{
    size_t index = find (self, span_str (name));
    assert (index < self->count);
    return &self->values[index];
}

const char *options_text (const options_t *self, const char *name)
{
    return value_of (self, name)->text;
}

uint64_t options_number (const options_t *self, const char *name)
{
    return value_of (self, name)->number;
}

bool options_flag (const options_t *self, const char *name)
{
    return value_of (self, name)->number != 0;
}

bool options_given (const options_t *self, const char *name)
{
    return value_of (self, name)->given;
}

int options_argc (const options_t *self)
{
    return self->word_count;
}

const char *options_arg (const options_t *self, int index)
{
    return index >= 0 && index < self->word_count ? self->words[index] : NULL;
}
