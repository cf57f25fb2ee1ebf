"""A broker and a storage for tests of the gateway alone: they speak the internal protocol, keep all in memory, and do
only what they are told. The tables of fields mirror wire/messages.h."""
import json
import struct
import threading
import time
import uuid

import zmq

KINDS = ("none hello beat bye result welcome job ack cancel drain submit document_get document_blob document_delete "
         "document_list task_create task_get task_list task_update task_delete task_process task_result task_events "
         "quarantine_retry queue_status health search chunks reply metrics").split()

REQUEST = [("req", "u64"), ("user", "span")]
IDEM = [("idem_key", "span"), ("idem_hash", "span")]
DOCUMENT = [("document", "uuid")]
TASK = [("task", "uuid")]
FIELDS = {
    "submit": REQUEST + DOCUMENT + TASK + [("filename", "span"), ("media_type", "span"), ("bytes", "u64"),
                                           ("hash", "span"), ("in_file", "u8"), ("priority", "u8"),
                                           ("reprocess", "u8"), ("options", "span")] + IDEM,
    "document_get": REQUEST + DOCUMENT,
    "document_blob": REQUEST + DOCUMENT,
    "document_delete": REQUEST + DOCUMENT,
    "document_list": REQUEST + [("limit", "u32"), ("cursor", "uuid"), ("oldest_first", "u8")],
    "task_create": REQUEST + TASK + DOCUMENT + [("priority", "u8"), ("options", "span")] + IDEM,
    "task_get": REQUEST + TASK,
    "task_list": REQUEST + [("statuses", "u32"), ("priorities", "u32"), ("document", "uuid"), ("created_after", "u64"),
                            ("created_before", "u64"), ("error_codes", "span"), ("limit", "u32"), ("cursor", "uuid"),
                            ("oldest_first", "u8"), ("quarantine", "u8")],
    "task_update": REQUEST + TASK + [("priority", "u8"), ("cancel", "u8")],
    "task_delete": REQUEST + TASK,
    "task_process": REQUEST + TASK + IDEM,
    "task_result": REQUEST + TASK,
    "task_events": REQUEST + TASK + [("limit", "u32"), ("cursor", "u64")],
    "quarantine_retry": REQUEST + TASK + DOCUMENT + [("error_codes", "span")] + IDEM,
    "queue_status": REQUEST + [("all", "u8")],
    "health": REQUEST,
    "metrics": REQUEST,
    "search": REQUEST + [("query", "span"), ("limit", "u32"), ("mode", "u8"), ("document", "uuid")],
    "chunks": REQUEST + DOCUMENT + [("limit", "u32"), ("cursor", "u64")],
    "reply": [("req", "u64"), ("status", "u32"), ("code", "span"), ("detail", "span"), ("path", "span"),
              ("location", "span")],
}
INTEGERS = {"u8": "<B", "u32": "<I", "u64": "<Q"}


def encode(kind, values):
    out = [bytes([1, KINDS.index(kind)])]
    for name, form in FIELDS[kind]:
        value = values.get(name)
        if form in INTEGERS:
            out.append(struct.pack(INTEGERS[form], value or 0))
        elif form == "uuid":
            out.append((value or uuid.UUID(int=0)).bytes)
        else:
            value = value.encode() if isinstance(value, str) else value or b""
            out.append(struct.pack("<I", len(value)) + value)
    return b"".join(out)


def decode(frame):
    kind, at, values = KINDS[frame[1]], 2, {}
    for name, form in FIELDS[kind]:
        if form in INTEGERS:
            values[name] = struct.unpack_from(INTEGERS[form], frame, at)[0]
            at += struct.calcsize(INTEGERS[form])
        elif form == "uuid":
            values[name] = uuid.UUID(bytes=frame[at:at + 16])
            at += 16
        else:
            size = struct.unpack_from("<I", frame, at)[0]
            values[name] = frame[at + 4:at + 4 + size]
            at += 4 + size
    assert frame[0] == 1 and at == len(frame), (kind, at, len(frame))
    return kind, values


