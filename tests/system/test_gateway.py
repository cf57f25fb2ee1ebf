"""The gateway alone, between real clients and a broker that does only what it is told (fake_broker.py)."""
import contextlib
import hashlib
import http.client
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
import uuid


from gateway_alone import TASKS, Events, gateway, problem, read_all
from harness import BIN, Rest, wait_for


# --- starting ---


def refused(*options):
    with tempfile.TemporaryDirectory() as directory:
        ends = [word for name in ("broker", "query", "feed") for word in (f"--{name}", f"ipc://{directory}/{name}")]
        return subprocess.run([str(BIN / "myelin-gateway"), *ends, "--data", directory, *options],
                              capture_output=True, text=True, timeout=20)


def test_other_than_loopback_addresses_are_refused():
    for options in (("--http", "0.0.0.0:0"), ("--http", "192.168.1.1:80"), ("--http", "[::]:0"),
                    ("--http", "127.0.0.1:0", "--req", "tcp://0.0.0.0:0"),
                    ("--http", "127.0.0.1:0", "--req", "tcp://*:0")):
        ended = refused(*options)
        assert ended.returncode == 2 and "loopback" in ended.stderr, ended
        assert not ended.stdout.startswith("ready"), ended


def test_wrong_options_are_refused_with_a_sentence():
    assert "ADDRESS:PORT" in refused("--http", "nonsense").stderr
    ended = refused("--data", "/nonexistent/place")
    assert ended.returncode == 1 and "/nonexistent/place" in ended.stderr


# --- routes ---


def test_readiness_names_what_is_missing():
    with gateway(broker=False) as gate:
        assert gate.rest.get("/livez").json == {"status": "alive"}
        answer = gate.rest.get("/readyz")
        assert answer.status == 503 and answer.json["status"] == "not_ready"
        for name in ("broker", "storage"):
            check = answer.json["checks"][name]
            assert check["ok"] is False and name in check["reason"], check


def test_every_route_answers_with_and_without_a_trailing_slash():
    with gateway() as gate:
        made = gate.submit()
        document, task = made["document"]["id"], made["task"]["id"]
        paths = ["documents", f"documents/{document}", f"documents/{document}/content", f"documents/{document}/chunks",
                 "document-processing/tasks", TASKS + task, TASKS + task + "/events",
                 "document-processing/queue/status", "document-processing/quarantine"]
        for path in paths:
            assert gate.rest.get(path).status == 200, path
            assert gate.rest.get(path + "/").status == 200, path
        for slash in ("", "/"):
            assert gate.rest.get(f"search{slash}?q=x").status == 200
            assert gate.rest.post("search" + slash, {"q": "x"}).status == 200
            assert gate.rest.post(f"{TASKS}{task}/process{slash}").status == 202
            assert gate.rest.post("document-processing/quarantine/retry" + slash, {}).status == 202
            problem(gate.rest.get(f"{TASKS}{task}/result{slash}"), 409, "conflict")
        answer = gate.rest.post(TASKS, {"document_id": document, "priority": 9, "options": {"a": [1]}})
        assert answer.status == 202
        assert answer.headers["Location"] == "/api/v1/" + TASKS + answer.json["id"]
        asked = gate.broker.last("task_create")
        assert asked["priority"] == 9 and json.loads(asked["options"]) == {"a": [1]} and asked["user"] == b"local"
        assert gate.rest.put(TASKS + task, {"status": "cancelled"}).status == 200
        assert gate.broker.last("task_update")["cancel"] == 1
        assert gate.rest.put(TASKS + task, {"priority": 10}).status == 200
        assert gate.broker.last("task_update")["priority"] == 10
        assert gate.rest.delete(TASKS + task).status == 204
        assert gate.rest.delete(f"documents/{document}").status == 204
        problem(gate.rest.get(f"documents/{document}"), 404, "not_found")


