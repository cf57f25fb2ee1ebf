#include "stages/extract/child.h"
#include "base/clock.h"
#include "stages/extract/extract.h"
#include "stages/extract/formats.h"
#include "stages/extract/magic.h"
#include "stages/extract/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <iconv.h>
#include <libxml/parser.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DOCUMENT_FD 3
#define OUTPUT_FD   4
#define DOOR_FD     5
#define REPORTS_FD  6 /* with sanitizers alone: where they go instead of stderr */
#define STEP_US     20000
/*  When so little address space is left at a crash, it was for want of memory. */
#define NO_MEMORY_PROBE ((size_t)256 * MIB)
#define SIGNAL_STACK    (64 * 1024)
#define FILES_MAX       64

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define WITH_SANITIZER 1
#else
#define WITH_SANITIZER 0
#endif

typedef struct {
    str_t frame;
    uint64_t stepped_us;
} output_t;

/*  Converters are libraries that the C library loads when it needs them, from files: these are what entry names of
 *  archives are in. Any other is not there, and the name is taken as it is. */
static void iconv_preload (void)
{
    static const char *const names[] = { "UTF-16LE", "UTF-16BE", "UTF-16", "CP932", "EUC-JP", "CP437",
                                         "CP850",    "CP866",    "CP936",  "CP949", "CP950",  "CP1252" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)iconv_open ("UTF-8", names[i]); /* kept open: closed ones are unloaded */
}

void child_prepare (void)
{
    static bool done;
    if (done)
        return;
    done = true;
    setlocale (LC_CTYPE, "C.UTF-8"); /* libarchive decodes entry names by it */
    setenv ("TZ", "UTC0", 1);        /* no document is read by the clock on the wall */
    tzset ();
    magic_preload ();
    xmlInitParser ();
    pdf_preload ();
    iconv_preload ();
}

/*  Writes a record; the reader being gone ends the parser. Blocks while the worker wants no more: that bounds what is
 *  in flight. */
static void put (output_t *self, const record_t *record)
{
    str_clear (&self->frame);
    str_grow (&self->frame, 4);
    record_encode (record, &self->frame);
    uint32_t size = (uint32_t)self->frame.size - 4;
    for (int i = 0; i < 4; i++)
        self->frame.data[i] = (char)(size >> 8 * i);
    for (size_t at = 0; at < self->frame.size;) {
        ssize_t written = write (OUTPUT_FD, self->frame.data + at, self->frame.size - at);
        if (written < 0 && errno != EINTR)
            _exit (1);
        at += written > 0 ? (size_t)written : 0;
    }
}

static int put_segment (void *self, const sink_segment_t *segment)
{
    put (self, &(record_t){ .kind = RECORD_KIND_SEGMENT,
                            .segment = { segment->number, segment->permille, segment->bad, segment->text,
                                         segment->marks, segment->cursor } });
    return 0;
}

static void put_warning (void *self, err_code_t code, span_t where, span_t message)
{
    put (self, &(record_t){ .kind = RECORD_KIND_WARNING, .warning = { span_str (err_name (code)), where, message } });
}

static void put_meta (void *self, meta_key_t key, span_t value)
{
    put (self, &(record_t){ .kind = RECORD_KIND_META, .meta = { key, value } });
}

static int put_step (void *self, uint32_t permille, span_t unit, span_t where)
{
    output_t *output = self;
    uint64_t now_us = clock_mono_us ();
    if (!unit.size && now_us - output->stepped_us < STEP_US)
        return 0;
    output->stepped_us = now_us;
    put (self, &(record_t){ .kind = RECORD_KIND_STEP, .step = { permille, unit, where } });
    return 0;
}

