"""A long document that is interrupted goes on where it was: what is stored is not done again, and pages that were read
are not read again but for the few on their way. A PDF of 900 pages is killed near page 700, in three ways."""
import collections
import os
import re
import signal
import time

import pdf
from harness import TASKS, chunks, running, wait_for

PAGES = 900
KILLED_NEAR = 700
WINDOW = 8  # segments of a task between extract and storage (docs/protocol.md)
SLACK = 60  # pages: what goes on between a look and the stop
WORD = re.compile(r"page(\d+)word")


def long_document(mark):
    return pdf.pages([[f"page{page}word line {line} of the long document {mark:04}" for line in range(110)]
                      for page in range(1, PAGES + 1)])


def calm():
    """(segments, chunks) of an undisturbed run."""
    with running(workers="extract=1,chunk=1,embed=1") as system:
        reply = system.rest.submit("calm.pdf", long_document(9999))
        done = system.rest.wait(reply["task"]["id"], 120)
        assert done["status"] == "completed", done
        return done["segments"]["total"], len(chunks(system.rest, reply["document"]["id"]))


def hold_near(system, segments):
    """A long document of which about KILLED_NEAR pages are stored, and nothing more is: the storage stands. Gives the
    task as it is then, with all that may be done before the storage done."""
    wanted = segments * KILLED_NEAR // PAGES
    for attempt in range(5):
        task = system.rest.submit(f"{attempt}.pdf", long_document(attempt))["task"]["id"]
        storage, = system.children("storage")
        wait_for(lambda: system.rest.get(TASKS + task).json["segments"]["done"] >= wanted, 120, "page 700", 0.001)
        os.kill(storage, signal.SIGSTOP)
        seen, since = None, time.monotonic()
        while time.monotonic() < since + 1:  # until nothing has moved for a second
            now = system.rest.get(TASKS + task).json
            if now["segments"] != seen:
                seen, since = now["segments"], time.monotonic()
            time.sleep(0.02)
        if now["status"] == "processing" and (seen["done"] - wanted) * PAGES // segments <= SLACK:
            return task, seen, storage
        os.kill(storage, signal.SIGCONT)  # too late: it was faster than we are
        system.rest.wait(task, 120)
    raise AssertionError("it is always too late to stop near page 700")


def check(system, task, before, whole, again_from):
    """It ends as if nothing had been, and was not done again but from segment `again_from` on."""
    segments, chunk_count = whole
    done = system.rest.wait(task, 120)
    assert done["status"] == "completed" and done["segments"] == {"total": segments, "done": segments, "failed": 0}, done
    result = system.rest.get(f"{TASKS}{task}/result").json
    assert result["status"] == "success" and result["chunks_created"] == chunk_count, (result, chunk_count)
    items = chunks(system.rest, done["document_id"])
    assert len(items) == chunk_count
    pages = [int(page) for page in WORD.findall(" ".join(item["text"] for item in items))]
    assert set(pages) == set(range(1, PAGES + 1)), "pages are missing"

    events = system.rest.pages(f"{TASKS}{task}/events")
    resumed, = [event for event in events if event["event"] == "resumed"]
    print(f"    stored {before['done']}, read {before['total']} of {segments} segments; went on at segment "
          f"{resumed['segment']}, cursor {resumed['cursor']}, attempt {resumed['attempt']}")
    assert resumed["stage"] == "extract" and resumed["segment"] == again_from, (resumed, before)
    page = int(re.search(r"page=(\d+)$", resumed["cursor"]).group(1))
    assert page >= again_from * PAGES // segments - SLACK, (page, again_from)
    times = collections.Counter((event["stage"], event.get("segment")) for event in events if event["event"] == "done")
    for stage in ("chunk", "embed", "storage"):
        twice = sorted(segment for (of, segment), count in times.items() if of == stage and count > 1)
        assert all(segment >= again_from for segment in twice) and len(twice) <= WINDOW, (stage, twice)
        assert all(times[stage, segment] >= 1 for segment in range(again_from, segments)), (stage, times)
    return resumed


def test_a_document_of_900_pages_goes_on_where_it_was_killed():
    whole = calm()
    segments, _ = whole
    assert segments >= 30, "its segments are too large to go on near anything"

    with running(workers="extract=1,chunk=1,embed=1") as system:
        # The worker alone: the broker knows all that was read, nothing is done again.
        task, before, storage = hold_near(system, segments)
        killed = system.kill("extract")
        system.wait_for_children("extract", 1, without=(killed,))
        os.kill(storage, signal.SIGCONT)
        resumed = check(system, task, before, whole, before["total"])
        assert resumed["attempt"] == 2, resumed
        events = system.rest.pages(f"{TASKS}{task}/events")
        counts = collections.Counter((event["stage"], event["segment"]) for event in events
                                     if event["event"] == "done" and "segment" in event)
        assert set(counts.values()) == {1} and len(counts) == 3 * segments, counts
        assert [event["event"] for event in events].count("lost") == 1

    with running(workers="extract=1,chunk=1,embed=1") as system:
        # The broker: what is stored stays, what was on its way is done again.
        task, before, storage = hold_near(system, segments)
        killed = system.kill("broker")
        system.wait_for_children("broker", 1, without=(killed,))
        os.kill(storage, signal.SIGCONT)
        check(system, task, before, whole, before["done"])

    with running(workers="extract=1,chunk=1,embed=1") as system:
        # Everything.
        task, before, storage = hold_near(system, segments)
        children = system.children()
        system.process.kill()
        system.process.wait()
        os.kill(storage, signal.SIGCONT)
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children), 20, "all are gone")
        system.start()
        check(system, task, before, whole, before["done"])


test_a_document_of_900_pages_goes_on_where_it_was_killed.seconds = 300
