/*  cmd_documents.c: `myelin documents`. */
#include "client/cli.h"
#include "client/listing.h"
#include "client/rest.h"
#include "client/text.h"

#include <stdio.h>

static const option_t documents_options[] = { CLI_SERVER_OPTIONS, LISTING_OPTIONS, { 0 } };

static void print_documents (json_t *items)
{
    static const column_t columns[] = {
        { "id", "DOCUMENT", 36 },
        { "status", "STATUS", 10 },
        { "shown_size", "SIZE", 7 },
        { "filename", "NAME", 0 },
        { 0 },
    };
    size_t index;
    json_t *item;
    json_array_foreach (items, index, item)
    {
        str_t size = STR_INIT;
        text_size (&size, json_number (item, "size_bytes"));
        json_object_set_new (item, "shown_size", json_string (size.data));
        str_free (&size);
    }
    text_table (columns, items);
}

static cli_exit_t run_documents (const options_t *options)
{
    return listing_run (options, "documents/", print_documents);
}

const command_t cli_document_commands[] = {
    { "documents", "[--limit N]", "lists documents, newest first", "", documents_options, 0, 0, run_documents },
    { 0 },
};
