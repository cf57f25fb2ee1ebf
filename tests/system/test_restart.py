"""Stopping and starting, and what comes in on the sockets that is not ours."""
import os
import socket
import struct
import urllib.parse

import zmq

from harness import TASKS, running, wait_for


def test_pending_tasks_complete_after_a_restart():
    with running(workers="extract=0") as system:
        tasks = [system.rest.submit(f"{i}.txt", f"Pending number {i}.".encode())["task"]["id"] for i in range(100)]
        system.workers = "extract=2,chunk=1,embed=2"
        system.restart()
        for task in tasks:
            assert system.rest.wait(task)["status"] == "completed"
        hits = system.rest.get("search?mode=text&q=pending+number+77").json["hits"]
        assert hits[0]["text"] == "Pending number 77."


def test_a_restart_in_the_middle_of_work_completes_all():
    with running() as system:
        text = ("A paragraph that is long enough to be worth something. " * 20 + "\n\n") * 800
        tasks = [system.rest.submit(f"{i}.txt", f"{i} {text}".encode())["task"]["id"] for i in range(12)]
        wait_for(lambda: system.rest.get(TASKS + tasks[0]).json["status"] != "pending", 20, "work began")
        for _ in range(2):
            assert system.stop() == 0
            system.start()
        for task in tasks:
            done = system.rest.wait(task, 120)
            assert done["status"] == "completed" and done["progress"] == 100, done


def test_ids_cursors_and_answers_outlive_a_restart():
    with running() as system:
        headers = {"Idempotency-Key": "once"}
        first = system.rest.submit("once.txt", b"Submitted once.", headers=headers)
        system.rest.wait(first["task"]["id"])
        numbers = system.rest.get("document-processing/queue/status/").json
        system.restart()
        again = system.rest.submit("once.txt", b"Submitted once.", headers=headers)
        assert again["task"]["id"] == first["task"]["id"]
        after = system.rest.get("document-processing/queue/status/").json
        assert after["total_tasks"] == numbers["total_tasks"] == after["completed_tasks"] == 1
        assert system.rest.get(f"documents/{first['document']['id']}/content").raw == b"Submitted once."
        assert system.rest.get("search?q=submitted").json["hits"]


def garbage():
    yield [b""]
    yield [b"hello"]
    yield [b"\x01"]
    yield [b"\x01\x01"]
    yield [b"\xff\xff" + bytes(100)]
    yield [b"", b"", b""]
    yield [os.urandom(300)]
    yield [b"x"] * 20
    yield [b"\x01\x0a" + struct.pack("<Q", 1) + struct.pack("<I", 0xFFFFFFFF)]  # a length beyond the frame
    for kind in range(1, 40):
        yield [bytes([1, kind])]
        yield [bytes([1, kind]) + bytes(64)]
        yield [bytes([1, kind]) + b"\xff" * 64, b"payload"]
    yield [os.urandom(1 << 20)]


def test_foreign_frames_on_every_internal_socket_are_survived():
    with running() as system:
        before = sorted(system.children())
        context = zmq.Context.instance()
        run = system.data / "run"
        names = sorted(path.name for path in run.iterdir())
        assert {"intake", "front", "query", "feed"} <= set(names) and len(names) >= 9, names
        for name in names:
            kinds = {"front": [zmq.DEALER], "query": [zmq.DEALER], "feed": [zmq.XSUB]}.get(name, [zmq.PUSH])
            for kind in kinds:
                client = context.socket(kind)
                client.setsockopt(zmq.SNDTIMEO, 5000)
                client.connect(f"ipc://{run}/{name}")
                for frames in garbage():
                    client.send_multipart(frames)
                client.close(1000)
        feed = context.socket(zmq.XSUB)
        feed.connect(system.addresses["pub"])
        for frames in garbage():
            feed.send_multipart(frames)
        feed.close(1000)
        reply = system.rest.submit("after.txt", b"Still alive after all that.")
        assert system.rest.wait(reply["task"]["id"])["status"] == "completed"
        assert system.rest.get("search?q=alive").json["hits"]
        assert sorted(system.children()) == before, "a process died"


def test_bytes_that_are_no_zmq_on_the_tcp_sockets_are_survived():
    with running() as system:
        before = sorted(system.children())
        for name in ("req", "pub", "http"):
            address = urllib.parse.urlsplit(system.addresses[name])
            for content in (b"", b"\x00", b"GET / HTTP/1.1\r\n\r\n", os.urandom(5000), b"\xff" + bytes(9) + b"\x7f\x03",
                            b"POST /api/v1/documents HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"):
                with socket.create_connection((address.hostname, address.port), 5) as stranger:
                    stranger.sendall(content)
                    stranger.shutdown(socket.SHUT_WR)
                    stranger.settimeout(1)
                    try:
                        while stranger.recv(4096):
                            pass
                    except (TimeoutError, ConnectionError):
                        pass
        reply = system.rest.submit("after.txt", b"Still alive.")
        assert system.rest.wait(reply["task"]["id"])["status"] == "completed"
        assert sorted(system.children()) == before, "a process died"


def test_a_stuck_subscriber_delays_nobody():
    with running() as system:
        stuck = zmq.Context.instance().socket(zmq.SUB)
        stuck.setsockopt(zmq.RCVHWM, 1)
        stuck.subscribe("")
        stuck.connect(system.addresses["pub"])  # and never reads
        tasks = [system.rest.submit(f"{i}.txt", f"Number {i}.".encode())["task"]["id"] for i in range(200)]
        for task in tasks:
            assert system.rest.wait(task)["status"] == "completed"
        stuck.close(0)
