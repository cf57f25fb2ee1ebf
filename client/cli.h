/*  cli.h: the commands of `myelin`, one row each, and what they share: exit codes and how errors are said. */
#ifndef CLIENT_CLI_H
#define CLIENT_CLI_H

#include "base/err.h"
#include "base/options.h"

/*  X (symbol, number, meaning) */
#define CLI_EXITS(X)                                                                                                   \
    X (OK, 0, "it was done")                                                                                           \
    X (ERROR, 1, "something failed")                                                                                   \
    X (USAGE, 2, "the command line is wrong")                                                                          \
    X (NOT_FOUND, 3, "there is nothing under that name")                                                               \
    X (NOT_ALLOWED, 4, "the token does not allow it")                                                                  \
    X (UNREACHABLE, 5, "the server cannot be reached")                                                                 \
    X (TASK_FAILED, 6, "the task failed")

typedef enum {
#define CLI_EXIT_ENUM(sym, number, meaning) CLI_##sym = number,
    CLI_EXITS (CLI_EXIT_ENUM)
#undef CLI_EXIT_ENUM
} cli_exit_t;

typedef struct {
    const char *name;
    const char *arguments; /* after the name in the usage line */
    const char *summary;   /* one line for the list of commands */
    const char *details;   /* shown by `help NAME`; "" for none */
    const option_t *options;
    int least_words;
    int most_words; /* -1: any number */
    cli_exit_t (*run) (const options_t *options);
} command_t;

/*  Options of every command that talks to a server. */
#define CLI_SERVER_OPTIONS                                                                                             \
    { "server", OPTION_TEXT, "http://127.0.0.1:8750", "URL", "the gateway to talk to" },                               \
    {                                                                                                                  \
        "token", OPTION_TEXT, NULL, "TEXT", "who is asking; better given as MYELIN_TOKEN"                              \
    }
#define CLI_JSON_OPTION                                                                                                \
    {                                                                                                                  \
        "json", OPTION_FLAG, NULL, NULL, "print JSON, one object a line"                                               \
    }

/*  Says `myelin: …` on stderr, in one line. What a terminal would obey is replaced: texts may quote names of files and
 *  what a server said. */
void cli_say (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

/*  Says the error's message and returns the exit code that fits. */
cli_exit_t cli_fail (const err_t *err);

/*  The commands, by subject; each file has a table that ends with a NULL name. */
extern const command_t cli_up_commands[];
extern const command_t cli_submit_commands[];
extern const command_t cli_search_commands[];
extern const command_t cli_task_commands[];
extern const command_t cli_document_commands[];
extern const command_t cli_data_commands[];

/*  What main does: finds the command, reads its options, runs it. */
int cli_main (int argc, char **argv);

#endif
