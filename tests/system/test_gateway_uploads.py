"""Large documents on their way through the gateway to their files."""
import hashlib
import json
import os
import socket
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


HEAD = b"POST /api/v1/documents/?process=false HTTP/1.1\r\nHost: localhost\r\nX-Filename: a\r\n"


def read_head(connection):
    """The next head of an answer; None when the connection ends."""
    text = b""
    while not text.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            return None
        text += byte
    return text.decode()


def connect(gate):
    return socket.create_connection((gate.host.hostname, gate.host.port), timeout=10)


def files(gate):
    return [path for path in (gate.directory / "blobs").rglob("*") if path.is_file()]


def test_a_large_document_is_refused_before_its_body_is_sent():
    with gateway() as gate:
        gate.broker.refusal = {"status": 429, "code": "quota_exceeded", "detail": "full", "retry_after_s": 77}
        for more in (b"Content-Length: 100000000\r\n", b"Transfer-Encoding: chunked\r\n",
                     b"Content-Length: 100000000\r\nExpect: 100-continue\r\n"):
            answer = gate.raw(HEAD + more + b"\r\n").decode()  # which ends with the connection
            assert answer.startswith("HTTP/1.1 429 ") and "\r\nRetry-After: 77\r\n" in answer, answer
            assert json.loads(answer.split("\r\n\r\n", 1)[1])["code"] == "quota_exceeded", answer
        client = gate.zmq(zmq.REQ)
        reply, _ = ask(client, SUBMIT, os.urandom(1_000_000))
        assert reply["status"] == 429 and reply["headers"]["Retry-After"] == "77", reply
        assert gate.broker.count("submit") == 0 and gate.broker.count("admit") == 4
        assert not files(gate)
        gate.submit(b"a small one is simply submitted")
        assert gate.broker.count("admit") == 4 and gate.broker.last("submit")["admitted"] == 0
        gate.broker.refusal = None
        reply, _ = ask(client, SUBMIT, os.urandom(1_000_000))
        assert reply["status"] == 201 and gate.broker.last("submit")["admitted"] == 1, reply


def test_what_is_asked_before_a_body_is_what_its_head_says():
    with gateway() as gate:
        content = os.urandom(1_000_000)
        with connect(gate) as connection:
            connection.sendall(HEAD + b"Content-Length: 1000000\r\nExpect: 100-continue\r\nIdempotency-Key: k\r\n\r\n")
            assert read_head(connection).startswith("HTTP/1.1 100 ")
            asked = gate.broker.last("admit")
            assert (asked["bytes"], asked["makes_task"], asked["idem_key"]) == (1_000_000, 0, b"k"), asked
            connection.sendall(content)
            assert read_head(connection).startswith("HTTP/1.1 201 ")
        assert gate.broker.last("submit")["admitted"] == 1 and gate.broker.last("submit")["bytes"] == 1_000_000
        assert gate.rest.post("documents", iter([content]), headers={"X-Filename": "a"}).status == 201  # in chunks
        assert gate.broker.last("admit")["bytes"] == 0 and gate.broker.last("admit")["makes_task"] == 1
        body = (b"--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n" + content +
                b"\r\n--XX--\r\n")
        headers = {"Content-Type": "multipart/form-data; boundary=XX"}
        assert gate.rest.post("documents", body, headers=headers).status == 201
        asked = gate.broker.last("admit")  # what is around the document is not counted, nor what its fields may say
        assert len(content) - (256 << 10) < asked["bytes"] <= len(content) and asked["makes_task"] == 0, asked
        assert gate.broker.count("submit") == 3 and gate.broker.count("admit") == 3


def test_clients_that_do_not_wait_for_leave_do_no_harm():
    with gateway() as gate:
        gate.broker.mute.add("admit")
        many = [connect(gate) for _ in range(20)]
        for connection in many:
            connection.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n" + bytes(100_000))
        wait_for(lambda: gate.broker.count("admit") == 20, 10, "all are asked about")
        for connection in many:
            connection.close()
        gate.broker.mute.clear()
        gate.submit(b"and the gateway goes on")
        with connect(gate) as connection:
            gate.broker.mute.add("admit")
            connection.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n")
            wait_for(lambda: gate.broker.count("admit") == 21, 10, "it is asked about")
            assert gate.stop() == 0  # and stops, with the question open
        gate.start()
        assert not files(gate)
