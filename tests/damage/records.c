/*  The broker's database: every family, with what was deleted, in tables, blob files and the log. */
#include "store/records.h"
#include "tests/damage/damage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMITS   12          /* of a life */
#define PER_BATCH 8           /* records of a commit */
#define MIX       2654435761u /* keys do not come in the order of their writing */
#define MIX_BACK  244002641u
#define ALL       (LIVES * COMMITS * PER_BATCH)

/*  Record n is in family n % FAMILY_COUNT, was written in commit n / PER_BATCH and, for some, deleted in a later one.
 */
static unsigned family_of (uint32_t n)
{
    return n % FAMILY_COUNT;
}

static span_t key_of (uint32_t n, char key[16])
{
    snprintf (key, 16, "key%08x", n * MIX);
    return span (key, 11);
}

static void value_of (uint32_t n, str_t *value)
{
    uint64_t seed = n;
    str_clear (value);
    size_t size = family_of (n) == FAMILY_BLOBS ? 600 + dice (&seed, 2000) : 20 + dice (&seed, 150);
    for (size_t i = 0; i < size; i++)
        str_char (value, (char)('a' + dice (&seed, 26)));
}

/*  The record that commit `commit` deletes besides what it writes; -1: none. */
static int deleted_by (int commit)
{
    return commit > 3 && commit % 2 ? (commit - 3) * PER_BATCH + 1 : -1;
}

static void records_write (const char *dir, int life)
{
    err_t err;
    char key[16];
    str_t value = STR_INIT;
    kv_t *kv = records_open (dir, &err);
    if (!kv)
        abort ();
    for (int commit = life * COMMITS; commit < (life + 1) * COMMITS; commit++) {
        for (uint32_t n = (uint32_t)commit * PER_BATCH; n < (uint32_t)(commit + 1) * PER_BATCH; n++) {
            value_of (n, &value);
            kv_put (kv, family_of (n), key_of (n, key), str_span (&value));
        }
        int old = deleted_by (commit);
        if (old >= 0)
            kv_delete (kv, family_of ((uint32_t)old), key_of ((uint32_t)old, key));
        if (kv_commit (kv, true, &err) == -1)
            abort ();
    }
    str_free (&value);
    if (life + 1 == LIVES)
        _exit (0);
    kv_destroy (&kv);
}

typedef struct {
    bool there[ALL];  /* as iteration found it */
    uint32_t damaged; /* reads that failed */
    char *why;
} found_t;

static bool note_error (found_t *found, const err_t *err)
{
    found->damaged++;
    snprintf (found->why, WHY_SIZE, "%s", err->message);
    return err->code == ERR_CORRUPT;
}

/*  The number of a record, or -1: what is mixed in key_of is unmixed. */
static int number_of (span_t key)
{
    char text[16] = "";
    memcpy (text, key.data, key.size < 11 ? key.size : 11);
    uint32_t n = key.size == 11 ? (uint32_t)strtoul (text + 3, NULL, 16) * MIX_BACK : ALL;
    return n < ALL && span_eq (key, key_of (n, text)) ? (int)n : -1;
}

/*  Walks one family; false when something is wrong. */
static bool walk (kv_t *kv, unsigned family, found_t *found)
{
    kv_iter_t *it = kv_iterate (kv, family);
    str_t value = STR_INIT;
    err_t err;
    bool good = true;
    for (it->ops->seek (it, SPAN_EMPTY); good && it->ops->valid (it); it->ops->step (it, true)) {
        int n = number_of (it->ops->key (it));
        if (n >= 0)
            value_of ((uint32_t)n, &value);
        good = n >= 0 && family_of ((uint32_t)n) == family && span_eq (it->ops->value (it), str_span (&value));
        if (good)
            found->there[n] = true;
        else
            snprintf (found->why, WHY_SIZE, "record %d is wrong when walked over", n);
    }
    if (good && it->ops->check (it, &err) == -1)
        good = note_error (found, &err);
    kv_iter_destroy (&it);
    str_free (&value);
    return good;
}

/*  Looks one up: 1 there and right, 0 not there, -1 damaged, -2 wrong. */
static int look_up (kv_t *kv, uint32_t n, found_t *found)
{
    char key[16];
    str_t value = STR_INIT, wanted = STR_INIT;
    err_t err;
    int got = kv_get (kv, family_of (n), key_of (n, key), &value, &err);
    value_of (n, &wanted);
    if (got == -1 && !note_error (found, &err))
        got = -2;
    if (got == 1 && !span_eq (str_span (&value), str_span (&wanted))) {
        snprintf (found->why, WHY_SIZE, "record %u is wrong", n);
        got = -2;
    }
    str_free (&value);
    str_free (&wanted);
    return got;
}

static bool is_deleted (uint32_t n, int commits)
{
    for (int commit = 0; commit < commits; commit++)
        if (deleted_by (commit) == (int)n)
            return true;
    return false;
}

/*  Compares with what `commits` commits leave. */
static bool compare (const int got[ALL], const found_t *found, int commits, char why[WHY_SIZE])
{
    for (uint32_t n = 0; n < ALL; n++) {
        bool wanted = n < (uint32_t)(commits * PER_BATCH) && !is_deleted (n, commits);
        if (got[n] == -1 || got[n] == wanted)
            continue;
        snprintf (why, WHY_SIZE, "record %u is %s", n, wanted ? "missing" : "there, though it was deleted");
        return false;
    }
    for (uint32_t n = 0; n < ALL && !found->damaged; n++)
        if (found->there[n] != (got[n] == 1)) {
            snprintf (why, WHY_SIZE, "record %u is %s, but not when walked over", n, got[n] == 1 ? "there" : "missing");
            return false;
        }
    return true;
}

static verdict_t records_check (const char *dir, int lost, char why[WHY_SIZE])
{
    err_t err = { 0 };
    found_t *found = calloc (1, sizeof *found);
    static int got[ALL];
    kv_t *kv = records_open (dir, &err);
    if (!found)
        abort ();
    found->why = why;
    if (!kv) {
        snprintf (why, WHY_SIZE, "%s", err.message);
        free (found);
        return err.code == ERR_CORRUPT && strstr (err.message, dir) ? VERDICT_REFUSED : VERDICT_WRONG;
    }
    bool good = true;
    for (unsigned family = 0; family < FAMILY_COUNT && good; family++)
        good = walk (kv, family, found);
    for (uint32_t n = 0; n < ALL && good; n++)
        good = (got[n] = look_up (kv, n, found)) != -2;
    if (good) {
        int commits = LIVES * COMMITS;
        good = compare (got, found, commits, why);
        for (int less = 1; less <= lost && !good; less++)
            good = compare (got, found, commits - less, why);
    }
    verdict_t verdict = !good ? VERDICT_WRONG : found->damaged ? VERDICT_PARTLY : VERDICT_WHOLE;
    kv_destroy (&kv);
    free (found);
    return verdict;
}

const subject_t records_subject = { "broker", records_write, records_check };
