/*  cmd_submit.c: `myelin submit` and `myelin watch`: hand documents in, see what becomes of them. */
#include "client/bar.h"
#include "client/cli.h"
#include "client/follow.h"
#include "client/rest.h"
#include "client/text.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define BUSY_S       60 /* seconds that a full queue, or a server that was there before, is waited for */
#define BUSY_PAUSE_S 10 /* between two tries at most, whatever the server thinks */

static const option_t submit_options[] = {
    CLI_SERVER_OPTIONS,
    { "priority", OPTION_NUMBER, NULL, "N", "1 to 10, 10 first" },
    { "force", OPTION_FLAG, NULL, NULL, "also what is known to end its parser" },
    { "wait", OPTION_FLAG, NULL, NULL, "wait until all are processed" },
    CLI_JSON_OPTION,
    { 0 },
};

static const option_t watch_options[] = { CLI_SERVER_OPTIONS, CLI_JSON_OPTION, { 0 } };

/*  Why something in a directory is left out. X (symbol, name in JSON, what one is, what several are) */
#define SKIP_REASONS(X)                                                                                                \
    X (HIDDEN, "hidden", "hidden", "hidden")                                                                           \
    X (LINK, "symbolic_links", "symbolic link", "symbolic links")                                                      \
    X (OTHER, "no_files", "no file", "no files")

typedef enum {
#define SKIP_ENUM(sym, key, one, many) SKIP_##sym,
    SKIP_REASONS (SKIP_ENUM)
#undef SKIP_ENUM
        SKIP_COUNT
} skip_reason_t;

static const struct {
    const char *key, *one, *many;
} skip_reasons[] = {
#define SKIP_ROW(sym, key, one, many) { key, one, many },
    SKIP_REASONS (SKIP_ROW)
#undef SKIP_ROW
};

typedef struct {
    rest_t *rest;
    follow_t *follow; /* NULL: do not wait */
    bars_t *bars;
    const char *path; /* of the API, with its query */
    const char *name; /* of the file on its way */
    uint64_t sent_percent;
    unsigned skipped[SKIP_COUNT];
    bool json;
    bool accepted; /* the server took one */
    cli_exit_t code;
} submit_t;

static void print_safe (const char *text)
{
    str_t safe = STR_INIT;
    text_fit (&safe, span_str (text), 4096, false);
    fputs (safe.data ? safe.data : "", stdout);
    str_free (&safe);
}

static void on_end (void *arg, const char *id, const char *name, const json_t *task)
{
    submit_t *self = arg;
    const char *status = task ? json_text (task, "status") : "deleted";
    bool completed = strcmp (status, "completed") == 0;
    if (!completed)
        self->code = CLI_TASK_FAILED;
    if (self->json) {
        if (task)
            json_print (task);
        return;
    }
    printf ("%s  %-9s  ", id, status);
    print_safe (name);
    if (!completed && *json_text (task, "error_code")) {
        printf (": %s: ", json_text (task, "error_code"));
        print_safe (json_text (task, "error_message"));
    }
    putchar ('\n');
    fflush (stdout);
}

static bar_task_t upload_bar (void *arg, size_t index)
{
    const submit_t *self = arg;
    return (
        bar_task_t){ .name = self->name, .state = "upload", .progress = (unsigned)self->sent_percent, .running = true };
}

static void on_sent (void *arg, uint64_t sent, uint64_t total)
{
    submit_t *self = arg;
    self->sent_percent = sent * 100 / total;
    bars_draw (self->bars, 1, upload_bar, self, false);
}

static void print_submitted (const submit_t *self, int status, const json_t *reply)
{
    if (self->json) {
        json_print (reply);
        return;
    }
    printf ("%s  ", json_text (json_object_get (reply, "task"), "id"));
    print_safe (self->name);
    puts (status == 200 ? "  (was processed before)" : "");
    fflush (stdout);
}

/*  A file's name as a document's: the last part of the path, with what no name may have (control characters, bytes
 *  that are no UTF-8) replaced. */
static void document_name_of (const char *path, str_t *name)
{
    const char *slash = strrchr (path, '/');
    text_fit (name, span_str (slash ? slash + 1 : path), 4096, false);
}

/*  True when the same file may simply be sent again: there is too much, or too much at once, or a server that worked
 * before is restarted. The same bytes are the same document, however many tries the server took in. */
static bool may_pass (const submit_t *self, const err_t *err)
{
    return err->code == ERR_QUEUE_FULL || err->code == ERR_RATE_LIMITED || err->code == ERR_NO_MEMORY ||
           (self->accepted && rest_is_away (err));
}

