/*  The lock is held while a matrix changes, a few rows at a time, and to find one; never during a scan. That is safe
 *  because blocks do not move, rows appear behind the published count, and only the reader's thread frees: the writer
 *  marks a matrix doomed instead.
 */
#include "store/vector_cache.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define BLOCK_ROWS   1024u
#define MATRICES_MAX 1024u /* entries, those that only say "too large" among them: the writer walks them all */

typedef enum { FILLING, SERVING, TOO_LARGE, DOOMED } matrix_state_t;

typedef struct {
    uint64_t rows[BLOCK_ROWS];
    float scales[BLOCK_ROWS]; /* not a number: blanked out, no score is ever above a floor */
    int8_t high[];
} block_t;

/*  A change that came while the matrix was being filled. */
typedef struct change {
    struct change *next;
    uint64_t first_row, count;
    vectors_t vectors; /* added; no rows: a removal */
    str_t bytes;       /* what they point into */
} change_t;

struct vector_matrix {
    vector_matrix_t *next; /* most recently used first */
    str_t user, model;
    uint32_t dims;
    matrix_state_t state;
    block_t **blocks; /* room for as many as the whole cache could hold: never moves */
    size_t block_room;
    atomic_size_t count; /* rows */
    size_t blank;
    change_t *changes, **changes_end;
    size_t change_bytes;
};

struct vector_cache {
    pthread_mutex_t lock;
    size_t limit, bytes;
    vector_matrix_t *matrices;
    size_t count;
    bool is_switching;
};

vector_cache_t *vector_cache_new (size_t bytes)
{
    vector_cache_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    pthread_mutex_init (&self->lock, NULL);
    self->limit = bytes;
    return self;
}

static size_t block_bytes (uint32_t dims)
{
    return sizeof (block_t) + (size_t)BLOCK_ROWS * dims;
}

static size_t matrix_blocks (const vector_matrix_t *matrix)
{
    return (atomic_load (&matrix->count) + BLOCK_ROWS - 1) / BLOCK_ROWS;
}

static void drop_changes (vector_cache_t *self, vector_matrix_t *matrix)
{
    self->bytes -= matrix->change_bytes;
    matrix->change_bytes = 0;
    while (matrix->changes) {
        change_t *change = matrix->changes;
        matrix->changes = change->next;
        str_free (&change->bytes);
        free (change);
    }
    matrix->changes_end = &matrix->changes;
}

/*  Frees the rows; the entry stays. */
static void empty (vector_cache_t *self, vector_matrix_t *matrix)
{
    for (size_t i = 0, count = matrix_blocks (matrix); i < count; i++)
        free (matrix->blocks[i]);
    self->bytes -= matrix_blocks (matrix) * block_bytes (matrix->dims);
    free (matrix->blocks);
    matrix->blocks = NULL;
    atomic_store (&matrix->count, 0);
    matrix->blank = 0;
    drop_changes (self, matrix);
}

static void remove_matrix (vector_cache_t *self, vector_matrix_t **at)
{
    vector_matrix_t *matrix = *at;
    *at = matrix->next;
    self->count--;
    empty (self, matrix);
    str_free (&matrix->user);
    str_free (&matrix->model);
    free (matrix);
}

void vector_cache_destroy (vector_cache_t **self_p)
{
    vector_cache_t *self = *self_p;
    if (!self)
        return;
    while (self->matrices)
        remove_matrix (self, &self->matrices);
    pthread_mutex_destroy (&self->lock);
    free (self);
    *self_p = NULL;
}

size_t vector_cache_bytes (vector_cache_t *self)
{
    pthread_mutex_lock (&self->lock);
    size_t bytes = self->bytes;
    pthread_mutex_unlock (&self->lock);
    return bytes;
}

/*  Drops a matrix but `but`: a doomed one, or the one that was not used for longest. False when there is none. */
static bool evict (vector_cache_t *self, const vector_matrix_t *but)
{
    vector_matrix_t **choice = NULL;
    for (vector_matrix_t **at = &self->matrices; *at; at = &(*at)->next)
        if (*at != but && (*at)->blocks && (*at)->state != FILLING)
            choice = at;
    if (choice)
        remove_matrix (self, choice);
    return choice != NULL;
}

