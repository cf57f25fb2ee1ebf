"""HTTP as such: framing, headers, connections."""
import contextlib
import http.client
import json
import socket
import threading
import time
import urllib.parse

import zmq

from gateway_alone import SUBMIT, ask, gateway, problem


def test_ambiguous_framing_is_refused_and_the_connection_closed():
    with gateway() as gate:
        host = b"Host: localhost\r\n"
        for head in (b"Content-Length: 2\r\nContent-Length: 2\r\n" + host,
                     b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n" + host,
                     b"Content-Length : 2\r\n" + host, b"Content-Length: +2\r\n" + host,
                     b"Content-Length: 2, 2\r\n" + host, b"Transfer-Encoding: gzip, chunked\r\n" + host,
                     b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" + host,
                     b"Content-Length: 2\r\n" + host + host, b"Content-Length: 2\r\n"):
            answer = gate.raw(b"POST /api/v1/search HTTP/1.1\r\n" + head + b"\r\n{}GET /livez HTTP/1.1\r\n" + host + b"\r\n")
            assert answer.startswith(b"HTTP/1.1 400 "), (head, answer)
            assert b"alive" not in answer, (head, answer)


def test_host_and_origin_must_name_this_machine():
    with gateway() as gate:
        for headers, status in (({"Host": "evil.example"}, 403), ({"Host": "localhost:1"}, 200),
                                ({"Host": "[::1]:80"}, 200), ({"Origin": "http://evil.example"}, 403),
                                ({"Origin": "null"}, 403), ({"Origin": "http://127.0.0.1:5173"}, 200)):
            assert gate.rest.get("/livez", headers=headers).status == status, headers


