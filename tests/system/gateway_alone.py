"""A gateway without the rest of Myelin, and what tests do with it: fake_broker.py plays the other processes."""
import contextlib
import http.client
import json
import pathlib
import signal
import socket
import subprocess
import tempfile
import urllib.parse

import zmq

from fake_broker import FakeBroker
from harness import BIN, Rest, wait_for

SUBMIT = {"method": "POST", "path": "/api/v1/documents/", "headers": {"X-Filename": "note.txt"}}
TASKS = "document-processing/tasks/"


class Gateway:
    def __init__(self, directory, *more, broker=True):
        self.directory = pathlib.Path(directory)
        self.broker = FakeBroker(directory, directory)
        if not broker:
            self.broker.stop()
        self.command = [str(BIN / "myelin-gateway"), "--http", "127.0.0.1:0", "--req", "tcp://127.0.0.1:0", "--broker",
                        self.broker.endpoints["broker"], "--query", self.broker.endpoints["query"], "--feed",
                        self.broker.endpoints["feed"], "--data", directory, "--log-level", "warn", *more]
        self.start()
        if broker:
            wait_for(lambda: self.rest.get("/readyz").status == 200, 10, "the gateway is ready")

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline().split()
        assert line and line[0] == "ready", line
        self.addresses = dict(part.split("=", 1) for part in line[1:])
        self.rest = Rest(self.addresses["http"])
        self.host = urllib.parse.urlsplit(self.addresses["http"])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def raw(self, request, seconds=10):
        """Everything the server says until it closes."""
        with socket.create_connection((self.host.hostname, self.host.port), timeout=seconds) as connection:
            connection.sendall(request)
            return read_all(connection)

    def zmq(self, kind, **options):
        client = zmq.Context.instance().socket(kind)
        client.linger = 0
        client.rcvtimeo = 10000
        for name, value in options.items():
            setattr(client, name, value)
        client.connect(self.addresses["req"])
        return client

    def submit(self, content=b"text", query=""):
        return self.rest.submit("note.txt", content, query)


def read_all(connection):
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while True:
            part = connection.recv(65536)
            if not part:
                break
            parts.append(part)
    return b"".join(parts)


@contextlib.contextmanager
def gateway(*more, **options):
    with tempfile.TemporaryDirectory(prefix="myelin-gateway-") as directory:
        self = Gateway(directory, *more, **options)
        try:
            yield self
            code = self.stop()
            assert code == 0, f"the gateway ended with {code}"
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.broker.stop()


def problem(answer, status, code):
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json", answer.headers
    body = answer.json
    assert set(body) == {"type", "title", "status", "detail", "code"}, body
    assert body["status"] == status and body["code"] == code, body


class Events:
    """A client of GET events."""

    def __init__(self, gate, query="", last_id=None):
        self.connection = http.client.HTTPConnection(gate.host.hostname, gate.host.port, timeout=20)
        headers = {"Last-Event-ID": str(last_id)} if last_id is not None else {}
        self.connection.request("GET", "/api/v1/events" + query, headers=headers)
        self.reply = self.connection.getresponse()
        assert self.reply.status == 200 and self.reply.headers["Content-Type"] == "text/event-stream"

    def next(self):
        event = {}
        while True:
            line = self.reply.readline().decode()
            if not line:
                raise EOFError("the stream ended")
            line = line.rstrip("\n")
            if not line and "data" in event:
                return event
            if not line and not event.get("event"):
                event = {}
            if ": " in line and not line.startswith(":"):
                name, value = line.split(": ", 1)
                event[name] = value

    def close(self):
        self.connection.close()


def ask(client, request, *more):
    client.send_multipart([json.dumps(request).encode(), *more])
    frames = client.recv_multipart()
    return json.loads(frames[0]), frames[1:]
