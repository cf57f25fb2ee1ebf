"""kill -9 of every kind of process, alone and in pairs, while there is work in hand."""
import collections
import contextlib
import os
import pathlib
import random
import signal
import tempfile
import time

from harness import running, wait_for
from journal import Books, Client, Journal, Listener, check_at_rest

ROLES = ("extract", "chunk", "embed", "storage", "broker", "gateway", "supervisor", "zygote", "parser")
WEIGHTS = (1, 1, 1, 2, 3, 1, 1, 1, 1)
SHARE = ["note", "page", "note", "paper"]  # what is submitted before a kill, and a last one that is surely in hand


def children_of(pids):
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            found += map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return found


def processes(system, role):
    """Process ids of a role: programs, the small process in each extract that parsers are forked from, parsers."""
    if role == "supervisor":
        return [system.process.pid]
    if role == "zygote":
        return children_of(system.children("extract"))
    if role == "parser":
        return children_of(processes(system, "zygote"))
    return system.children(role)


def keep_ports(system):
    """What is started again serves at the same addresses."""
    system.ports = {"http": system.addresses["http"].removeprefix("http://"), "req": system.addresses["req"],
                    "pub": system.addresses["pub"]}


class Storm:
    def __init__(self, system, client, seed):
        self.system, self.client, self.dice = system, client, random.Random(seed)
        self.killed, self.restarts = collections.Counter(), []

    def processing(self):
        answer = self.client.ask("GET", "document-processing/queue/status/")
        return answer.json["processing_tasks"]

    def victims(self):
        """(role, pid) of one or two."""
        chosen = set(self.dice.choices(ROLES, WEIGHTS, k=2 if self.dice.random() < 0.4 else 1))
        if "parser" in chosen:
            self.client.submit("book")
            with contextlib.suppress(AssertionError):  # when none is to be had, its zygote has to do
                wait_for(lambda: processes(self.system, "parser"), 5, "a parser", 0.002)
        found = []
        for role in sorted(chosen):
            pids = processes(self.system, role)
            if not pids and role == "parser":
                role, pids = "zygote", processes(self.system, "zygote")
            found += [(role, self.dice.choice(pids))] if pids else []
        return found

    def strike(self):
        """One kill, or two at the same moment. The storage is held, so that what was submitted last is in hand."""
        for kind in self.dice.sample(SHARE, 3):
            self.client.submit(kind)
            self.client.meddle()
        held = self.system.children("storage")
        for pid in held:
            os.kill(pid, signal.SIGSTOP)
        try:
            self.client.submit(self.dice.choice(["note", "page", "paper"]))
            wait_for(self.processing, 60, "work is in hand", 0.002)
            victims = self.victims()
            for role, pid in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.killed[role] += 1
        finally:
            for pid in held:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        if "supervisor" in [role for role, _ in victims]:
            self.restart()

    def restart(self):
        self.system.process.wait()
        self.system.process.stdout.close()
        self.client.system.rest.close()
        began = time.monotonic()
        self.system.start()
        self.restarts.append(time.monotonic() - began)

    def run(self, kills):
        while sum(self.killed.values()) < kills:
            self.strike()


def workers(client):
    """How many workers of each stage the broker knows."""
    stages = client.ask("GET", "document-processing/queue/status/").json["stages"]
    return {name: stage["workers"] for name, stage in stages.items()}


@contextlib.contextmanager
def journalled(seed, restart_pause=1, **options):
    """(system, client, listener) with a journal; when the block ends, all tasks come to their end, and the journal is
    compared with the API, and with the databases at rest."""
    options.setdefault("workers", "extract=2,chunk=2,embed=2")
    options["args"] = ["--restart-pause", str(restart_pause), *options.get("args", ())]
    with running(**options) as system, tempfile.TemporaryDirectory() as place:
        keep_ports(system)
        journal = Journal(pathlib.Path(place) / "journal")
        client = Client(system, journal, random.Random(seed))
        listener = Listener(system.addresses["pub"], journal)
        wanted = {"storage": 1, **{name: int(count) for name, count in
                                   (pair.split("=") for pair in options["workers"].split(","))}}
        wait_for(lambda: workers(client) == wanted, 20, f"workers are there: {wanted}")
        yield system, client, listener
        if client.unsure:
            client.submit("note")
        for task in list(client.tasks):
            if task not in client.ended:
                client.wait(task)
        listener.stop()
        statuses = Books(journal).compare(client, client.may_fail)
        assert system.stop() == 0
        check_at_rest(system)
        print(f"    {client.submitted} documents, {client.again} done again, {dict(statuses)}, "
              "both databases verified")


def storm(kills, seed, least=1):
    """Kills `kills` processes; each kind at least `least` times."""
    with journalled(seed) as (system, client, _):
        run = Storm(system, client, seed)
        run.run(kills)
        print(f"    killed: {dict(run.killed)}")
        for role in ROLES:
            while run.killed[role] < least:  # dice may leave one out
                run.strike()
        slowest = max(run.restarts, default=0)
        print(f"    {len(run.restarts)} restarts of everything, the slowest served after {slowest:.2f} s")
