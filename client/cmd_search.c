/*  cmd_search.c: `myelin search`. */
#include "client/cli.h"
#include "client/rest.h"
#include "client/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SNIPPET_LINES 4
#define HITS_MAX      100 /* as the API has it */

static const option_t search_options[] = {
    CLI_SERVER_OPTIONS,
    { "limit", OPTION_NUMBER, "10", "N", "how many hits at most: 1 to 100" },
    CLI_JSON_OPTION,
    { 0 },
};

/*  A snippet is HTML: text with <mark> around what matched. Turned into plain text, the marks into `on` and `off`. */
static void plain_snippet (str_t *out, const char *snippet, const char *on, const char *off)
{
    const struct {
        const char *html, *plain;
    } pairs[] = {
        { "<mark>", on }, { "</mark>", off }, { "&lt;", "<" },  { "&gt;", ">" },
        { "&amp;", "&" }, { "&quot;", "\"" }, { "&#39;", "'" },
    };
    while (*snippet) {
        size_t i = 0;
        while (i < 7 && strncmp (snippet, pairs[i].html, strlen (pairs[i].html)) != 0)
            i++;
        if (i < 7) {
            str_text (out, pairs[i].plain);
            snippet += strlen (pairs[i].html);
        } else
            str_char (out, *snippet++);
    }
}

/*  Adds wrapped text, its marks as bold type. */
static void add_emphasised (str_t *out, span_t text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] == *TEXT_MARK_ON)
            str_text (out, "\033[1m");
        else if (text.data[i] == *TEXT_MARK_OFF)
            str_text (out, "\033[0m");
        else
            str_char (out, text.data[i]);
}

static void print_hit (size_t number, const json_t *hit, bool colour)
{
    str_t line = STR_INIT, text = STR_INIT;
    size_t columns = text_columns (STDOUT_FILENO);
    str_format (&line, "%2zu. ", number);
    text_fit (&line, span_str (json_text (hit, "filename")), columns > 40 ? columns - 30 : 10, false);
    if (json_number (hit, "page"))
        str_format (&line, ", page %u", (unsigned)json_number (hit, "page"));
    str_format (&line, "  (%.3f)\n", json_number_value (json_object_get (hit, "score")));
    if (*json_text (hit, "heading")) {
        str_text (&line, "    ");
        text_fit (&line, span_str (json_text (hit, "heading")), columns - 4, false);
        str_char (&line, '\n');
    }
    plain_snippet (&text, json_text (hit, "snippet"), colour ? TEXT_MARK_ON : "", colour ? TEXT_MARK_OFF : "");
    str_t wrapped = STR_INIT;
    text_wrap (&wrapped, str_span (&text), 4, columns, SNIPPET_LINES);
    add_emphasised (&line, str_span (&wrapped));
    fputs (line.data, stdout);
    str_free (&wrapped);
    str_free (&text);
    str_free (&line);
}

static cli_exit_t run_search (const options_t *options)
{
    err_t err;
    uint64_t limit = options_number (options, "limit");
    if (limit < 1 || limit > HITS_MAX) {
        cli_say ("--limit takes 1 to %d", HITS_MAX);
        return CLI_USAGE;
    }
    rest_t *rest = rest_new (options, &err);
    if (!rest)
        return cli_fail (&err);
    cli_exit_t code = CLI_OK;
    json_t *reply = NULL;
    str_t path = STR_INIT, query = STR_INIT;
    for (int i = 0; i < options_argc (options); i++)
        str_format (&query, "%s%s", i ? " " : "", options_arg (options, i));
    str_text (&path, "search?q=");
    rest_escape (&path, query.data);
    str_format (&path, "&limit=%u", (unsigned)limit);
    if (rest_call (rest, "GET", path.data, NULL, &reply, &err) < 0) {
        code = cli_fail (&err);
        goto out;
    }
    const char *no_color = getenv ("NO_COLOR");
    bool colour = isatty (STDOUT_FILENO) && !(no_color && *no_color);
    size_t index;
    json_t *hit;
    json_array_foreach (json_object_get (reply, "hits"), index, hit)
    {
        if (options_flag (options, "json"))
            json_print (hit);
        else
            print_hit (index + 1, hit, colour);
    }
    if (json_array_size (json_object_get (reply, "hits")) == 0)
        fprintf (stderr, "nothing found\n");
out:
    json_decref (reply);
    str_free (&path);
    str_free (&query);
    rest_destroy (&rest);
    return code;
}

const command_t cli_search_commands[] = {
    { "search", "QUERY [--limit N]", "finds passages by meaning and by words", "", search_options, 1, -1, run_search },
    { 0 },
};
