"""Cancel and delete while the work is under way: it stops, and its CPU is free for the next. How soon is told by the CPU
time that is used after the answer, which does not depend on how busy the machine is."""
import contextlib
import os
import pathlib
import time

import pdf
from harness import TASKS, running, wait_for

QUEUE = "document-processing/queue/status/"
ONE_OF_EACH = "extract=1,chunk=1,embed=1"
PROMISE_S = 1.0
TICKS = os.sysconf("SC_CLK_TCK")


def stat_of(pid):
    """(parent, CPU seconds of it and of its children that ended), or None when it is gone."""
    with contextlib.suppress(OSError):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[1]), sum(map(int, fields[11:15])) / TICKS
    return None


def tree(root):
    """All processes below one, with it."""
    parents = {int(name): stat for name in os.listdir("/proc") if name.isdigit() and (stat := stat_of(name))}
    found, todo = [], [root]
    while todo:
        found.append(todo.pop())
        todo += [pid for pid, (parent, _) in parents.items() if parent == found[-1]]
    return found


def cpu_of(system, *roles):
    """CPU seconds of all processes of these roles, with their children of now and before."""
    return sum(stat[1] for role in roles for root in system.children(role) for pid in tree(root)
               if (stat := stat_of(pid)))


def parsers(system):
    found = []
    for root in system.children("extract"):
        for pid in tree(root):
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "extract-parser":
                    found.append(pid)
    return found


def is_idle(system):
    status = system.rest.get(QUEUE).json
    return not status["processing_tasks"] and not any(stage["running"] + stage["ready"]
                                                      for stage in status["stages"].values())


def assert_released(system, before, *roles):
    """Used little since the answer, and uses nothing any more."""
    used = cpu_of(system, *roles) - before
    print(f"    {used:.2f} s of CPU after the answer")
    assert used < PROMISE_S, f"{used:.2f} s of CPU after the answer"
    start = cpu_of(system, *roles)
    time.sleep(1)  # it is the absence of something that is looked for
    assert cpu_of(system, *roles) - start < 0.2, f"{cpu_of(system, *roles) - start:.2f} s of CPU in a second of rest"


def ways_to_stop(system):
    """(name, what stops it and gives the status, the status that is expected, whether the task is there afterwards)"""
    rest, req = system.rest, system.req
    cancelled = {"status": "cancelled"}
    yield "PUT", lambda task, document: rest.put(TASKS + task, cancelled), 200, True
    yield "PUT over REQ", lambda task, document: req.call("PUT", TASKS + task, cancelled), 200, True
    yield "DELETE of the task", lambda task, document: rest.delete(TASKS + task), 204, False
    yield "DELETE of the document", lambda task, document: rest.delete("documents/" + document), 204, False


def test_a_parser_at_work_is_stopped():
    with running(workers=ONE_OF_EACH) as system:
        for number, (name, stop, expected, stays) in enumerate(ways_to_stop(system)):
            reply = system.rest.submit(f"{number}.pdf", pdf.that_never_ends(name))
            task, document = reply["task"]["id"], reply["document"]["id"]
            parser = wait_for(lambda: parsers(system), 20, "a parser at work")[0]
            wait_for(lambda: stat_of(parser)[1] > 0.3, 20, "it is busy")
            before = cpu_of(system, "extract")
            answer = stop(task, document)
            assert answer.status == expected, (name, answer)
            wait_for(lambda: not stat_of(parser), 10, f"the parser is gone after {name}")
            assert_released(system, before, "extract")
            answer = system.rest.get(TASKS + task)
            assert (answer.status == 200 and answer.json["status"] == "cancelled") if stays else answer.status == 404, answer
            other = system.rest.submit(f"{number}.txt", f"The next one after {name}.".encode())["task"]["id"]
            assert system.rest.wait(other, 20)["status"] == "completed"


def test_who_was_stopped_is_no_poison():
    """That the parser was ended was not the document's fault, however often."""
    with running(workers=ONE_OF_EACH) as system:
        task = system.rest.submit("endless.pdf", pdf.that_never_ends("again"))["task"]["id"]
        for _ in range(4):
            parser = wait_for(lambda: parsers(system), 20, "a parser at work")[0]
            assert system.rest.put(TASKS + task, {"status": "cancelled"}).status == 200
            wait_for(lambda: not stat_of(parser), 10, "the parser is gone")
            assert system.rest.post(f"{TASKS}{task}/process/").status == 202
        wait_for(lambda: parsers(system), 20, "a parser at work")
        assert system.rest.get(TASKS + task).json["status"] == "processing"
        assert system.rest.delete(TASKS + task).status == 204


def long_text(mark):
    """Text that keeps all stages busy for a while."""
    line = "The {} tells of the sea in its line number {} and of what was found there, in so many words that it goes on. "
    return "".join(line.format(mark, number) for number in range(400_000)).encode()


def test_all_stages_stop_in_the_middle_of_a_document():
    with running(workers=ONE_OF_EACH) as system:
        for number, (name, stop, expected, stays) in enumerate(ways_to_stop(system)):
            reply = system.rest.submit(f"{number}.txt", long_text(f"book{number}"))
            task, document = reply["task"]["id"], reply["document"]["id"]
            wait_for(lambda: system.rest.get(TASKS + task).json["segments"]["done"] > 4, 60, "all stages are at work")
            before = cpu_of(system, "extract", "chunk", "embed")
            answer = stop(task, document)
            assert answer.status == expected, (name, answer)
            wait_for(lambda: is_idle(system), 20, f"nothing is done any more after {name}")
            assert_released(system, before, "extract", "chunk", "embed")
            assert not system.rest.get(f"search?q=book{number}").json["hits"], "what was cancelled is found"
            answer = system.rest.get(TASKS + task)
            assert (answer.status == 200 and answer.json["status"] == "cancelled") if stays else answer.status == 404, answer


def test_tasks_that_wait_are_cancelled_at_once_and_never_begun():
    with running(workers=ONE_OF_EACH) as system:
        busy = system.rest.submit("busy.pdf", pdf.that_never_ends("busy"))["task"]["id"]
        wait_for(lambda: parsers(system), 20, "the worker is busy")
        for number, (name, stop, expected, _) in enumerate(ways_to_stop(system)):
            reply = system.rest.submit(f"{number}.txt", f"{name} waits. ".encode() * 30_000)
            assert stop(reply["task"]["id"], reply["document"]["id"]).status == expected
        status = system.rest.get(QUEUE).json
        assert status["pending_tasks"] == 0 and status["processing_tasks"] == 1, status
        assert system.rest.put(TASKS + busy, {"status": "cancelled"}).status == 200
        wait_for(lambda: is_idle(system), 10, "nothing is done any more")
        assert not system.rest.get("search?q=waits").json["hits"]


test_all_stages_stop_in_the_middle_of_a_document.seconds = 240
