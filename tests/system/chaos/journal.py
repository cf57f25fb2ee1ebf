"""A client that writes down every acknowledgement before it goes on, and the comparison of that journal with what the
system holds in the end: nothing lost, nothing doubled, every task ended once.

What is asked is asked again until there is an answer: an acknowledgement that got lost on the way is no promise, but
what was acknowledged is.
"""
import collections
import json
import os
import pathlib
import random
import subprocess
import threading
import time

import zmq

from harness import BIN, FINAL, TASKS, wait_for

WORDS = ("harbour lantern orchard quartz velvet thunder meadow copper island whistle marble saffron glacier ember "
         "canyon ribbon falcon timber anchor willow").split()
KINDS = {  # name → (paragraphs, ending): what becomes of each on its way differs
    "note": (3, "txt"),      # travels with its submit, is read by the worker itself
    "page": (30, "html"),    # is read by a parser in a sandbox
    "paper": (1200, "txt"),  # is a file of its own (over 256 KiB), and some segments
    "book": (6500, "html"),  # more segments than are let through at once: its parser waits for the storage
}
SEARCHED = 100  # hits that an answer holds
# The only finding at rest that is known, and not ours: docs/reliability.md.


def own_word(number):
    return f"only{number}"


def place_word(number, paragraph):
    return f"at{paragraph}of{number}"


def document(number, kind):
    """The same in every run. Each paragraph has the document's own word, and one that is nowhere else."""
    source = random.Random(number)
    count, ending = KINDS[kind]
    paragraphs = [f"{own_word(number)} {place_word(number, i)} " + " ".join(source.choices(WORDS, k=40)) + "."
                  for i in range(count)]
    if ending == "html":
        return ("<html><body>" + "".join(f"<p>{p}</p>\n" for p in paragraphs) + "</body></html>").encode()
    return "\n\n".join(paragraphs).encode()


class Journal:
    """Lines of JSON in a file, synced. Used by several threads."""

    def __init__(self, path):
        self.path, self.lock = pathlib.Path(path), threading.Lock()
        self.file = open(self.path, "ab", buffering=0)

    def write(self, what, **more):
        with self.lock:
            self.file.write(json.dumps({"what": what, **more}).encode() + b"\n")
            os.fdatasync(self.file.fileno())

    def read(self):
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]


