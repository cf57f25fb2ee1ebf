"""Every call of the API and every answer to a wrong one, over REST and over ZeroMQ REQ: one API, two transports."""
import http.client
import json
import re
import time
import urllib.parse
import uuid

from harness import API, TASKS, running, wait_for

QUEUE = "document-processing/queue/status/"
QUARANTINE = "document-processing/quarantine/"
TASK_FIELDS = {"id", "document_id", "user_id", "status", "stage", "priority", "progress", "error_message", "error_code",
               "result_document_id", "attempts", "queue_position", "segments", "created_at", "updated_at", "started_at",
               "completed_at"}
RESULT_FIELDS = {"task_id", "document_id", "chunks_created", "embeddings_generated", "processing_time_seconds", "status",
                 "error_message", "warnings"}
QUEUE_FIELDS = {"total_tasks", "pending_tasks", "processing_tasks", "completed_tasks", "failed_tasks",
                "cancelled_tasks", "average_processing_time", "stages"}
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
NOTE = ("The lighthouse keeper writes a note every evening. Tonight the fog came early, and three ships waited outside "
        "the harbour until dawn.")


class OverRest:
    name = "REST"

    def __init__(self, system):
        self.system = system

    def call(self, method, path, query=None, body=None, headers=None, content=None):
        if query:
            path += "?" + urllib.parse.urlencode(query)
        headers = dict(headers or {})
        if content is not None:
            headers.setdefault("Content-Type", "application/octet-stream")
        return self.system.rest.call(method, path, content if content is not None else body, headers)


class OverReq:
    name = "REQ"

    def __init__(self, system):
        self.system = system

    def call(self, method, path, query=None, body=None, headers=None, content=None):
        return self.system.req.call(method, path, body, query, headers, content)


def both(system):
    for transport in (OverRest, OverReq):
        yield transport(system)


def upload(client, name, text, query=None, headers=None):
    answer = client.call("POST", "documents/", query, headers={"X-Filename": urllib.parse.quote(name), **(headers or {})},
                         content=text.encode() if isinstance(text, str) else text)
    assert answer.status in (200, 201), (client.name, answer)
    return answer


def finished(system, task_id):
    return system.rest.wait(task_id)


def problem(answer, status, code):
    """The answer is a problem+json of this status and code."""
    assert answer.status == status, (answer, status, code)
    body = answer.json
    assert body["code"] == code, (body, code)
    assert body["status"] == status and body["title"] and body["detail"] and body["type"], body
    kind = answer.headers.get("Content-Type") or answer.headers.get("content-type")
    assert kind and kind.startswith("application/problem+json"), kind


def test_upload_process_result():
    with running() as system:
        for client in both(system):
            answer = upload(client, "näme %.txt", f"{client.name}: {NOTE}", {"priority": "7"})
            assert answer.status == 201
            document, task = answer.json["document"], answer.json["task"]
            assert document["filename"] == "näme %.txt" and document["user_id"] == "local"
            assert task.keys() == TASK_FIELDS, task.keys() ^ TASK_FIELDS
            assert task["priority"] == 7 and task["status"] in ("pending", "processing") and task["progress"] == 0
            assert task["document_id"] == document["id"]
            assert uuid.UUID(task["id"]).version == 7 and uuid.UUID(document["id"]).version == 7

            done = finished(system, task["id"])
            assert done["status"] == "completed" and done["progress"] == 100, done
            assert done["result_document_id"] == document["id"] and done["error_code"] is None
            assert done["segments"] == {"total": 1, "done": 1, "failed": 0}
            for name in ("created_at", "updated_at", "started_at", "completed_at"):
                assert TIME.match(done[name]), done[name]
            assert done["created_at"] <= done["started_at"] <= done["completed_at"]

            result = client.call("GET", f"{TASKS}{task['id']}/result")
            assert result.status == 200 and result.json.keys() == RESULT_FIELDS
            assert result.json["status"] == "success" and result.json["chunks_created"] == 1
            assert result.json["embeddings_generated"] == 1 and result.json["warnings"] == []
            assert result.json["processing_time_seconds"] > 0

            shown = client.call("GET", f"documents/{document['id']}").json
            assert shown["status"] == "completed" and shown["chunks"] == 1