def test_head_and_keep_alive():
    with gateway() as gate:
        connection = http.client.HTTPConnection(gate.host.hostname, gate.host.port, timeout=10)
        for _ in range(3):
            connection.request("HEAD", "/livez")
            answer = connection.getresponse()
            assert answer.status == 200 and answer.headers["Content-Length"] == "18" and answer.read() == b""
            socket_before = connection.sock
            connection.request("GET", "/api/v1/nothing")
            assert connection.getresponse().read() and connection.sock is socket_before
        both = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
        answer = gate.raw(both + b"GET /api/v1/documents HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert answer.count(b"HTTP/1.1 200") == 2, answer


def test_headers_that_trickle_in_are_cut_off():
    with gateway() as gate:
        started = time.monotonic()
        with socket.create_connection((gate.host.hostname, gate.host.port), timeout=30) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ")
            connection.settimeout(0.5)
            while True:
                assert time.monotonic() - started < 20, "it was kept open"
                try:
                    if connection.recv(100) == b"":
                        break
                except TimeoutError:
                    with contextlib.suppress(ConnectionError):
                        connection.sendall(b"x")
                except ConnectionError:
                    break
        assert gate.rest.get("/livez").status == 200


def test_a_header_that_goes_on_in_the_next_line_is_refused():
    with gateway() as gate:
        for folded in (b"Content-Le: 40\r\n ngth", b"X: 1\r\n\t2", b"X:\r\n 1", b"Content-Le:40\r\n ngth\r\nY: 1"):
            answer = gate.raw(b"POST /api/v1/search HTTP/1.1\r\nHost: localhost\r\n" + folded +
                              b"\r\n\r\nGET /livez HTTP/1.1\r\nHost: localhost\r\nX: y\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 400 ") and b"malformed" in answer, (folded, answer)
            assert b"alive" not in answer, (folded, answer)
        for plain in (b"X:1", b"X:  1", b"X: \t 1 ", b"X:", b"X: ", b"X:\t"):
            answer = gate.raw(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + plain + b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200 "), (plain, answer)


def test_what_the_request_line_or_host_lacks_is_a_problem_like_any_other():
    with gateway() as gate:
        for request in (b"GET /livez HTTP/1.1\r\n\r\n", b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
                        b"GET /livez x HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET livez HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            answer = gate.raw(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\nX-Request-Id: abc\r\n\r\n"))
            head, body = answer.split(b"\r\n\r\n", 1)
            assert head.startswith(b"HTTP/1.1 400 ") and b"application/problem+json" in head, (request, answer)
            assert json.loads(body)["code"] == "malformed", (request, answer)
            assert b"X-Request-Id: abc" in head, (request, answer)


def test_every_answer_carries_the_request_id():
    with gateway("--max-upload", "1M") as gate:
        name = {"X-Request-Id": "abc"}
        big = {**name, "X-Filename": "a", "Transfer-Encoding": "chunked"}
        for method, path, body, headers, status in (
                ("GET", "/livez", None, {"Host": "evil.example"}, 403), ("GET", "/%zz", None, {}, 400),
                ("GET", "/api/v1/nothing", None, {}, 404), ("HEAD", "/api/v1/events", None, {}, 200),
                ("POST", "/api/v1/documents", iter([b"x" * 3_000_000]), big, 413)):
            connection = http.client.HTTPConnection(gate.host.hostname, gate.host.port, timeout=10)
            with contextlib.suppress(ConnectionError):
                connection.request(method, path, body, {**name, **headers}, encode_chunked=body is not None)
            answer = connection.getresponse()
            assert answer.status == status and answer.headers["X-Request-Id"] == "abc", (path, answer.status)
            connection.close()
        stream = http.client.HTTPConnection(gate.host.hostname, gate.host.port, timeout=10)
        stream.request("GET", "/api/v1/events", headers=name)
        assert stream.getresponse().headers["X-Request-Id"] == "abc"
        stream.close()


def test_long_header_values_come_back_whole():
    with gateway() as gate:
        name = "\u20ac" * 341  # 1,023 bytes, three times as many when encoded
        identity = "i" * 5000
        made = gate.rest.submit(name, b"x")
        answer = gate.rest.get(f"documents/{made['document']['id']}/content", headers={"X-Request-Id": identity})
        assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''" + urllib.parse.quote(name)
        assert answer.headers["X-Request-Id"] == identity


def test_a_head_of_the_events_leaves_the_connection_clean():
    with gateway() as gate:
        answer = gate.raw(b"HEAD /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
                          b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        first, second = answer.split(b"\r\n\r\n", 1)
        assert first.startswith(b"HTTP/1.1 200 ") and b"text/event-stream" in first, answer
        assert second.startswith(b"HTTP/1.1 200 ") and second.endswith(b'{"status":"alive"}'), answer


def test_bodies_that_trickle_in_are_cut_off():
    with gateway() as gate:
        head = b"POST /api/v1/documents HTTP/1.1\r\nHost: localhost\r\nX-Filename: a\r\n"
        lasted = {}

        def trickle(what, start, byte):
            started = time.monotonic()
            with socket.create_connection((gate.host.hostname, gate.host.port), timeout=0.5) as connection:
                connection.sendall(head + start)
                while time.monotonic() - started < 30:
                    try:
                        if connection.recv(100) == b"":
                            break
                    except TimeoutError:
                        with contextlib.suppress(ConnectionError):
                            connection.sendall(byte)
                    except ConnectionError:
                        break
            lasted[what] = time.monotonic() - started

        def steady():
            body, started = b"y" * 2000, time.monotonic()
            with socket.create_connection((gate.host.hostname, gate.host.port), timeout=10) as connection:
                connection.sendall(head + b"Content-Length: 40000\r\n\r\n")
                for _ in range(20):  # slower than the bound allows for one byte, and still welcome
                    connection.sendall(body)
                    time.sleep(0.9)
                assert connection.recv(100).startswith(b"HTTP/1.1 201 ")
            lasted["steady"] = time.monotonic() - started

        threads = [threading.Thread(target=trickle, args=arguments) for arguments in (
            ("length", b"Content-Length: 5000\r\n\r\n", b"x"),
            ("trailers", b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: ", b"x"))]
        threads.append(threading.Thread(target=steady))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 14 < lasted["length"] < 20 and 14 < lasted["trailers"] < 20 and lasted["steady"] > 17, lasted


def test_headers_that_mean_something_are_given_once():
    with gateway() as gate:
        for name, value in (("X-Filename", "b.txt"), ("x-filename", "a.txt"), ("Content-Type", "text/plain"),
                            ("Idempotency-Key", "k")):
            request = (f"POST /api/v1/documents HTTP/1.1\r\nHost: localhost\r\nX-Filename: a.txt\r\nContent-Type: "
                       f"text/html\r\nIdempotency-Key: k\r\n{name}: {value}\r\nContent-Length: 1\r\n\r\nx")
            answer = gate.raw(request.encode())
            assert answer.startswith(b"HTTP/1.1 400 ") and b"twice" in answer, answer
        reply, _ = ask(gate.zmq(zmq.REQ), {**SUBMIT, "headers": {"X-Filename": "a", "x-filename": "b"}}, b"x")
        assert reply["status"] == 400 and "twice" in reply["body"]["detail"], reply
        assert gate.broker.count("submit") == 0


def test_bodies_that_are_encoded_are_refused_with_what_to_do():
    with gateway() as gate:
        named = {"X-Filename": "a.txt"}
        for encoding in ("gzip", "br", "gzip, identity"):
            answer = gate.rest.post("documents", b"x", headers={**named, "Content-Encoding": encoding})
            problem(answer, 415, "unsupported_body_type")
            assert "without it" in answer.json["detail"], answer
            answer = gate.rest.post("search", {"q": "a"}, headers={"Content-Encoding": encoding})
            problem(answer, 415, "unsupported_body_type")
            reply, _ = ask(gate.zmq(zmq.REQ), {**SUBMIT, "headers": {**named, "Content-Encoding": encoding}}, b"x")
            assert reply["status"] == 415, reply
        assert gate.broker.count("submit") == 0
        assert gate.rest.post("documents", b"x", headers={**named, "Content-Encoding": "identity"}).status == 201


def test_json_is_in_utf_8():
    with gateway() as gate:
        body = '{"q": "näher"}'
        for charset in ("latin1", "utf-16", "utf-8; charset=latin1", '"'):
            answer = gate.rest.post("search", body.encode("latin1"),
                                    headers={"Content-Type": "application/json; charset=" + charset})
            problem(answer, 415, "unsupported_body_type")
        for kind in ("application/json", "application/json;charset=UTF-8", 'Application/JSON; charset="utf-8"',
                     "application/json; v=1"):
            answer = gate.rest.post("search", body.encode(), headers={"Content-Type": kind})
            assert answer.status == 200 and answer.json["query"] == "näher", (kind, answer)
