/*  cmd_tasks.c: commands about tasks: list, show, cancel, retry; the queue; the quarantine. */
#include "client/cli.h"
#include "client/listing.h"
#include "client/rest.h"
#include "client/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TASKS "document-processing/tasks/"

static const option_t list_options[] = {
    CLI_SERVER_OPTIONS,
    { "status", OPTION_TEXT, NULL, "STATUS", "only these: pending, processing, completed, …" },
    LISTING_OPTIONS,
    { 0 },
};
static const option_t quarantine_options[] = {
    CLI_SERVER_OPTIONS,
    { "code", OPTION_TEXT, NULL, "CODE", "only these errors: timeout, parser_crashed, …" },
    LISTING_OPTIONS,
    { 0 },
};
static const option_t retry_options[] = {
    CLI_SERVER_OPTIONS,
    { "force", OPTION_FLAG, NULL, NULL, "also what is known to end its parser" },
    CLI_JSON_OPTION,
    { 0 },
};
static const option_t plain_options[] = { CLI_SERVER_OPTIONS, CLI_JSON_OPTION, { 0 } };

static void print_tasks (json_t *items)
{
    static const column_t columns[] = {
        { "id", "TASK", 36 },
        { "status", "STATUS", 10 },
        { "progress", "%", 3 },
        { "priority", "P", 2 },
        { "stage", "STAGE", 7 },
        { "error_code", "ERROR", 0 },
        { 0 },
    };
    text_table (columns, items);
}

static cli_exit_t run_tasks (const options_t *options)
{
    str_t path = STR_INIT;
    str_text (&path, TASKS);
    if (options_text (options, "status")) {
        str_text (&path, "?status=");
        rest_escape (&path, options_text (options, "status"));
    }
    cli_exit_t code = listing_run (options, path.data, print_tasks);
    str_free (&path);
    return code;
}

/*  Where it failed, and the last words of its parser. */
static void add_fault (str_t *lines, const json_t *fault)
{
    str_t text = STR_INIT;
    if (json_text (fault, "stage")[0])
        str_format (&text, "at %s", json_text (fault, "stage"));
    if (json_is_integer (json_object_get (fault, "segment")))
        str_format (&text, ", segment %llu", (unsigned long long)json_number (fault, "segment"));
    if (json_number (fault, "attempts"))
        str_format (&text, ", after %llu attempts", (unsigned long long)json_number (fault, "attempts"));
    if (json_is_true (json_object_get (fault, "poison")))
        str_text (&text, "; not tried again unless forced");
    if (text.size)
        text_wrap (lines, str_span (&text), 4, text_columns (STDOUT_FILENO), 2);
    str_clear (&text);
    str_text (&text, json_text (fault, "stderr"));
    while (text.size && text.data[text.size - 1] == '\n')
        text.data[--text.size] = 0;
    if (text.size) {
        const char *last = strrchr (text.data, '\n');
        str_t words = STR_INIT;
        str_format (&words, "its parser said: %s", last ? last + 1 : text.data);
        text_wrap (lines, str_span (&words), 4, text_columns (STDOUT_FILENO), 2);
        str_free (&words);
    }
    str_free (&text);
}

static void print_quarantine (json_t *items)
{
    size_t index;
    json_t *item;
    str_t lines = STR_INIT, reason = STR_INIT;
    json_array_foreach (items, index, item)
    {
        const json_t *task = json_object_get (item, "task");
        str_clear (&reason);
        str_format (&reason, "%s: %s", json_text (task, "error_code"), json_text (task, "error_message"));
        str_format (&lines, "%s  ", json_text (task, "id"));
        text_fit (&lines, span_str (json_text (json_object_get (item, "document"), "filename")), 42, false);
        str_char (&lines, '\n');
        text_wrap (&lines, str_span (&reason), 4, text_columns (STDOUT_FILENO), 6);
        add_fault (&lines, json_object_get (item, "fault"));
    }
    fputs (lines.data ? lines.data : "", stdout);
    str_free (&lines);
    str_free (&reason);
    if (json_array_size (items) == 0)
        fprintf (stderr, "the quarantine is empty\n");
}

static cli_exit_t run_quarantine (const options_t *options)
{
    str_t path = STR_INIT;
    str_text (&path, "document-processing/quarantine/");
    if (options_text (options, "code")) {
        str_text (&path, "?error_code=");
        rest_escape (&path, options_text (options, "code"));
    }
    cli_exit_t code = listing_run (options, path.data, print_quarantine);
    str_free (&path);
    return code;
}