def test_list_filters_reach_the_broker():
    with gateway() as gate:
        document, cursor = str(uuid.uuid4()), str(uuid.uuid4())
        assert gate.rest.get(f"document-processing/tasks?status=pending,failed&priority=1,10&document_id={document}"
                             "&created_after=2024-01-01&created_before=2024-01-02T00:00:00%2B01:00"
                             f"&error_code=damaged_document,timeout&limit=7&cursor={cursor}&order=asc").status == 200
        asked = gate.broker.last("task_list")
        assert asked["statuses"] == 0b01001 and asked["priorities"] == 1 << 1 | 1 << 10
        assert str(asked["document"]) == document and str(asked["cursor"]) == cursor
        assert asked["created_after"] == 1704067200000 and asked["created_before"] == 1704150000000
        assert asked["error_codes"] == b"damaged_document,timeout"
        assert asked["limit"] == 7 and asked["oldest_first"] == 1 and asked["quarantine"] == 0
        assert gate.rest.get("document-processing/quarantine?error_code=timeout").status == 200
        assert gate.broker.last("task_list")["quarantine"] == 1
        assert gate.rest.get("search?q=caf%C3%A9+noir&limit=3&mode=text").status == 200
        asked = gate.broker.last("search")
        assert asked["query"].decode() == "café noir" and asked["limit"] == 3 and asked["mode"] == 1


def test_bad_requests_get_the_problem_that_names_them():
    with gateway() as gate:
        made = gate.submit()
        document, task = made["document"]["id"], made["task"]["id"]
        rest, nobody = gate.rest, str(uuid.uuid4())
        problem(rest.get("nothing"), 404, "not_found")
        problem(rest.get("/"), 404, "not_found")
        problem(rest.get("documents/not-an-id"), 404, "not_found")
        assert rest.get("documents/not-an-id").raw == rest.get(f"documents/{nobody}").raw == rest.get(TASKS + nobody).raw
        answer = rest.delete("search")
        problem(answer, 405, "method_not_allowed")
        assert answer.headers["Allow"] == "GET, POST"
        problem(rest.call("PATCH", "documents"), 405, "method_not_allowed")
        problem(rest.get("documents?colour=red"), 400, "unknown_parameter")
        for query in ("limit=0", "limit=201", "limit=x", "cursor=abc", "order=up", "limit=1&limit=2"):
            problem(rest.get("documents?" + query), 400, "invalid_parameter")
        for query in ("status=ready", "status=", "priority=11", "priority=1,,2", "created_after=soon",
                      "error_code=nonsense", "document_id=x"):
            problem(rest.get("document-processing/tasks?" + query), 400, "invalid_parameter")
        for query in ("wait=61", "wait=-1"):
            problem(rest.get(f"{TASKS}{task}?{query}"), 400, "invalid_parameter")
        for query in ("", "q=", "q=x&limit=101", "q=x&mode=fast", "q=%FF%FE"):
            assert rest.get("search?" + query).status == 400, query
        problem(rest.get("search?q=%zz"), 400, "malformed")
        null = "00000000-0000-0000-0000-000000000000"  # no id, and no way to say "all"
        problem(rest.get(f"document-processing/tasks?document_id={null}"), 400, "invalid_parameter")
        problem(rest.get(f"events?task_id={null}"), 400, "invalid_parameter")
        problem(rest.post("search", {"q": "x", "document_id": null}), 422, "invalid_value")
        for name in ("task_id", "document_id"):
            problem(rest.post("document-processing/quarantine/retry", {name: null}), 422, "invalid_value")
        problem(rest.post("search", {}), 422, "invalid_value")
        problem(rest.post("search", {"q": ""}), 422, "invalid_value")
        problem(rest.post("search", {"q": "x", "limit": "3"}), 422, "invalid_value")
        problem(rest.post("search", {"q": "x", "deep": True}), 422, "unknown_field")
        problem(rest.post(TASKS, {}), 422, "invalid_value")
        problem(rest.post(TASKS, {"document_id": document, "priority": 11}), 422, "invalid_value")
        problem(rest.post(TASKS, {"document_id": document, "priority": 0}), 422, "invalid_value")
        problem(rest.post(TASKS, {"document_id": document, "options": []}), 422, "invalid_value")
        problem(rest.post(TASKS, {"document_id": nobody}), 404, "not_found")
        problem(rest.put(TASKS + task, {}), 422, "invalid_value")
        problem(rest.put(TASKS + task, {"status": "completed"}), 422, "invalid_value")
        problem(rest.put(TASKS + task, {"progress": 5}), 422, "unknown_field")
        json_type = {"Content-Type": "application/json"}
        problem(rest.post(TASKS, b"{", headers=json_type), 400, "malformed")
        problem(rest.post(TASKS, b"[1]", headers=json_type), 400, "malformed")
        problem(rest.post(TASKS, b'{"priority":1,"priority":2}', headers=json_type), 400, "malformed")
        problem(rest.post(TASKS, b"<x/>", headers={"Content-Type": "text/xml"}), 415, "unsupported_body_type")
        problem(rest.post(TASKS, b'"' + b"x" * (1 << 20), headers=json_type), 413, "body_too_large")
        problem(rest.post("documents?priority=11", b"x", headers={"X-Filename": "a"}), 400, "invalid_parameter")
        problem(rest.post("documents", b"x"), 400, "malformed")
        for name in ("%zz", "%FF", "a%00b", "a%0Ab", "x" * 1025):
            problem(rest.post("documents", b"x", headers={"X-Filename": name}), 400, "malformed")
        problem(rest.post("search", {"q": "x"}, headers={"Idempotency-Key": "k" * 256}), 400, "malformed")
        assert rest.get("/livez").status == 200


