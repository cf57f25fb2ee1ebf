#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "broker/core/lifecycle.h"
#include "broker/core/map.h"
#include "broker/core/ready.h"

/* link: core */

#define NODES 2000

static unsigned next_random (unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 8;
}

static int by_key (const void *a, const void *b)
{
    const ready_node_t *x = *(ready_node_t *const *)a, *y = *(ready_node_t *const *)b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static void a_ready_queue_keeps_order_and_positions (void **state)
{
    static ready_node_t nodes[NODES];
    ready_node_t *in[NODES];
    ready_t ready = { NULL };
    unsigned seed = 7;
    size_t count = 0, next = 0;
    (void)state;
    for (int step = 0; step < 3 * NODES; step++) {
        if (next < NODES && next_random (&seed) % 3) {
            ready_insert (&ready, &nodes[next], next_random (&seed) % 10, next);
            in[count++] = &nodes[next++];
        } else if (count) {
            size_t i = next_random (&seed) % count;
            ready_remove (&ready, in[i]);
            in[i] = in[--count];
        }
        assert_int_equal (ready_size (&ready), count);
    }
    qsort (in, count, sizeof *in, by_key);
    for (size_t i = 0; i < count; i++)
        assert_int_equal (ready_position (&ready, in[i]), i);
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal (ready_first (&ready), in[i]);
        ready_remove (&ready, in[i]);
    }
    assert_null (ready_first (&ready));
}

typedef struct {
    int something;
    uuid_t id;
} object_t;

static void a_map_finds_what_was_put_and_not_what_was_removed (void **state)
{
    static object_t objects[NODES];
    map_t map;
    unsigned seed = 3;
    (void)state;
    map_init (&map, offsetof (object_t, id));
    for (int i = 0; i < NODES; i++) {
        objects[i].id = uuid_new ();
        map_put (&map, &objects[i]);
    }
    for (int i = 0; i < NODES; i++)
        if ((objects[i].something = next_random (&seed) % 2))
            map_remove (&map, objects[i].id);
    size_t there = 0, seen = 0, at = 0;
    for (int i = 0; i < NODES; i++) {
        assert_ptr_equal (map_get (&map, objects[i].id), objects[i].something ? NULL : &objects[i]);
        there += !objects[i].something;
    }
    while (map_next (&map, &at))
        seen++;
    assert_int_equal (seen, there);
    map_remove (&map, uuid_new ()); /* nobody's id: nothing happens */
    assert_int_equal (map.count, there);
    map_free (&map);
}

/*  Every pair of status and event, with what the design says about it. */
static void every_step_of_the_lifecycle_is_as_drawn (void **state)
{
    static const char *const drawn[] = {
        "pending start processing",           "pending resume pending",       "pending fail failed",
        "pending cancel cancelled",           "pending reprioritise pending", "pending hurry pending",
        "pending remove cancelled",           "processing start processing",  "processing resume processing",
        "processing complete completed",      "processing fail failed",       "processing cancel cancelled",
        "processing reprioritise processing", "processing remove cancelled",  "completed replay pending",
        "completed remove completed",         "failed replay pending",        "failed remove failed",
        "cancelled replay pending",           "cancelled remove cancelled",
    };
    (void)state;
    size_t allowed = 0;
    for (int s = 0; s < TASK_STATUS_COUNT; s++)
        for (int e = 0; e < TASK_EVENT_COUNT; e++) {
            task_status_t next;
            if (!lifecycle_step ((task_status_t)s, (task_event_t)e, &next))
                continue;
            char text[96];
            snprintf (text, sizeof text, "%s %s %s", task_status_name ((task_status_t)s),
                      task_event_name ((task_event_t)e), task_status_name (next));
            size_t i = 0;
            while (i < sizeof drawn / sizeof drawn[0] && strcmp (drawn[i], text) != 0)
                i++;
            if (i == sizeof drawn / sizeof drawn[0])
                fail_msg ("not drawn: %s", text);
            allowed++;
        }
    assert_int_equal (allowed, sizeof drawn / sizeof drawn[0]);
    task_status_t next;
    assert_false (lifecycle_step (TASK_STATUS_COUNT, TASK_ON_START, &next));
    assert_false (lifecycle_step (TASK_PENDING, TASK_EVENT_COUNT, &next));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (a_ready_queue_keeps_order_and_positions),
        cmocka_unit_test (a_map_finds_what_was_put_and_not_what_was_removed),
        cmocka_unit_test (every_step_of_the_lifecycle_is_as_drawn),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