class FakeBroker:
    """Runs on a thread of its own. `asked` lists every message that came; `mute` holds kinds that get no answer."""

    def __init__(self, directory, data):
        self.endpoints = {name: f"ipc://{directory}/{name}.sock" for name in ("broker", "query", "feed")}
        self.data = data
        self.documents, self.tasks, self.bytes, self.asked, self.mute = {}, {}, {}, [], set()
        self.topics = []
        self.seq = 0
        self.lock = threading.Lock()
        self.subscribed = threading.Event()
        self.start()

    def start(self):
        self.stopping = False
        ready = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(ready,), daemon=True)
        self.thread.start()
        ready.wait()

    def stop(self):
        self.stopping = True
        self.thread.join()

    def run(self, ready):
        context = zmq.Context()
        fronts = [context.socket(zmq.ROUTER), context.socket(zmq.ROUTER)]
        for socket, name in zip(fronts, ("broker", "query")):
            socket.linger = 0
            socket.bind(self.endpoints[name])
        feed = context.socket(zmq.XPUB)
        feed.linger, feed.sndhwm = 0, 0
        feed.setsockopt(zmq.XPUB_VERBOSER, 1)
        feed.bind(self.endpoints["feed"])
        self.outbox = []
        poller = zmq.Poller()
        for socket in fronts + [feed]:
            poller.register(socket, zmq.POLLIN)
        ready.set()
        while not self.stopping:
            for socket, _ in poller.poll(5):
                if socket is feed:
                    message = feed.recv()
                    if message[:1] == b"\x01":
                        self.topics.append(message[1:])
                        self.subscribed.set()
                    continue
                route, frame, *payload = socket.recv_multipart()
                kind, values = decode(frame)
                with self.lock:
                    self.asked.append((kind, values))
                    if kind in self.mute:
                        continue
                    reply, *frames = getattr(self, kind)(values, payload)
                socket.send_multipart([route, encode("reply", {"req": values["req"], **reply})] + frames)
            with self.lock:
                outbox, self.outbox = self.outbox, []
            for parts in outbox:
                feed.send_multipart(parts)
        context.destroy(linger=0)

    # --- what tests do ---

    def publish(self, event, task, topic=None):
        with self.lock:
            self.seq += 1
            body = json.dumps({"seq": self.seq, "event": event, "at": "2024-01-01T00:00:00.000Z", "task": task},
                              separators=(",", ":"))
            self.outbox.append([(topic or f"task.local.{task['id']}").encode(), body.encode()])

    def finish(self, task_id, status="completed"):
        with self.lock:
            self.tasks[uuid.UUID(task_id)]["status"] = status
            task = dict(self.tasks[uuid.UUID(task_id)])
        self.publish(status, task)

    def last(self, kind):
        with self.lock:
            return [values for name, values in self.asked if name == kind][-1]

    def count(self, kind):
        with self.lock:
            return sum(1 for name, _ in self.asked if name == kind)

    # --- answers ---

    @staticmethod
    def ok(body, status=200, **more):
        return [{"status": status, **more}, json.dumps(body).encode()]

    @staticmethod
    def error(code, status):
        return [{"status": status, "code": code, "detail": "the fake says no"}]

    def submit(self, values, payload):
        document = {"id": str(values["document"]), "filename": values["filename"].decode(),
                    "media_type": values["media_type"].decode(), "bytes": values["bytes"],
                    "hash": values["hash"].hex()}
        self.documents[values["document"]] = document
        self.bytes[values["document"]] = None if values["in_file"] else payload[0]
        task = None
        if values["task"].int:
            task = {"id": str(values["task"]), "document_id": document["id"], "status": "pending",
                    "priority": values["priority"]}
            self.tasks[values["task"]] = task
        return self.ok({"document": document, "task": task}, 201, location=f"/api/v1/documents/{document['id']}")

    def document_get(self, values, payload):
        found = self.documents.get(values["document"])
        return self.ok(found) if found else self.error("not_found", 404)

    def document_blob(self, values, payload):
        found = self.documents.get(values["document"])
        if not found:
            return self.error("not_found", 404)
        content = self.bytes[values["document"]]
        if content is not None:
            return self.ok(found) + [content]
        user = "local".encode().hex()
        return self.ok(found, path=f"{self.data}/blobs/u-{user}/{found['hash'][:2]}/{found['hash']}")

    def document_delete(self, values, payload):
        if not self.documents.pop(values["document"], None):
            return self.error("not_found", 404)
        return [{"status": 204}]

    def document_list(self, values, payload):
        return self.ok({"items": list(self.documents.values())[:values["limit"]], "next_cursor": None})

    def task_create(self, values, payload):
        if values["document"] not in self.documents:
            return self.error("not_found", 404)
        task = {"id": str(values["task"]), "document_id": str(values["document"]), "status": "pending",
                "priority": values["priority"]}
        self.tasks[values["task"]] = task
        return self.ok(task, 202, location=f"/api/v1/document-processing/tasks/{task['id']}")

    def known(self, values, answer):
        return answer() if values["task"] in self.tasks else self.error("not_found", 404)

    def task_get(self, values, payload):
        return self.known(values, lambda: self.ok(self.tasks[values["task"]]))

    def task_list(self, values, payload):
        return self.ok({"items": list(self.tasks.values())[:values["limit"]], "next_cursor": None})

    def task_update(self, values, payload):
        return self.known(values, lambda: self.ok(self.tasks[values["task"]]))

    def task_delete(self, values, payload):
        return self.known(values, lambda: [{"status": 204}])

    def task_process(self, values, payload):
        return self.known(values, lambda: self.ok(self.tasks[values["task"]], 202))

    def task_result(self, values, payload):
        return self.known(values, lambda: self.error("conflict", 409))

    def task_events(self, values, payload):
        return self.known(values, lambda: self.ok({"items": [], "next_cursor": None}))

    def quarantine_retry(self, values, payload):
        return self.ok({"retried": 0}, 202)

    def queue_status(self, values, payload):
        return self.ok({"total_tasks": len(self.tasks)})

    def health(self, values, payload):
        return self.ok({"epoch": 1, "workers": {}, "draining": False})

    def metrics(self, values, payload):
        return self.ok({"epoch": 1, "tasks": {}, "stages": {}})

    def search(self, values, payload):
        return self.ok({"hits": [], "took_ms": 1, "query": values["query"].decode(), "limit": values["limit"],
                        "mode": values["mode"]})

    def chunks(self, values, payload):
        return self.error("not_found", 404)
