"""A worker of extract or chunk that a test holds by its strings: it takes jobs from a real broker, and answers what it
is told to, when it is told to. Beats go out with every turn."""
import os
import pathlib
import struct
import time
import uuid

import zmq

from wire import DONE, MARKS, SPANS, STAGES, TEXT, decode, encode


def spans(*ranges):
    return b"".join(struct.pack("<III", start, end, max(1, (end - start) // 4)) for start, end in ranges)


class FakeWorker:
    """`jobs` are in its hands, oldest first: (values, {column: bytes}). `acks` counts acknowledgements."""

    def __init__(self, run, stage, slots=1):
        self.run, self.stage, self.slots = pathlib.Path(run), stage, slots
        self.id = uuid.uuid4()
        self.endpoint = f"ipc://{self.run}/fake-{self.id.hex[-12:]}.sock"
        self.context = zmq.Context.instance()
        self.pull, self.push = self.context.socket(zmq.PULL), self.context.socket(zmq.PUSH)
        for socket in (self.pull, self.push):
            socket.linger = 0
            socket.set_hwm(0)
        self.pull.bind(self.endpoint)
        self.push.connect(f"ipc://{self.run}/intake")
        self.epoch, self.beat_at, self.acks, self.jobs = 0, 0, 0, []
        self.silent = False
        self.turn(0)

    def close(self):
        if not self.silent:
            self.say("bye", worker=self.id)
            self.push.linger = 1000
        self.push.close()
        self.pull.close(0)
        pathlib.Path(self.endpoint[len("ipc://"):]).unlink(missing_ok=True)

    def say(self, kind, *payload, **values):
        self.push.send_multipart([encode(kind, values), *payload])

    def beat(self):
        about = {"worker": self.id, "stage": STAGES.index(self.stage), "slots": self.slots, "pid": os.getpid(),
                 "host": "", "endpoint": self.endpoint}
        if self.epoch:
            about.update(epoch=self.epoch, running=self.jobs[0][0]["number"] if self.jobs else 0,
                         progress=time.monotonic_ns())
        self.say("beat" if self.epoch else "hello", **about)
        self.beat_at = time.monotonic() + 0.5

    def turn(self, seconds=0.05):
        """Beats when it is time, and hears what there is; waits so long for it."""
        if not self.silent and time.monotonic() >= self.beat_at:
            self.beat()
        wait = int(seconds * 1000)
        while self.pull.poll(wait):
            self.hear(*self.pull.recv_multipart())
            wait = 0

    def hear(self, frame, *payload):
        kind, values = decode(frame)
        if kind == "welcome":
            if values["epoch"] != self.epoch or values["fresh"]:
                self.jobs.clear()
            self.epoch = values["epoch"]
        elif kind == "job":
            columns = [bit for bit in range(5) if values["columns"] & 1 << bit]
            self.jobs.append((values, dict(zip((1 << bit for bit in columns), payload))))
        elif kind == "ack":
            self.acks += 1
        elif kind == "cancel":
            self.jobs = [job for job in self.jobs if job[0]["number"] != values["number"]]

    def result(self, job, **changes):
        """The fields of a result of this job, as they should be but for `changes`."""
        return {"worker": self.id, "epoch": job["epoch"], "number": job["number"], "task": job["task"],
                "stage": job["stage"], "action": job["action"], "segment": job["segment"], "outcome": DONE, **changes}

    def chunked(self, job, *ranges, **changes):
        """Answers for chunk, with these spans; the job is still in its hands."""
        self.say("result", spans(*ranges),
                 **self.result(job, chunks=len(ranges), cost_us=1, columns=SPANS, **changes))

    def extracted(self, job, segment, text, outcome, **changes):
        """Answers for extract, with one segment; the job is still in its hands."""
        self.say("result", text, b"", **{**self.result(job, segment=segment, outcome=outcome, cost_us=1,
                                                       media_type="text/plain", columns=TEXT | MARKS), **changes})