# --- documents ---


def test_upload_tells_the_broker_all_about_the_document():
    with gateway() as gate:
        made = gate.rest.call("POST", "documents/?priority=8&on_duplicate=reprocess", b"some text",
                              {"X-Filename": urllib.parse.quote("résumé ä.txt"), "Content-Type": "text/plain",
                               "Idempotency-Key": "k1"})
        assert made.status == 201 and made.headers["Location"]
        asked = gate.broker.last("submit")
        assert asked["filename"].decode() == "résumé ä.txt" and asked["media_type"] == b"text/plain"
        assert asked["bytes"] == 9 and asked["in_file"] == 0 and asked["priority"] == 8 and asked["reprocess"] == 1
        assert asked["hash"] == hashlib.blake2b(b"some text", digest_size=32).digest()
        assert asked["task"].version == 7 and asked["document"].version == 7
        assert asked["idem_key"] == b"k1" and len(asked["idem_hash"]) == 32
        first = asked["idem_hash"]
        for content, same in ((b"some text", True), (b"other text", False)):
            gate.rest.call("POST", "documents?on_duplicate=reprocess&priority=8", content,
                           {"X-Filename": urllib.parse.quote("résumé ä.txt"), "Idempotency-Key": "k1"})
            assert (gate.broker.last("submit")["idem_hash"] == first) is same
        gate.submit(query="process=false")
        assert gate.broker.last("submit")["task"].int == 0 and gate.broker.last("submit")["idem_hash"] == b""
        gate.submit(b"")
        assert gate.broker.last("submit")["bytes"] == 0


def test_large_documents_go_to_their_blob_file_and_come_back():
    with gateway() as gate:
        content = os.urandom(9_000_000)
        made = gate.submit(content)
        asked = gate.broker.last("submit")
        digest = hashlib.blake2b(content, digest_size=32).hexdigest()
        assert asked["in_file"] == 1 and asked["bytes"] == len(content) and asked["hash"].hex() == digest
        path = gate.directory / "blobs" / ("u-" + b"local".hex()) / digest[:2] / digest
        assert path.read_bytes() == content
        assert not list((gate.directory / "blobs" / "tmp").iterdir())
        answer = gate.rest.get(f"documents/{made['document']['id']}/content")
        assert answer.raw == content and answer.headers["X-Content-Type-Options"] == "nosniff"
        chunked = http.client.HTTPConnection(gate.host.hostname, gate.host.port, timeout=30)
        chunked.request("POST", "/api/v1/documents", iter([content[:5_000_000], content[5_000_000:]]),
                        {"X-Filename": "c.bin"}, encode_chunked=True)
        assert chunked.getresponse().status == 201
        assert gate.broker.last("submit")["hash"].hex() == digest


def test_content_comes_back_with_its_type_and_name():
    with gateway() as gate:
        made = gate.rest.post("documents", b"<b>x</b>", headers={"X-Filename": "a%20%22b%22%E2%82%AC.html",
                                                                 "Content-Type": "text/html"})
        answer = gate.rest.get(f"documents/{made.json['document']['id']}/content")
        assert answer.raw == b"<b>x</b>" and answer.headers["Content-Type"] == "text/html"
        assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''a%20%22b%22%E2%82%AC.html"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert gate.rest.get(f"documents/{made.json['document']['id']}/chunks").json == {"items": [],
                                                                                          "next_cursor": None}
        problem(gate.rest.get(f"documents/{uuid.uuid4()}/chunks"), 404, "not_found")
        problem(gate.rest.get(f"documents/{uuid.uuid4()}/content"), 404, "not_found")