class Client:
    """Asks until it is answered, and keeps the journal. `system` may be restarted meanwhile, on the same ports."""

    def __init__(self, system, journal, dice):
        self.system, self.journal, self.dice = system, journal, dice
        self.tasks = {}      # task → document, of those that are not deleted
        self.documents = {}  # document → number
        self.ended = set()   # tasks that were seen to have ended
        self.submitted = self.again = 0
        self.unsure = None   # (number, kind) of an offer that got no answer: it may have been taken
        self.may_fail = ()   # error codes with which a task may fail here
        self.seconds = 60    # how long it asks again and again
        self.patience = (429, 503)  # answers after which it is worth another try

    def ask(self, method, path, body=None, headers=None):
        deadline = time.monotonic() + self.seconds
        while True:
            try:
                answer = self.system.rest.call(method, path, body, headers)
                if answer.status not in self.patience:
                    return answer
            except OSError as error:
                answer = error
            assert time.monotonic() < deadline, f"no answer for {self.seconds} s to {method} {path}: {answer!r}"
            time.sleep(0.01)

    def offer(self, kind):
        """Submits, in one try: (task, answer), where one is None, or both. What got no answer is offered again the next
        time, and counts once."""
        number, kind = self.unsure = self.unsure or (self.submitted + 1, kind)
        try:
            answer = self.system.rest.post("documents/", document(number, kind), headers={
                "X-Filename": f"{number}.{KINDS[kind][1]}", "Content-Type": "application/octet-stream",
                "Idempotency-Key": f"submit-{number}"})
        except OSError:
            return None, None
        if answer.status != 201:
            self.unsure = None if answer.status in (429, 507) else self.unsure
            return None, answer
        task, name = answer.json["task"]["id"], answer.json["document"]["id"]
        self.journal.write("submit", task=task, document=name, number=number, kind=kind)
        self.unsure, self.submitted = None, number
        self.tasks[task] = name
        self.documents[name] = number
        return task, None

    def submit(self, kind):
        """Offers until it is taken."""
        deadline = time.monotonic() + self.seconds
        while True:
            task, answer = self.offer(kind)
            if task:
                return task
            assert not answer or answer.status in self.patience, answer
            assert time.monotonic() < deadline, f"not taken for {self.seconds} s: {answer}"
            time.sleep(0.01)

    def cancel(self, task):
        answer = self.ask("PUT", TASKS + task, {"status": "cancelled"})
        assert answer.status in (200, 409), answer
        if answer.status == 200:
            self.journal.write("cancel", task=task)
            self.ended.add(task)

    def process(self, task):
        """Has an ended task done again."""
        self.again += 1
        answer = self.ask("POST", f"{TASKS}{task}/process/", headers={"Idempotency-Key": f"again-{self.again}"})
        assert answer.status == 202, answer
        self.journal.write("process", task=task)
        self.ended.discard(task)

    def delete_task(self, task):
        answer = wait_for(lambda: (answer := self.ask("DELETE", TASKS + task)).status in (204, 404) and answer, 30,
                          f"task {task} can be removed")
        self.journal.write("delete_task", task=task, status=answer.status)
        del self.tasks[task]

    def delete_document(self, task):
        name = self.tasks[task]
        answer = self.ask("DELETE", f"documents/{name}")
        assert answer.status in (204, 404), answer
        self.journal.write("delete_document", document=name, status=answer.status)
        self.tasks = {task: of for task, of in self.tasks.items() if of != name}

    def wait(self, task):
        """The task when it has ended."""
        last = wait_for(lambda: (answer := self.ask("GET", f"{TASKS}{task}?wait=10")).status == 200
                        and answer.json["status"] in FINAL and answer.json, 2 * self.seconds, f"task {task} ends")
        self.journal.write("end", task=task, status=last["status"])
        self.ended.add(task)
        return last

    def meddle(self):
        """Now and then something else than a submit, with any of the tasks."""
        what = self.dice.choices(["nothing", "cancel", "delete_task", "delete_document", "process"],
                                 [20, 2, 1, 2, 3])[0]
        known = list(self.tasks) if what != "process" else sorted(self.ended & self.tasks.keys())
        if what != "nothing" and known:
            getattr(self, what)(self.dice.choice(known))


class Listener:
    """Hears the feed on a thread of its own, and writes down every end that is told there."""

    def __init__(self, endpoint, journal):
        self.endpoint, self.journal = endpoint, journal
        self.numbers = {}  # (seq) → (event, task): the same number must not be given twice
        self.doubled = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        feed = zmq.Context.instance().socket(zmq.SUB)
        feed.setsockopt(zmq.RCVHWM, 0)
        feed.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        feed.subscribe("task.local.")
        feed.connect(self.endpoint)
        while not self.stopping.is_set():
            if not feed.poll(100):
                continue
            event = json.loads(feed.recv_multipart()[1])
            if event.get("replay"):
                continue
            told = (event["event"], event["task"]["id"])
            if self.numbers.setdefault(event["seq"], told) != told:
                self.doubled.append((event["seq"], self.numbers[event["seq"]], told))
            if event["event"] in FINAL:
                self.journal.write("told", task=told[1], status=told[0], seq=event["seq"])
        feed.close(0)

    def stop(self):
        self.stopping.set()
        self.thread.join()
        assert not self.doubled, f"numbers that the feed gave twice: {self.doubled[:5]}"


