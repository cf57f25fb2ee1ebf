/*  The ring of events: what a reader that comes back is told. */
#include "base/clock.h"
#include "gateway/feed.h"

#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* link: gateway */

#define TASK "01890a5d-ac96-774b-bcce-b302099a8057"

typedef struct {
    unsigned seen;
    feed_event_t last;
} witness_t;

static void saw (void *owner, const feed_event_t *event)
{
    witness_t *witness = owner;
    witness->seen++;
    witness->last = *event;
}

static feed_t *make (witness_t *witness)
{
    *witness = (witness_t){ 0 };
    feed_t *feed = feed_new (NULL, NULL, SPAN_LIT ("local"), saw, witness, NULL);
    feed_use (feed);
    return feed;
}

static void add (feed_t *feed, uint64_t seq, const char *event)
{
    char text[128];
    err_t err;
    snprintf (text, sizeof text, "{\"seq\":%llu,\"event\":\"%s\"}", (unsigned long long)seq, event);
    buf_t *json = buf_copy (span_str (text));
    assert_int_equal (feed_add (feed, SPAN_LIT ("task.local." TASK), json, &err), 0);
    buf_unref (&json);
}

static uint64_t seq_after (feed_t *feed, uint64_t seq)
{
    uint64_t index;
    if (feed_after (feed, seq, &index) == -1)
        return UINT64_MAX;
    const feed_event_t *event = feed_at (feed, index);
    return event ? event->seq : 0;
}

static void events_are_kept_in_order_and_their_end_is_known (void **state)
{
    witness_t witness;
    feed_t *feed = make (&witness);
    uuid_t task;
    uuid_parse (SPAN_LIT (TASK), &task);
    add (feed, 7, "progress");
    assert_true (uuid_eq (witness.last.task, task));
    assert_false (witness.last.ended);
    add (feed, 8, "completed");
    assert_true (witness.last.ended);
    assert_int_equal (feed_next (feed) - feed_oldest (feed), 2);
    assert_int_equal (feed_at (feed, feed_oldest (feed))->seq, 7);
    assert_null (feed_at (feed, feed_next (feed)));
    feed_destroy (&feed);
}

static void a_reader_goes_on_where_it_was_or_learns_that_it_cannot (void **state)
{
    witness_t witness;
    feed_t *feed = make (&witness);
    assert_int_equal (seq_after (feed, 3), UINT64_MAX); /* nothing is known yet */
    for (uint64_t seq = 10; seq <= 14; seq++)
        add (feed, seq, "progress");
    assert_int_equal (seq_after (feed, 9), 10);
    assert_int_equal (seq_after (feed, 12), 13);
    assert_int_equal (seq_after (feed, 14), 0); /* has seen all */
    assert_int_equal (seq_after (feed, 8), UINT64_MAX);
    assert_int_equal (seq_after (feed, 15), UINT64_MAX); /* from another life */
    feed_destroy (&feed);
}

static void nobody_is_replayed_across_a_gap (void **state)
{
    witness_t witness;
    feed_t *feed = make (&witness);
    add (feed, 1, "progress");
    add (feed, 2, "progress");
    add (feed, 5, "progress");
    add (feed, 6, "progress");
    assert_int_equal (seq_after (feed, 1), UINT64_MAX);
    assert_int_equal (seq_after (feed, 2), UINT64_MAX);
    assert_int_equal (seq_after (feed, 4), 5);
    assert_int_equal (seq_after (feed, 5), 6);
    feed_destroy (&feed);
}

static void repeated_events_are_marked_and_not_replayed (void **state)
{
    witness_t witness;
    feed_t *feed = make (&witness);
    add (feed, 4, "progress");
    assert_false (witness.last.again);
    add (feed, 5, "progress");
    add (feed, 4, "progress");
    assert_true (witness.last.again);
    add (feed, 6, "progress");
    assert_int_equal (seq_after (feed, 5), 6);
    assert_int_equal (seq_after (feed, 3), 4);
    feed_destroy (&feed);
}

