"""Results that must not count: of attempts that are over, that never were, or that are in other hands. Each says something
else than what is true; not one changes anything, and the metrics count every one."""
import contextlib
import uuid

from fake_worker import FakeWorker
from harness import FINAL, TASKS, running, wait_for
from metrics import scrape, value
from wire import DONE, FAILED, PART, SPANS, STAGES, TEXT

NOTE = "The first half of note {0} is about fences. The other half of note {0} is about gates."
HALF = len(NOTE.split(".")[0]) + 1


def stale(system):
    return value(scrape(system.rest), "myelin_results_stale_total")


def submit(system, first, count):
    """{document id: (task id, text)}"""
    replies = [(system.rest.submit(f"{i:05}.txt", NOTE.format(f"{i:05}").encode()), NOTE.format(f"{i:05}"))
               for i in range(first, first + count)]
    return {reply["document"]["id"]: (reply["task"]["id"], text) for reply, text in replies}


def completed(system):
    return system.rest.get("document-processing/queue/status").json["completed_tasks"]


def lie(hand, job, **changes):
    """A result that would cut the document short, or fail it."""
    if changes.get("outcome") == FAILED:
        hand.say("result", **hand.result(job, code="damaged_document", message="a lie", **changes))
    else:
        hand.say("result", b"\0\0\0\0\4\0\0\0\1\0\0\0",
                 **hand.result(job, chunks=99, columns=SPANS, **changes))


def lies_before(worker, other, job):
    """While the job is in its hands; returns how many."""
    lies = [{"epoch": epoch, "outcome": outcome} for outcome in (DONE, FAILED)
            for epoch in (0, job["epoch"] - 1, job["epoch"] + 1, 2 ** 64 - 1)]
    lies += [{"number": number, "outcome": outcome} for outcome in (DONE, FAILED)
             for number in (0, job["number"] + 1_000_000)]
    lies += [{"stage": STAGES.index("embed")}, {"stage": STAGES.index("extract"), "outcome": PART}]
    lies += [{"worker": uuid.uuid4()}] + [{"worker": other.id, "outcome": outcome} for outcome in (DONE, FAILED)
                                          if other is not worker]
    for changes in lies:
        lie(worker, job, **changes)
    return len(lies)


def lies_after(worker, job):
    for outcome in (DONE, FAILED, DONE):
        lie(worker, job, outcome=outcome)
    return 3


def work(workers, told, until, seconds=120):
    """Chunks as it should be done, and lies all the while; adds to `told` how often."""
    def turn():
        for worker, other in zip(workers, reversed(workers)):
            worker.turn(0.005)
            for job, columns in worker.jobs:
                told["lies"] += lies_before(worker, other, job)
                worker.chunked(job, (0, HALF + 5), (HALF + 5, len(columns[TEXT])))
                told["lies"] += lies_after(worker, job)
            worker.jobs.clear()
        return until()
    wait_for(turn, seconds, "the work is done", pause=0)


def check(system, documents):
    """All is as if nobody had lied."""
    for document, (task, text) in documents.items():
        result = system.rest.get(f"{TASKS}{task}/result").json
        assert result["status"] == "success" and result["chunks_created"] == 2 and not result["warnings"], result
        assert result["embeddings_generated"] == 2, result
        chunks = system.rest.get(f"documents/{document}/chunks").json["items"]
        assert [chunk["text"].strip() for chunk in chunks] == [text[:HALF + 5].strip(), text[HALF + 5:].strip()], chunks
        events = [event["event"] for event in system.rest.get(f"{TASKS}{task}/events?limit=200").json["items"]]
        assert "failed" not in events, events


@contextlib.contextmanager
def fakes(system, stage, count, slots=4):
    found = [FakeWorker(system.data / "run", stage, slots) for _ in range(count)]
    try:
        yield found
    finally:
        for worker in found:
            worker.close()


def test_ten_thousand_results_that_must_not_count():
    documents, told = {}, {"lies": 0}
    with running(workers="extract=1,chunk=0,embed=1") as system, fakes(system, "chunk", 2) as workers:
        documents = submit(system, 0, 520)
        work(workers, told, lambda: completed(system) == len(documents))
        assert told["lies"] >= 10_000, told
        wait_for(lambda: stale(system) >= told["lies"], 20, "all lies have come")
        assert stale(system) == told["lies"]
        check(system, documents)
        status = system.rest.get("document-processing/queue/status").json
        assert status["failed_tasks"] == 0 and status["completed_tasks"] == len(documents)


