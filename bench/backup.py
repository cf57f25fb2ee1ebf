"""What a backup costs: its time and size, what running submits and searches notice of it, and how fast the data is verified
and restored."""
import contextlib
import json
import os
import pathlib
import random
import resource
import subprocess
import threading
import time

import zmq

import report
import system
from system import System

QUICK = bool(os.environ.get("MYELIN_BENCH_QUICK"))
DOCUMENTS = 500 if QUICK else 10_000
WORDS = "harbour lantern orchard quartz velvet thunder meadow copper island whistle marble saffron".split()


def text(number):
    """5 KB; one in a hundred 400 KB, which lies in a file of its own."""
    words = 60_000 if number % 100 == 0 else 700
    return f"Document {number}. {' '.join(random.Random(number).choices(WORDS, k=words))}.".encode()


def ask(socket, method, path, query=None, content=None, headers=None):
    request = {"method": method, "path": "/api/v1/" + path, "query": query or {}, "headers": headers or {}}
    socket.send_multipart([json.dumps(request).encode()] + ([content] if content is not None else []))
    reply = json.loads(socket.recv_multipart()[0])
    if reply["status"] >= 400:
        raise RuntimeError(f"{method} {path}: {reply}")
    return reply["body"]


@contextlib.contextmanager
def client(up):
    with contextlib.closing(zmq.Context.instance().socket(zmq.REQ)) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(up.address["req"])
        yield socket


def submit(socket, number):
    ask(socket, "POST", "documents/", content=text(number), headers={"X-Filename": f"{number}.txt"})


def fill(up):
    def some(first):
        with client(up) as socket:
            for number in range(first, DOCUMENTS, 4):
                submit(socket, number)
    threads = [threading.Thread(target=some, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with client(up) as socket:
        while (queue := ask(socket, "GET", "document-processing/queue/status/"))["completed_tasks"] < DOCUMENTS:
            time.sleep(0.2)
        return queue["completed_tasks"]


class Load:
    """One client that does the same thing again and again; when each began, and how long it took."""

    def __init__(self, up, action):
        self.up, self.action, self.times, self.is_over = up, action, [], False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        with client(self.up) as socket:
            for number in range(10_000_001, 20_000_000):
                if self.is_over:
                    return
                start = time.monotonic()
                self.action(socket, number)
                self.times.append((start, time.monotonic()))
                time.sleep(0.005)

    def end(self):
        self.is_over = True
        self.thread.join()

    def row(self, name, spans, inside):
        took = sorted(1000 * (end - start) for start, end in self.times
                      if any(start <= to and end >= since for since, to in spans) == inside)
        return [name, "during" if inside else "else", len(took), *(f"{took[int(part * (len(took) - 1))]:.1f}"
                                                                  for part in (0.5, 0.99, 1))]


def command(*words):
    """(seconds, CPU seconds, what it printed last)"""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([system.program("myelin"), *map(str, words), "--json"], stdout=subprocess.PIPE, check=True)
    after, end = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return end - start, cpu, json.loads(done.stdout.splitlines()[-1])


def backup():
    with system.directory() as place:
        place = pathlib.Path(place)
        rows, spans = [], []
        with System({"extract": 2, "chunk": 1, "embed": 2}) as up:
            fill(up)
            loads = {"submit": Load(up, submit), "search": Load(up, lambda socket, number: ask(
                socket, "GET", "search", {"q": "harbour lantern", "mode": "text", "limit": "3"}))}
            time.sleep(1 if QUICK else 5)
            data = pathlib.Path(up.dir, "data")
            for turn in range(2 if QUICK else 5):
                start = time.monotonic()
                seconds, cpu, sums = command("backup", place / f"backup{turn}", "--data", data)
                spans.append((start, start + seconds))
                rows.append(["backup", f"{seconds:.2f}", f"{cpu:.2f}", sums["files"], f"{sums['bytes'] / 1e6:.0f}"])
                time.sleep(1)
            for load in loads.values():
                load.end()
            seconds, cpu, sums = command("backup", place / "copy", "--copy", "--data", data)
            rows.append(["backup --copy", f"{seconds:.2f}", f"{cpu:.2f}", sums["files"], f"{sums['bytes'] / 1e6:.0f}"])
        for words in (("verify", place / "copy"), ("restore", place / "copy", "--data", place / "data"),
                      ("verify", "--data", place / "data")):
            seconds, cpu, _ = command(*words)
            rows.append([" ".join([words[0], "BACKUP" if len(words) == 2 else "DATA" if words[0] == "verify" else ""]).strip(),
                         f"{seconds:.2f}", f"{cpu:.2f}", "", ""])
        report.table(["command", "seconds", "CPU s", "files", "MB"], rows)
        report.table(["request", "backup", "count", "p50 ms", "p99 ms", "max ms"],
                     [loads[name].row(name, spans, inside) for name in loads for inside in (True, False)])
        return {"documents": DOCUMENTS, "commands": rows}
