/*  options.h: one table of options per program, or command, yields its command line, environment and configuration
 * file.
 *
 *  Where an option is given more than once the command line wins over the environment (MYELIN_NAME), which wins over
 *  the configuration file (--config FILE, ZPL as czmq reads it: `name = value` lines), which wins over the default.
 */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include "base/err.h"

#include <stdint.h>

typedef enum { OPTION_TEXT, OPTION_NUMBER, OPTION_SIZE, OPTION_FLAG } option_type_t; /* SIZE: bytes, "64M" allowed */

typedef struct {
    const char *name; /* "http": --http VALUE, MYELIN_HTTP, http = VALUE; '-' becomes '_' in the environment */
    option_type_t type;
    const char *fallback; /* default as text; NULL: none */
    const char *value;    /* what the help calls the value: "ADDRESS" */
    const char *help;     /* one line */
} option_t;

typedef struct options options_t;

/*  Reads argv[1…] against `table` (ends with a NULL name; borrowed for the life of the object). `--name value`,
 *  `--name=value`, `--` ends options; --config and --help are always there. NULL with ERR_CONFIG and a sentence on
 *  unknown names, bad values, unreadable files. */
options_t *options_new (const option_t *table, int argc, char **argv, err_t *err);

/*  The same for one of several commands that share a configuration file: names in the file that only another table of
 *  `family` (ends with NULL; borrowed for the call) knows are for that one, and skipped. */
options_t *options_new_of (const option_t *table, const option_t *const *family, int argc, char **argv, err_t *err);
void options_destroy (options_t **self_p);

bool options_help_wanted (const options_t *self);
/*  Prints usage and the table to stdout. */
void options_print_help (const option_t *table, const char *usage);

const char *options_text (const options_t *self, const char *name); /* NULL when unset; asserts the name is known */
uint64_t options_number (const options_t *self, const char *name);
bool options_flag (const options_t *self, const char *name);
bool options_given (const options_t *self, const char *name); /* set by anything but the default */

/*  Words that are not options, in order. */
int options_argc (const options_t *self);
const char *options_arg (const options_t *self, int index);

#endif
