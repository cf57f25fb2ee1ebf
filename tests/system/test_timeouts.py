"""What stands still is ended, and what takes too long: the two clocks of a job, and that of a task."""
import contextlib
import os
import pathlib
import signal
import threading
import time

from harness import TASKS, running, wait_for


def parsers(system):
    """Pids of the parser processes at work below the extract workers."""
    found = []
    for worker in system.children("extract"):
        for zygote in descendants(worker):
            found += [pid for pid in descendants(zygote) if name_of(pid) == "extract-parser"]
    return found


def descendants(pid):
    with contextlib.suppress(OSError):
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def name_of(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


@contextlib.contextmanager
def frozen_parsers(system):
    """Every parser that appears is stopped in its tracks; gives the list of those that were."""
    stopped, end = [], threading.Event()

    def freeze():
        while not end.is_set():
            for pid in parsers(system):
                if pid not in stopped:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGSTOP)
                        stopped.append(pid)
            time.sleep(0.001)

    thread = threading.Thread(target=freeze)
    thread.start()
    try:
        yield stopped
    finally:
        end.set()
        thread.join()


def page(number):
    return f"<h1>Part {number}</h1>" + f"<p>Paragraph of part {number}. It says little.</p>" * 2000


def book():
    """HTML that takes a parser a while."""
    return ("<html><body>" + "".join(map(page, range(100))) + "</body></html>").encode()


def history(system, task):
    return system.rest.pages(f"{TASKS}{task}/events")


def test_a_parser_that_stands_still_is_ended_and_tried_again():
    with running(workers="extract=1,chunk=1,embed=1", args=("--silence", "1")) as system:
        with frozen_parsers(system) as stopped:
            task = system.rest.submit("book.html", book())["task"]["id"]
            wait_for(lambda: stopped, 20, "a parser to stop")
            wait_for(lambda: len(stopped) > 1, 30, "the next attempt")
        done = system.rest.wait(task, 60)
        assert done["status"] == "completed", done
        events = [event for event in history(system, task) if event.get("code") == "timeout"]
        assert events and events[0]["stage"] == "extract", history(system, task)
        wait_for(lambda: not any(name_of(pid) == "extract-parser" for pid in stopped), 10, "the parsers to be gone")


def test_a_parser_that_always_stands_still_fails_its_task_as_timeout():
    with running(workers="extract=1,chunk=1,embed=1", args=("--silence", "1")) as system:
        with frozen_parsers(system):
            task = system.rest.submit("book.html", book())["task"]["id"]
            done = system.rest.wait(task, 90)
        assert done["status"] == "failed" and done["error_code"] == "timeout", done
        assert done["attempts"] == 3, done
        other = system.rest.submit("note.txt", b"The next one is served.")["task"]["id"]
        assert system.rest.wait(other)["status"] == "completed"


def test_a_task_that_takes_too_long_in_all_fails_as_timeout():
    """Its text waits for a stage that has no worker: only the task's own clock sees that."""
    with running(workers="extract=1,chunk=0,embed=1", args=("--task-timeout", "1")) as system:
        task = system.rest.submit("note.txt", b"Nobody cuts this into chunks.")["task"]["id"]
        done = system.rest.wait(task, 30)
        assert done["status"] == "failed" and done["error_code"] == "timeout", done
        assert "1 s" in done["error_message"], done
        assert system.rest.get("search?q=nobody").json["hits"] == []


def test_a_task_that_only_waits_does_not_time_out():
    with running(workers="extract=0", args=("--task-timeout", "1")) as system:
        task = system.rest.submit("note.txt", b"Not begun is not late.")["task"]["id"]
        time.sleep(2.5)  # nothing happens, and that is the point
        assert system.rest.get(TASKS + task).json["status"] == "pending"
