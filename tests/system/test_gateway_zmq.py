"""The gateway's ROUTER: REQ and DEALER clients."""
import json
import os
import pathlib
import re
import socket

import zmq

from gateway_alone import SUBMIT, TASKS, ask, gateway
from harness import wait_for


def test_req_and_rest_give_the_same_answers():
    with gateway() as gate:
        client = gate.zmq(zmq.REQ)
        reply, _ = ask(client, SUBMIT, b"hello")
        assert reply["status"] == 201 and reply["headers"]["Content-Type"] == "application/json"
        document, task = reply["body"]["document"]["id"], reply["body"]["task"]["id"]
        for path in (f"documents/{document}", TASKS + task, "documents", "documents?limit=x", "nothing",
                     TASKS + task + "/result"):
            answer = gate.rest.get(path)
            reply, _ = ask(client, {"method": "GET", "path": "/api/v1/" + path})
            assert reply["status"] == answer.status and reply["body"] == answer.json, (path, reply)
        reply, frames = ask(client, {"method": "GET", "path": f"/api/v1/documents/{document}/content"})
        assert frames == [b"hello"] and reply["body"] is None
        assert "note.txt" in reply["headers"]["Content-Disposition"]
        reply, _ = ask(client, {"method": "GET", "path": "/api/v1/search", "query": {"q": "x", "limit": 5}})
        assert reply["body"]["limit"] == 5
        reply, _ = ask(client, {"method": "POST", "path": "/api/v1/search", "body": {"q": "é"}})
        assert reply["body"]["query"] == "é"
        reply, _ = ask(client, {"method": "DELETE", "path": f"/api/v1/documents/{document}"})
        assert reply["status"] == 204 and reply["body"] is None
        reply, _ = ask(client, {"method": "GET", "path": "/api/v1/events"})
        assert reply["status"] == 400


def test_large_documents_over_zeromq():
    with gateway() as gate:
        client, content = gate.zmq(zmq.REQ), os.urandom(3_000_000)
        reply, _ = ask(client, SUBMIT, content)
        assert reply["status"] == 201 and gate.broker.last("submit")["in_file"] == 1
        _, frames = ask(client, {"method": "GET",
                                 "path": f"/api/v1/documents/{reply['body']['document']['id']}/content"})
        assert frames == [content]
        assert ask(client, SUBMIT)[0]["status"] == 411
        assert ask(client, SUBMIT, b"")[0]["status"] == 201


def test_dealers_are_answered_in_kind_and_can_match_replies():
    with gateway() as gate:
        client = gate.zmq(zmq.DEALER)
        client.send_multipart([json.dumps(SUBMIT).encode(), b""])
        frames = client.recv_multipart()
        assert len(frames) == 1 and json.loads(frames[0])["status"] == 201
        client.send_multipart([b"", json.dumps(SUBMIT).encode(), b"x"])
        frames = client.recv_multipart()
        assert frames[0] == b"" and json.loads(frames[1])["status"] == 201
        for number in range(500):
            request = {**SUBMIT, "headers": {"X-Filename": "n", "x-request-id": str(number)}}
            if number % 5 == 0:
                request["path"] = "/nowhere"
            client.send_multipart([json.dumps(request).encode(), b"note %d" % number])
        seen = set()
        for _ in range(500):
            reply = json.loads(client.recv())
            number = int(reply["headers"]["X-Request-Id"])
            assert reply["status"] == (404 if number % 5 == 0 else 201)
            seen.add(number)
        assert seen == set(range(500))
        correlated = gate.zmq(zmq.REQ)
        correlated.req_correlate = 1
        correlated.req_relaxed = 1
        for _ in range(300):  # a correlation id may begin with any byte
            assert ask(correlated, {"method": "GET", "path": "/livez"})[0]["status"] == 200


def test_malformed_requests_over_zeromq_are_answered_or_dropped():
    with gateway() as gate:
        client = gate.zmq(zmq.REQ)
        for frame in (b"not json", b"", b"[]", b"{}", b'{"method":"GET"}', b'{"method":1,"path":"/livez"}',
                      b'{"method":"GET","path":"livez"}', b'{"method":"GET","path":"/livez","colour":1}',
                      b'{"method":"GET","path":"/livez","query":[]}', b"\xff\xfe", b"{" * 10000):
            client.send(frame)
            reply = json.loads(client.recv())
            assert reply["status"] == 400 and reply["body"]["code"] == "malformed", (frame, reply)
        assert ask(client, {"method": "GET", "path": "/livez"}, b"bytes")[0]["status"] == 400
        dealer = gate.zmq(zmq.DEALER)
        for frames in ([b""], [b"", b""], [b"a"] * 20, [b"", b"{}", b"x", b"y"], [b"{}", b"x", b"y"]):
            dealer.send_multipart(frames)
            reply = json.loads(dealer.recv_multipart()[-1])
            assert reply["status"] == 400 and "frame" in reply["body"]["detail"].lower(), (frames, reply)
        raw = socket.create_connection(gate.addresses["req"][6:].split(":"), timeout=5)
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        raw.close()
        assert ask(client, {"method": "GET", "path": "/livez"})[0]["status"] == 200