class Books:
    """What the journal says there has to be."""

    def __init__(self, journal):
        self.documents, self.tasks, self.starts = {}, {}, collections.Counter()
        self.gone_tasks, self.gone_documents, self.cancelled = set(), set(), set()
        self.last_end = {}
        self.finished = collections.defaultdict(set)  # task → sequence numbers of its ends, as the feed told them
        for line in journal.read():
            getattr(self, "on_" + line.pop("what"))(**line)
        self.gone_tasks |= {task for task, name in self.tasks.items() if name in self.gone_documents}

    def on_submit(self, task, document, number, kind):
        assert task not in self.tasks and document not in self.documents, f"{number} was acknowledged twice, differently"
        self.tasks[task] = document
        self.documents[document] = (number, kind)
        self.starts[task] = 1

    def on_cancel(self, task):
        self.cancelled.add(task)
        self.last_end[task] = "cancelled"

    def on_process(self, task):
        self.starts[task] += 1
        self.cancelled.discard(task)
        self.last_end.pop(task, None)

    def on_delete_task(self, task, status):
        self.gone_tasks.add(task)

    def on_delete_document(self, document, status):
        self.gone_documents.add(document)

    def on_end(self, task, status):
        assert self.last_end.setdefault(task, status) == status, f"task {task} ended as {self.last_end[task]} and {status}"

    def on_told(self, task, status, seq):
        self.finished[task].add(seq)

    def compare(self, client, may_fail=()):
        """Compares with what the API says. `may_fail`: error codes with which a task may have failed."""
        statuses = self.compare_tasks(client, may_fail)
        self.compare_documents(client, statuses)
        return collections.Counter(statuses.values())

    def compare_tasks(self, client, may_fail):
        statuses = {}
        for task in self.tasks:
            answer = client.ask("GET", TASKS + task)
            if task in self.gone_tasks:
                assert answer.status == 404, f"task {task} was deleted: {answer}"
                continue
            assert answer.status == 200, f"task {task} is lost: {answer}"
            status = statuses[task] = answer.json["status"]
            assert status in FINAL, answer
            assert status == self.last_end.get(task, status), f"task {task} ended as {self.last_end[task]}: {answer}"
            assert status != "failed" or answer.json["error_code"] in may_fail, (answer, self.history(client, task))
            ends = [event for event in self.history(client, task)
                    if event["event"] in FINAL and "stage" not in event]  # with one it is an attempt's end
            assert len(ends) == self.starts[task], f"task {task} was begun {self.starts[task]} times: {ends}"
            assert len(self.finished[task]) <= self.starts[task], f"the feed told {self.finished[task]} of task {task}"
        listed = {task["id"]: task["status"] for task in client.system.rest.pages(TASKS)}
        assert listed == statuses, set(listed.items()) ^ set(statuses.items())
        counted = client.ask("GET", "document-processing/queue/status/").json
        assert counted["total_tasks"] == len(statuses), counted
        for name, count in collections.Counter(statuses.values()).items():
            assert counted[f"{name}_tasks"] == count, (name, count, counted)
        return statuses

    @staticmethod
    def history(client, task):
        return client.system.rest.pages(f"{TASKS}{task}/events")

    def compare_documents(self, client, statuses):
        by_document = {name: (task, statuses[task]) for task, name in self.tasks.items() if task in statuses}
        listed = {shown["id"] for shown in client.system.rest.pages("documents/")}
        assert listed == self.documents.keys() - self.gone_documents, "documents are lost, or came back"
        for name, (number, kind) in self.documents.items():
            word = own_word(number)
            found = client.ask("GET", f"search?mode=text&limit={SEARCHED}&q={word}").json["hits"]
            places = sorted((hit["document_id"], hit["chunk"]) for hit in found)
            if name in self.gone_documents:
                assert not places, f"document {number} was deleted and is found: {places}"
                continue
            chunks = client.system.rest.pages(f"documents/{name}/chunks")
            assert [chunk["index"] for chunk in chunks] == list(range(len(chunks))), number
            task, status = by_document.get(name, (None, None))
            if status == "completed":
                self.compare_chunks(number, kind, chunks)
                result = client.ask("GET", f"{TASKS}{task}/result").json
                assert (result["status"], result["chunks_created"]) == ("success", len(chunks)), (number, result)
            wanted = [(name, chunk["index"]) for chunk in chunks if word in chunk["text"].split()]
            assert len(wanted) == len(chunks), f"a chunk of document {number} is another's"
            if len(wanted) <= SEARCHED:
                assert places == wanted, f"document {number} is found in {places}, not in {wanted}"

    @staticmethod
    def compare_chunks(number, kind, chunks):
        """Every paragraph is there, in order; neighbours may share some text."""
        seen = []
        for chunk in chunks:
            seen += [word for word in chunk["text"].split() if word.startswith("at") and word.endswith(f"of{number}")]
        wanted = [place_word(number, i) for i in range(KINDS[kind][0])]
        assert list(dict.fromkeys(seen)) == wanted, f"document {number}: {len(set(seen))} of {len(wanted)} paragraphs"
        starts = [chunk["start"] for chunk in chunks]
        assert starts == sorted(set(starts)), f"chunks of document {number} are doubled"


def check_at_rest(system):
    """Has both databases looked at while nothing runs."""
    done = subprocess.run([str(BIN / "myelin"), "verify", "--data", str(system.data)], capture_output=True, text=True,
                          timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done
