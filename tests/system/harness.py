"""What the system tests share: a running Myelin of their own, and clients to talk to it.

Every test starts `myelin up` with a fresh data directory on free ports, and stops it. Nothing here sleeps for
luck: waiting is always for an event with a deadline.
"""
import collections.abc
import contextlib
import ctypes
import http.client
import json
import os
import pathlib
import resource
import select
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse

import zmq

TREE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("MYELIN_BIN", TREE / "build" / "bin"))
SHARED = pathlib.Path(os.environ.get("MYELIN_SHARED", TREE.parent / "shared"))
API = "/api/v1/"
TASKS = "document-processing/tasks/"
FINAL = ("completed", "failed", "cancelled")
START_SECONDS = 30
COMPLAINTS = ("Assertion", "ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:")


class Skip(Exception):
    """Raised by a test that cannot run here; the text says why."""


def need(path):
    """The path, or a skip that names it."""
    if not pathlib.Path(path).exists():
        raise Skip(f"needs {path}")
    return pathlib.Path(path)


def wait_for(condition, seconds, what, pause=0.02):
    """Asks `condition` again and again until it gives something true, which is returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(pause)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.raw = status, headers, body

    @property
    def json(self):
        return json.loads(self.raw)

    def __repr__(self):
        return f"{self.status} {self.raw[:400]!r}"


class Rest:
    """REST with one kept connection."""

    def __init__(self, url):
        self.url = urllib.parse.urlsplit(url)
        self.connection = None

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def call(self, method, path, body=None, headers=None, timeout=90):
        """`path` below /api/v1/ unless it starts with a slash; `body` bytes (an iterator of them: chunked), or anything
        JSON can say."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, bytearray, collections.abc.Iterator)):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        path = path if path.startswith("/") else API + path
        for fresh in (False, True):
            if not self.connection:
                fresh = True
                self.connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=timeout)
            try:
                self.connection.request(method, path, body, headers)
                reply = self.connection.getresponse()
                return Answer(reply.status, reply.headers, reply.read())
            except (ConnectionError, http.client.HTTPException, OSError):
                self.close()
                if fresh:
                    raise
        raise AssertionError("not reached")

    def get(self, path, **more):
        return self.call("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.call("POST", path, body, **more)

    def put(self, path, body=None, **more):
        return self.call("PUT", path, body, **more)

    def delete(self, path, **more):
        return self.call("DELETE", path, **more)

    def submit(self, name, content, query="", headers=None):
        """Uploads; returns the reply {document, task}."""
        headers = {"X-Filename": urllib.parse.quote(name), "Content-Type": "application/octet-stream",
                   **(headers or {})}
        answer = self.post("documents/" + (query and "?" + query), content, headers=headers)
        assert answer.status in (200, 201), answer
        return answer.json

    def wait(self, task_id, seconds=60):
        """The task when it has ended."""
        deadline = time.monotonic() + seconds
        while True:
            left = max(1, min(30, int(deadline - time.monotonic())))
            answer = self.get(f"{TASKS}{task_id}?wait={left}")
            if answer.status == 200 and answer.json["status"] in FINAL:
                return answer.json
            if time.monotonic() > deadline:
                raise AssertionError(f"task {task_id} did not end in {seconds} s: {answer}")

    def pages(self, path):
        """All items of a paged listing."""
        items, cursor = [], None
        while True:
            step = path + ("&" if "?" in path else "?") + "limit=200"
            answer = self.get(step + (f"&cursor={urllib.parse.quote(cursor)}" if cursor else ""))
            assert answer.status == 200, answer
            items += answer.json["items"]
            cursor = answer.json["next_cursor"]
            if not cursor:
                return items


class Req:
    """The same API over ZeroMQ REQ."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.context = zmq.Context.instance()
        self.socket = None

    def close(self):
        if self.socket:
            self.socket.close(0)
            self.socket = None

    def call(self, method, path, body=None, query=None, headers=None, content=None, timeout=60, **more):
        if not self.socket:
            self.socket = self.context.socket(zmq.REQ)
            self.socket.connect(self.endpoint)
        request = {"method": method, "path": path if path.startswith("/") else API + path, **more}
        for name, value in (("query", query), ("body", body), ("headers", headers)):
            if value is not None:
                request[name] = value
        self.socket.send_multipart([json.dumps(request).encode()] + ([content] if content is not None else []))
        if not self.socket.poll(timeout * 1000):
            self.close()
            raise AssertionError(f"no answer to {method} {path}")
        frames = self.socket.recv_multipart()
        reply = json.loads(frames[0])
        body = frames[1] if len(frames) > 1 else json.dumps(reply.get("body")).encode()
        return Answer(reply["status"], reply.get("headers") or {}, body)


class Feed:
    """A subscriber of the PUB feed."""

    def __init__(self, endpoint, *topics):
        self.socket = zmq.Context.instance().socket(zmq.SUB)
        self.socket.setsockopt(zmq.RCVHWM, 0)
        for topic in topics or ("task.",):
            self.socket.subscribe(topic)
        self.socket.connect(endpoint)

    def close(self):
        self.socket.close(0)

    def next(self, seconds=30):
        """(topic, event), or None when nothing came."""
        if not self.socket.poll(int(seconds * 1000)):
            return None
        topic, body = self.socket.recv_multipart()
        return topic.decode(), json.loads(body)

    def until_final(self, task_id, seconds=60):
        """All events of one task up to the one that ends it."""
        events, deadline = [], time.monotonic() + seconds
        while time.monotonic() < deadline:
            got = self.next(max(0, deadline - time.monotonic()))
            if got and got[1].get("task", {}).get("id") == task_id:
                events.append(got[1])
                if events[-1]["event"] in FINAL:
                    return events
        raise AssertionError(f"no final event in {seconds} s; got {[e['event'] for e in events]}")


class System:
    """`myelin up` on free ports in a directory of its own."""

    def __init__(self, data=None, workers="extract=2,chunk=1,embed=2", args=(), env=None, limits=None):
        self.temporary = data is None
        self.data = pathlib.Path(data or tempfile.mkdtemp(prefix="myelin-test-"))
        self.workers, self.args, self.env = workers, list(args), env or {}
        self.limits = limits  # (soft, hard) number of descriptors of each process
        self.process, self.addresses, self.rest, self.req = None, {}, None, None
        self.log_path = self.data.parent / (self.data.name + ".log")
        self.ports = {"http": "127.0.0.1:0", "req": "tcp://127.0.0.1:0", "pub": "tcp://127.0.0.1:0"}

    def command(self):
        return [str(BIN / "myelin"), "up", "--data", str(self.data), "--http", self.ports["http"], "--req",
                self.ports["req"], "--pub", self.ports["pub"], "--workers", self.workers, *self.args]

    def start(self):
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL,
                                        env={**os.environ, **self.env}, preexec_fn=self.limits and self.limit)
        log.close()
        line = self.read_line(START_SECONDS)
        assert line.startswith("ready "), f"instead of the ready line: {line!r}\n{self.log()[-3000:]}"
        self.addresses = dict(word.split("=", 1) for word in line.split()[1:])
        self.rest, self.req = Rest(self.addresses["http"]), Req(self.addresses["req"])
        return self

    def limit(self):
        resource.setrlimit(resource.RLIMIT_NOFILE, self.limits)

    def read_line(self, seconds):
        stdout, text, deadline = self.process.stdout, b"", time.monotonic() + seconds
        while not text.endswith(b"\n"):
            if not select.select([stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"no line on stdout in {seconds} s; got {text!r}\n{self.log()[-3000:]}")
            byte = os.read(stdout.fileno(), 1)
            if not byte:
                break
            text += byte
        return text.decode()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def events(self):
        """The log as objects; lines that are no JSON (a sanitizer's, a library's) are left out."""
        for line in self.log().splitlines():
            with contextlib.suppress(ValueError):
                yield json.loads(line)

    def feed(self, *topics):
        return Feed(self.addresses["pub"], *topics)

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, seconds=45):
        """SIGTERM; returns the exit code."""
        for client in (self.rest, self.req):
            if client:
                client.close()
        if not self.process:
            return None
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        code = self.process.wait(seconds)
        self.process.stdout.close()
        self.process = None
        return code

    def restart(self):
        self.stop()
        return self.start()

    def remove(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
        self.process = None
        for client in (self.rest, self.req):
            if client:
                client.close()
        if self.temporary:
            shutil.rmtree(self.data, ignore_errors=True)
            self.log_path.unlink(missing_ok=True)

    def children(self, role=None):
        """Process ids of our children that run program myelin-ROLE, as the kernel knows them."""
        found = []
        with contextlib.suppress(OSError):
            text = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
            for pid in map(int, text.split()):
                with contextlib.suppress(OSError):
                    name = pathlib.Path(os.readlink(f"/proc/{pid}/exe")).name
                    if role is None or name == f"myelin-{role}":
                        found.append(pid)
        return found

    def kill(self, role, index=0):
        """Kills one process of a role the hard way; returns its pid."""
        pid = self.children(role)[index]
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_for_children(self, role, count, without=(), seconds=15):
        return wait_for(lambda: (found := [p for p in self.children(role) if p not in without])
                        and len(found) == count and found, seconds, f"{count} × myelin-{role}")


@contextlib.contextmanager
def running(tolerated=(), **options):
    """A started System, removed in the end; its log is shown when the test fails. `tolerated`: words of complaints
    that are no bug of ours."""
    system = System(**options)
    try:
        yield system.start()
        if system.process:
            code = system.stop()
            assert code == 0, f"SIGTERM ended with exit code {code}"
        # A sanitizer or assertion speaks on stderr, and a process may come back without a test noticing.
        for line in system.log().splitlines():
            assert not any(word in line for word in COMPLAINTS) or any(word in line for word in tolerated), line
    except BaseException:
        tail = system.log().splitlines()[-40:]
        print("    --- end of the log ---", *(f"    {line[:400]}" for line in tail), sep="\n")
        raise
    finally:
        system.remove()


def command(*arguments, server=None, token=None, env=None, timeout=60, stdin=None):
    """Runs the command line; gives the completed process with text output."""
    line = [str(BIN / "myelin"), *map(str, arguments)]
    more = {**os.environ, **(env or {})}
    if server:
        more["MYELIN_SERVER"] = server
    if token:
        more["MYELIN_TOKEN"] = token
    return subprocess.run(line, capture_output=True, text=True, timeout=timeout, env=more, stdin=stdin or
                          subprocess.DEVNULL)


class Spoken:
    """A program at work, and what it says line by line. It is ended with the block."""

    def __init__(self, *command_line, env=None):
        self.process = subprocess.Popen([str(word) for word in command_line], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                        env={**os.environ, **(env or {})})
        self.rest = b""

    def line(self, seconds=60):
        """The next line of stdout; "" at its end."""
        while b"\n" not in self.rest:
            if not select.select([self.process.stdout], [], [], seconds)[0]:
                raise AssertionError(f"no line in {seconds} s; so far {self.rest!r}")
            some = os.read(self.process.stdout.fileno(), 65536)
            if not some:
                return self.rest.decode()
            self.rest += some
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode()

    def has_line(self, seconds=0):
        """Whether `line` would give one without waiting, after so many seconds."""
        return b"\n" in self.rest or bool(select.select([self.process.stdout], [], [], seconds)[0])

    def end(self, seconds=60):
        """(exit code, the rest of stdout, stderr)"""
        out, errors = self.process.communicate(timeout=seconds)
        return self.process.returncode, (self.rest + out).decode(), errors.decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


def chunks(rest, document_id):
    """All chunks of a document in order."""
    items = rest.pages(f"documents/{document_id}/chunks")
    assert [chunk["index"] for chunk in items] == list(range(len(items)))
    return items


def pack(path, how, files, options=""):
    """Writes an archive of {name: bytes} by the library that reads them: `how` is a format of libarchive, `options` its
    options for that."""
    library = ctypes.CDLL("libarchive.so.13")
    for name in ("archive_write_new", "archive_entry_new"):
        getattr(library, name).restype = ctypes.c_void_p
    library.archive_write_data.restype = ctypes.c_ssize_t
    archive = ctypes.c_void_p(library.archive_write_new())
    try:
        assert library.archive_write_set_format_by_name(archive, how.encode()) == 0
        assert library.archive_write_set_options(archive, options.encode()) == 0
        assert library.archive_write_open_filename(archive, str(path).encode()) == 0
        for name, content in files.items():
            entry = ctypes.c_void_p(library.archive_entry_new())
            library.archive_entry_set_pathname(entry, name.encode())
            library.archive_entry_set_size(entry, ctypes.c_int64(len(content)))
            library.archive_entry_set_filetype(entry, 0o100000)
            library.archive_entry_set_perm(entry, 0o644)
            assert library.archive_write_header(archive, entry) == 0
            assert library.archive_write_data(archive, content, ctypes.c_size_t(len(content))) == len(content)
            library.archive_entry_free(entry)
        assert library.archive_write_close(archive) == 0
    finally:
        library.archive_write_free(archive)
