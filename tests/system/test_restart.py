"""Stopping and starting, and what comes in on the sockets that is not ours."""
import json
import os
import signal
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


FEED_HWM = 20000  # messages the broker keeps for a subscriber (broker/server.c)


def fill_the_feed(system, live):
    """Has the last events of all live tasks told again and again until every subscriber's place is full that does not
    read: what the broker keeps, and what the kernel takes."""
    asker = zmq.Context.instance().socket(zmq.XSUB)
    asker.setsockopt(zmq.RCVHWM, 0)
    asker.connect(system.addresses["pub"])
    heard = 0
    while heard < 2 * FEED_HWM:
        asker.send(b"\x01task.")  # each subscription has its replay, and all who match hear it
        for _ in range(live):
            assert asker.poll(20000), f"after {heard} events there come no more"
            asker.recv_multipart()
            heard += 1
    asker.close(0)


def test_a_stuck_subscriber_delays_nobody():
    with running(workers="extract=1") as system:
        stuck = zmq.Context.instance().socket(zmq.SUB)
        stuck.setsockopt(zmq.RCVHWM, 1)
        stuck.setsockopt(zmq.RCVBUF, 4096)
        stuck.subscribe("task.")
        stuck.connect(system.addresses["pub"])  # and never reads
        worker, = system.children("extract")
        os.kill(worker, signal.SIGSTOP)  # the tasks are to live for a while
        tasks = {system.rest.submit(f"{i}.txt", f"Number {i}.".encode())["task"]["id"] for i in range(200)}
        wait_for(lambda: stuck.poll(0), 20, "the stuck one is heard")
        fill_the_feed(system, len(tasks))
        feed = system.feed("task.local.")
        assert feed.next(20), "the one that reads is not heard"
        os.kill(worker, signal.SIGCONT)
        for task in tasks:
            assert system.rest.wait(task)["status"] == "completed"
        while tasks:
            event = feed.next(20)
            assert event, f"{len(tasks)} ends were not told to the one that reads"
            if event[1]["event"] == "completed":
                tasks.discard(event[1]["task"]["id"])
        feed.close()
        kept = 0
        while stuck.poll(1000):
            kept += 1
            assert json.loads(stuck.recv_multipart()[1])["event"] != "completed", "it was not stuck"
        assert kept >= FEED_HWM, kept
        stuck.close(0)
