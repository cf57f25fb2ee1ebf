/*  parse.c: the API's JSON as structs. */
#include "client/libmyelin/inside.h"

#include <string.h>

/*  Copies as much as fits, never half a character. */
static void copy (char *to, size_t room, const json_t *object, const char *name)
{
    const char *text = json_string_value (json_object_get (object, name));
    size_t size = text ? strlen (text) : 0;
    if (size >= room) {
        size = room - 1;
        while (size && ((unsigned char)text[size] & 0xC0) == 0x80)
            size--;
    }
    if (size)
        memcpy (to, text, size);
    to[size] = 0;
}

static uint64_t number (const json_t *object, const char *name)
{
    json_int_t value = json_integer_value (json_object_get (object, name));
    return value > 0 ? (uint64_t)value : 0;
}

void myelin_read_task (const json_t *json, myelin_task_t *task)
{
    memset (task, 0, sizeof *task);
    copy (task->id, sizeof task->id, json, "id");
    copy (task->document_id, sizeof task->document_id, json, "document_id");
    copy (task->status, sizeof task->status, json, "status");
    copy (task->stage, sizeof task->stage, json, "stage");
    copy (task->error_code, sizeof task->error_code, json, "error_code");
    copy (task->error_message, sizeof task->error_message, json, "error_message");
    task->priority = (int)number (json, "priority");
    task->progress = (int)number (json, "progress");
}

void myelin_read_event (const json_t *json, myelin_event_t *event)
{
    memset (event, 0, sizeof *event);
    event->seq = number (json, "seq");
    event->replay = json_is_true (json_object_get (json, "replay"));
    copy (event->event, sizeof event->event, json, "event");
    copy (event->at, sizeof event->at, json, "at");
    myelin_read_task (json_object_get (json, "task"), &event->task);
}

void myelin_read_hit (const json_t *json, myelin_hit_t *hit)
{
    memset (hit, 0, sizeof *hit);
    copy (hit->document_id, sizeof hit->document_id, json, "document_id");
    copy (hit->filename, sizeof hit->filename, json, "filename");
    copy (hit->heading, sizeof hit->heading, json, "heading");
    hit->page = (int)number (json, "page");
    hit->start = number (json, "start");
    hit->end = number (json, "end");
    hit->score = json_number_value (json_object_get (json, "score"));
    const char *text = json_string_value (json_object_get (json, "text"));
    const char *snippet = json_string_value (json_object_get (json, "snippet"));
    hit->text = text ? text : "";
    hit->snippet = snippet ? snippet : "";
}

bool myelin_is_final (const myelin_task_t *task)
{
    return strcmp (task->status, "completed") == 0 || strcmp (task->status, "failed") == 0 ||
           strcmp (task->status, "cancelled") == 0;
}