def test_content_and_chunks():
    with running() as system:
        for client in both(system):
            text = f"# Heading of {client.name}\n\n" + "\n\n".join(f"Paragraph {i}. {NOTE}" for i in range(40))
            reply = upload(client, "long.md", text).json
            assert finished(system, reply["task"]["id"])["status"] == "completed"
            document = f"documents/{reply['document']['id']}"
            content = client.call("GET", document + "/content")
            assert content.status == 200 and content.raw == text.encode(), content
            first = client.call("GET", document + "/chunks", {"limit": "2"})
            assert first.status == 200 and len(first.json["items"]) == 2 and first.json["next_cursor"]
            chunk = first.json["items"][0]
            assert chunk["index"] == 0 and chunk["start"] == 0 and chunk["end"] > 0
            assert f"Heading of {client.name}" in (chunk.get("heading") or ""), chunk
            second = client.call("GET", document + "/chunks", {"limit": "200", "cursor": first.json["next_cursor"]})
            assert [item["index"] for item in second.json["items"]][:2] == [2, 3]
            assert second.json["next_cursor"] is None
            everything = " ".join(item["text"] for item in first.json["items"] + second.json["items"])
            assert all(f"Paragraph {i}." in everything for i in range(40))


def test_large_upload_and_content():
    with running() as system:
        for client in both(system):
            text = "\n".join(f"{client.name} line {i} of a large document" for i in range(60000))
            reply = upload(client, "large.txt", text).json
            assert finished(system, reply["task"]["id"])["status"] == "completed"
            content = client.call("GET", f"documents/{reply['document']['id']}/content")
            assert content.raw == text.encode()


def test_multipart_upload():
    with running() as system:
        body = ("--sep\r\nContent-Disposition: form-data; name=\"priority\"\r\n\r\n9\r\n"
                "--sep\r\nContent-Disposition: form-data; name=\"file\"; filename=\"form.txt\"\r\n"
                f"Content-Type: text/plain\r\n\r\n{NOTE}\r\n--sep--\r\n").encode()
        answer = system.rest.post("documents/", body, headers={"Content-Type": "multipart/form-data; boundary=sep"})
        assert answer.status == 201, answer
        assert answer.json["document"]["filename"] == "form.txt" and answer.json["task"]["priority"] == 9
        content = system.rest.get(f"documents/{answer.json['document']['id']}/content")
        assert content.raw == NOTE.encode()


def test_store_only_then_task():
    with running() as system:
        for client in both(system):
            reply = upload(client, "later.txt", f"{client.name} later. {NOTE}", {"process": "false"}).json
            assert reply["task"] is None
            document = reply["document"]["id"]
            answer = client.call("POST", TASKS, body={"document_id": document, "priority": 3, "options": {}})
            assert answer.status == 202, answer
            location = answer.headers.get("Location") or answer.headers.get("location")
            assert location.rstrip("/").endswith(TASKS + answer.json["id"]), location
            assert answer.json["priority"] == 3
            assert finished(system, answer.json["id"])["status"] == "completed"


def test_duplicates():
    with running() as system:
        for client in both(system):
            text = f"{client.name} twice. {NOTE}"
            first = upload(client, "twice.txt", text).json
            finished(system, first["task"]["id"])
            again = upload(client, "twice.txt", text)
            assert again.status == 200, again
            assert again.json["document"]["id"] == first["document"]["id"]
            assert again.json["task"]["id"] == first["task"]["id"]
            anew = upload(client, "twice.txt", text, {"on_duplicate": "reprocess"})
            assert anew.status == 201 and anew.json["task"]["id"] != first["task"]["id"]
            assert finished(system, anew.json["task"]["id"])["status"] == "completed"


def test_idempotency_key():
    with running() as system:
        for client in both(system):
            headers = {"Idempotency-Key": f"key-{client.name}"}
            first = upload(client, "idem.txt", f"{client.name} {NOTE}", headers=headers)
            again = upload(client, "idem.txt", f"{client.name} {NOTE}", headers=headers)
            assert again.json["task"]["id"] == first.json["task"]["id"] and again.status == first.status
            other = client.call("POST", "documents/", headers={**headers, "X-Filename": "idem.txt"}, content=b"other")
            problem(other, 422, "idempotency_mismatch")