def test_late_results_of_a_worker_that_was_given_up():
    told = {"lies": 0}
    with running(workers="extract=1,chunk=0,embed=1") as system, fakes(system, "chunk", 1, 8) as (late,):
        documents = submit(system, 0, 8)
        wait_for(lambda: late.turn(0.01) or len(late.jobs) == 8, 20, "it holds all")
        held = [job for job, _ in late.jobs]
        late.silent = True
        wait_for(lambda: value(scrape(system.rest), "myelin_workers_vanished_total", stage="chunk") == 1, 20, "given up")
        assert value(scrape(system.rest), "myelin_jobs_lost_total", stage="chunk") == 8

        def say_late():
            for job in held:
                for outcome in (DONE, FAILED):
                    lie(late, job, outcome=outcome)
                    told["lies"] += 1
        say_late()  # nobody has the jobs
        wait_for(lambda: stale(system) == told["lies"], 10, "counted")
        with fakes(system, "chunk", 2) as workers:
            for worker in workers:
                wait_for(lambda: worker.turn(0.01) or worker.jobs, 10, "the jobs are in other hands")
            say_late()
            late.silent = False  # it is back, as a new one
            wait_for(lambda: late.turn(0.01) or scrape(system.rest) and value(
                scrape(system.rest), "myelin_workers_joined_total", stage="chunk") == 4, 10, "it is back")
            say_late()
            late.jobs.clear()
            work(workers + [late], told, lambda: completed(system) == 8)
            say_late()  # all is over
            wait_for(lambda: stale(system) >= told["lies"], 10, "counted")
            assert stale(system) == told["lies"]
            check(system, documents)


def test_results_of_an_older_epoch_under_numbers_of_the_new_one():
    told = {"lies": 0}
    with running(workers="extract=1,chunk=0,embed=1") as system, fakes(system, "chunk", 1, 8) as (worker,):
        documents = submit(system, 0, 8)
        wait_for(lambda: worker.turn(0.01) or len(worker.jobs) == 8, 20, "it holds all")
        old, epoch = [job for job, _ in worker.jobs], worker.epoch
        system.kill("broker")
        wait_for(lambda: worker.turn(0.01) or (worker.epoch == epoch + 1 and len(worker.jobs) == 8), 30,
                 "the new broker gives the jobs out again")
        new = {job["number"] for job, _ in worker.jobs}
        for job in old:
            for number in {job["number"], *new}:
                for outcome in (DONE, FAILED):
                    lie(worker, job, number=number, outcome=outcome)
                    told["lies"] += 1
        work([worker], told, lambda: completed(system) == 8)
        wait_for(lambda: stale(system) >= told["lies"], 10, "counted")
        assert stale(system) == told["lies"]
        check(system, documents)


def test_segments_that_come_twice():
    """Extract sends a document in parts: a part that comes again, with another text, is not a part more."""
    lies = 0
    with running(workers="extract=0,chunk=1,embed=1") as system, fakes(system, "extract", 1, 4) as (worker,):
        documents, done = submit(system, 0, 20), 0
        while done < len(documents):
            worker.turn(0.01)
            for job, _ in worker.jobs:
                for segment, outcome in enumerate((PART, PART, DONE)):
                    worker.extracted(job, segment, f"Part {segment} of it.".encode(), outcome, segments=3)
                    for again in range(segment + 1):
                        for told_as in (PART, DONE):
                            worker.extracted(job, again, b"A lie, and a long one.", told_as, segments=1)
                            lies += 1
                done += 1
            worker.jobs.clear()
        for document, (task, _) in documents.items():
            assert system.rest.wait(task)["status"] == "completed" in FINAL
            assert system.rest.get(f"{TASKS}{task}").json["segments"] == {"total": 3, "done": 3, "failed": 0}
            texts = [item["text"] for item in system.rest.get(f"documents/{document}/chunks").json["items"]]
            assert texts == [f"Part {i} of it." for i in range(3)], texts
        wait_for(lambda: stale(system) >= lies, 10, "counted")
        assert stale(system) == lies