def test_too_large_a_body_is_refused_before_it_is_read():
    with gateway("--max-upload", "1M") as gate:
        head = b"POST /api/v1/documents HTTP/1.1\r\nHost: localhost\r\nX-Filename: a\r\n"
        with socket.create_connection((gate.host.hostname, gate.host.port), timeout=10) as connection:
            connection.sendall(head + b"Content-Length: 9999999999\r\n\r\n")
            assert b" 413 " in connection.recv(65536)
        assert b" 411 " in gate.raw(head + b"Connection: close\r\n\r\n")
        # one that is being sent regardless still gets its answer
        answer = gate.rest.post("documents", b"x" * 3_000_000, headers={"X-Filename": "a"})
        problem(answer, 413, "body_too_large")
        with socket.create_connection((gate.host.hostname, gate.host.port), timeout=10) as connection:
            connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
            block = b"40000\r\n" + b"y" * 0x40000 + b"\r\n"
            with contextlib.suppress(ConnectionError):
                for _ in range(40):
                    connection.sendall(block)
            answer = read_all(connection)
        assert b" 413 " in answer and b"body_too_large" in answer, answer[:200]
        assert gate.broker.count("submit") == 0
        assert not list((gate.directory / "blobs" / "tmp").iterdir())
        gate.submit(b"x" * (1 << 20))


def test_an_upload_whose_client_goes_leaves_nothing():
    with gateway() as gate:
        with socket.create_connection((gate.host.hostname, gate.host.port), timeout=10) as connection:
            connection.sendall(b"POST /api/v1/documents HTTP/1.1\r\nHost: localhost\r\nX-Filename: a\r\n"
                               b"Content-Length: 5000000\r\n\r\n" + b"z" * 1_000_000)
            wait_for(lambda: list((gate.directory / "blobs").glob("tmp/*")), 5, "the temporary file")
        wait_for(lambda: not list((gate.directory / "blobs").glob("tmp/*")), 5, "the temporary file is gone")


# --- the broker comes and goes ---


def test_a_get_rides_out_a_broker_that_restarts():
    with gateway() as gate:
        made = gate.submit()
        gate.broker.mute.add("document_get")
        answers = []
        asker = threading.Thread(target=lambda: answers.append(
            Rest(gate.addresses["http"]).get(f"documents/{made['document']['id']}")))
        asker.start()
        wait_for(lambda: gate.broker.count("document_get") == 1, 5, "the question")
        gate.broker.stop()
        late = threading.Thread(target=lambda: answers.append(Rest(gate.addresses["http"]).post(
            "documents", b"late", headers={"X-Filename": "late.txt"})))
        late.start()
        gate.broker.mute.clear()
        gate.broker.start()
        asker.join(10)
        late.join(10)
        assert sorted(answer.status for answer in answers) == [200, 201], answers
        assert gate.broker.count("document_get") == 2


def test_a_submit_whose_answer_was_lost_is_a_503_at_once():
    with gateway() as gate:
        gate.broker.mute.add("submit")
        answers = []
        asker = threading.Thread(target=lambda: answers.append(Rest(gate.addresses["http"]).post(
            "documents", b"x", headers={"X-Filename": "x.txt"})))
        asker.start()
        wait_for(lambda: gate.broker.count("submit") == 1, 5, "the submit")
        started = time.monotonic()
        gate.broker.stop()
        asker.join(10)
        problem(answers[0], 503, "unavailable")
        assert answers[0].headers["Retry-After"] == "1" and time.monotonic() - started < 2
        started = time.monotonic()
        answer = gate.rest.get("documents")
        problem(answer, 503, "unavailable")
        assert time.monotonic() - started < 5
        started = time.monotonic()
        problem(gate.rest.get("documents"), 503, "unavailable")
        assert time.monotonic() - started < 0.5
        gate.broker.mute.clear()
        gate.broker.start()
        wait_for(lambda: gate.rest.get("documents").status == 200, 5, "the broker is found again")


