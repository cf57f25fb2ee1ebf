#include "client/cli.h"
#include "base/similar.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>

static const command_t *const tables[] = {
    cli_up_commands, cli_submit_commands, cli_search_commands, cli_task_commands, cli_document_commands,
};
#define TABLE_COUNT (sizeof tables / sizeof *tables)

/*  Which error codes have an exit code of their own. */
static const struct {
    err_code_t code;
    cli_exit_t exit;
} exits[] = {
    { ERR_CONFIG, CLI_USAGE },          { ERR_NOT_FOUND, CLI_NOT_FOUND },     { ERR_UNAUTHORIZED, CLI_NOT_ALLOWED },
    { ERR_FORBIDDEN, CLI_NOT_ALLOWED }, { ERR_UNAVAILABLE, CLI_UNREACHABLE }, { ERR_DRAINING, CLI_UNREACHABLE },
};

cli_exit_t cli_fail (const err_t *err)
{
    fprintf (stderr, "myelin: %s\n", err->message);
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
        fprintf (stderr, "myelin: there is no command '%s'; did you mean '%s'?\n", name, near.word);
    else
        fprintf (stderr, "myelin: there is no command '%s'; `myelin help` lists them\n", name);
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
    options_t *options = options_new (command->options, argc, argv, &err);
    if (!options) {
        cli_fail (&err);
        return CLI_USAGE;
    }
    cli_exit_t code = CLI_USAGE;
    int words = options_argc (options);
    if (options_help_wanted (options)) {
        print_help (command);
        code = CLI_OK;
    } else if (words < command->least_words)
        fprintf (stderr, "myelin: %s needs more: myelin %s %s\n", command->name, command->name, command->arguments);
    else if (command->most_words >= 0 && words > command->most_words)
        fprintf (stderr, "myelin: '%s' is one word too many: myelin %s %s\n",
                 options_arg (options, command->most_words), command->name, command->arguments);
    else
        code = command->run (options);
    options_destroy (&options);
    if (fflush (stdout) != 0 && code == CLI_OK) {
        perror ("myelin: cannot write the output");
        code = CLI_ERROR;
    }
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

int cli_main (int argc, char **argv)
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
        return (int)help (NULL);
    int at = command_index (argc, argv);
    if (at >= argc) {
        fprintf (stderr, "myelin: which command? `myelin help` lists them\n");
        return CLI_USAGE;
    }
    char *name = argv[at];
    memmove (argv + 2, argv + 1, sizeof *argv * (size_t)(at - 1));
    argv[1] = name;
    if (strcmp (name, "help") == 0)
        return (int)help (argc > 2 ? argv[2] : NULL);
    const command_t *command = find (name);
    return (int)(command ? run (command, argc - 1, argv + 1) : no_command (name));
}