def test_lists_filters_and_pages():
    with running() as system:
        ids = []
        for i in range(7):
            reply = system.rest.submit(f"page-{i}.txt", f"Number {i}. {NOTE}".encode(), f"priority={i % 3 + 1}")
            ids.append(reply["task"]["id"])
            finished(system, ids[-1])
        middle = system.rest.get(TASKS + ids[3]).json
        failed = system.rest.submit("empty.txt", b"")["task"]["id"]
        assert finished(system, failed)["status"] == "failed"
        for client in both(system):
            def listed(**query):
                answer = client.call("GET", TASKS, query)
                assert answer.status == 200, (query, answer)
                return [item["id"] for item in answer.json["items"]]
            assert listed(status="completed") == ids[::-1]
            assert listed(status="completed", order="asc") == ids
            assert listed(status="failed") == [failed]
            assert listed(status="failed,completed") == [failed] + ids[::-1]
            assert listed(status="pending") == []
            assert listed(priority="2") == [ids[4], ids[1]]
            assert sorted(listed(priority="1,3")) == sorted(ids[0::3] + ids[2::3])
            assert listed(document_id=middle["document_id"]) == [ids[3]]
            assert listed(error_code="empty_document") == [failed]
            assert listed(created_after=middle["created_at"], status="completed") == ids[:3:-1]
            assert listed(created_before=middle["created_at"]) == ids[2::-1]
            pages, cursor = [], None
            while True:
                query = {"limit": "3", "status": "completed", **({"cursor": cursor} if cursor else {})}
                page = client.call("GET", TASKS, query).json
                assert len(page["items"]) <= 3
                pages += [item["id"] for item in page["items"]]
                cursor = page["next_cursor"]
                if not cursor:
                    break
            assert pages == ids[::-1]
            documents = client.call("GET", "documents", {"limit": "3", "order": "asc"}).json
            assert [item["filename"] for item in documents["items"]] == ["page-0.txt", "page-1.txt", "page-2.txt"]
            assert documents["next_cursor"]


def test_wait_history_and_queue():
    with running() as system:
        for client in both(system):
            task = upload(client, "wait.txt", f"{client.name} waits. {NOTE}").json["task"]
            done = client.call("GET", TASKS + task["id"], {"wait": "30"})
            assert done.json["status"] == "completed"
            history = client.call("GET", f"{TASKS}{task['id']}/events")
            assert history.status == 200, history
            events = history.json["items"]
            assert [event["at"] for event in events] == sorted(event["at"] for event in events)
            assert {event["stage"] for event in events if event.get("stage")} >= {"extract", "chunk", "embed",
                                                                                  "storage"}, events
            status = client.call("GET", QUEUE)
            assert status.status == 200 and status.json.keys() >= QUEUE_FIELDS, status
            assert status.json["completed_tasks"] == status.json["total_tasks"] > 0
            assert status.json["pending_tasks"] == status.json["processing_tasks"] == 0
            for name in ("extract", "chunk", "embed", "storage"):
                assert status.json["stages"][name].keys() >= {"ready", "running", "workers", "done_per_second"}
            wait_for(lambda: client.call("GET", QUEUE).json["stages"]["extract"]["workers"] == 2, 10, "both are known")


def test_waiting_for_a_task_answers_after_its_time():
    with running(workers="extract=0") as system:
        for client in both(system):
            task = upload(client, "stuck.txt", f"{client.name} stuck").json["task"]
            started = time.monotonic()
            answer = client.call("GET", TASKS + task["id"], {"wait": "1"})
            assert answer.status == 200 and answer.json["status"] == "pending"
            assert 0.9 <= time.monotonic() - started < 5


def test_update_cancel_delete():
    with running(workers="extract=0") as system:  # nothing is taken: everything stays pending
        for client in both(system):
            first = upload(client, "a.txt", f"{client.name} first").json["task"]["id"]
            second = upload(client, "b.txt", f"{client.name} second").json["task"]["id"]
            assert system.rest.get(TASKS + second).json["queue_position"] >= 2
            changed = client.call("PUT", TASKS + second, body={"priority": 9})
            assert changed.status == 200 and changed.json["priority"] == 9
            assert changed.json["queue_position"] < system.rest.get(TASKS + first).json["queue_position"]
            moved = client.call("POST", f"{TASKS}{first}/process/")
            assert moved.status == 202 and moved.json["queue_position"] == 1, moved
            problem(client.call("GET", f"{TASKS}{first}/result"), 409, "conflict")

            cancelled = client.call("PUT", TASKS + second, body={"status": "cancelled"})
            assert cancelled.status == 200 and cancelled.json["status"] == "cancelled", cancelled
            assert cancelled.json["completed_at"]
            problem(client.call("PUT", TASKS + second, body={"priority": 2}), 409, "conflict")
            revived = client.call("POST", f"{TASKS}{second}/process")
            assert revived.status == 202 and revived.json["status"] == "pending", revived

            assert client.call("DELETE", TASKS + second).status == 204
            problem(client.call("GET", TASKS + second), 404, "not_found")
            document = system.rest.get(TASKS + first).json["document_id"]
            assert client.call("DELETE", f"documents/{document}").status == 204
            problem(client.call("GET", f"documents/{document}"), 404, "not_found")
            problem(client.call("GET", TASKS + first), 404, "not_found")


