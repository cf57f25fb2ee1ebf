"""Killing processes while they work loses nothing and doubles nothing."""
import collections
import json
import os
import pathlib
import random
import signal
import threading
import time

from harness import FINAL, TASKS, chunks, running, wait_for

DOCUMENTS = 500
KILLS = 30
WORDS = ("harbour lantern orchard quartz velvet thunder meadow copper island whistle marble saffron glacier ember "
         "canyon ribbon falcon timber anchor willow").split()


def document(number):
    """Text that is the same in every run: a few paragraphs; every tenth is some segments long."""
    source = random.Random(number)
    paragraphs = 4 if number % 10 else 1500
    return "\n\n".join(f"Document {number}, paragraph {i}. " + " ".join(source.choices(WORDS, k=60)) + "."
                       for i in range(paragraphs)).encode()


def submit_all(system):
    """Submits all, trying again while the broker is away; the key makes sure that no try counts twice."""
    tasks = {}
    for number in range(DOCUMENTS):
        content, deadline = document(number), time.monotonic() + 60
        while number not in tasks:
            assert time.monotonic() < deadline, f"document {number} was not taken for a minute"
            try:
                answer = system.rest.post("documents/", content, headers={
                    "X-Filename": f"{number}.txt", "Content-Type": "application/octet-stream",
                    "Idempotency-Key": f"document-{number}"})
            except OSError:
                time.sleep(0.05)
                continue
            if answer.status in (200, 201):
                tasks[number] = answer.json["task"]["id"]
            else:
                assert answer.status in (429, 503, 507), answer
                time.sleep(0.05)
    return tasks


def kill_at_random(system, stop, killed):
    source = random.Random(7)
    for _ in range(KILLS):
        role = source.choice(["extract", "extract", "chunk", "embed", "embed", "storage", "broker"])
        if stop.wait(source.uniform(0.1, 0.9)):
            return
        pids = wait_for(lambda: system.children(role), 20, f"a {role} to kill")
        try:
            os.kill(source.choice(pids), signal.SIGKILL)
            killed[role] += 1
        except ProcessLookupError:
            killed["gone already"] += 1


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
        calm = outcome(system, submit_all(system))
    assert all(status == "completed" for status, _ in calm.values())

    with running() as system:
        killed, stop, errors = collections.Counter(), threading.Event(), []

        def killer():
            try:
                kill_at_random(system, stop, killed)
            except Exception as error:
                errors.append(error)
        thread = threading.Thread(target=killer)
        thread.start()
        try:
            tasks = submit_all(system)
            thread.join(120)
            rough = outcome(system, tasks)
        finally:
            stop.set()
            thread.join()
        assert not errors, errors
        assert sum(killed.values()) == KILLS, killed
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
        # What was written twice on the way is not found twice: a word of one document, once per chunk.
        for number in range(1, 50, 7):
            hits = system.rest.get(f"search?mode=text&limit=100&q=%22Document+{number}%22").json["hits"]
            places = [(hit["document_id"], hit["chunk"]) for hit in hits]
            assert len(places) == len(set(places)), places


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