/*  Members as `name  value` lines; objects inside are indented. */
static void print_members (const json_t *object, int indent)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)object, name, value)
    {
        if (json_is_null (value))
            continue;
        str_t line = STR_INIT;
        for (int i = 0; i < indent; i++)
            str_char (&line, ' ');
        text_fit (&line, span_str (name), (size_t)(26 - indent), true);
        if (json_is_string (value))
            text_fit (&line, span_str (json_string_value (value)), 4096, false);
        else if (!json_is_object (value)) {
            char *dumped = json_dumps (value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_REAL_PRECISION (6));
            str_text (&line, dumped ? dumped : "");
            free (dumped);
        }
        puts (line.data);
        str_free (&line);
        if (json_is_object (value))
            print_members (value, indent + 2);
    }
}

/*  One call for each id of the command line; the last failure decides the exit code. */
static cli_exit_t each_task (const options_t *options, const char *method, const char *suffix, const json_t *body,
                             const char *said)
{
    err_t err;
    rest_t *rest = rest_new (options, &err);
    if (!rest)
        return cli_fail (&err);
    cli_exit_t code = CLI_OK;
    for (int i = 0; i < options_argc (options); i++) {
        str_t path = STR_INIT;
        json_t *task = NULL;
        str_text (&path, TASKS);
        rest_escape (&path, options_arg (options, i));
        str_text (&path, suffix);
        if (rest_call (rest, method, path.data, body, &task, &err) < 0)
            code = cli_fail (&err);
        else if (options_flag (options, "json"))
            json_print (task);
        else if (said)
            printf ("%s  %s\n", options_arg (options, i), said);
        else
            print_members (task, 0);
        json_decref (task);
        str_free (&path);
        if (code == CLI_UNREACHABLE)
            break;
    }
    rest_destroy (&rest);
    return code;
}

static cli_exit_t run_task (const options_t *options)
{
    return each_task (options, "GET", "", NULL, NULL);
}

static cli_exit_t run_cancel (const options_t *options)
{
    json_t *body = json_pack ("{s:s}", "status", "cancelled");
    cli_exit_t code = each_task (options, "PUT", "", body, "cancelled");
    json_decref (body);
    return code;
}

static cli_exit_t run_retry (const options_t *options)
{
    json_t *body = options_flag (options, "force") ? json_pack ("{s:b}", "force", 1) : NULL;
    cli_exit_t code = each_task (options, "POST", "/process/", body, "processed again");
    json_decref (body);
    return code;
}

static void print_stages (const json_t *stages)
{
    const char *name;
    json_t *stage;
    printf ("\n%-10s %10s %10s %10s %10s\n", "STAGE", "READY", "RUNNING", "WORKERS", "DONE/S");
    json_object_foreach ((json_t *)stages, name, stage)
        printf ("%-10s %10llu %10llu %10llu %10.1f\n", name, (unsigned long long)json_number (stage, "ready"),
                (unsigned long long)json_number (stage, "running"), (unsigned long long)json_number (stage, "workers"),
                json_number_value (json_object_get (stage, "done_per_second")));
}

static cli_exit_t run_queue (const options_t *options)
{
    err_t err;
    rest_t *rest = rest_new (options, &err);
    if (!rest)
        return cli_fail (&err);
    cli_exit_t code = CLI_OK;
    json_t *reply = NULL;
    if (rest_call (rest, "GET", "document-processing/queue/status/", NULL, &reply, &err) < 0)
        code = cli_fail (&err);
    else if (options_flag (options, "json"))
        json_print (reply);
    else {
        json_t *stages = json_incref (json_object_get (reply, "stages"));
        json_object_del (reply, "stages");
        print_members (reply, 0);
        print_stages (stages);
        json_decref (stages);
    }
    json_decref (reply);
    rest_destroy (&rest);
    return code;
}

const command_t cli_task_commands[] = {
    { "tasks", "[--status S] [--limit N]", "lists tasks, newest first", "", list_options, 0, 0, run_tasks },
    { "task", "ID…", "shows everything about a task", "", plain_options, 1, -1, run_task },
    { "cancel", "ID…", "stops tasks that have not ended", "", plain_options, 1, -1, run_cancel },
    { "retry", "ID… [--force]", "processes ended tasks again; pending ones go first", "", retry_options, 1, -1,
      run_retry },
    { "queue", "", "shows how much waits, runs and is done", "", plain_options, 0, 0, run_queue },
    { "quarantine", "[--code CODE]", "lists failed tasks with their reasons", "", quarantine_options, 0, 0,
      run_quarantine },
    { 0 },
};