def test_failures_and_quarantine():
    with running() as system:
        for client in both(system):
            for name, content, code in (("empty.txt", b"", "empty_document"),
                                        (f"{client.name}.bin", bytes(range(256)) * 8 + client.name.encode(),
                                         "unsupported_media_type"),
                                        (f"{client.name}.pdf", b"%PDF-1.4\nno " + client.name.encode(),
                                         "damaged_document")):
                task = upload(client, name, content, {"on_duplicate": "reprocess"}).json["task"]
                done = finished(system, task["id"])
                assert (done["status"], done["error_code"]) == ("failed", code), done
                assert done["error_message"] and done["completed_at"]
                result = client.call("GET", f"{TASKS}{task['id']}/result").json
                assert result["status"] == "failed" and result["chunks_created"] == 0
                listed = client.call("GET", QUARANTINE, {"document_id": task["document_id"]})
                assert listed.status == 200, listed
                item = listed.json["items"][0]
                assert item["task"]["id"] == task["id"] and item["task"]["error_code"] == code
                assert item["document"]["filename"] == name
                retried = client.call("POST", QUARANTINE + "retry", body={"task_id": task["id"]})
                assert retried.status == 202, retried
                again = wait_for(lambda: (now := system.rest.get(TASKS + task["id"]).json)
                                 and now["attempts"] > done["attempts"] and now["status"] == "failed" and now,
                                 20, "the retried task fails again")
                assert again["error_code"] == code


def test_search():
    with running() as system:
        texts = {"bees.txt": "Honey bees dance on the comb to tell their sisters the way to the clover field.",
                 "ships.txt": "The schooner left the harbour at dawn with a cargo of salt and timber.",
                 "bread.txt": "Knead the dough, let it rise over night and bake the loaf in a hot oven."}
        ids = {}
        for name, text in texts.items():
            reply = system.rest.submit(name, text.encode())
            finished(system, reply["task"]["id"])
            ids[name] = reply["document"]["id"]
        for client in both(system):
            for mode in ("hybrid", "text", "vector"):
                answer = client.call("GET", "search", {"q": "dancing bees", "limit": "2", "mode": mode})
                assert answer.status == 200 and answer.json["took_ms"] >= 0, answer
                hits = answer.json["hits"]
                assert hits and hits[0]["document_id"] == ids["bees.txt"], (mode, hits)
                assert hits[0]["filename"] == "bees.txt" and hits[0]["text"] == texts["bees.txt"]
                assert hits[0]["start"] == 0 and hits[0]["end"] == len(texts["bees.txt"])
                assert len(hits) <= 2
            assert "<mark>" in client.call("GET", "search", {"q": "schooner"}).json["hits"][0]["snippet"]
            posted = client.call("POST", "search", body={"q": "loaf oven", "limit": 1}).json["hits"]
            assert [hit["filename"] for hit in posted] == ["bread.txt"]
            only = client.call("GET", "search", {"q": "bees", "document_id": ids["ships.txt"]}).json["hits"]
            assert all(hit["document_id"] == ids["ships.txt"] for hit in only)
        assert system.rest.delete(f"documents/{ids['bees.txt']}").status == 204
        for client in both(system):
            hits = client.call("GET", "search", {"q": "dancing bees", "mode": "text"}).json["hits"]
            assert all(hit["document_id"] != ids["bees.txt"] for hit in hits), hits


def test_paths_with_and_without_trailing_slash():
    with running() as system:
        for client in both(system):
            for path in ("documents", TASKS.rstrip("/"), QUEUE.rstrip("/"), QUARANTINE.rstrip("/")):
                assert client.call("GET", path).status == client.call("GET", path + "/").status == 200, path
            assert client.call("GET", "search/", {"q": "x"}).status == 200