def test_foreign_frames_from_behind_are_dropped():
    with gateway() as gate:
        gate.broker.documents.clear()
        gate.broker.mute.add("health")
        assert gate.rest.get("documents").status == 200
        answer = gate.rest.get("/readyz")
        assert answer.status == 503 and "time" in answer.json["checks"]["broker"]["reason"]


# --- waiting and watching ---


def test_waiting_for_a_task_ends_with_the_task():
    with gateway() as gate:
        task = gate.submit()["task"]["id"]
        answers = []
        asker = threading.Thread(target=lambda: answers.append(gate.rest.get(f"{TASKS}{task}?wait=30")))
        asker.start()
        assert gate.broker.subscribed.wait(5)
        started = time.monotonic()
        gate.broker.finish(task)
        asker.join(10)
        assert answers[0].json["status"] == "completed" and time.monotonic() - started < 1
        assert gate.rest.get(f"{TASKS}{task}?wait=30").json["status"] == "completed"
        problem(gate.rest.get(f"{TASKS}{uuid.uuid4()}?wait=30"), 404, "not_found")


def test_waiting_ends_at_its_deadline_with_the_state_as_it_is():
    with gateway() as gate:
        task = gate.submit()["task"]["id"]
        started = time.monotonic()
        assert gate.rest.get(f"{TASKS}{task}?wait=1").json["status"] == "pending"
        assert 0.9 < time.monotonic() - started < 3


def test_a_lost_event_delays_the_answer_but_does_not_lose_it():
    with gateway() as gate:
        task = gate.submit()["task"]["id"]
        gate.broker.tasks[uuid.UUID(task)]["status"] = "processing"
        threading.Timer(0.3, lambda: gate.broker.tasks[uuid.UUID(task)].update(status="failed")).start()
        started = time.monotonic()
        assert gate.rest.get(f"{TASKS}{task}?wait=20").json["status"] == "failed"
        assert time.monotonic() - started < 5


def test_events_stream_filter_and_replay():
    with gateway() as gate:
        first, second = (gate.submit(text)["task"] for text in (b"1", b"2"))
        everything = Events(gate)
        assert gate.broker.subscribed.wait(5)
        gate.broker.publish("started", first)
        event = everything.next()
        assert event["id"] == "1" and event["event"] == "started"
        assert json.loads(event["data"])["task"]["id"] == first["id"]
        only = Events(gate, f"?task_id={second['id']}")
        gate.broker.publish("progress", first)
        gate.broker.publish("progress", second)
        assert only.next()["id"] == "3"
        assert [everything.next()["id"] for _ in range(2)] == ["2", "3"]
        with gate.broker.lock:
            gate.broker.outbox.append([b"queue.local", b'{"event":"queue","queue":{"pending_tasks":2}}'])
        event = everything.next()
        assert event["event"] == "queue" and "id" not in event
        everything.close()
        again = Events(gate, last_id=1)
        assert [again.next()["id"] for _ in range(2)] == ["2", "3"]
        assert again.next()["event"] == "queue"
        assert Events(gate, last_id=99).next()["event"] == "reset"
        assert Events(gate, last_id="nonsense").next()["event"] == "reset"
        current = Events(gate, last_id=3)
        gate.broker.publish("completed", first)
        while current.next()["event"] == "queue":
            pass
        problem(gate.rest.get("events?task_id=x"), 400, "invalid_parameter")


def test_a_stream_of_one_task_is_shown_where_it_stands():
    with gateway() as gate:
        task = gate.submit()["task"]
        everything = Events(gate)
        assert gate.broker.subscribed.wait(5)
        topic = f"task.local.{task['id']}".encode()
        replay = json.dumps({"seq": 5, "event": "progress", "replay": True, "task": task}, separators=(",", ":"))
        streams = []
        for count in (1, 2):
            streams.append(Events(gate, f"?task_id={task['id']}"))
            wait_for(lambda: gate.broker.topics.count(topic) == count, 5, "each stream's subscription")
            with gate.broker.lock:
                gate.broker.outbox.append([topic, replay.encode()])
            event = streams[-1].next()
            assert event["event"] == "progress" and "id" not in event
        gate.broker.seq = 9
        gate.broker.publish("completed", task)
        event = everything.next()
        while "id" not in event:  # repeated for others, and no news
            event = everything.next()
        assert event["id"] == "10"
        assert streams[-1].next()["id"] == "10"
        for stream in streams:
            stream.close()


