"""`myelin up --workers MIN-MAX`: workers come and go with the work."""
import collections
import contextlib
import os
import pathlib
import signal
import threading
import time

from harness import running, wait_for
from metrics import scrape, value

STAGES = ("extract", "chunk", "embed")
# Much to parse and next to nothing to store.
HARD = "<html><body>" + "<div><span><b><i></i></b></span></div>" * 30000 + "<p>{0}</p></body></html>"


def workers(system):
    return {stage: len(system.children(stage)) for stage in STAGES}


def scaled(system):
    """[(stage, how many it had then)]"""
    return [(event["stage"], int(event["message"].split(" has ")[1].split()[0])) for event in system.events()
            if event["event"] == "scaled"]


class Watch(threading.Thread):
    """Looks at the processes all the time."""

    def __init__(self, system):
        super().__init__(daemon=True)
        self.system, self.most, self.together, self.ends = system, collections.Counter(), 0, threading.Event()
        self.start()

    def close(self):
        self.ends.set()
        self.join()

    def run(self):
        while not self.ends.wait(0.05):
            now = workers(self.system)
            self.together = max(self.together, sum(now.values()))
            for stage, count in now.items():
                self.most[stage] = max(self.most[stage], count)


@contextlib.contextmanager
def slow(system, stage):
    """The stage as if it asked a slow server: its workers are stopped for most of the time, not so long that they would
    be given up."""
    ends = threading.Event()

    def send(number, pids):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def throttle():
        while not ends.is_set():
            for _ in range(25):  # one that comes meanwhile is stopped at once, too
                pids = system.children(stage)
                send(signal.SIGSTOP, pids)
                ends.wait(0.02)
            send(signal.SIGCONT, pids)
            ends.wait(0.001)
        send(signal.SIGCONT, system.children(stage))
    thread = threading.Thread(target=throttle)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def test_workers_follow_the_work_within_their_limits():
    """Hard to extract, then slow to embed: each time the stage gets what it may have, though there are not enough for
    both; workers that are killed meanwhile come back, and no document suffers."""
    with running(workers="extract=1-3,chunk=1,embed=1-3,total=5") as system, contextlib.closing(Watch(system)) as watch:
        assert workers(system) == {"extract": 1, "chunk": 1, "embed": 1}
        pages = [system.rest.submit(f"{i}.html", HARD.format(f"page {i}").encode())["task"]["id"] for i in range(250)]
        wait_for(lambda: workers(system)["extract"] == 3, 30, "extract has grown")
        system.kill("extract", 1)
        for page in pages:
            assert system.rest.wait(page, 120)["status"] == "completed"
        with slow(system, "embed"):
            notes = [system.rest.submit(f"{i}.txt", f"Note {i} is slow to embed.".encode())["task"]["id"]
                     for i in range(4000)]
            wait_for(lambda: value(scrape(system.rest), "myelin_stage_workers", stage="embed") == 3, 90, "embed has grown")
            assert workers(system)["extract"] == 1, workers(system)
            system.kill("embed", 2)
        for note in notes:
            assert system.rest.wait(note, 120)["status"] == "completed"
        watch.close()
        assert watch.together <= 5 and watch.most == {"extract": 3, "chunk": 1, "embed": 3}, (watch.together, watch.most)
        metrics, changes = scrape(system.rest), scaled(system)
        assert value(metrics, "myelin_tasks", status="completed") == len(pages) + len(notes)
        # Two came; two went for two others. Who was asked to go lost nothing, only who was killed did.
        assert changes[:2] == [("extract", 2), ("extract", 3)], changes
        assert sorted(changes[2:6]) == [("embed", 2), ("embed", 3), ("extract", 1), ("extract", 2)], changes
        assert len(changes) <= 8, changes
        for stage, drained in (("extract", 2), ("embed", 0), ("chunk", 0)):
            assert value(metrics, "myelin_jobs_failed_total", stage=stage) == 0
            assert value(metrics, "myelin_workers_drained_total", stage=stage) >= drained
            assert value(metrics, "myelin_workers_vanished_total", stage=stage) >= (stage != "chunk")


def test_fixed_numbers_stay_and_ask_nobody():
    with running(workers="extract=1,chunk=1,embed=1") as system:
        pages = [system.rest.submit(f"{i}.html", HARD.format(f"page {i}").encode())["task"]["id"] for i in range(150)]
        deadline = time.monotonic() + 5  # long enough for a stage that may grow
        while time.monotonic() < deadline:
            assert workers(system) == {"extract": 1, "chunk": 1, "embed": 1}
            system.rest.wait(pages[0])
        assert not scaled(system)
        assert len(list(pathlib.Path(f"/proc/{system.process.pid}/task").iterdir())) == 1, "it has threads of ZeroMQ"