def test_wrong_requests_get_their_problem():
    unknown = str(uuid.uuid4())
    cases = [
        ("GET", "nothing/here", None, None, 404, "not_found"),
        ("GET", TASKS + "no-id", None, None, 404, "not_found"),
        ("GET", TASKS + unknown, None, None, 404, "not_found"),
        ("GET", f"{TASKS}{unknown}/result", None, None, 404, "not_found"),
        ("GET", f"{TASKS}{unknown}/events", None, None, 404, "not_found"),
        ("PUT", TASKS + unknown, None, {"priority": 3}, 404, "not_found"),
        ("DELETE", TASKS + unknown, None, None, 404, "not_found"),
        ("POST", f"{TASKS}{unknown}/process/", None, None, 404, "not_found"),
        ("POST", TASKS, None, {"document_id": unknown}, 404, "not_found"),
        ("GET", f"documents/{unknown}", None, None, 404, "not_found"),
        ("GET", f"documents/{unknown}/content", None, None, 404, "not_found"),
        ("GET", f"documents/{unknown}/chunks", None, None, 404, "not_found"),
        ("DELETE", f"documents/{unknown}", None, None, 404, "not_found"),
        ("DELETE", TASKS, None, None, 405, "method_not_allowed"),
        ("PUT", "search", None, {}, 405, "method_not_allowed"),
        ("GET", TASKS, {"colour": "blue"}, None, 400, "unknown_parameter"),
        ("GET", TASKS, {"limit": "0"}, None, 400, "invalid_parameter"),
        ("GET", TASKS, {"limit": "201"}, None, 400, "invalid_parameter"),
        ("GET", TASKS, {"limit": "many"}, None, 400, "invalid_parameter"),
        ("GET", TASKS, {"status": "done"}, None, 400, "invalid_parameter"),
        ("GET", TASKS, {"priority": "11"}, None, 400, "invalid_parameter"),
        ("GET", TASKS, {"order": "sideways"}, None, 400, "invalid_parameter"),
        ("GET", TASKS, {"cursor": "x"}, None, 400, "invalid_parameter"),
        ("GET", TASKS, {"created_after": "yesterday"}, None, 400, "invalid_parameter"),
        ("GET", TASKS + unknown, {"wait": "61"}, None, 400, "invalid_parameter"),
        ("GET", "search", None, None, 400, "invalid_parameter"),
        ("GET", "search", {"q": "x", "mode": "guess"}, None, 400, "invalid_parameter"),
        ("POST", "search", None, {"q": "x", "colour": "blue"}, 422, "unknown_field"),
        ("POST", TASKS, None, {"document_id": unknown, "colour": 1}, 422, "unknown_field"),
        ("POST", TASKS, None, {"document_id": "x"}, 422, "invalid_value"),
        ("POST", TASKS, None, {"document_id": unknown, "priority": 0}, 422, "invalid_value"),
        ("POST", TASKS, None, {"document_id": unknown, "priority": 11}, 422, "invalid_value"),
        ("POST", TASKS, None, {"document_id": unknown, "priority": "5"}, 422, "invalid_value"),
        ("POST", TASKS, None, {}, 422, "invalid_value"),
        ("PUT", TASKS + unknown, None, {}, 422, "invalid_value"),
        ("PUT", TASKS + unknown, None, {"status": "completed"}, 422, "invalid_value"),
    ]
    with running() as system:
        for client in both(system):
            for method, path, query, body, status, code in cases:
                answer = client.call(method, path, query, body)
                try:
                    problem(answer, status, code)
                except AssertionError as wrong:
                    raise AssertionError(f"{client.name} {method} {path} {query} {body}: {wrong}") from None
            for priority in ("0", "11", "high"):
                answer = client.call("POST", "documents", {"priority": priority}, content=b"x",
                                     headers={"X-Filename": "x.txt"})
                problem(answer, 400, "invalid_parameter")
            # Another user's object and a missing one look the same; here: two missing ones.
            one = client.call("GET", TASKS + str(uuid.uuid4()))
            two = client.call("GET", TASKS + str(uuid.uuid4()))
            assert one.raw == two.raw


def test_malformed_bodies():
    with running() as system:
        for body in (b"{", b"[1]", b"not json", b"{\"q\":\"x\"} more", b"\xff\xfe"):
            answer = system.rest.post("search", body, headers={"Content-Type": "application/json"})
            problem(answer, 400, "malformed")
        problem(system.rest.post("search", b"q=x", headers={"Content-Type": "text/csv"}), 415, "unsupported_body_type")


