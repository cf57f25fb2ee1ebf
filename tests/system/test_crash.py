"""Killing processes while they work loses nothing and doubles nothing."""
import collections
import contextlib
import os
import random
import signal
import time

from harness import FINAL, TASKS, chunks, running, wait_for

DOCUMENTS = 500
KILLS = 30
WORDS = ("harbour lantern orchard quartz velvet thunder meadow copper island whistle marble saffron glacier ember "
         "canyon ribbon falcon timber anchor willow").split()


def share(kill):
    """The numbers of the documents that are submitted before a kill."""
    return range(kill * DOCUMENTS // KILLS, (kill + 1) * DOCUMENTS // KILLS)


LAST_OF_SHARE = {share(kill)[-1] for kill in range(KILLS)}


def own_word(number):
    return f"only{number}"


def document(number):
    """Text that is the same in every run: a few paragraphs; some are some segments long, and the last one of each share
    keeps every stage at work for a while. A word of it is in no other."""
    source = random.Random(number)
    paragraphs = 6000 if number in LAST_OF_SHARE else 1500 if number % 10 == 0 else 4
    return "\n\n".join(f"Document {number}, paragraph {i}, {own_word(number)}. "
                       + " ".join(source.choices(WORDS, k=60)) + "." for i in range(paragraphs)).encode()


def submit(system, number):
    """Submits one, trying again while the broker is away; the key makes sure that no try counts twice."""
    content, deadline = document(number), time.monotonic() + 60
    while True:
        assert time.monotonic() < deadline, f"document {number} was not taken for a minute"
        try:
            answer = system.rest.post("documents/", content, headers={
                "X-Filename": f"{number}.txt", "Content-Type": "application/octet-stream",
                "Idempotency-Key": f"document-{number}"})
        except OSError:
            time.sleep(0.05)
            continue
        if answer.status in (200, 201):
            return answer.json["task"]["id"]
        assert answer.status in (429, 503), answer
        time.sleep(0.05)


def tasks_that_are(system, status):
    try:
        answer = system.rest.get("document-processing/queue/status/")
        return answer.json[f"{status}_tasks"] if answer.status == 200 else -1
    except OSError:
        return -1


def submit_and_kill(system, killed):
    """Submits all, and between them kills KILLS times one of those who work on what is there. Before each kill some
    of the work in hand is let through; but the last document of each share comes when the storage is held, so that it
    is certainly in hand when the kill comes."""
    source, tasks = random.Random(7), {}
    for kill in range(KILLS):
        before = tasks_that_are(system, "completed")
        *others, last = share(kill)
        for number in others:
            tasks[number] = submit(system, number)
        through = before + source.randrange(len(others) - 2)
        wait_for(lambda: tasks_that_are(system, "completed") >= through, 60, f"work goes on before kill {kill}", 0.002)
        held, = wait_for(lambda: system.children("storage"), 30, "a storage to hold")
        os.kill(held, signal.SIGSTOP)
        tasks[last] = submit(system, last)
        wait_for(lambda: tasks_that_are(system, "processing") > 0, 60, f"work is in hand before kill {kill}", 0.002)
        role = source.choice(["extract", "extract", "chunk", "embed", "embed", "storage", "broker", "broker"])
        pids = wait_for(lambda: system.children(role), 30, f"a {role} to kill")
        os.kill(source.choice(pids), signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):  # when it was the one
            os.kill(held, signal.SIGCONT)
        killed[role] += 1
    return tasks


def outcome(system, tasks):
    """number → (status, chunks), after everything has ended."""
    ended = {}
    for number, task in tasks.items():
        done = None
        deadline = time.monotonic() + 240
        while done is None or done["status"] not in FINAL:
            assert time.monotonic() < deadline, f"task {task} of document {number} hangs: {done}"
            try:
                answer = system.rest.get(f"{TASKS}{task}?wait=20")
                done = answer.json if answer.status == 200 else done
            except OSError:
                time.sleep(0.05)
        items = [(chunk["index"], chunk["start"], chunk["end"], chunk["text"])
                 for chunk in chunks(system.rest, done["document_id"])]
        ended[number] = (done["status"], items)
    return ended


def test_500_documents_survive_30_kills():
    with running() as system:
        calm = outcome(system, {number: submit(system, number) for number in range(DOCUMENTS)})
    assert all(status == "completed" for status, _ in calm.values())

    with running() as system:
        killed = collections.Counter()
        tasks = submit_and_kill(system, killed)
        rough = outcome(system, tasks)
        assert sum(killed.values()) == KILLS
        print(f"    killed: {dict(killed)}")

        assert len(set(tasks.values())) == DOCUMENTS
        statuses = collections.Counter(status for status, _ in rough.values())
        assert statuses == {"completed": DOCUMENTS}, statuses
        for number in calm:
            assert rough[number] == calm[number], f"document {number} differs from the undisturbed run"
        for number, task in tasks.items():
            result = system.rest.get(f"{TASKS}{task}/result").json
            assert result["chunks_created"] == len(calm[number][1]), (number, result)
            events = system.rest.pages(f"{TASKS}{task}/events")
            ends = [event for event in events if event["event"] in FINAL]
            assert len(ends) == 1, (number, ends)
        queue = system.rest.get("document-processing/queue/status/").json
        assert queue["total_tasks"] == queue["completed_tasks"] == DOCUMENTS, queue
        assert len(system.rest.pages("documents/")) == DOCUMENTS
        # What was written twice on the way is not found twice, and nothing is lost: each document's own word is found
        # once in each of its chunks that have it.
        for number in calm:
            word = own_word(number)
            wanted = [index for index, _, _, text in calm[number][1] if word in text]
            if len(wanted) <= 100:  # as many as an answer holds
                hits = system.rest.get(f"search?mode=text&limit=100&q={word}").json["hits"]
                assert wanted and sorted(hit["chunk"] for hit in hits) == wanted, (number, wanted, hits)
                assert len({hit["document_id"] for hit in hits}) == 1, hits


test_500_documents_survive_30_kills.seconds = 600


def test_acknowledged_documents_survive_a_kill_of_everything():
    with running(workers="extract=0") as system:
        acknowledged = [system.rest.submit(f"{i}.txt", f"Kept {i}".encode())["task"]["id"] for i in range(50)]
        system.process.kill()
        system.process.wait()
        system.start()
        for task in acknowledged:
            assert system.rest.get(TASKS + task).json["status"] == "pending"
        system.stop()
        system.workers = "extract=2,chunk=1,embed=2"
        system.start()
        for task in acknowledged:
            assert system.rest.wait(task)["status"] == "completed"


def test_killed_parsers_worker_is_nobodys_fault():
    """A worker that is killed gives its job back without a try being counted against the document."""
    with running(workers="extract=1,chunk=1,embed=1") as system:
        big = b"\n\n".join(document(10) for _ in range(20))
        task = system.rest.submit("big.txt", big)["task"]["id"]
        for _ in range(6):
            for role in ("extract", "chunk", "embed"):
                if system.rest.get(TASKS + task).json["status"] in FINAL:
                    break
                killed = system.kill(role)
                system.wait_for_children(role, 1, without=(killed,))
        done = system.rest.wait(task, 120)
        assert done["status"] == "completed" and done["segments"]["failed"] == 0, done
