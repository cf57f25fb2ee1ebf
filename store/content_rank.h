/*  content_rank.h: which chunks answer a query best: by words, by vector, or by both. */
#ifndef STORE_CONTENT_RANK_H
#define STORE_CONTENT_RANK_H

#include "store/content_private.h"
#include "store/content_view.h"
#include "store/terms.h"

/*  A query under way. */
typedef struct {
    content_t *content;
    index_reader_t *index;
    const content_query_t *query;
    const terms_t *terms;
    content_view_t *view; /* open; it may be opened anew before anything of it is in the answer */
    bool lost_index;      /* out: it was found damaged, and discarded */
} rank_t;

/*  The best visible rows, best first; equal scores by document, then chunk. There are at least query->limit of them if
 *  there are so many that match. Caller frees *list. */
int content_rank (rank_t *self, found_t **list, size_t *count, err_t *err);

#endif
