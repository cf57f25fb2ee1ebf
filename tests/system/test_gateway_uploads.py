"""Large documents on their way through the gateway to their files."""
import os
import time

import zmq

from gateway_alone import SUBMIT, ask, gateway, problem
from harness import wait_for


def test_a_large_document_is_refused_before_it_eats_the_reserve_of_the_disk():
    with gateway("--disk-reserve", str(1 << 62)) as gate:
        content = os.urandom(1_000_000)
        problem(gate.rest.post("documents", content, headers={"X-Filename": "a"}), 507, "disk_full")
        reply, _ = ask(gate.zmq(zmq.REQ), SUBMIT, content)
        assert reply["status"] == 507 and reply["body"]["code"] == "disk_full", reply
        assert gate.broker.count("submit") == 0
        assert not list((gate.directory / "blobs" / "tmp").iterdir())
        gate.submit(b"what the broker keeps is for the broker to refuse")


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
