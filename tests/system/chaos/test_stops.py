"""Processes that stand still past their lease, and come back when their work is in other hands."""
import contextlib
import os
import re
import signal
import time

from harness import wait_for
from storm import journalled, workers

STAGES = ("embed", "chunk", "extract")  # against the flow, so that what is stopped first is given work, too
LEASE_SECONDS = 4  # four beats


def stale(client):
    """How many late results were refused."""
    text = client.ask("GET", "/metrics").raw.decode()
    return int(float(re.search(r"^myelin_results_stale_total (\S+)$", text, re.M).group(1)))


def running(client, stage):
    return client.ask("GET", "document-processing/queue/status/").json["stages"][stage]["running"]


def gone(system, stage):
    return [event for event in system.events() if event.get("event") == "worker_gone"
            and event.get("stage") == stage and "missed its beats" in event["message"]]


@contextlib.contextmanager
def stopped(pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_workers_that_come_back_after_their_lease_have_their_results_refused():
    with journalled(1) as (system, client, _):
        still, tasks = [], []
        for stage in STAGES:
            both = system.children(stage)
            for pid in both:
                os.kill(pid, signal.SIGSTOP)
            for _ in range(6):
                tasks.append(client.submit("page"))  # small: all of a job is in the socket when its worker is given up
            # Two jobs of a stage are with its two workers: who holds less is given the next one.
            wait_for(lambda: running(client, stage) >= 2, 30, f"both workers of {stage} hold a job")
            os.kill(both[1], signal.SIGCONT)
            still.append(both[0])
        with stopped(still):
            for task in tasks:
                done = client.wait(task)
                assert done["status"] == "completed", done
            for stage in STAGES:
                assert len(gone(system, stage)) == 1, stage
            before = stale(client)
        late = wait_for(lambda: (count := stale(client) - before) >= len(STAGES) and count, 20,
                        "each comes back with a result, which is refused")
        assert set(still) < set(system.children()), "coming back is no reason to end"
        for stage in STAGES:
            wait_for(lambda: workers(client)[stage] == 2, 10, f"the {stage} that came back is known again")
        for _ in range(10):
            client.wait(client.submit("page"))
        print(f"    {late} late results were refused")


def test_a_storage_that_comes_back_after_its_lease_stores_nothing_twice():
    with journalled(2) as (system, client, _):
        with stopped(system.children("storage")):
            tasks = [client.submit(kind) for kind in ("note", "page", "note", "page", "paper")]
            wait_for(lambda: running(client, "storage") >= 2, 30, "the storage holds jobs")
            wait_for(lambda: gone(system, "storage"), 20, "the storage is given up")
            before = stale(client)
        for task in tasks:
            assert client.wait(task)["status"] == "completed"
        assert stale(client) > before, "what it did late was not refused"


def test_a_broker_that_stands_still_blames_nobody():
    with journalled(3) as (system, client, _):
        tasks = [client.submit("paper") for _ in range(6)]
        with stopped(system.children("broker")):
            time.sleep(LEASE_SECONDS + 1.5)  # the time is what is tested
        for task in tasks:
            assert client.wait(task)["status"] == "completed"
        assert not [event for event in system.events() if event.get("event") in ("worker_gone", "job_lost")
                    and event["level"] == "warn"], "workers that beat all the time are given up"
