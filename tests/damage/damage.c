/*  Damage, thousands of times: a bit flipped anywhere in the files of a small database whose process was killed, or its
 *  newest log cut at any byte. Each time a fresh copy is opened and read to the end, and what it says is compared with
 *  what was written. Nothing may be missing or wrong without a word.
 *
 *      damage [--flips N] [--seed N] [--jobs N] [--trial N] [--subject NAME]
 *
 *  The kind of file is chosen first, so that the small ones get their share. A trial depends on its number and the seed
 *  alone: --trial N does one of them, with the logs on stderr.
 */
#include "tests/damage/damage.h"
#include "base/options.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <fts.h>
#include <ftw.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILES_MAX     256
#define TRIAL_SECONDS 60
#define WRONGS_SHOWN  20

/*  The disk is not what is tested here. */
int fsync (int fd)
{
    return 0;
}

int fdatasync (int fd)
{
    return 0;
}

uint64_t dice (uint64_t *seed, uint64_t count)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % count;
}

/*  Kinds of files, as fnmatch patterns of paths below the directory. */
static const char *const kinds[] = { "*.log",     "*.sst",      "*.blob",         "*MANIFEST-*",      "*CURRENT",
                                     "*IDENTITY", "*OPTIONS-*", "*/index.sqlite", "*index.sqlite-wal" };
#define KINDS (sizeof kinds / sizeof *kinds)

typedef struct {
    char path[128]; /* below the directory */
    uint64_t size;
    size_t kind;
} file_t;

typedef struct {
    const subject_t *subject;
    char dir[64];
    file_t files[FILES_MAX];
    size_t file_count;
} prepared_t;

/*  Shared with the children. */
typedef struct {
    uint32_t flips[2][KINDS][VERDICT_COUNT];
    uint32_t cuts[2][VERDICT_COUNT];
    uint32_t wrongs;
} tally_t;

static tally_t *tally;

static int remove_one (const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    return remove (path);
}