def test_malformed_requests_over_zmq_are_answered():
    import zmq
    with running() as system:
        context = zmq.Context.instance()
        for frames in ([b"no json"], [b"[]"], [b"{}"], [b'{"method":"GET"}'], [b'{"method":1,"path":2}'],
                       [b'{"method":"GET","path":"documents"}'], [b"\xff\x00"], [b""]):
            socket = context.socket(zmq.REQ)
            socket.connect(system.addresses["req"])
            socket.send_multipart(frames)
            assert socket.poll(10000), f"no answer to {frames}"
            reply = json.loads(socket.recv_multipart()[0])
            assert 400 <= reply["status"] < 500 and reply["body"]["code"], (frames, reply)
            socket.close(0)
        dealer = context.socket(zmq.DEALER)  # without the empty frame of REQ, and several at once
        dealer.connect(system.addresses["req"])
        for _ in range(10):
            dealer.send(json.dumps({"method": "GET", "path": API + "documents"}).encode())
        for _ in range(10):
            assert dealer.poll(10000)
            frames = [frame for frame in dealer.recv_multipart() if frame]
            assert json.loads(frames[0])["status"] == 200
        dealer.close(0)


def test_body_larger_than_the_limit_is_refused_before_it_is_read():
    with running(args=("--max-upload", "100K")) as system:
        host = urllib.parse.urlsplit(system.addresses["http"])
        connection = http.client.HTTPConnection(host.hostname, host.port, timeout=20)
        connection.putrequest("POST", API + "documents/")
        connection.putheader("Content-Type", "application/octet-stream")
        connection.putheader("X-Filename", "huge.txt")
        connection.putheader("Content-Length", str(1 << 40))
        connection.endheaders()
        reply = connection.getresponse()  # nothing of the body was sent
        assert reply.status == 413 and json.loads(reply.read())["code"] == "body_too_large"
        connection.close()
        answer = system.req.call("POST", "documents/", headers={"X-Filename": "huge.txt"}, content=bytes(200000))
        problem(answer, 413, "body_too_large")
        fits = system.rest.submit("fits.txt", (NOTE * 500).encode()[:100000])
        assert finished(system, fits["task"]["id"])["status"] == "completed"


def test_foreign_host_and_origin_are_refused():
    with running() as system:
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            answer = system.rest.get("documents/", headers=headers)
            assert answer.status in (400, 403), (headers, answer)
            system.rest.close()


def test_health():
    with running() as system:
        assert system.rest.get("/livez").status == 200
        ready = system.rest.get("/readyz")
        assert ready.status == 200 and ready.json["status"] == "ready"


def test_server_sent_events():
    with running() as system:
        host = urllib.parse.urlsplit(system.addresses["http"])

        def stream(path, headers=None):
            connection = http.client.HTTPConnection(host.hostname, host.port, timeout=30)
            connection.request("GET", API + path, headers=headers or {})
            reply = connection.getresponse()
            assert reply.status == 200 and reply.headers["Content-Type"].startswith("text/event-stream")
            return connection, reply

        def events(reply):
            fields = {}
            while True:
                line = reply.readline().decode()
                if not line:
                    return
                line = line.rstrip("\n")
                if line and not line.startswith(":"):
                    name, _, value = line.partition(":")
                    fields[name] = value.removeprefix(" ")
                elif not line and "data" in fields:
                    yield fields.get("id"), fields.get("event"), json.loads(fields["data"])
                    fields = {}

        connection, reply = stream("events")
        task = system.rest.submit("sse.txt", NOTE.encode())["task"]["id"]
        seen = []
        for identity, _, event in events(reply):
            if event.get("task", {}).get("id") == task and not event.get("replay"):
                seen.append((identity, event))
                if event["event"] == "completed":
                    break
        connection.close()
        numbers = [event["seq"] for _, event in seen]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert [str(event["seq"]) for _, event in seen] == [identity for identity, _ in seen]
        # Who comes back with the id of the first event is told the rest.
        connection, reply = stream("events", {"Last-Event-ID": seen[0][0]})
        for identity, _, event in events(reply):
            if event.get("event") == "completed":
                break
        assert event["task"]["id"] == task
        connection.close()