/*  False when it makes no sense to go on with other files. */
static bool submit_file (submit_t *self, const char *path)
{
    err_t err;
    json_t *reply = NULL;
    str_t name = STR_INIT;
    document_name_of (path, &name);
    self->name = name.data;
    bool go_on = true;
    int status = -1;
    for (uint32_t waited_s = 0, pause_s; waited_s < BUSY_S; waited_s += pause_s) {
        status = rest_upload (self->rest, self->path, path, self->name, on_sent, self, &reply, &err);
        if (status >= 0 || !may_pass (self, &err))
            break;
        pause_s = err.retry_after_s ? err.retry_after_s : 1;
        pause_s = pause_s < BUSY_PAUSE_S ? pause_s : BUSY_PAUSE_S;
        nanosleep (&(struct timespec){ pause_s, 0 }, NULL);
    }
    bars_clear (self->bars);
    if (status < 0) {
        cli_say ("%s: not submitted", name.data);
        self->code = cli_fail (&err);
        go_on = self->code != CLI_UNREACHABLE && self->code != CLI_NOT_ALLOWED;
        goto out;
    }
    self->accepted = true;
    const json_t *task = json_object_get (reply, "task");
    if (self->follow && task && !json_is_null (task))
        follow_add (self->follow, task, self->name);
    else
        print_submitted (self, status, reply);
out:
    json_decref (reply);
    str_free (&name);
    return go_on;
}

static int by_name (const FTSENT **a, const FTSENT **b)
{
    return strcmp ((*a)->fts_name, (*b)->fts_name);
}

/*  Walks a file or directory; inside a directory what is hidden, a symbolic link or no file is left out. */
static bool submit_tree (submit_t *self, const char *root)
{
    FTS *walk = fts_open ((char *[]){ (char *)root, NULL }, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, by_name);
    if (!walk) {
        cli_say ("%s: %s", root, strerror (errno));
        self->code = CLI_ERROR;
        return true;
    }
    bool go_on = true;
    for (FTSENT *entry = fts_read (walk); entry && go_on; entry = go_on ? fts_read (walk) : NULL) {
        if (entry->fts_level > 0 && entry->fts_name[0] == '.') {
            fts_set (walk, entry, FTS_SKIP);
            self->skipped[SKIP_HIDDEN] += entry->fts_info != FTS_DP; /* a directory comes once more, on the way out */
            continue;
        }
        switch (entry->fts_info) {
        case FTS_F:
            go_on = submit_file (self, entry->fts_path);
            break;
        case FTS_DNR:
        case FTS_ERR:
        case FTS_NS:
            cli_say ("%s: %s", entry->fts_path, strerror (entry->fts_errno));
            self->code = CLI_ERROR;
            break;
        case FTS_D:
        case FTS_DP:
            break;
        default:
            if (entry->fts_level > 0) { /* what is no file in a directory is no document */
                bool is_link = entry->fts_info == FTS_SL || entry->fts_info == FTS_SLNONE;
                self->skipped[is_link ? SKIP_LINK : SKIP_OTHER]++;
                break;
            }
            cli_say ("%s: %s", root,
                     entry->fts_info == FTS_SLNONE
                         ? "a link to something that is not there"
                         : "neither a file nor a directory; put what comes from there into a file");
            self->code = CLI_ERROR;
            break;
        }
    }
    fts_close (walk);
    return go_on;
}

/*  What was left out is said, or somebody misses it in a year. */
static void tell_skipped (const submit_t *self)
{
    unsigned sum = 0;
    str_t text = STR_INIT;
    json_t *counts = json_object ();
    for (size_t i = 0; i < SKIP_COUNT; i++) {
        unsigned count = self->skipped[i];
        sum += count;
        json_object_set_new (counts, skip_reasons[i].key, json_integer (count));
        if (count)
            str_format (&text, "%s%u %s", text.size ? ", " : "", count,
                        count == 1 ? skip_reasons[i].one : skip_reasons[i].many);
    }
    if (sum)
        cli_say ("%u %s in directories skipped: %s", sum, sum == 1 ? "entry" : "entries", text.data);
    if (sum && self->json) {
        json_t *line = json_pack ("{s:O}", "skipped", counts);
        json_print (line);
        json_decref (line);
    }
    json_decref (counts);
    str_free (&text);
}

static cli_exit_t run_submit (const options_t *options)
{
    uint64_t priority = options_number (options, "priority");
    if (options_given (options, "priority") && (priority < 1 || priority > 10)) {
        cli_say ("--priority takes 1 to 10");
        return CLI_USAGE;
    }
    err_t err;
    submit_t self = { .rest = rest_new (options, &err), .json = options_flag (options, "json") };
    if (!self.rest)
        return cli_fail (&err);
    self.bars = bars_new ();
    if (options_flag (options, "wait"))
        self.follow = follow_new (self.rest);
    str_t path = STR_INIT;
    str_text (&path, "documents/");
    if (priority)
        str_format (&path, "?priority=%u", (unsigned)priority);
    if (options_flag (options, "force"))
        str_format (&path, "%cforce=true", priority ? '&' : '?');
    self.path = path.data;

    bool go_on = true;
    for (int i = 0; go_on && i < options_argc (options); i++)
        go_on = submit_tree (&self, options_arg (options, i));
    if (self.follow && follow_run (self.follow, on_end, &self, &err))
        self.code = cli_fail (&err);
    tell_skipped (&self);

    follow_destroy (&self.follow);
    bars_destroy (&self.bars);
    rest_destroy (&self.rest);
    str_free (&path);
    return self.code;
}

