"""Named failpoints (base/failpoint.h): at each place around every commit and every send a process dies, or a call
fails, again and again, while documents are processed. What happened is counted in a file that all processes share."""
import contextlib
import os
import pathlib
import re
import signal
import struct
import subprocess
import tempfile
import time

from harness import BIN, TREE, Skip, wait_for
from storm import journalled

PROGRAMS = ("myelin", "myelin-broker", "myelin-gateway", "myelin-extract", "myelin-chunk", "myelin-embed", "myelin-storage")
POINTS = re.findall(r'^    X \(\w+, "([\w.]+)", (true|false)\)', (TREE / "base" / "failpoint.h").read_text(), re.M)
NAMES = [name for name, _ in POINTS]
CAN_FAIL = [name for name, can_fail in POINTS if can_fail == "true"]
HITS = int(os.environ.get("MYELIN_CHAOS_HITS", 20))  # at each of them
# One in so many times: what is passed all the time shall let some work through in between.
RARE, OFTEN = 3, 30
CHANCE = {"broker.start": RARE, "broker.unlink": 2, "kv": OFTEN, "broker": OFTEN, "worker": 15, "storage.reply": 10, "storage": RARE, "blob": RARE,
          "gateway": OFTEN}


STARTS = {"broker.start": "broker", "storage.start": "storage"}  # passed only by who is started again


def has_failpoints(program):
    return b"MYELIN_FAILPOINTS" in (BIN / program).read_bytes()


def chance(name):
    return next(value for start, value in CHANCE.items() if name.startswith(start))


class Counts:
    """The file of counts."""

    def __init__(self, place):
        self.path = pathlib.Path(place) / "counts"

    def done(self):
        """How often something was done, by name."""
        if not self.path.exists():
            return {}
        numbers = struct.unpack(f"<{2 * len(NAMES)}Q", self.path.read_bytes())
        return dict(zip(NAMES, numbers[1::2]))


def plan(names, action, most):
    return ",".join(f"{name}={action}@1/{chance(name)}*{most}" for name in names)


def work(client, counts, names, most, seconds):
    """Keeps everybody busy until each has happened so many times."""
    deadline = time.monotonic() + seconds
    notes, papers = [], []
    while missing := {name: counts.done().get(name, 0) for name in names if counts.done().get(name, 0) < most}:
        assert time.monotonic() < deadline, f"not {most} times each in {seconds} s: {missing}"
        notes.append(client.submit(client.dice.choice(["note", "page"])))
        papers.append(client.submit("paper"))
        for name, role in STARTS.items():
            if name in missing and sum(other.startswith(role) for other in missing) == 1:
                for pid in client.system.children(role):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        for _ in range(5 if "storage.reply" in missing else 1):
            client.ask("GET", "search?q=harbour")
        if len(notes) > 4:  # a new revision takes the place of the old one
            client.wait(notes[0])
            client.process(notes.pop(0))
        if len(papers) > 2:  # in progress, as likely as not; has a file that is removed
            client.delete_document(papers.pop(0))


def rain(action, names, most, seed, seconds=50 * HITS):
    if not all(has_failpoints(program) for program in PROGRAMS[1:]):
        raise Skip("needs programs that were built with failpoints")
    with tempfile.TemporaryDirectory() as place:
        counts = Counts(place)
        began = time.monotonic()
        with journalled(seed, env={"MYELIN_FAILPOINTS": plan(names, action, most),
                                   "MYELIN_FAILPOINTS_COUNTS": str(counts.path)}, restart_pause=0) as (_, client, __):
            client.seconds = max(60, 10 * most)  # where a start passes, many starts may end
            client.patience += (500, 504)  # what could not be written is told as `io`, and is worth another try
            work(client, counts, names, most, seconds)
            print(f"    {sum(counts.done().values())} times {action} at {len(names)} failpoints "
                  f"in {time.monotonic() - began:.0f} s")


def test_every_process_dies_at_every_failpoint_and_nothing_is_lost_or_doubled():
    rain("crash", NAMES, HITS, seed=1)


def test_every_call_that_can_fail_fails_and_nothing_is_lost_or_doubled():
    rain("error", CAN_FAIL, HITS, seed=2)


test_every_process_dies_at_every_failpoint_and_nothing_is_lost_or_doubled.seconds = 60 * HITS
test_every_call_that_can_fail_fails_and_nothing_is_lost_or_doubled.seconds = 60 * HITS


def is_stopped(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
    return False


def test_who_stands_still_at_a_failpoint_goes_on_from_there():
    """At the most delicate place: it is in the database, and nobody has been told yet."""
    if not has_failpoints("myelin-storage"):
        raise Skip("needs programs that were built with failpoints")
    with tempfile.TemporaryDirectory() as place:
        with journalled(3, env={"MYELIN_FAILPOINTS": "storage.commit.after=pause@2",
                                "MYELIN_FAILPOINTS_COUNTS": place + "/counts"}) as (system, client, _):
            storage, = system.children("storage")
            tasks = [client.submit(kind) for kind in ("note", "page", "paper", "note")]
            wait_for(lambda: is_stopped(storage), 20, "the storage stands still")
            wait_for(lambda: [event for event in system.events() if event.get("event") == "worker_gone"], 20,
                     "it is given up")
            os.kill(storage, signal.SIGCONT)
            for task in tasks:
                assert client.wait(task)["status"] == "completed"


def test_release_programs_have_no_failpoints():
    if any(b"__asan_init" in (BIN / program).read_bytes() for program in PROGRAMS):
        raise Skip("these are not release programs")
    assert len(NAMES) > 25
    for program in PROGRAMS:
        symbols = subprocess.run(["nm", str(BIN / program)], capture_output=True, text=True, check=True).stdout
        assert "main" in symbols and "failpoint" not in symbols, program
        content = (BIN / program).read_bytes()
        assert b"MYELIN_FAILPOINTS" not in content, program
        assert not [name for name in NAMES if name.encode() + b"\0" in content], program