def test_a_stream_of_a_task_that_has_ended_says_so():
    with gateway() as gate:
        problem(gate.rest.get(f"events?task_id={uuid.uuid4()}"), 404, "not_found")
        task = gate.submit()["task"]["id"]
        gate.broker.finish(task, "failed")
        everything = Events(gate)
        for _ in range(2):
            stream = Events(gate, f"?task_id={task}")
            event = stream.next()
            assert event["event"] == "failed" and "id" not in event, event
            said = json.loads(event["data"])
            assert said["replay"] is True and said["task"]["id"] == task and said["task"]["status"] == "failed"
            stream.close()
        everything.close()


def test_a_task_that_ends_while_its_stream_is_opened_is_told_once():
    with gateway() as gate:
        first, second = (gate.submit(text)["task"]["id"] for text in (b"1", b"2"))
        stream = Events(gate, f"?task_id={first}")
        # it ends, and the event passes before the subscription has arrived
        gate.broker.tasks[uuid.UUID(first)]["status"] = "completed"
        event = stream.next()
        assert event["event"] == "completed" and "id" not in event, event
        stream.close()
        stream, everything = Events(gate, f"?task_id={second}"), Events(gate)
        wait_for(lambda: f"task.local.{second}".encode() in gate.broker.topics, 5, "the subscription")
        gate.broker.finish(second)
        assert stream.next()["id"] == "1"
        # whatever is asked because of the event has been answered when the next one comes
        wait_for(lambda: gate.broker.count("task_get") >= 5, 5, "the question")
        gate.broker.publish("deleted", {"id": second})
        assert stream.next()["event"] == "deleted"
        for one in (stream, everything):
            one.close()


def test_a_slow_stream_is_cut_and_delays_nobody():
    with gateway() as gate:
        task = gate.submit()["task"]
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((gate.host.hostname, gate.host.port))
        slow.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        slow.recv(10)
        quick = Events(gate)
        assert gate.broker.subscribed.wait(5)
        fat = {**task, "error_message": "x" * 2000}
        received = []

        def read():
            while len(received) < 12000:
                received.append(quick.next()["id"])

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        for number in range(12000):
            gate.broker.publish("progress", fat)
            if number % 500 == 0:  # the quick one is to stay quick
                wait_for(lambda: number - len(received) < 1000, 20, "the events")
        reader.join(30)
        assert received == [str(number) for number in range(1, 12001)], (len(received), received[:3], received[-3:])
        slow.settimeout(10)
        total = len(read_all(slow))
        assert total < 12000 * 2000, total


def test_streams_and_waits_do_not_hold_up_other_requests():
    with gateway() as gate:
        task = gate.submit()["task"]
        streams = [Events(gate) for _ in range(20)]
        waiting = [threading.Thread(target=lambda: Rest(gate.addresses["http"]).get(f"{TASKS}{task['id']}?wait=60"))
                   for _ in range(20)]
        for thread in waiting:
            thread.start()
        slowest, failures = [], []

        def work():
            rest, worst = Rest(gate.addresses["http"]), 0
            for number in range(100):
                started = time.monotonic()
                answer = rest.post("documents", b"x%d" % number, headers={"X-Filename": "x"}) if number % 2 else \
                    rest.get("documents?limit=1")
                if answer.status not in (200, 201):
                    failures.append(answer)
                worst = max(worst, time.monotonic() - started)
            slowest.append(worst)

        workers = [threading.Thread(target=work) for _ in range(8)]
        for thread in workers:
            thread.start()
        for _ in range(50):
            gate.broker.publish("progress", task)
            time.sleep(0.01)
        for thread in workers:
            thread.join(60)
        assert not failures and len(slowest) == 8
        assert max(slowest) < 2, slowest
        for stream in streams:
            assert [stream.next()["id"] for _ in range(50)] == [str(number) for number in range(1, 51)]
        gate.broker.finish(task["id"])
        for thread in waiting:
            thread.join(10)
            assert not thread.is_alive()
