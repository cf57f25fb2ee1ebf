/* link: content embedding Threads::Threads */
#include "tests/unit/content_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#define DOCUMENTS 8
#define ROUNDS    150
#define CHUNKS    3

typedef struct {
    fixture_t *fixture;
    uuid_t ids[DOCUMENTS];
    atomic_uint_fast64_t committed[DOCUMENTS]; /* revision that was answered */
    atomic_bool done;
} shared_t;

/*  Every document gets a new revision in every round, now in one segment, now in several. */
static void *write_revisions (void *argument)
{
    shared_t *self = argument;
    for (uint64_t revision = 1; revision <= ROUNDS; revision++)
        for (int i = 0; i < DOCUMENTS; i++) {
            char text[200];
            if (revision % 3) {
                snprintf (text, sizeof text, "steady revision%d\nsteady revision%d\nsteady revision%d", (int)revision,
                          (int)revision, (int)revision);
                put_note (self->fixture, "ana", self->ids[i], revision, text);
            } else {
                snprintf (text, sizeof text, "steady revision%d", (int)revision);
                for (uint32_t segment = 0; segment < CHUNKS; segment++)
                    put_segment (self->fixture, "ana", self->ids[i], revision, segment, text);
                put_commit (self->fixture, "ana", self->ids[i], revision, CHUNKS);
            }
            atomic_store (&self->committed[i], revision);
            err_t err;
            assert_true (content_tidy (self->fixture->content, &err) >= 0);
        }
    atomic_store (&self->done, true);
    return NULL;
}

static int document_of (const shared_t *self, uuid_t id)
{
    for (int i = 0; i < DOCUMENTS; i++)
        if (uuid_eq (self->ids[i], id))
            return i;
    return -1;
}

/*  Every document is there, whole, in one revision that is not older than what was answered before the question. */
static void check_hits (const shared_t *self, const hits_t *hits, const uint64_t *at_least, bool is_all)
{
    uint64_t revisions[DOCUMENTS] = { 0 };
    unsigned chunks[DOCUMENTS] = { 0 };
    for (size_t i = 0; i < hits->count; i++) {
        const hit_t *hit = &hits->items[i];
        char text[40];
        int document = document_of (self, hit->document);
        assert_true (document >= 0);
        snprintf (text, sizeof text, "steady revision%d", (int)hit->revision);
        assert_string_equal (hit->text, text);
        assert_true (hit->chunk < CHUNKS && !(chunks[document] & 1u << hit->chunk));
        chunks[document] |= 1u << hit->chunk;
        assert_true (!revisions[document] || revisions[document] == hit->revision);
        revisions[document] = hit->revision;
    }
    for (int i = 0; i < DOCUMENTS && is_all; i++)
        if (at_least[i]) {
            assert_true (revisions[i] >= at_least[i]);
            assert_int_equal (chunks[i], (1u << CHUNKS) - 1);
        }
}

static void a_reader_sees_whole_revisions_while_a_writer_replaces_them (void **state)
{
    fixture_t *fixture = *state;
    shared_t shared = { .fixture = fixture };
    pthread_t writer;
    for (int i = 0; i < DOCUMENTS; i++)
        shared.ids[i] = uuid_new ();
    assert_int_equal (pthread_create (&writer, NULL, write_revisions, &shared), 0);
    for (int round = 0; !atomic_load (&shared.done); round++) {
        uint64_t at_least[DOCUMENTS];
        for (int i = 0; i < DOCUMENTS; i++)
            at_least[i] = atomic_load (&shared.committed[i]);
        hits_t hits = search_in (fixture, "ana", "steady", (search_mode_t)(round % 3), 50, (uuid_t){ 0 });
        check_hits (&shared, &hits, at_least, true);
        err_code_t code;
        uint64_t least = atomic_load (&shared.committed[round % DOCUMENTS]);
        hits = chunks_of (fixture, "ana", shared.ids[round % DOCUMENTS], 0, 50, &code);
        assert_true (least == 0 || hits.count == CHUNKS);
        check_hits (&shared, &hits, at_least, false);
    }
    pthread_join (writer, NULL);
    for (int mode = SEARCH_HYBRID; mode <= SEARCH_VECTOR; mode++)
        assert_int_equal (search_in (fixture, "ana", "steady", (search_mode_t)mode, 50, (uuid_t){ 0 }).count,
                          DOCUMENTS * CHUNKS);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (a_reader_sees_whole_revisions_while_a_writer_replaces_them, fixture_setup,
                                         fixture_teardown),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
