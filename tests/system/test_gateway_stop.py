"""How the gateway ends: what is in hand is answered, within bounds."""
import http.client
import json
import os
import signal
import socket
import threading
import time
import uuid

import zmq

from gateway_alone import SUBMIT, TASKS, Events, ask, gateway, read_all
from harness import Rest, wait_for


def test_sigterm_answers_what_is_in_hand():
    with gateway() as gate:
        task = gate.submit()["task"]["id"]
        gate.broker.mute.add("submit")
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(Rest(gate.addresses["http"]).get(f"{TASKS}{task}?wait=60"))),
                   threading.Thread(target=lambda: answers.append(Rest(gate.addresses["http"]).post(
                       "documents", b"x", headers={"X-Filename": "x.txt"})))]
        for thread in threads:
            thread.start()
        stream = Events(gate)
        wait_for(lambda: gate.broker.count("submit") == 2 and gate.broker.count("task_get") > 0, 5, "the questions")
        gate.process.send_signal(signal.SIGTERM)
        threads[0].join(10)
        assert answers[0].json["status"] == "pending"
        stream.reply.read()
        assert gate.process.poll() is None, "a submit is still open"
        gate.broker.stop()
        threads[1].join(10)
        assert answers[1].status == 503
        assert gate.process.wait(10) == 0


def test_sigterm_ends_in_time_even_when_no_answer_comes():
    with gateway() as gate:
        gate.broker.mute.update(("submit", "task_get"))
        answers, client = [], gate.zmq(zmq.DEALER)
        client.send_multipart([json.dumps(SUBMIT).encode(), b"x"])
        client.send_multipart([json.dumps({"method": "GET", "path": f"/api/v1/{TASKS}{uuid.uuid4()}"}).encode()])
        asker = threading.Thread(target=lambda: answers.append(Rest(gate.addresses["http"]).post(
            "documents", b"x", headers={"X-Filename": "x.txt"})))
        asker.start()
        wait_for(lambda: gate.broker.count("submit") == 2 and gate.broker.count("task_get") == 1, 5, "the questions")
        started = time.monotonic()
        gate.process.send_signal(signal.SIGTERM)
        assert gate.process.wait(10) == 0
        assert 3 < time.monotonic() - started < 5
        asker.join(5)
        assert answers[0].status == 503
        assert [json.loads(client.recv())["status"] for _ in range(2)] == [503, 503]


def test_a_download_under_way_is_finished_before_the_end():
    with gateway() as gate:
        content = os.urandom(20_000_000)
        made = gate.submit(content)
        connection = http.client.HTTPConnection(gate.host.hostname, gate.host.port, timeout=20)
        connection.request("GET", f"/api/v1/documents/{made['document']['id']}/content")
        reply = connection.getresponse()
        first = reply.read(1000)
        gate.process.send_signal(signal.SIGTERM)
        assert first + reply.read() == content
        assert gate.process.wait(10) == 0


def test_clients_that_do_not_read_do_not_keep_it_from_ending():
    with gateway() as gate:
        made = gate.submit(os.urandom(30_000_000))
        stuck = socket.create_connection((gate.host.hostname, gate.host.port))
        stuck.sendall(f"GET /api/v1/documents/{made['document']['id']}/content HTTP/1.1\r\nHost: localhost\r\n\r\n"
                      .encode())
        assert stuck.recv(100)
        started = time.monotonic()
        gate.process.send_signal(signal.SIGTERM)
        assert gate.process.wait(10) == 0 and time.monotonic() - started < 5
        stuck.close()


def test_zeromq_requests_are_told_that_it_is_draining():
    with gateway() as gate:
        gate.broker.mute.add("submit")
        open_one = gate.zmq(zmq.DEALER)
        open_one.send_multipart([json.dumps(SUBMIT).encode(), b"x"])
        wait_for(lambda: gate.broker.count("submit") == 1, 5, "the question")
        late = gate.zmq(zmq.REQ)
        assert ask(late, {"method": "GET", "path": "/livez"})[0]["status"] == 200
        gate.process.send_signal(signal.SIGTERM)
        # it may take a moment until the signal arrives
        wait_for(lambda: ask(late, {"method": "GET", "path": "/livez"})[0]["status"] == 503, 3, "the refusal")
        reply, _ = ask(late, {"method": "GET", "path": "/livez"})
        assert reply["body"]["code"] == "draining", reply
        gate.broker.stop()
        assert json.loads(open_one.recv())["status"] == 503
        assert gate.process.wait(10) == 0


def test_uploads_under_way_are_taken_when_it_stops_or_told_that_they_are_not():
    with gateway() as gate:
        head = (b"POST /api/v1/documents HTTP/1.1\r\nHost: localhost\r\nX-Filename: a\r\nX-Request-Id: r\r\n"
                b"Content-Length: 1000000\r\n\r\n")
        quick, stuck = (socket.create_connection((gate.host.hostname, gate.host.port), timeout=20) for _ in range(2))
        for connection in (quick, stuck):
            connection.sendall(head + b"x" * 600_000)
        wait_for(lambda: len(list((gate.directory / "blobs").glob("tmp/*"))) == 2, 10, "both uploads")
        started = time.monotonic()
        gate.process.send_signal(signal.SIGTERM)
        wait_for(lambda: refuses(gate), 5, "the gateway accepts nothing new")
        quick.sendall(b"x" * 400_000)
        assert read_all(quick).startswith(b"HTTP/1.1 201 ")
        answer = read_all(stuck)
        assert answer.startswith(b"HTTP/1.1 503 ") and b"draining" in answer and b"X-Request-Id: r" in answer, answer
        assert gate.process.wait(10) == 0 and 3 < time.monotonic() - started < 6
        assert gate.broker.count("submit") == 1


def test_a_stream_that_was_just_opened_does_not_keep_it_from_ending():
    with gateway() as gate:
        task = gate.rest.submit("note.txt", b"text")["task"]["id"]
        stream = Events(gate, f"?task_id={task}")
        started = time.monotonic()
        gate.process.send_signal(signal.SIGTERM)
        stream.reply.read()
        assert gate.process.wait(10) == 0 and time.monotonic() - started < 3


def refuses(gate):
    try:
        socket.create_connection((gate.host.hostname, gate.host.port), timeout=5).close()
        return False
    except ConnectionRefusedError:
        return True
