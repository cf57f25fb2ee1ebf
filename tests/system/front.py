"""Another gateway: asks the broker directly, for any user, with many requests under way."""
import hashlib
import json
import os
import uuid

import zmq

from wire import decode, encode


class Front:
    def __init__(self, run):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.set_hwm(0)
        self.socket.connect(f"ipc://{run}/front")
        self.req, self.notes = 0, {}

    def close(self):
        self.socket.close(0)

    def send(self, kind, user, *payload, **values):
        self.req += 1
        self.socket.send_multipart([encode(kind, {"req": self.req, "user": user, **values}), *payload])

    def receive(self, seconds=30):
        """(reply, body as JSON or None) to the oldest request: the broker answers in order."""
        assert self.socket.poll(seconds * 1000), "no answer from the broker"
        frame, *payload = self.socket.recv_multipart()
        return decode(frame)[1], json.loads(payload[0]) if payload and payload[0] else None

    def ask(self, kind, user, *payload, **values):
        """The body of a good answer."""
        self.send(kind, user, *payload, **values)
        reply, body = self.receive()
        assert reply["req"] == self.req and reply["status"] < 300, (reply, body)
        return body

    def send_note(self, user, text, priority=5):
        """Asks to store and process it; returns the task's id. A hundred thousand of them take a few seconds: only what
        differs is encoded anew."""
        key = user, priority
        if key not in self.notes:
            marks = {"req": 0x1111111111111111, "document": uuid.UUID(int=2), "task": uuid.UUID(int=3),
                     "bytes": 0x4444444444444444, "hash": b"#" * 32}
            frame = encode("submit", {"user": user, "filename": "note.txt", "priority": priority, **marks})
            cuts = [marks["req"].to_bytes(8, "little"), marks["document"].bytes, marks["task"].bytes,
                    marks["bytes"].to_bytes(8, "little"), marks["hash"]]
            parts = []
            for cut in cuts:
                before, frame = frame.split(cut, 1)
                parts.append(before)
            self.notes[key] = parts + [frame]
        parts = self.notes[key]
        self.req += 1
        content, task = text.encode(), uuid.UUID(bytes=os.urandom(16), version=4)
        self.socket.send_multipart([b"".join((
            parts[0], self.req.to_bytes(8, "little"), parts[1], os.urandom(16), parts[2], task.bytes, parts[3],
            len(content).to_bytes(8, "little"), parts[4], hashlib.blake2b(content, digest_size=32).digest(), parts[5])),
            content])
        return str(task)

    def expect_stored(self, count):
        for _ in range(count):
            assert self.socket.poll(30000), "no answer from the broker"
            frame, *_ = self.socket.recv_multipart()
            assert frame[10:14] == b"\xc9\0\0\0", decode(frame)  # 201, after version, kind and req

    def submit(self, user, texts, priority=5, window=1000):
        """Ids of the tasks, all of them acknowledged."""
        tasks = []
        for text in texts:
            tasks.append(self.send_note(user, text, priority))
            if len(tasks) > window:
                self.expect_stored(1)
        self.expect_stored(min(len(tasks), window))
        return tasks

    def task(self, user, task):
        return self.ask("task_get", user, task=uuid.UUID(task))