static void the_ring_is_bounded_by_count_and_by_bytes (void **state)
{
    witness_t witness;
    feed_t *feed = make (&witness);
    for (uint64_t seq = 1; seq <= 20000; seq++)
        add (feed, seq, "progress");
    uint64_t kept = feed_next (feed) - feed_oldest (feed);
    assert_in_range (kept, 1000, 19999);
    assert_int_equal (feed_at (feed, feed_oldest (feed))->seq, 20000 - kept + 1);
    assert_int_equal (seq_after (feed, 20000 - kept), 20000 - kept + 1);
    assert_int_equal (seq_after (feed, 20000 - kept - 1), UINT64_MAX);
    size_t size = 3u << 20;
    for (uint64_t seq = 20001; seq <= 20005; seq++) {
        buf_t *json = buf_new (size);
        memset (buf_bytes (json), ' ', size);
        int used = snprintf (buf_bytes (json), size, "{\"seq\":%llu,\"event\":\"progress\"", (unsigned long long)seq);
        buf_bytes (json)[used] = ' ';
        buf_bytes (json)[size - 1] = '}';
        err_t err;
        assert_int_equal (feed_add (feed, SPAN_LIT ("task.local." TASK), json, &err), 0);
        buf_unref (&json);
    }
    assert_int_equal (feed_next (feed) - feed_oldest (feed), 2);
    feed_destroy (&feed);
}

static void queue_news_have_no_number_and_foreign_bodies_are_refused (void **state)
{
    witness_t witness;
    feed_t *feed = make (&witness);
    err_t err;
    add (feed, 1, "progress");
    buf_t *json = buf_copy (SPAN_LIT ("{\"event\":\"queue\",\"at\":\"now\",\"queue\":{\"seq\":7}}"));
    assert_int_equal (feed_add (feed, SPAN_LIT ("queue.local"), json, &err), 0);
    buf_unref (&json);
    assert_int_equal (witness.last.seq, 0);
    assert_string_equal (witness.last.event, "queue");
    assert_true (uuid_is_null (witness.last.task));
    assert_int_equal (seq_after (feed, 1), 0);
    static const char *const bad[] = {
        "",
        "x",
        "[1]",
        "{",
        "{}",
        "{\"seq\":",
        "{\"seq\":1}",
        "{\"event\":\"a",
        "{\"event\":1}",
        "{\"event\"}",
        "{\"event\":}",
        "{\"a\"}",
        "{\"event\":\"a b\"}",
        "{\"event\":\"a\\n\"}",
        "{\"event\":\"a\",\n\"seq\":1}",
        "{\"event\":\"a\"} ",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json = buf_copy (span_str (bad[i]));
        if (feed_add (feed, SPAN_LIT ("task.local." TASK), json, &err) != -1)
            fail_msg ("%s", bad[i]);
        buf_unref (&json);
    }
    feed_destroy (&feed);
}

static void a_replay_is_no_news (void **state)
{
    witness_t witness;
    feed_t *feed = make (&witness);
    err_t err;
    buf_t *json = buf_copy (SPAN_LIT ("{\"seq\":9,\"event\":\"progress\",\"at\":\"x\",\"replay\":true,\"task\":{}}"));
    assert_int_equal (feed_add (feed, SPAN_LIT ("task.local." TASK), json, &err), 0);
    buf_unref (&json);
    assert_true (witness.last.again);
    assert_int_equal (witness.last.seq, 9);
    add (feed, 12, "progress");
    assert_false (witness.last.again);
    assert_int_equal (seq_after (feed, 9), UINT64_MAX);
    assert_int_equal (seq_after (feed, 11), 12);
    feed_destroy (&feed);
}

static void the_subscription_outlives_its_last_user_a_while (void **state)
{
    witness_t witness;
    feed_t *feed = make (&witness);
    add (feed, 1, "progress");
    uint64_t now = clock_mono_ms ();
    feed_release (feed, now);
    assert_int_equal (feed_deadline (feed), now + FEED_LINGER_MS);
    assert_false (feed_use (feed)); /* still on: nothing was missed */
    assert_int_equal (feed_deadline (feed), UINT64_MAX);
    assert_int_equal (seq_after (feed, 0), 1);
    feed_release (feed, now);
    feed_turn (feed, now + FEED_LINGER_MS);
    assert_true (feed_use (feed)); /* it was off: the past is unknown */
    assert_int_equal (feed_oldest (feed), feed_next (feed));
    feed_destroy (&feed);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (events_are_kept_in_order_and_their_end_is_known),
        cmocka_unit_test (a_reader_goes_on_where_it_was_or_learns_that_it_cannot),
        cmocka_unit_test (nobody_is_replayed_across_a_gap),
        cmocka_unit_test (repeated_events_are_marked_and_not_replayed),
        cmocka_unit_test (the_ring_is_bounded_by_count_and_by_bytes),
        cmocka_unit_test (queue_news_have_no_number_and_foreign_bodies_are_refused),
        cmocka_unit_test (a_replay_is_no_news),
        cmocka_unit_test (the_subscription_outlives_its_last_user_a_while),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
