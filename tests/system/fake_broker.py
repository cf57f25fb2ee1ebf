"""A broker and a storage for tests of the gateway alone: they speak the internal protocol, keep all in memory, and do
only what they are told."""
import json
import threading
import uuid

import zmq

from wire import decode, encode


class FakeBroker:
    """Runs on a thread of its own. `asked` lists every message that came; `mute` holds kinds that get no answer."""

    def __init__(self, directory, data):
        self.endpoints = {name: f"ipc://{directory}/{name}.sock" for name in ("broker", "query", "feed")}
        self.data = data
        self.documents, self.tasks, self.bytes, self.asked, self.mute = {}, {}, {}, [], set()
        self.topics = []
        self.refusal = None  # what an admit is answered with, when it is not welcome
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

    def admit(self, values, payload):
        return [self.refusal] if self.refusal else [{"status": 204}]

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
