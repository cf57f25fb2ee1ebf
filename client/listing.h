/*  listing.h: what the commands that list things have in common: paging, --limit, --json. */
#ifndef CLIENT_LISTING_H
#define CLIENT_LISTING_H

#include "client/cli.h"

#include <jansson.h>

#define LISTING_OPTIONS { "limit", OPTION_NUMBER, "50", "N", "how many at most, newest first" }, CLI_JSON_OPTION

/*  Prints the items (an array, borrowed) for people. */
typedef void listing_print_fn (json_t *items);

/*  Fetches the listing at `path` (below /api/v1/, with its filters) page by page up to --limit and prints it: as JSON
 *  lines or with `print`. */
cli_exit_t listing_run (const options_t *options, const char *path, listing_print_fn *print);

#endif