/*  Appends rows; false when the cache is full. Under the lock. */
static bool append (vector_cache_t *self, vector_matrix_t *matrix, uint64_t first_row, const vectors_t *vectors,
                    bool may_evict)
{
    size_t count = atomic_load (&matrix->count), more = block_bytes (matrix->dims);
    for (uint32_t i = 0; i < vectors->rows; i++, count++) {
        if (count % BLOCK_ROWS == 0) {
            while (self->bytes + more > self->limit && may_evict && evict (self, matrix))
                ;
            if (self->bytes + more > self->limit || count / BLOCK_ROWS >= matrix->block_room)
                return false;
            if (!(matrix->blocks[count / BLOCK_ROWS] = malloc (more)))
                abort ();
            self->bytes += more;
        }
        block_t *block = matrix->blocks[count / BLOCK_ROWS];
        size_t at = count % BLOCK_ROWS;
        block->rows[at] = first_row + i;
        block->scales[at] = vectors_scale (vectors, i);
        memcpy (block->high + at * matrix->dims, vectors->high + (size_t)i * matrix->dims, matrix->dims);
        atomic_store_explicit (&matrix->count, count + 1, memory_order_release);
    }
    return true;
}

static void blank_out (vector_matrix_t *matrix, uint64_t first_row, uint64_t rows)
{
    static const float nothing = NAN;
    size_t count = atomic_load (&matrix->count);
    for (size_t i = 0; i < count; i++) {
        block_t *block = matrix->blocks[i / BLOCK_ROWS];
        size_t at = i % BLOCK_ROWS;
        if (block->rows[at] - first_row < rows && !isnan (block->scales[at])) {
            __atomic_store (&block->scales[at], &nothing, __ATOMIC_RELAXED);
            matrix->blank++;
        }
    }
}

static bool holds (const vector_matrix_t *matrix, uint64_t row)
{
    size_t count = atomic_load (&matrix->count);
    for (size_t i = 0; i < count; i++)
        if (matrix->blocks[i / BLOCK_ROWS]->rows[i % BLOCK_ROWS] == row)
            return true;
    return false;
}

static bool fits_model (const vector_matrix_t *matrix, const vectors_t *vectors)
{
    return vectors->dims == matrix->dims && span_eq (vectors->model, str_span (&matrix->model));
}

/*  --- the writer --- */

bool vector_cache_wants (vector_cache_t *self, span_t user)
{
    bool wants = false;
    pthread_mutex_lock (&self->lock);
    for (vector_matrix_t *m = self->matrices; m && !wants; m = m->next)
        wants = m->state != DOOMED && span_eq (str_span (&m->user), user);
    pthread_mutex_unlock (&self->lock);
    return wants;
}

/*  Keeps a change for the end of the fill. They count as the rows do: a fill that cannot hold them is given up. */
static void postpone (vector_cache_t *self, vector_matrix_t *matrix, change_t change)
{
    change_t *kept = malloc (sizeof *kept);
    if (!kept)
        abort ();
    *kept = change;
    *matrix->changes_end = kept;
    matrix->changes_end = &kept->next;
    matrix->change_bytes += sizeof *kept + kept->bytes.size;
    self->bytes += sizeof *kept + kept->bytes.size;
    if (self->bytes > self->limit) {
        drop_changes (self, matrix);
        matrix->state = DOOMED;
    }
}

static change_t added (uint64_t first_row, const vectors_t *vectors)
{
    change_t change = { .first_row = first_row, .count = vectors->rows };
    size_t scales = 4 * (size_t)vectors->rows, high = (size_t)vectors->rows * vectors->dims;
    str_add (&change.bytes, span (vectors->scales, scales));
    str_add (&change.bytes, span (vectors->high, high));
    change.vectors = (vectors_t){
        vectors->rows, vectors->dims, SPAN_EMPTY, change.bytes.data, (const int8_t *)change.bytes.data + scales, NULL
    };
    return change;
}

void vector_cache_add (vector_cache_t *self, span_t user, uint64_t first_row, const vectors_t *vectors)
{
    pthread_mutex_lock (&self->lock);
    for (vector_matrix_t *m = self->matrices; m; m = m->next) {
        if (!span_eq (str_span (&m->user), user) || !fits_model (m, vectors))
            continue;
        if (m->state == FILLING)
            postpone (self, m, added (first_row, vectors));
        else if (m->state == SERVING && !append (self, m, first_row, vectors, false))
            m->state = DOOMED;
    }
    pthread_mutex_unlock (&self->lock);
}

/*  Something became smaller: mostly blank matrices are better filled anew, and what was too large may fit now. */
static void remove_rows (vector_matrix_t *matrix, uint64_t first_row, uint64_t count)
{
    blank_out (matrix, first_row, count);
    if (matrix->blank > BLOCK_ROWS && matrix->blank > atomic_load (&matrix->count) / 2)
        matrix->state = DOOMED;
}

void vector_cache_remove (vector_cache_t *self, span_t user, uint64_t first_row, uint64_t count)
{
    pthread_mutex_lock (&self->lock);
    for (vector_matrix_t *m = self->matrices; m; m = m->next) {
        if (!span_eq (str_span (&m->user), user))
            continue;
        if (m->state == FILLING)
            postpone (self, m, (change_t){ .first_row = first_row, .count = count });
        else if (m->state == SERVING)
            remove_rows (m, first_row, count);
        else
            m->state = DOOMED;
    }
    pthread_mutex_unlock (&self->lock);
}

