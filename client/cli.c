#include "client/cli.h"
#include "base/similar.h"
#include "base/str.h"
#include "client/text.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const command_t *const tables[] = {
    cli_up_commands,   cli_submit_commands,   cli_search_commands,
    cli_task_commands, cli_document_commands, cli_data_commands,
};
#define TABLE_COUNT (sizeof tables / sizeof *tables)

/*  Which error codes have an exit code of their own. */
static const struct {
    err_code_t code;
    cli_exit_t exit;
} exits[] = {
    { ERR_CONFIG, CLI_USAGE },          { ERR_INVALID_PARAMETER, CLI_USAGE },
    { ERR_NOT_FOUND, CLI_NOT_FOUND },   { ERR_UNAUTHORIZED, CLI_NOT_ALLOWED },
    { ERR_FORBIDDEN, CLI_NOT_ALLOWED }, { ERR_UNAVAILABLE, CLI_UNREACHABLE },
    { ERR_DRAINING, CLI_UNREACHABLE },
};

void cli_say (const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start (args, format);
    int size = vasprintf (&text, format, args);
    va_end (args);
    if (size < 0)
        return;
    str_t line = STR_INIT;
    str_text (&line, "myelin: ");
    text_fit (&line, span_str (text), 8192, false);
    fprintf (stderr, "%s\n", line.data);
    str_free (&line);
    free (text);
}

cli_exit_t cli_fail (const err_t *err)
{
    cli_say ("%s", err->message);
    for (size_t i = 0; i < sizeof exits / sizeof *exits; i++)
        if (exits[i].code == err->code)
            return exits[i].exit;
    return CLI_ERROR;
}

static const command_t *find (const char *name)
{
    for (size_t i = 0; i < TABLE_COUNT; i++)
        for (const command_t *command = tables[i]; command->name; command++)
            if (strcmp (command->name, name) == 0)
                return command;
    return NULL;
}

/*  The options of all commands, as one configuration file may have them. The caller frees the array. */
static const option_t **all_options (void)
{
    size_t count = 0;
    const option_t **all = NULL;
    for (size_t i = 0; i < TABLE_COUNT; i++)
        for (const command_t *command = tables[i]; command->name; command++) {
            all = realloc (all, (count + 2) * sizeof *all);
            assert (all);
            all[count++] = command->options;
            all[count] = NULL;
        }
    return all;
}

static void print_commands (void)
{
    printf ("usage: myelin COMMAND [ARGUMENTS…]\n\nTurns documents into searchable knowledge.\n\n");
    for (size_t i = 0; i < TABLE_COUNT; i++)
        for (const command_t *command = tables[i]; command->name; command++)
            printf ("  %-12s %s\n", command->name, command->summary);
    printf ("  %-12s %s\n", "help", "shows what a command takes");
    printf ("\nData goes to stdout, progress to stderr. Exit codes:\n");
#define CLI_EXIT_ROW(sym, number, meaning) printf ("  %d  %s\n", number, meaning);
    CLI_EXITS (CLI_EXIT_ROW)
#undef CLI_EXIT_ROW
}

static void print_help (const command_t *command)
{
    str_t usage = STR_INIT;
    str_format (&usage,
                "usage: myelin %s%s%s\n\n%s%s%s\n\nOptions (also MYELIN_NAME in the environment):", command->name,
                *command->arguments ? " " : "", command->arguments, command->summary, *command->details ? "\n\n" : "",
                command->details);
    options_print_help (command->options, usage.data);
    str_free (&usage);
}

static cli_exit_t no_command (const char *name)
{
    similar_t near = { 0 };
    for (size_t i = 0; i < TABLE_COUNT; i++)
        for (const command_t *command = tables[i]; command->name; command++)
            similar_try (&near, name, command->name);
    similar_try (&near, name, "help");
    if (near.word)
        cli_say ("there is no command '%s'; did you mean '%s'?", name, near.word);
    else
        cli_say ("there is no command '%s'; `myelin help` lists them", name);
    return CLI_USAGE;
}

static cli_exit_t help (const char *name)
{
    if (!name) {
        print_commands ();
        return CLI_OK;
    }
    const command_t *command = find (name);
    if (!command)
        return no_command (name);
    print_help (command);
    return CLI_OK;
}

static cli_exit_t run (const command_t *command, int argc, char **argv)
{
    err_t err;
    const option_t **family = all_options ();
    options_t *options = options_new_of (command->options, family, argc, argv, &err);
    free (family);
    if (!options) {
        cli_fail (&err);
        return CLI_USAGE;
    }
    cli_exit_t code = CLI_USAGE;
    int words = options_argc (options);
    int empty = 0;
    while (empty < words && *options_arg (options, empty))
        empty++;
    if (options_help_wanted (options)) {
        print_help (command);
        code = CLI_OK;
    } else if (empty < words)
        cli_say ("word %d is empty (a variable that is not set?): myelin %s %s", empty + 1, command->name,
                 command->arguments);
    else if (words < command->least_words)
        cli_say ("%s needs more: myelin %s %s", command->name, command->name, command->arguments);
    else if (command->most_words >= 0 && words > command->most_words)
        cli_say ("'%s' is one word too many: myelin %s %s", options_arg (options, command->most_words), command->name,
                 command->arguments);
    else
        code = command->run (options);
    options_destroy (&options);
    return code;
}

/*  `myelin --server URL tasks` means `myelin tasks --server URL`: brings the command to the front. */
static int command_index (int argc, char **argv)
{
    int at = 1;
    while (at < argc && strncmp (argv[at], "--", 2) == 0 && argv[at][2])
        at += strchr (argv[at], '=') || strcmp (argv[at], "--json") == 0 ? 1 : 2;
    return at;
}

static cli_exit_t dispatch (int argc, char **argv)
{
    if (argc < 2) {
        print_commands ();
        return CLI_USAGE;
    }
    if (strcmp (argv[1], "--version") == 0) {
        printf ("myelin %s\n", MYELIN_VERSION);
        return CLI_OK;
    }
    if (strcmp (argv[1], "--help") == 0 || strcmp (argv[1], "-h") == 0)
        return help (NULL);
    int at = command_index (argc, argv);
    if (at >= argc) {
        cli_say ("which command? `myelin help` lists them");
        return CLI_USAGE;
    }
    char *name = argv[at];
    memmove (argv + 2, argv + 1, sizeof *argv * (size_t)(at - 1));
    argv[1] = name;
    if (strcmp (name, "help") == 0)
        return help (argc > 2 ? argv[2] : NULL);
    const command_t *command = find (name);
    return command ? run (command, argc - 1, argv + 1) : no_command (name);
}

int cli_main (int argc, char **argv)
{
    cli_exit_t code = dispatch (argc, argv);
    bool lost = ferror (stdout) != 0; /* by a flush before: then the last one finds nothing wrong */
    errno = 0;
    if (fflush (stdout) != 0 || lost) {
        cli_say ("the output could not be written%s%s", errno ? ": " : "", errno ? strerror (errno) : "");
        code = code == CLI_OK ? CLI_ERROR : code;
    }
    return (int)code;
}
