#include "client/listing.h"
#include "client/rest.h"
#include "client/text.h"

#include <stdio.h>

#define PAGE_MAX 200

/*  Appends up to `limit` items to the array; *more: there are others. */
static int fetch (rest_t *rest, const char *path, uint64_t limit, json_t *items, bool *more, err_t *err)
{
    str_t page = STR_INIT, cursor = STR_INIT;
    int rc = -1;
    *more = false;
    do {
        uint64_t wanted = limit - json_array_size (items);
        str_clear (&page);
        str_format (&page, "%s%climit=%u", path, strchr (path, '?') ? '&' : '?',
                    (unsigned)(wanted < PAGE_MAX ? wanted : PAGE_MAX));
        if (cursor.size)
            str_format (&page, "&cursor=%s", cursor.data);
        json_t *reply = NULL;
        if (rest_call (rest, "GET", page.data, NULL, &reply, err) < 0)
            goto out;
        json_array_extend (items, json_object_get (reply, "items"));
        str_clear (&cursor);
        rest_escape (&cursor, json_text (reply, "next_cursor"));
        json_decref (reply);
    } while (cursor.size && json_array_size (items) < limit);
    *more = cursor.size > 0;
    rc = 0;
out:
    str_free (&page);
    str_free (&cursor);
    return rc;
}

cli_exit_t listing_run (const options_t *options, const char *path, listing_print_fn *print)
{
    uint64_t limit = options_number (options, "limit");
    if (limit == 0) {
        cli_say ("--limit takes a number from 1");
        return CLI_USAGE;
    }
    err_t err;
    rest_t *rest = rest_new (options, &err);
    if (!rest)
        return cli_fail (&err);
    cli_exit_t code = CLI_OK;
    bool more;
    json_t *items = json_array ();
    if (fetch (rest, path, limit, items, &more, &err))
        code = cli_fail (&err);
    else {
        size_t index;
        json_t *item;
        if (!options_flag (options, "json"))
            print (items);
        else
            json_array_foreach (items, index, item) json_print (item);
        if (more)
            fprintf (stderr, "only the newest %llu are shown; --limit N shows more\n", (unsigned long long)limit);
    }
    json_decref (items);
    rest_destroy (&rest);
    return code;
}
