"""Everything at once, by dice: submits, cancels, deletions, repetitions, changes of priority, and kills of any process
but the supervisor. In the end every task has ended, the kept counters equal the lists, what was deleted is gone and
not found, and what completed is found once."""
import collections
import os
import random
import signal
import time

from harness import FINAL, TASKS, chunks, running, wait_for

STEPS = 600
WEIGHTS = {"submit": 40, "cancel": 6, "delete_task": 4, "process": 6, "priority": 6, "delete_document": 4, "kill": 5,
           "again": 4}
WORDS = "lantern orchard quartz velvet thunder meadow copper island whistle marble saffron glacier ember".split()
ROLES = ("extract", "chunk", "embed", "storage", "broker", "gateway")


class Soak:
    def __init__(self, system, seed):
        self.system, self.dice = system, random.Random(seed)
        self.tasks = {}               # task → document
        self.documents = {}           # document → its number, which is a word of its text
        self.no_tasks, self.no_documents = set(), set()
        self.kills = collections.Counter()

    def ask(self, method, path, body=None, headers=None, seconds=30):
        """The answer, whoever is being restarted meanwhile. What is asked twice must not count twice."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                answer = self.system.rest.call(method, path, body, headers)
                if answer.status != 503:
                    return answer
            except OSError:
                answer = None
            assert time.monotonic() < deadline, f"{method} {path}: {answer}"
            time.sleep(0.02)

    def submit(self):
        number = len(self.documents) + 1
        size = self.dice.choice([1, 3, 10, 100, 1500])
        text = "\n\n".join(f"soak{number} paragraph {i} " + " ".join(self.dice.choices(WORDS, k=50))
                           for i in range(size)).encode()
        kind = self.dice.random()
        if kind < 0.1:
            text = f"%PDF-1.4 soak{number} and nothing else".encode() if kind < 0.05 else bytes(number)
        answer = self.ask("POST", f"documents/?priority={self.dice.randint(1, 10)}", text, {
            "X-Filename": f"{number}.txt", "Content-Type": "application/octet-stream",
            "Idempotency-Key": f"submit-{number}"})
        assert answer.status == 201, answer
        self.tasks[answer.json["task"]["id"]] = answer.json["document"]["id"]
        self.documents[answer.json["document"]["id"]] = number

    def cancel(self, task):
        assert self.ask("PUT", TASKS + task, {"status": "cancelled"}).status in (200, 404, 409)

    def priority(self, task):
        assert self.ask("PUT", TASKS + task, {"priority": self.dice.randint(1, 10)}).status in (200, 404, 409)

    def process(self, task):
        assert self.ask("POST", f"{TASKS}{task}/process/").status in (202, 404, 409)

    def again(self, task):
        answer = self.ask("POST", TASKS, {"document_id": self.tasks[task]},
                          {"Idempotency-Key": f"again-{len(self.tasks)}"})
        assert answer.status in (202, 404, 409), answer
        if answer.status == 202:
            self.tasks[answer.json["id"]] = self.tasks[task]

    def delete_task(self, task):
        wait_for(lambda: self.ask("DELETE", TASKS + task).status in (204, 404), 20, "the task can be removed")
        self.no_tasks.add(task)

    def delete_document(self, task):
        document = self.tasks[task]
        assert self.ask("DELETE", f"documents/{document}").status in (204, 404)
        self.no_documents.add(document)
        self.no_tasks |= {other for other, of in self.tasks.items() if of == document}

    def kill(self):
        role = self.dice.choice(ROLES)
        pids = self.system.children(role)
        if pids:
            os.kill(self.dice.choice(pids), signal.SIGKILL)
            self.kills[role] += 1

    def run(self):
        for _ in range(STEPS):
            step = self.dice.choices(list(WEIGHTS), WEIGHTS.values())[0]
            if step in ("submit", "kill") or not self.tasks:
                self.kill() if step == "kill" else self.submit()
            else:
                getattr(self, step)(self.dice.choice(list(self.tasks)))

    def check_tasks(self):
        ended = collections.Counter()
        for task in self.tasks:
            if task in self.no_tasks:
                assert self.ask("GET", TASKS + task).status == 404, task
                continue
            last = wait_for(lambda: (answer := self.ask("GET", f"{TASKS}{task}?wait=10")).status == 200
                            and answer.json["status"] in FINAL and answer.json, 120, f"task {task} ends")
            assert last["error_code"] in (None, "cancelled", "empty_document", "unsupported_media_type",
                                          "damaged_document"), last
            ended[last["status"]] += 1
        status = self.ask("GET", "document-processing/queue/status/").json
        listed = collections.Counter(task["status"] for task in self.system.rest.pages(TASKS))
        assert ended == listed, (ended, listed)
        assert status["total_tasks"] == sum(ended.values()), (status, ended)
        for name in ("pending", "processing", *FINAL):
            assert status[f"{name}_tasks"] == ended[name], (name, status, ended)

    def histories(self, document):
        return [self.ask("GET", f"{TASKS}{task}/events?limit=200").json
                for task, of in self.tasks.items() if of == document and task not in self.no_tasks]

    def check_documents(self):
        listed = {document["id"] for document in self.system.rest.pages("documents/")}
        assert listed == set(self.documents) - self.no_documents
        for document, number in self.documents.items():
            found = self.ask("GET", f"search?mode=text&limit=100&q=soak{number}")
            places = [(hit["document_id"], hit["chunk"]) for hit in found.json["hits"]]
            assert len(places) == len(set(places)), places
            assert {place[0] for place in places} <= {document}, (document, places)
            if document in self.no_documents:
                assert not places and self.ask("GET", f"documents/{document}").status == 404, document
                continue
            shown = self.ask("GET", f"documents/{document}").json
            count = shown["chunks"]
            assert count == len(chunks(self.system.rest, document)), (shown, self.histories(document))
            assert len(places) == min(count, 100), (document, number, count, len(places))
            inside = self.ask("GET", f"search?mode=text&limit=100&q=soak{number}&document_id={document}").json["hits"]
            assert len(inside) == len(places), document


def soak(seed):
    with running() as system:
        run = Soak(system, seed)
        run.run()
        run.check_tasks()
        run.check_documents()
        print(f"    {len(run.tasks)} tasks, {len(run.documents)} documents, {len(run.no_documents)} of them deleted, "
              f"killed: {dict(run.kills)}")
        system.restart()
        run.check_tasks()
        run.check_documents()


def test_random_operations_and_kills_keep_the_books():
    soak(1)


def test_random_operations_and_kills_keep_the_books_again():
    soak(2)
