/*  cmd_data.c: `myelin backup`, `restore`, `verify`, `repair`: what looks after the data directory itself, on the
 * machine that has it.
 */
#include "base/clock.h"
#include "base/log.h"
#include "client/cli.h"
#include "client/datadir.h"
#include "client/text.h"
#include "integrity/backup.h"
#include "integrity/files.h"
#include "integrity/repair.h"
#include "integrity/restore.h"
#include "integrity/verify.h"

#include <stdio.h>
#include <unistd.h>

#define DATA_OPTION                                                                                                    \
    {                                                                                                                  \
        "data", OPTION_TEXT, NULL, "DIR", "the data directory (~/.local/share/myelin)"                                 \
    }

static void data_path (const options_t *options, str_t *path)
{
    log_init ("myelin", LOG_ERROR); /* what the databases do on the way is no news to whoever reads this */
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

/*  Without a lock: nobody works in a backup. */
static int verify_backup (const char *path, report_t *report, err_t *err)
{
    verify_config_t config = { .dir = path, .is_backup = true };
    if (restore_check (path, report, &config.was_running, err) < 0)
        return -1;
    return verify_run (&config, report, err);
}

static int verify_data (const char *path, report_t *report, err_t *err)
{
    verify_config_t config = { .dir = path };
    int lock = datadir_hold (path, err);
    int rc = lock < 0 ? -1 : verify_run (&config, report, err);
    if (lock >= 0)
        close (lock);
    return rc;
}

static cli_exit_t run_verify (const options_t *options)
{
    str_t path = STR_INIT;
    err_t err;
    bool as_json = options_flag (options, "json");
    report_t report = { .tell = tell, .listener = &as_json };
    bool is_backup = options_argc (options) > 0;
    if (!is_backup)
        data_path (options, &path);
    int rc =
        is_backup ? verify_backup (options_arg (options, 0), &report, &err) : verify_data (path.data, &report, &err);
    cli_exit_t code = rc < 0 ? cli_fail (&err) : report.findings ? CLI_ERROR : CLI_OK;
    if (rc == 0)
        say_report (&report, as_json);
    str_free (&path);
    return code;
}

/*  --- backup --- */

static const option_t backup_options[] = {
    DATA_OPTION,
    { "copy", OPTION_FLAG, NULL, NULL, "copy everything, also on the same disk" },
    CLI_JSON_OPTION,
    { 0 },
};

static void say_sums (const char *what, const char *path, const manifest_sums_t *sums, bool as_json)
{
    str_t line = STR_INIT;
    if (as_json) {
        str_char (&line, '{');
        str_key_str (&line, "directory", span_str (path));
        str_key_u64 (&line, "files", sums->files);
        str_key_u64 (&line, "bytes", sums->bytes);
        str_char (&line, '}');
    } else {
        str_format (&line, "%s %s: %llu files, ", what, path, (unsigned long long)sums->files);
        text_size (&line, sums->bytes);
    }
    printf ("%s\n", line.data);
    str_free (&line);
}

/*  Finds out whether Myelin runs there: the descriptor of the lock when it does not, or -1 and the sockets of what
 * runs; or -1 and an error. */
static int hold_or_find (const char *path, str_t *run, err_t *err)
{
    int lock = datadir_check_data (path, err) == 0 ? datadir_hold (path, err) : -1;
    if (lock >= 0 || err->code != ERR_LOCKED)
        return lock;
    if (datadir_find_run (path, run, err) == 0)
        err->code = ERR_NONE;
    return -1;
}

static cli_exit_t run_backup (const options_t *options)
{
    str_t path = STR_INIT, run = STR_INIT;
    manifest_sums_t sums;
    err_t err = { 0 };
    cli_exit_t code = CLI_OK;
    const char *to = options_arg (options, 0);
    data_path (options, &path);
    int lock = hold_or_find (path.data, &run, &err);
    backup_config_t config = { path.data, lock < 0 ? run.data : NULL, to, options_flag (options, "copy") };
    if ((lock < 0 && err.code) || backup_run (&config, &sums, &err) == -1)
        code = cli_fail (&err);
    else
        say_sums ("backed up to", to, &sums, options_flag (options, "json"));
    if (lock >= 0)
        close (lock);
    str_free (&path);
    str_free (&run);
    return code;
}

/*  --- restore --- */

static const option_t restore_options[] = { DATA_OPTION, CLI_JSON_OPTION, { 0 } };

static cli_exit_t run_restore (const options_t *options)
{
    str_t path = STR_INIT;
    manifest_sums_t sums = { 0 };
    err_t err = { 0 };
    bool as_json = options_flag (options, "json");
    report_t settled = { .tell = tell, .listener = &as_json };
    cli_exit_t code = CLI_OK;
    data_path (options, &path);
    int lock = files_make_dir (path.data, &err) == 0 ? datadir_hold (path.data, &err) : -1;
    restore_config_t config = { options_arg (options, 0), path.data };
    if (lock < 0 || restore_run (&config, &settled, &sums, &err) == -1)
        code = cli_fail (&err);
    else
        say_sums ("restored into", path.data, &sums, as_json);
    if (lock >= 0)
        close (lock);
    str_free (&path);
    return code;
}

/*  --- repair --- */

static const option_t repair_options[] = {
    DATA_OPTION,
    { "no-copy", OPTION_FLAG, NULL, NULL, "do not keep the directory as it was" },
    { "drop-lost", OPTION_FLAG, NULL, NULL, "delete documents whose bytes are gone or damaged" },
    CLI_JSON_OPTION,
    { 0 },
};

/*  As it was, next to it: a backup, however damaged. */
static int keep_copy (const char *path, str_t *copy, err_t *err)
{
    manifest_sums_t sums;
    size_t size = strlen (path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    str_add (copy, span (path, size));
    str_format (copy, ".before-repair-%llu", (unsigned long long)clock_wall_ms ());
    backup_config_t config = { .data = path, .to = copy->data };
    return backup_run (&config, &sums, err);
}

static void say_repair (const report_t *done, const report_t *left, const char *copy, bool as_json)
{
    str_t line = STR_INIT;
    if (!as_json) {
        if (copy)
            printf ("as it was: %s\n", copy);
        printf ("%llu repaired; now ", (unsigned long long)done->findings);
        say_report (left, false);
        return;
    }
    str_char (&line, '{');
    str_key_u64 (&line, "repaired", done->findings);
    str_key_str (&line, "copy", span_str (copy));
    str_key (&line, "now");
    report_json (left, &line);
    str_char (&line, '}');
    printf ("%s\n", line.data);
    str_free (&line);
}

static cli_exit_t run_repair (const options_t *options)
{
    str_t path = STR_INIT, copy = STR_INIT;
    err_t err = { 0 };
    bool as_json = options_flag (options, "json"), keeps = !options_flag (options, "no-copy");
    report_t done = { .tell = tell, .listener = &as_json }, left = done;
    cli_exit_t code = CLI_ERROR;
    data_path (options, &path);
    repair_config_t config = { path.data, options_flag (options, "drop-lost") };
    int lock = datadir_check_data (path.data, &err) == 0 ? datadir_hold (path.data, &err) : -1;
    if (lock < 0)
        code = cli_fail (&err);
    else if (keeps && keep_copy (path.data, &copy, &err) == -1) {
        cli_fail (&err);
        cli_say ("nothing was changed: the directory as it is could not be kept; --no-copy does without");
    } else if (repair_run (&config, &done, &left, &err) == -1)
        code = cli_fail (&err);
    else {
        say_repair (&done, &left, keeps ? copy.data : NULL, as_json);
        code = left.findings ? CLI_ERROR : CLI_OK;
    }
    if (lock >= 0)
        close (lock);
    str_free (&path);
    str_free (&copy);
    return code;
}

const command_t cli_data_commands[] = {
    { "backup", "DIR [OPTIONS…]", "makes a backup, also while Myelin runs",
      "DIR is new. On the machine that has the data. On the same disk files get a\n"
      "second name and take no room; see --copy. An interrupted backup is DIR.partial.",
      backup_options, 1, 1, run_backup },
    { "restore", "DIR [--data DIR]", "makes a data directory of a backup",
      "The data directory is new or empty. Nothing that is damaged is restored.", restore_options, 1, 1, run_restore },
    { "verify", "[DIR] [OPTIONS…]", "looks for damage in the data, or in the backup DIR",
      "For the data directory Myelin must be stopped. Nothing is changed. Exit code 0\n"
      "only if all is well.",
      verify_options, 0, 1, run_verify },
    { "repair", "[OPTIONS…]", "repairs what verify finds in the data directory",
      "Myelin must be stopped. Every step is told. The directory as it was is kept\n"
      "beside it, unless --no-copy.",
      repair_options, 0, 0, run_repair },
    { 0 },
};
