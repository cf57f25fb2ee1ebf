"""Limits of what a user may have waiting, stored, and submit in a second; over REST and REQ, on real processes."""
import os
import pathlib
import tempfile
import time

from harness import TASKS, command, running, wait_for
from test_api import both, upload
from gateway_alone import problem

NO_WORKERS = "extract=0,chunk=0,embed=0"
LARGE = 1_000_000  # it goes to a file


def submit(client, name, content, query=None):
    return client.call("POST", "documents/", query, headers={"X-Filename": name}, content=content)


def refused(answer, code):
    assert answer.status == 429 and answer.json["code"] == code, answer
    after = int(answer.headers["Retry-After"])
    assert after >= 1, answer
    return after


def blob_files(system):
    return sorted(path for path in (system.data / "blobs").rglob("*") if path.is_file())


def documents(client):
    return client.call("GET", "documents/", {"limit": 200}).json["items"]


def test_so_many_tasks_may_wait():
    with running(workers=NO_WORKERS, args=["--user-tasks", "4"]) as system:
        clients = list(both(system))
        tasks = [upload(client, f"{client.name}-{number}", f"{client.name} {number}").json["task"]["id"]
                 for client in clients for number in range(2)]
        stored = clients[0].call("POST", "documents/", {"process": "false"}, headers={"X-Filename": "stored"},
                                 content=b"stored").json["document"]["id"]
        files = blob_files(system)
        for client in clients:
            refused(submit(client, "more", f"{client.name} more".encode()), "queue_full")
            refused(submit(client, "large", os.urandom(LARGE)), "queue_full")
            refused(client.call("POST", TASKS, body={"document_id": stored}), "queue_full")
            assert submit(client, "again", f"{client.name} 0".encode()).status == 200
            assert client.call("POST", f"{TASKS}{tasks[0]}/process/").status == 202  # it waits already
            assert client.call("PUT", TASKS + tasks[0], body={"priority": 9}).status == 200
        assert len(documents(clients[0])) == 5 and blob_files(system) == files
        for client in clients:  # what ends makes room
            assert client.call("PUT", TASKS + tasks.pop(), body={"status": "cancelled"}).status == 200
            assert client.call("POST", TASKS, body={"document_id": stored}).status == 202
            refused(submit(client, "more", f"{client.name} more".encode()), "queue_full")
        system.kill("broker")  # and the count is right after a crash
        wait_for(lambda: system.rest.get("/readyz").status == 200, 20, "the broker is back")
        for client in clients:
            refused(submit(client, "more", f"{client.name} more".encode()), "queue_full")


def test_so_many_bytes_may_be_stored():
    with running(args=["--user-bytes", str(3 * LARGE)]) as system:
        for client in both(system):
            first = upload(client, "first", os.urandom(LARGE), {"process": "false"}).json["document"]["id"]
            second = upload(client, "second", os.urandom(2 * LARGE - 5), {"process": "false"}).json["document"]["id"]
            files = blob_files(system)
            assert len(files) == 2
            assert refused(submit(client, "large", os.urandom(LARGE)), "quota_exceeded") > 60
            refused(submit(client, "small", b"six by"), "quota_exceeded")
            upload(client, "small", b"5 byt", {"process": "false"})
            refused(submit(client, "small", b"1"), "quota_exceeded")
            system.kill("broker")
            wait_for(lambda: system.rest.get("/readyz").status == 200, 20, "the broker is back")
            refused(submit(client, "small", b"1"), "quota_exceeded")
            assert len(documents(client)) == 3 and blob_files(system) == files
            assert client.call("DELETE", f"documents/{first}").status == 204
            third = upload(client, "third", os.urandom(LARGE), {"process": "false"}).json["document"]["id"]
            refused(submit(client, "small", b"1"), "quota_exceeded")
            for document in [item["id"] for item in documents(client)]:
                assert client.call("DELETE", f"documents/{document}").status == 204
            assert {second, third} and not documents(client)
            wait_for(lambda: not blob_files(system), 10, "the files are gone")


def test_a_file_that_is_refused_at_last_leaves_nothing():
    """Its length was not known when it was asked about."""
    with running(args=["--user-bytes", str(LARGE)]) as system:
        answer = system.rest.post("documents", iter([os.urandom(LARGE), b"more"]), headers={"X-Filename": "a"})
        refused(answer, "quota_exceeded")
        wait_for(lambda: not blob_files(system), 10, "the file is gone")
        assert system.rest.post("documents", iter([os.urandom(LARGE)]), headers={"X-Filename": "a"}).status == 201
        assert len(blob_files(system)) == 1


def test_so_many_submits_a_second_are_taken():
    with running(workers=NO_WORKERS, args=["--user-rate", "2", "--user-burst", "6"]) as system:
        clients = list(both(system))
        begun = time.monotonic()
        taken, waited = 0, 0
        while taken < 12:  # whichever way they come
            answer = submit(clients[taken % 2], "a", f"text {taken}".encode())
            if answer.status == 201:
                taken += 1
                continue
            after = refused(answer, "rate_limited")
            assert after == 1
            waited += 1
            time.sleep(after)  # as it is told to
        seconds = time.monotonic() - begun
        assert waited and seconds >= (12 - 6) / 2 - 0.1, (waited, seconds)
        assert len(documents(clients[0])) == 12


def test_the_command_line_waits_as_it_is_told():
    with running(workers=NO_WORKERS, args=["--user-rate", "1", "--user-burst", "2"]) as system, \
            tempfile.TemporaryDirectory() as place:
        for number in range(4):
            (pathlib.Path(place) / f"{number}.txt").write_text(f"text {number}")
        begun = time.monotonic()
        ended = command("submit", place, server=system.addresses["http"])
        assert ended.returncode == 0 and len(ended.stdout.splitlines()) == 4, ended
        assert time.monotonic() - begun >= 1.5
        assert len(documents(next(both(system)))) == 4


def test_a_refusal_says_what_the_shape_of_a_problem_is():
    with running(workers=NO_WORKERS, args=["--user-tasks", "1"]) as system:
        system.rest.submit("a", b"a")
        problem(system.rest.post("documents", b"b", headers={"X-Filename": "b"}), 429, "queue_full")