static void remove_tree (const char *path)
{
    nftw (path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void copy_file (const char *from, const char *to, uint64_t size)
{
    int in = open (from, O_RDONLY), out = open (to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    off_t at = 0;
    while (at < (off_t)size && copy_file_range (in, &at, out, NULL, size - (uint64_t)at, 0) > 0)
        ;
    if (in < 0 || out < 0 || at != (off_t)size)
        abort ();
    close (in);
    close (out);
}

static void path_in (char path[256], const char *dir, const file_t *file)
{
    snprintf (path, 256, "%s%s", dir, file->path);
}

static void copy_tree (const prepared_t *prepared, const char *to)
{
    char source[256], target[256];
    remove_tree (to);
    mkdir (to, 0700);
    for (size_t i = 0; i < prepared->file_count; i++) {
        path_in (source, prepared->dir, &prepared->files[i]);
        path_in (target, to, &prepared->files[i]);
        char *slash = strrchr (target, '/');
        *slash = 0;
        mkdir (target, 0700);
        *slash = '/';
        copy_file (source, target, prepared->files[i].size);
    }
}

static void prepare (prepared_t *prepared, const subject_t *subject, const char *base)
{
    prepared->subject = subject;
    snprintf (prepared->dir, sizeof prepared->dir, "%s/%s", base, subject->name);
    mkdir (prepared->dir, 0700);
    for (int life = 0; life < LIVES; life++) {
        pid_t child = fork ();
        if (child == 0) {
            subject->write (prepared->dir, life);
            _exit (0);
        }
        int status;
        if (waitpid (child, &status, 0) != child || status != 0) {
            fprintf (stderr, "damage: %s could not be prepared\n", subject->name);
            exit (1);
        }
    }
    char *const roots[] = { prepared->dir, NULL };
    FTS *tree = fts_open (roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    for (FTSENT *entry; (entry = fts_read (tree));) {
        const char *path = entry->fts_path + strlen (prepared->dir);
        if (entry->fts_info != FTS_F || fnmatch ("*/LOG*", path, 0) == 0 || fnmatch ("*/LOCK", path, 0) == 0 ||
            fnmatch ("*-shm", path, 0) == 0)
            continue;
        file_t *file = &prepared->files[prepared->file_count++];
        if (prepared->file_count > FILES_MAX)
            abort ();
        snprintf (file->path, sizeof file->path, "%s", path);
        file->size = (uint64_t)entry->fts_statp->st_size;
        while (file->kind < KINDS && fnmatch (kinds[file->kind], path, 0) != 0)
            file->kind++;
    }
    fts_close (tree);
}

/*  Checks the damaged copy in a process of its own, which may crash or hang. */
static verdict_t judge (const prepared_t *prepared, const char *copy, int lost, bool loud, char why[WHY_SIZE])
{
    int ends[2];
    if (pipe (ends) != 0)
        abort ();
    pid_t child = fork ();
    if (child == 0) {
        char text[WHY_SIZE + 1] = "";
        alarm (TRIAL_SECONDS);
        if (!loud)
            dup2 (open ("/dev/null", O_WRONLY), 2);
        verdict_t verdict = prepared->subject->check (copy, lost, text + 1);
        text[0] = (char)('0' + verdict);
        if (write (ends[1], text, sizeof text) != sizeof text)
            abort ();
        exit (0); /* with what runs at exit: a crash there counts */
    }
    close (ends[1]);
    char text[WHY_SIZE + 1] = "";
    ssize_t size = read (ends[0], text, sizeof text);
    close (ends[0]);
    int status;
    waitpid (child, &status, 0);
    if (status != 0 || size != (ssize_t)sizeof text) {
        snprintf (why, WHY_SIZE, "ended with %s %d", WIFSIGNALED (status) ? "signal" : "exit code",
                  WIFSIGNALED (status) ? WTERMSIG (status) : WEXITSTATUS (status));
        return VERDICT_WRONG;
    }
    memcpy (why, text + 1, WHY_SIZE);
    return (verdict_t)(text[0] - '0');
}

static void tell_wrong (const char *what, const char *why)
{
    if (__atomic_add_fetch (&tally->wrongs, 1, __ATOMIC_SEQ_CST) <= WRONGS_SHOWN)
        printf ("WRONG: %s: %s\n", what, why);
    fflush (stdout);
}

static void flip (const char *copy, const file_t *file, uint64_t byte, unsigned bit)
{
    char path[256];
    uint8_t value;
    path_in (path, copy, file);
    int fd = open (path, O_RDWR);
    if (fd < 0 || pread (fd, &value, 1, (off_t)byte) != 1)
        abort ();
    value ^= (uint8_t)(1u << bit);
    if (pwrite (fd, &value, 1, (off_t)byte) != 1)
        abort ();
    close (fd);
}

static void flip_trial (const prepared_t *all, size_t count, uint64_t seed, uint64_t trial, const char *copy, bool loud)
{
    uint64_t state = seed * 1000003 + trial;
    const prepared_t *prepared = &all[dice (&state, count)];
    const file_t *file = NULL;
    while (!file) { /* a kind, then a file of it */
        size_t kind = dice (&state, KINDS), skip = dice (&state, FILES_MAX), of_kind = 0;
        for (size_t i = 0; i < prepared->file_count; i++)
            of_kind += prepared->files[i].kind == kind && prepared->files[i].size;
        for (size_t i = 0, n = 0; i < prepared->file_count && of_kind && !file; i++)
            if (prepared->files[i].kind == kind && prepared->files[i].size && n++ == skip % of_kind)
                file = &prepared->files[i];
    }
    uint64_t byte = dice (&state, file->size);
    unsigned bit = (unsigned)dice (&state, 8);
    char why[WHY_SIZE], what[800];
    copy_tree (prepared, copy);
    flip (copy, file, byte, bit);
    verdict_t verdict = judge (prepared, copy, 0, loud, why);
    __atomic_add_fetch (&tally->flips[prepared - all][file->kind][verdict], 1, __ATOMIC_SEQ_CST);
    snprintf (what, sizeof what, "trial %llu, %s%s, byte %llu of %llu, bit %u", (unsigned long long)trial,
              prepared->subject->name, file->path, (unsigned long long)byte, (unsigned long long)file->size, bit);
    if (loud)
        printf ("%s: %s\n", what, why);
    if (verdict == VERDICT_WRONG)
        tell_wrong (what, why);
}

/*  The newest log without its last `less` bytes: the last commits may be gone, each as a whole, and nothing else. */
static void cut_trial (const prepared_t *all, size_t subject, uint64_t less, const char *copy)
{
    const prepared_t *prepared = &all[subject];
    const file_t *log = NULL;
    for (size_t i = 0; i < prepared->file_count; i++)
        if (prepared->files[i].kind == 0 && prepared->files[i].size &&
            (!log || strcmp (prepared->files[i].path, log->path) > 0))
            log = &prepared->files[i];
    if (!log || less > log->size)
        return;
    char path[256], why[WHY_SIZE], what[800];
    copy_tree (prepared, copy);
    path_in (path, copy, log);
    if (truncate (path, (off_t)(log->size - less)) != 0)
        abort ();
    verdict_t verdict = judge (prepared, copy, 2, false, why);
    __atomic_add_fetch (&tally->cuts[subject][verdict], 1, __ATOMIC_SEQ_CST);
    snprintf (what, sizeof what, "%s%s without its last %llu bytes", prepared->subject->name, log->path,
              (unsigned long long)less);
    if (verdict == VERDICT_WRONG)
        tell_wrong (what, why);
}

static void show (const prepared_t *all, size_t count)
{
    static const char *const names[] = {
#define VERDICT_NAME(sym, name) name,
        VERDICTS (VERDICT_NAME)
#undef VERDICT_NAME
    };
    printf ("%-8s %-18s", "", "");
    for (int v = 0; v < VERDICT_COUNT; v++)
        printf (" %8s", names[v]);
    printf ("\n");
    for (size_t s = 0; s < count; s++) {
        for (size_t kind = 0; kind <= KINDS; kind++) {
            const uint32_t *row = kind < KINDS ? tally->flips[s][kind] : tally->cuts[s];
            if (!(row[0] + row[1] + row[2] + row[3]))
                continue;
            printf ("%-8s %-18s", all[s].subject->name, kind < KINDS ? kinds[kind] : "log cut short");
            for (int v = 0; v < VERDICT_COUNT; v++)
                printf (" %8u", row[v]);
            printf ("\n");
        }
    }
}

static const option_t table[] = {
    { "flips", OPTION_NUMBER, "5000", "N", "bits to flip, one a trial" },
    { "cuts", OPTION_NUMBER, "3000", "N", "bytes from the end at each of which the newest log is cut" },
    { "seed", OPTION_NUMBER, "1", "N", "the same seed, the same bits" },
    { "jobs", OPTION_NUMBER, "2", "N", "trials at once" },
    { "trial", OPTION_TEXT, NULL, "N", "only this one, with its logs" },
    { "subject", OPTION_TEXT, NULL, "NAME", "only broker, or only content" },
    { 0 },
};

static int run (const options_t *options)
{
    static prepared_t all[2];
    size_t count = 0;
    const char *only = options_text (options, "subject"), *trial = options_text (options, "trial");
    uint64_t flips = options_number (options, "flips"), cuts = options_number (options, "cuts");
    uint64_t seed = options_number (options, "seed"), jobs = options_number (options, "jobs");
    char base[] = "/tmp/myelin-damage-XXXXXX", copy[64];
    if (!mkdtemp (base))
        abort ();
    const subject_t *subjects[] = { &records_subject, &content_subject };
    for (size_t i = 0; i < 2; i++)
        if (!only || strcmp (only, subjects[i]->name) == 0)
            prepare (&all[count++], subjects[i], base);
    tally = mmap (NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (trial) {
        snprintf (copy, sizeof copy, "%s/copy", base);
        flip_trial (all, count, seed, strtoull (trial, NULL, 10), copy, true);
        jobs = 0;
    }
    for (uint64_t job = 0; job < jobs; job++)
        if (fork () == 0) {
            snprintf (copy, sizeof copy, "%s/copy-%llu", base, (unsigned long long)job);
            for (uint64_t i = job; i < flips; i += jobs)
                flip_trial (all, count, seed, i, copy, false);
            for (uint64_t i = job; i < cuts; i += jobs)
                for (size_t subject = 0; subject < count; subject++)
                    cut_trial (all, subject, i, copy);
            _exit (0);
        }
    int status, bad = 0;
    while (wait (&status) > 0)
        bad |= status;
    show (all, count);
    printf ("%u wrong\n", tally->wrongs);
    remove_tree (base);
    return bad || tally->wrongs ? 1 : 0;
}

int main (int argc, char **argv)
{
    err_t err = { 0 };
    options_t *options = options_new (table, argc, argv, &err);
    if (!options) {
        fprintf (stderr, "damage: %s\n", err.message);
        return 2;
    }
    int rc = 0;
    if (options_help_wanted (options))
        options_print_help (table, "damage [OPTIONS]");
    else
        rc = run (options);
    options_destroy (&options);
    return rc;
}
