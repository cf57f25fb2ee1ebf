/*  cmd_data.c: `myelin verify`: what looks after the data directory itself, on the machine that has it. */
#include "client/cli.h"
#include "client/datadir.h"
#include "client/text.h"
#include "integrity/verify.h"

#include <stdio.h>
#include <unistd.h>

#define DATA_OPTION                                                                                                    \
    {                                                                                                                  \
        "data", OPTION_TEXT, NULL, "DIR", "the data directory (~/.local/share/myelin)"                                 \
    }

static void data_path (const options_t *options, str_t *path)
{
    if (options_text (options, "data"))
        str_text (path, options_text (options, "data"));
    else
        datadir_default (path);
}

/*  --- findings --- */

static void say_finding (const finding_t *finding, bool as_json)
{
    str_t text = STR_INIT, line = STR_INIT;
    if (as_json) {
        finding_json (finding, &line);
    } else {
        finding_text (finding, &text);
        text_fit (&line, str_span (&text), 8192, false);
    }
    printf ("%s\n", line.data);
    str_free (&text);
    str_free (&line);
}

static void tell (void *listener, const finding_t *finding)
{
    say_finding (finding, *(const bool *)listener);
}

static void say_report (const report_t *report, bool as_json)
{
    if (as_json) {
        str_t line = STR_INIT;
        report_json (report, &line);
        printf ("%s\n", line.data);
        str_free (&line);
        return;
    }
    printf ("%llu documents, %llu tasks, %llu chunks, %llu vectors in %llu records: ",
            (unsigned long long)report->documents, (unsigned long long)report->tasks,
            (unsigned long long)report->chunks, (unsigned long long)report->vectors,
            (unsigned long long)report->records);
    if (report->findings)
        printf ("%llu findings", (unsigned long long)report->findings);
    else
        printf ("all is well");
    if (report->notes)
        printf (", %llu notes", (unsigned long long)report->notes);
    printf ("\n");
}

/*  --- verify --- */

static const option_t verify_options[] = { DATA_OPTION, CLI_JSON_OPTION, { 0 } };

static cli_exit_t run_verify (const options_t *options)
{
    str_t path = STR_INIT;
    err_t err;
    bool as_json = options_flag (options, "json");
    report_t report = { .tell = tell, .listener = &as_json };
    cli_exit_t code = CLI_ERROR;
    data_path (options, &path);
    int lock = datadir_hold (path.data, &err);
    verify_config_t config = { .dir = path.data };
    if (lock < 0 || verify_run (&config, &report, &err) < 0) {
        code = cli_fail (&err);
        goto out;
    }
    say_report (&report, as_json);
    code = report.findings ? CLI_ERROR : CLI_OK;
out:
    if (lock >= 0)
        close (lock);
    str_free (&path);
    return code;
}

const command_t cli_data_commands[] = {
    { "verify", "[--data DIR]", "looks for damage in a data directory", "Myelin must be stopped. Nothing is changed.",
      verify_options, 0, 0, run_verify },
    { 0 },
};