def test_what_clients_have_in_hand_is_bounded_in_bytes():
    """What is more is answered at once, so nothing waits in libzmq, which counts no bytes; small requests pass."""
    with gateway() as gate:
        gate.broker.mute.add("submit")
        client, content = gate.zmq(zmq.DEALER, sndhwm=0, rcvhwm=0), bytes(256 << 10)
        for _ in range(2000):
            client.send_multipart([json.dumps(SUBMIT).encode(), content])
        refused = 0
        while refused < 2000 - 1024:
            reply = json.loads(client.recv())
            assert reply["status"] == 503 and reply["body"]["code"] == "no_memory", reply
            assert int(reply["headers"]["Retry-After"]) >= 1, reply
            refused += 1
        assert gate.broker.count("submit") <= 1024, gate.broker.count("submit")
        other = gate.zmq(zmq.REQ)
        assert ask(other, {"method": "GET", "path": f"/api/v1/{TASKS}"})[0]["status"] == 200
        assert ask(other, SUBMIT, content)[0]["status"] == 503
        assert peak_memory(gate.process.pid) < (1 << 30)
        gate.broker.stop()  # and with the answers to those that are in hand there is room again
        for _ in range(2000 - refused):
            assert json.loads(client.recv())["status"] == 503
        gate.broker.mute.clear()
        gate.broker.start()
        wait_for(lambda: gate.rest.get("/readyz").status == 200, 10, "the broker is back")
        assert ask(other, SUBMIT, content)[0]["status"] == 201
        client.close()


def peak_memory(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) << 10


def test_what_is_too_large_for_a_frame_is_answered():
    with gateway("--max-upload", "1G") as gate:
        client = gate.zmq(zmq.REQ)
        reply, _ = ask(client, SUBMIT, bytes((64 << 20) + 1))
        assert reply["status"] == 413 and reply["body"]["code"] == "body_too_large", reply
        assert "HTTP" in reply["body"]["detail"], reply
        reply, _ = ask(client, SUBMIT, bytes(128 << 20))
        assert reply["status"] == 413, reply
        assert ask(client, SUBMIT, bytes(1 << 20))[0]["status"] == 201


def test_what_a_broker_that_hangs_does_not_read_is_bounded():
    """Whoever tries again and again must not fill the memory before it: it is told at once."""
    with gateway() as gate:
        gate.broker.mute.add("submit")
        client, content = gate.zmq(zmq.DEALER, sndhwm=0, rcvhwm=0, rcvtimeo=30000), bytes(256 << 10)
        for _ in range(256):
            client.send_multipart([json.dumps(SUBMIT).encode(), content])
        for _ in range(256):
            assert json.loads(client.recv())["status"] == 503  # in its time
        other, asked = gate.zmq(zmq.REQ, rcvtimeo=3000), gate.broker.count("submit")
        for _ in range(20):
            assert ask(other, SUBMIT, content)[0]["status"] == 503  # at once
        assert gate.broker.count("submit") == asked, "it was sent, too"
        assert ask(other, {"method": "GET", "path": f"/api/v1/{TASKS}"})[0]["status"] == 200
        gate.broker.mute.clear()  # it answers: so it reads
        assert ask(other, SUBMIT, content)[0]["status"] == 201
        client.close()


def test_more_requests_than_are_taken_in_hand_wait_and_none_is_lost():
    with gateway() as gate:
        gate.broker.mute.add("task_list")
        client = gate.zmq(zmq.DEALER, sndhwm=0, rcvhwm=0)
        request = {"method": "GET", "path": f"/api/v1/{TASKS}"}
        for number in range(10000):
            client.send(json.dumps({**request, "headers": {"X-Request-Id": str(number)}}).encode())
        wait_for(lambda: gate.broker.count("task_list") >= 8192, 30, "as many as may be are in hand")
        for _ in range(30):  # each is a turn of the loop, which would have taken more
            assert gate.rest.get("/livez").status == 200
        assert gate.broker.count("task_list") == 8192
        gate.broker.stop()
        gate.broker.mute.clear()
        gate.broker.start()  # reads are asked again
        seen = {json.loads(client.recv())["headers"]["X-Request-Id"] for _ in range(10000)}
        assert len(seen) == 10000
        client.close()


def test_frames_of_json_are_bounded():
    with gateway() as gate:
        client = gate.zmq(zmq.REQ)
        request = {"method": "POST", "path": "/api/v1/search", "body": {"q": "x" * (1 << 20)}}
        reply, _ = ask(client, request)
        assert reply["status"] == 422, reply
        request["body"]["q"] = "x" * (2 << 20)
        reply, _ = ask(client, request)
        assert reply["status"] == 413 and reply["body"]["code"] == "body_too_large", reply


def test_long_polls_leave_room_for_other_requests():
    with gateway() as gate:
        task = gate.rest.submit("note.txt", b"text")["task"]["id"]
        client = gate.zmq(zmq.DEALER, sndhwm=0, rcvhwm=0)
        wait = {"method": "GET", "path": f"/api/v1/{TASKS}{task}", "query": {"wait": 60}}
        for _ in range(5500):
            client.send(json.dumps(wait).encode())
        other = gate.zmq(zmq.REQ)
        assert ask(other, {"method": "GET", "path": "/livez"})[0]["status"] == 200
        # those that are too many to wait are told how it stands
        for _ in range(5500 - 4096):
            assert json.loads(client.recv())["body"]["status"] == "pending"
        gate.broker.finish(task)
        for _ in range(4096):
            assert json.loads(client.recv())["body"]["status"] == "completed"
        client.close()