static void on_crash (int number)
{
    void *probe = mmap (NULL, NO_MEMORY_PROBE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (probe == MAP_FAILED)
        _exit (CHILD_NO_MEMORY);
    signal (number, SIG_DFL); /* dies of it on return, and the zygote sees of what */
    raise (number);
}

/*  Tells death by want of memory from other crashes. The stack of its own is for stack overflows. */
static void watch_crashes (void)
{
    static const int numbers[] = { SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGILL, SIGFPE };
    static char stack[SIGNAL_STACK];
    sigaltstack (&(stack_t){ .ss_sp = stack, .ss_size = sizeof stack }, NULL);
    struct sigaction action = { .sa_handler = on_crash, .sa_flags = SA_ONSTACK | SA_RESETHAND };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaction (numbers[i], &action, NULL);
}

static void limit (int resource, uint64_t value)
{
    struct rlimit pair = { value, resource == RLIMIT_CPU ? value + 5 : value }; /* SIGXCPU before SIGKILL */
    if (setrlimit (resource, &pair))
        _exit (1);
}

/*  Keeps the descriptors under fixed numbers. */
static void keep_descriptors (const child_fds_t *fds)
{
    int nothing = open ("/dev/null", O_RDWR | O_CLOEXEC);
    int document = fcntl (fds->document, F_DUPFD, 10), output = fcntl (fds->output, F_DUPFD, 10);
    int errors = fcntl (fds->errors, F_DUPFD, 10), door = fcntl (fds->door, F_DUPFD, 10), last = DOOR_FD;
#if WITH_SANITIZER
    int reports = fcntl (STDERR_FILENO, F_DUPFD, 10); /* of our own faults the developer is to hear */
    dup2 (reports, REPORTS_FD);
    __sanitizer_set_report_fd ((void *)(uintptr_t)REPORTS_FD);
    last = REPORTS_FD;
#endif
    dup2 (nothing, STDIN_FILENO);
    dup2 (nothing, STDOUT_FILENO);
    if (dup2 (errors, STDERR_FILENO) < 0 || dup2 (document, DOCUMENT_FD) < 0 || dup2 (output, OUTPUT_FD) < 0 ||
        dup2 (door, DOOR_FD) < 0 || close_range ((unsigned)last + 1, ~0u, 0))
        _exit (1);
}

void child_lock_in (const limits_t *limits, uint64_t document_bytes, int door)
{
    limit (RLIMIT_CORE, 0);
    limit (RLIMIT_FSIZE, 0);
    limit (RLIMIT_NOFILE, FILES_MAX);
    limit (RLIMIT_CPU, limits->cpu_s);
    if (!WITH_SANITIZER) {
        limit (RLIMIT_AS, limits->memory_bytes + document_bytes);
        watch_crashes ();
    }
    err_t err;
    if (sandbox_enter (door, &err))
        _exit (CHILD_NO_SANDBOX);
}

static void parse (const record_spawn_t *spawn, span_t bytes, const limits_t *limits, output_t *output)
{
    sink_config_t config = {
        .out = { output, put_segment, put_warning, put_meta, put_step },
        .limits = limits,
        .document_bytes = bytes.size,
        .cursor = spawn->cursor,
        .first_segment = spawn->first_segment,
        .text_offset = spawn->text_offset,
        .skip = spawn->skip,
    };
    sink_t *sink = sink_new (&config);
    source_t source = { bytes, spawn->name, spawn->media_type, 0, NULL };
    detected_t detected;
    err_t err;
    record_t end = { .kind = RECORD_KIND_END };
    if (extract_document (&source, sink, &detected, &err)) {
        end.end.code = span_str (err_name (err.code));
        end.end.message = span_str (err.message);
    }
    end.end.bad = sink_bad_count (sink);
    end.end.media_type = span_str (detected.media_type);
    put (output, &end);
    sink_destroy (&sink);
}

_Noreturn void child_run (const record_spawn_t *spawn, const child_fds_t *fds, const limits_t *limits, pid_t zygote)
{
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (getppid () != zygote)
        _exit (0);
    prctl (PR_SET_NAME, "extract-parser");
    for (int number = 1; number < NSIG; number++) /* whatever the worker does about signals is its own */
        signal (number, SIG_DFL);
    signal (SIGPIPE, SIG_IGN);
    signal (SIGINT, SIG_IGN); /* the worker decides when it ends */
    sigset_t none;
    sigemptyset (&none);
    sigprocmask (SIG_SETMASK, &none, NULL);
    keep_descriptors (fds);

    struct stat info;
    if (fstat (DOCUMENT_FD, &info))
        _exit (1);
    void *data = NULL;
    size_t size = (size_t)info.st_size;
    if (size && (data = mmap (NULL, size, PROT_READ, MAP_PRIVATE, DOCUMENT_FD, 0)) == MAP_FAILED)
        _exit (errno == ENOMEM ? CHILD_NO_MEMORY : 1);
    child_lock_in (limits, size, DOOR_FD);
    output_t output = { .stepped_us = 0 };
    parse (spawn, span (data, size), limits, &output);
    _exit (0);
}