void vector_cache_switch (vector_cache_t *self, bool open)
{
    pthread_mutex_lock (&self->lock);
    self->is_switching = open;
    pthread_mutex_unlock (&self->lock);
}

/*  --- the reader --- */

/*  Puts the matrix of user and model first; drops doomed ones on the way. Under the lock. */
static vector_matrix_t *find (vector_cache_t *self, span_t user, span_t model)
{
    vector_matrix_t *found = NULL;
    for (vector_matrix_t **at = &self->matrices; *at;) {
        vector_matrix_t *matrix = *at;
        if (matrix->state == DOOMED) {
            remove_matrix (self, at);
        } else if (!found && span_eq (str_span (&matrix->user), user) && span_eq (str_span (&matrix->model), model)) {
            found = matrix;
            *at = matrix->next;
        } else {
            at = &matrix->next;
        }
    }
    if (found) {
        found->next = self->matrices;
        self->matrices = found;
    }
    return found;
}

static void scan (const vector_matrix_t *matrix, const scan_query_t *query, top_t *top)
{
    size_t count = atomic_load_explicit (&matrix->count, memory_order_acquire);
    for (size_t i = 0; i < count; i += BLOCK_ROWS) {
        const block_t *block = matrix->blocks[i / BLOCK_ROWS];
        uint32_t rows = (uint32_t)(count - i < BLOCK_ROWS ? count - i : BLOCK_ROWS);
        scan_rows (query, block->high, block->scales, block->rows, rows, top);
    }
}

int vector_cache_scan (vector_cache_t *self, span_t user, span_t model, const scan_query_t *query, top_t *top)
{
    pthread_mutex_lock (&self->lock);
    vector_matrix_t *matrix = find (self, user, model);
    matrix_state_t state = matrix ? matrix->state : DOOMED;
    pthread_mutex_unlock (&self->lock);
    if (!matrix)
        return -1;
    if (state != SERVING || matrix->dims != query->dims)
        return 0;
    scan (matrix, query, top);
    return 1;
}

/*  Drops the entry that was not used for longest. Only the reader's thread fills, so none is being filled. */
static void drop_last (vector_cache_t *self)
{
    vector_matrix_t **at = &self->matrices;
    while ((*at)->next)
        at = &(*at)->next;
    remove_matrix (self, at);
}

vector_matrix_t *vector_fill_begin (vector_cache_t *self, span_t user, span_t model, uint32_t dims)
{
    pthread_mutex_lock (&self->lock);
    vector_matrix_t *matrix = NULL;
    if (self->is_switching)
        goto out;
    if (self->count == MATRICES_MAX)
        drop_last (self);
    if (!(matrix = calloc (1, sizeof *matrix)))
        abort ();
    str_add (&matrix->user, user);
    str_add (&matrix->model, model);
    matrix->dims = dims;
    matrix->changes_end = &matrix->changes;
    matrix->block_room = self->limit / block_bytes (dims);
    matrix->blocks = calloc (matrix->block_room + 1, sizeof *matrix->blocks);
    if (!matrix->blocks)
        abort ();
    matrix->next = self->matrices;
    self->matrices = matrix;
    self->count++;
out:
    pthread_mutex_unlock (&self->lock);
    return matrix;
}

bool vector_fill_add (vector_cache_t *self, vector_matrix_t *matrix, uint64_t first_row, const vectors_t *vectors)
{
    if (!fits_model (matrix, vectors))
        return true;
    pthread_mutex_lock (&self->lock);
    bool fits = matrix->state == FILLING && append (self, matrix, first_row, vectors, true);
    if (!fits && matrix->state == FILLING) {
        empty (self, matrix);
        matrix->state = TOO_LARGE;
    }
    pthread_mutex_unlock (&self->lock);
    return fits;
}

/*  What the writer did meanwhile. The snapshot may have held some of it already. */
static bool catch_up (vector_cache_t *self, vector_matrix_t *matrix)
{
    for (change_t *change = matrix->changes; change; change = change->next) {
        if (!change->vectors.rows)
            blank_out (matrix, change->first_row, change->count);
        else if (!holds (matrix, change->first_row) &&
                 !append (self, matrix, change->first_row, &change->vectors, true))
            return false;
    }
    return true;
}

void vector_fill_end (vector_cache_t *self, vector_matrix_t *matrix, bool complete)
{
    pthread_mutex_lock (&self->lock);
    if (matrix->state == FILLING && complete && catch_up (self, matrix)) {
        drop_changes (self, matrix);
        matrix->state = SERVING;
    } else if (matrix->state == FILLING) {
        empty (self, matrix);
        matrix->state = complete ? TOO_LARGE : DOOMED;
    }
    pthread_mutex_unlock (&self->lock);
}
