/*  Documents on their way to their files, with a disk that is as slow as the test wants: nothing is reported before
 *  saver_turn. */
#include "gateway/dispatch.h"
#include "gateway/upload.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* link: gateway */

#define BLOCK (256u << 10)

static char dir[64];
static char bytes[5 * BLOCK];
static gateway_t gateway;
static request_t request;
static int ran, room;
static err_code_t problem;

static void run (gateway_t *self, request_t *asked)
{
    ran++;
}

static void answer (request_t *self, const reply_t *reply)
{
    problem = reply->status == 507 ? ERR_DISK_FULL : reply->status == 500 ? ERR_IO : ERR_INTERNAL;
}

static void more (request_t *self)
{
    room++;
}

static const route_t route = { .method = METHOD_POST, .path = "/", .run = run, .body = BODY_UPLOAD };

static int start (void **state)
{
    err_t err;
    strcpy (dir, "/tmp/myelin-test-XXXXXX");
    if (!mkdtemp (dir))
        return -1;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 7 + i / 1000);
    ran = room = 0;
    problem = ERR_NONE;
    gateway = (gateway_t){ .config = { .data_dir = dir, .upload_max = sizeof bytes }, .user = SPAN_LIT ("ann") };
    request = (request_t){ .gateway = &gateway, .answer = answer, .more = more, .route = &route };
    gateway.saver = saver_new (dir, 0, &err);
    return gateway.saver ? 0 : -1;
}

static int stop (void **state)
{
    char command[128];
    upload_destroy (&request.upload);
    saver_destroy (&gateway.saver);
    request_free (&request);
    snprintf (command, sizeof command, "rm -rf %s", dir);
    return system (command);
}

/*  Until `*counter` has moved. */
static void let_it_write (const int *counter)
{
    for (int before = *counter; *counter == before;) {
        struct pollfd item = { .fd = saver_fd (gateway.saver), .events = POLLIN };
        assert_int_equal (poll (&item, 1, 10000), 1);
        saver_turn (gateway.saver);
    }
}

static void a_client_waits_while_the_disk_is_behind (void **state)
{
    err_t err;
    str_t path = STR_INIT;
    struct stat info;
    request.upload = upload_new (&request);
    size_t at = 0;
    while (!upload_is_full (request.upload)) {
        assert_int_equal (upload_add (request.upload, span (bytes + at, 65536), &err), 0);
        at += 65536;
    }
    assert_in_range (at, 2 * BLOCK, 2 * BLOCK + 2 * 65536); /* one being written, one that waits */
    let_it_write (&room);
    for (; at < sizeof bytes; at += 65536) {
        assert_int_equal (upload_add (request.upload, span (bytes + at, 65536), &err), 0);
        if (upload_is_full (request.upload))
            let_it_write (&room);
    }
    assert_int_equal (upload_add (request.upload, SPAN_LIT ("x"), &err), -1);
    assert_int_equal (err.code, ERR_BODY_TOO_LARGE);
    upload_destroy (&request.upload);

    request.upload = upload_new (&request); /* and all of it arrives, in order, when the end comes right behind */
    assert_int_equal (upload_add (request.upload, span (bytes, sizeof bytes), &err), 0);
    upload_finish (request.upload);
    assert_int_equal (ran, 0);
    let_it_write (&ran);
    hash_t whole = hash_of (span (bytes, sizeof bytes));
    assert_true (request.in_file);
    assert_int_equal (request.byte_count, sizeof bytes);
    assert_memory_equal (request.hash.bytes, whole.bytes, HASH_SIZE);
    blob_path (&path, dir, SPAN_LIT ("ann"), whole);
    assert_int_equal (stat (path.data, &info), 0);
    assert_int_equal (info.st_size, sizeof bytes);
    str_free (&path);
}

static void what_went_wrong_on_disk_ends_the_upload (void **state)
{
    err_t err;
    saver_destroy (&gateway.saver);
    gateway.saver = saver_new (dir, UINT64_MAX, &err);
    request.upload = upload_new (&request);
    assert_int_equal (upload_add (request.upload, span (bytes, 2 * BLOCK), &err), 0);
    let_it_write (&room);
    assert_int_equal (upload_add (request.upload, span (bytes, 1), &err), -1);
    assert_int_equal (err.code, ERR_DISK_FULL);
    upload_destroy (&request.upload);

    request.upload = upload_new (&request);
    assert_int_equal (upload_add (request.upload, span (bytes, 2 * BLOCK), &err), 0);
    upload_finish (request.upload);
    let_it_write ((const int *)&problem);
    assert_int_equal (problem, ERR_DISK_FULL);
    assert_int_equal (ran, 0);
}

static void an_upload_that_is_given_up_in_the_middle_leaves_nothing (void **state)
{
    err_t err;
    char path[128];
    request.upload = upload_new (&request);
    assert_int_equal (upload_add (request.upload, span (bytes, 2 * BLOCK), &err), 0);
    upload_destroy (&request.upload); /* a block is at the saver */
    upload_t *other = request.upload = upload_new (&request);
    assert_int_equal (upload_add (other, span (bytes, 2 * BLOCK), &err), 0);
    let_it_write (&room); /* in order: so the first one's step is over, too */
    assert_int_equal (room, 1);
    upload_destroy (&request.upload);
    saver_destroy (&gateway.saver);
    snprintf (path, sizeof path, "%s/blobs/tmp", dir);
    assert_int_equal (rmdir (path), 0);
}

static void all_uploads_together_hold_so_much (void **state)
{
    err_t err;
    gateway.upload_bytes = UPLOADS_BYTES - 2 * BLOCK; /* others */
    request.upload = upload_new (&request);
    for (size_t at = 0; at < 4 * BLOCK; at += 65536) { /* of a large one, what is in its file is not held */
        assert_int_equal (upload_add (request.upload, span (bytes + at, 65536), &err), 0);
        if (upload_is_full (request.upload))
            let_it_write (&room);
    }
    assert_int_equal (gateway.upload_bytes, UPLOADS_BYTES);
    upload_t *other = upload_new (&request);
    assert_int_equal (upload_add (other, SPAN_LIT ("x"), &err), -1);
    assert_int_equal (err.code, ERR_NO_MEMORY);
    upload_destroy (&other);
    upload_destroy (&request.upload);
    assert_int_equal (gateway.upload_bytes, UPLOADS_BYTES - 2 * BLOCK);
    request.upload = upload_new (&request);
    assert_int_equal (upload_add (request.upload, SPAN_LIT ("x"), &err), 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (all_uploads_together_hold_so_much, start, stop),
        cmocka_unit_test_setup_teardown (a_client_waits_while_the_disk_is_behind, start, stop),
        cmocka_unit_test_setup_teardown (what_went_wrong_on_disk_ends_the_upload, start, stop),
        cmocka_unit_test_setup_teardown (an_upload_that_is_given_up_in_the_middle_leaves_nothing, start, stop),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