/*  --- watch --- */

typedef struct {
    bool json;
    bool opened; /* since the last trouble */
} watch_t;

static bool on_any_event (void *arg, const json_t *event)
{
    watch_t *self = arg;
    self->opened = true;
    if (!event)
        return true;
    if (self->json) {
        json_print (event);
        return ferror (stdout) == 0;
    }
    const json_t *task = json_object_get (event, "task");
    if (!task || json_is_true (json_object_get (event, "replay")))
        return true;
    str_t line = STR_INIT;
    text_time (&line, json_text (event, "at"));
    str_format (&line, "  %s  %-9s  %3u%%  %s", json_text (task, "id"), json_text (event, "event"),
                (unsigned)json_number (task, "progress"), json_text (task, "stage"));
    puts (line.data);
    if (*json_text (task, "error_message")) {
        str_clear (&line);
        text_wrap (&line, span_str (json_text (task, "error_message")), 4, text_columns (STDOUT_FILENO), 3);
        fputs (line.data, stdout);
    }
    fflush (stdout);
    str_free (&line);
    return ferror (stdout) == 0;
}

/*  Everything, until interrupted. A server that was heard once and restarts is listened to again. */
static cli_exit_t watch_all (rest_t *rest, bool json)
{
    watch_t self = { .json = json };
    bool heard = false;
    for (int failures = 0;;) {
        err_t err;
        self.opened = false;
        int rc = rest_stream (rest, "events", on_any_event, &self, &err);
        if (rc > 0)
            return CLI_ERROR; /* our output goes nowhere */
        heard = heard || self.opened;
        failures = self.opened ? 0 : failures + 1;
        if (rc < 0 && (!heard || failures > 30 || !rest_is_away (&err)))
            return cli_fail (&err);
        nanosleep (&(struct timespec){ failures ? 1 : 0, 100000000L }, NULL);
    }
}

/*  What the bar of a task says: the name of its document; its id when that is gone. */
static void document_name (rest_t *rest, const json_t *task, str_t *name)
{
    err_t err;
    json_t *document = NULL;
    str_t path = STR_INIT;
    str_text (&path, "documents/");
    rest_escape (&path, json_text (task, "document_id"));
    if (rest_call (rest, "GET", path.data, NULL, &document, &err) >= 0)
        str_text (name, json_text (document, "filename"));
    if (!name->size)
        str_text (name, json_text (task, "id"));
    json_decref (document);
    str_free (&path);
}

static cli_exit_t run_watch (const options_t *options)
{
    err_t err;
    submit_t self = { .rest = rest_new (options, &err), .json = options_flag (options, "json") };
    if (!self.rest)
        return cli_fail (&err);
    if (options_argc (options) == 0) {
        self.code = watch_all (self.rest, self.json);
        goto out;
    }
    self.follow = follow_new (self.rest);
    for (int i = 0; i < options_argc (options); i++) {
        json_t *task = NULL;
        str_t path = STR_INIT, name = STR_INIT;
        str_text (&path, "document-processing/tasks/");
        rest_escape (&path, options_arg (options, i));
        if (rest_call (self.rest, "GET", path.data, NULL, &task, &err) < 0)
            self.code = cli_fail (&err);
        else {
            document_name (self.rest, task, &name);
            follow_add (self.follow, task, name.data);
        }
        json_decref (task);
        str_free (&path);
        str_free (&name);
    }
    if (follow_run (self.follow, on_end, &self, &err))
        self.code = cli_fail (&err);
out:
    follow_destroy (&self.follow);
    rest_destroy (&self.rest);
    return self.code;
}

const command_t cli_submit_commands[] = {
    { "submit", "FILE…|DIR… [--priority N] [--wait]", "hands documents in",
      "Directories are walked; what is hidden in them, symbolic links and what is no\n"
      "file are left out, and counted on stderr (with --json also in a last line,\n"
      "{\"skipped\": …}).\n"
      "Prints a line for each document: the task's id and the file's name.",
      submit_options, 1, -1, run_submit },
    { "watch", "[ID…]", "follows tasks to their end",
      "Without ids it shows everything that happens until it is interrupted.", watch_options, 0, -1, run_watch },
    { 0 },
};
