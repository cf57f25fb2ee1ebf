"""Large documents on their way through the gateway to their files."""
import hashlib
import os
import threading
import time

import zmq

from gateway_alone import SUBMIT, ask, gateway, problem
from harness import Rest, running, wait_for


def test_a_large_document_is_refused_before_it_eats_the_reserve_of_the_disk():
    with gateway("--disk-reserve", str(1 << 62)) as gate:
        content = os.urandom(1_000_000)
        problem(gate.rest.post("documents", content, headers={"X-Filename": "a"}), 507, "disk_full")
        reply, _ = ask(gate.zmq(zmq.REQ), SUBMIT, content)
        assert reply["status"] == 507 and reply["body"]["code"] == "disk_full", reply
        assert gate.broker.count("submit") == 0
        assert not list((gate.directory / "blobs" / "tmp").iterdir())
        gate.submit(b"what the broker keeps is for the broker to refuse")


def test_the_reserve_that_up_is_given_holds_for_the_gateway_too():
    with running(args=["--disk-reserve", str(1 << 62)]) as system:
        answer = system.rest.post("documents", os.urandom(1_000_000), headers={"X-Filename": "a"})
        problem(answer, 507, "disk_full")
        assert not [path for path in (system.data / "blobs").rglob("*") if path.is_file()]


def test_many_large_uploads_at_once_arrive_whole():
    with gateway() as gate:
        contents = [os.urandom(4_000_000 + 100_000 * number) for number in range(16)]
        failures = []

        def upload(content):
            answer = Rest(gate.addresses["http"]).post("documents", content, headers={"X-Filename": "a"})
            digest = hashlib.blake2b(content, digest_size=32).hexdigest()
            if answer.status != 201 or answer.json["document"]["hash"] != digest:
                failures.append(answer)

        threads = [threading.Thread(target=upload, args=(content,)) for content in contents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        assert not failures, failures
        assert not list((gate.directory / "blobs" / "tmp").iterdir())


def test_what_a_crash_left_is_removed_when_it_comes_of_age():
    with gateway() as gate:
        gate.submit(os.urandom(1_000_000))  # and so the directory is there
        left = gate.directory / "blobs" / "tmp" / "left"
        left.write_bytes(b"x")
        os.utime(left, times=(time.time(), time.time() - 3598))
        gate.process.kill()
        gate.process.wait()
        gate.start()
        assert left.exists(), "it is too young to be removed at the start"
        wait_for(lambda: not left.exists(), 20, "the file is removed")
