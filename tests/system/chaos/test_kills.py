"""Real processes are killed, alone and in pairs, in the middle of work."""
import os
import pathlib
import random
import signal
import tempfile

from harness import FINAL, TASKS, running, wait_for
from journal import Books, Client, Journal, document
from storm import processes, storm


def test_a_parser_that_is_killed_from_outside_is_tried_again():
    """Whoever is short of memory kills whom it likes: that is not the document's fault."""
    with running(workers="extract=1") as system:
        held, = system.children("storage")
        os.kill(held, signal.SIGSTOP)  # so that the parser has to wait
        task = system.rest.submit("book.html", document(1, "book"))["task"]["id"]
        parser, = wait_for(lambda: processes(system, "parser"), 20, "a parser", 0.002)
        os.kill(parser, signal.SIGKILL)
        os.kill(held, signal.SIGCONT)
        done = system.rest.wait(task)
        assert done["status"] == "completed" and done["segments"]["failed"] == 0, done
        events = system.rest.pages(f"document-processing/tasks/{task}/events")
        assert [event["code"] for event in events if event["event"] == "failed"] == ["parser_killed"], events


def test_50_kills_lose_nothing_and_double_nothing():
    storm(50, seed=1)


test_50_kills_lose_nothing_and_double_nothing.seconds = 600


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


def test_a_worker_that_is_killed_again_and_again_is_nobodys_fault():
    """It gives its job back without a try being counted against the document."""
    with running(workers="extract=1,chunk=1,embed=1") as system:
        big = b"\n\n".join([document(1, "paper")] * 15)
        task = system.rest.submit("big.txt", big)["task"]["id"]
        for _ in range(6):
            for role in ("extract", "chunk", "embed"):
                if system.rest.get(TASKS + task).json["status"] in FINAL:
                    break
                killed = system.kill(role)
                system.wait_for_children(role, 1, without=(killed,))
        done = system.rest.wait(task, 120)
        assert done["status"] == "completed" and done["segments"]["failed"] == 0, done


def test_the_comparison_with_the_journal_notices_what_is_wrong():
    """Each of these lines in the journal is a lie: the system must be found to differ from it."""
    with running() as system, tempfile.TemporaryDirectory() as place:
        journal = Journal(pathlib.Path(place) / "journal")
        client = Client(system, journal, random.Random(1))
        first, second = client.submit("note"), client.submit("page")
        for task in (first, second):
            assert client.wait(task)["status"] == "completed"
        Books(journal).compare(client)
        told = journal.path.read_bytes()
        other = "01920000-0000-7000-8000-000000000000"
        lies = [("submit", {"task": other, "document": other, "number": 3, "kind": "note"}),  # one is lost
                ("cancel", {"task": first}),                                   # a cancelled one was completed
                ("process", {"task": first}),                                  # one begun twice has ended once
                ("delete_task", {"task": second, "status": 204}),              # a deleted one is back
                ("delete_document", {"document": client.tasks[second], "status": 204}),
                ("end", {"task": first, "status": "failed"})]                  # one has ended twice
        for what, more in lies:
            journal.write(what, **more)
            try:
                Books(journal).compare(client)
            except AssertionError:
                pass
            else:
                raise RuntimeError(f"a wrong {what} was not noticed")
            os.truncate(journal.path, len(told))
