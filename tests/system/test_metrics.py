"""What monitoring sees."""
import os
import pathlib
import re
import signal

from gateway_alone import gateway
from harness import TREE, running, wait_for
from metrics import parse, scrape, value

STAGES = ("extract", "chunk", "embed", "storage")


def test_metrics_count_what_happens():
    with running(workers="extract=2,chunk=1,embed=1") as system:
        before = scrape(system.rest)
        assert all(value(before, "myelin_up", process=name) == 1 for name in ("gateway", "broker", "storage"))
        assert value(before, "myelin_tasks", status="completed") == 0
        wait_for(lambda: value(scrape(system.rest), "myelin_stage_workers", stage="extract") == 2, 10, "two workers")
        good = [system.rest.submit(f"{i}.txt", f"Note {i} is about metrics.".encode()) for i in range(20)]
        bad = system.rest.submit("bad.bin", b"\x7fELF\x02\x01\x01" + bytes(200))
        for reply in good:
            assert system.rest.wait(reply["task"]["id"])["status"] == "completed"
        assert system.rest.wait(bad["task"]["id"])["status"] == "failed"
        after = scrape(system.rest)
        assert value(after, "myelin_tasks", status="completed") == 20
        assert value(after, "myelin_tasks", status="failed") == 1
        assert value(after, "myelin_tasks", status="pending") == value(after, "myelin_tasks", status="processing") == 0
        assert value(after, "myelin_jobs_failed_total", stage="extract") == 1
        for stage in STAGES:
            assert value(after, "myelin_jobs_done_total", stage=stage) >= 20, stage
            assert value(after, "myelin_stage_running", stage=stage) == 0
            assert value(after, "myelin_stage_busy_seconds_total", stage=stage) > 0, stage
        assert value(after, "myelin_results_stale_total") == 0
        assert value(after, "myelin_memory_bytes") == 0
        assert value(after, "myelin_memory_budget_bytes") == 128 << 20
        assert value(after, "myelin_disk_free_bytes") > value(after, "myelin_disk_reserve_bytes") == 64 << 20
        answered = {code: value(after, "myelin_gateway_requests_total", transport="http", code=code) for code in (200, 201)}
        assert answered[201] == 21 and answered[200] > 21, answered
        assert system.rest.get("/metrics/").status == 200 and system.rest.get("/metrics?x=1").status == 400
        assert value(scrape(system.rest), "myelin_gateway_requests_total", transport="http", code=400) == 1


def test_metrics_are_the_same_over_zeromq_and_grow_with_nobody():
    """No name of a user, a document or a task is in it: it has as many lines after much work as before any."""
    with running() as system:
        system.rest.wait(system.rest.submit("first.txt", b"Each status that there is, once.")["task"]["id"])
        assert system.rest.get("documents/none").status == 404
        system.req.call("GET", "/metrics")
        first = scrape(system.rest)
        for i in range(30):
            system.rest.wait(system.rest.submit(f"name-{i}.txt", f"text {i}".encode())["task"]["id"])
        answer = system.req.call("GET", "/metrics")
        assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/plain")
        second, _ = parse(answer.raw.decode())
        assert {name: set(lines) for name, lines in first.items()} == {n: set(lines) for n, lines in second.items()}
        assert b"name-" not in answer.raw and b"local" not in answer.raw


def test_metrics_tell_of_workers_that_vanish_and_of_a_new_epoch():
    with running(workers="extract=1,chunk=1,embed=1") as system:
        wait_for(lambda: value(scrape(system.rest), "myelin_workers_joined_total", stage="chunk") == 1, 10, "it joined")
        system.kill("chunk")
        wait_for(lambda: value(scrape(system.rest), "myelin_workers_joined_total", stage="chunk") == 2, 10,
                 "the supervisor started another")
        wait_for(lambda: value(scrape(system.rest), "myelin_workers_vanished_total", stage="chunk") == 1, 10, "counted")
        metrics = scrape(system.rest)
        assert value(metrics, "myelin_workers_drained_total", stage="chunk") == 0
        wait_for(lambda: value(scrape(system.rest), "myelin_stage_workers", stage="embed") == 1, 10, "it joined, too")
        os.kill(system.children("embed")[0], signal.SIGTERM)
        wait_for(lambda: value(scrape(system.rest), "myelin_workers_drained_total", stage="embed") == 1, 10, "drained")
        epoch = value(metrics, "myelin_broker_epoch")
        system.kill("broker")

        def again():
            found = scrape(system.rest)
            return "myelin_broker_epoch" in found and value(found, "myelin_broker_epoch") == epoch + 1
        wait_for(again, 20, "the broker is back")


def test_a_scrape_succeeds_while_broker_and_storage_are_away():
    with gateway(broker=False) as gate:
        metrics = scrape(gate.rest)
        assert value(metrics, "myelin_up", process="broker") == value(metrics, "myelin_up", process="storage") == 0
        assert value(metrics, "myelin_up", process="gateway") == 1
        assert "myelin_tasks" not in metrics and "myelin_disk_free_bytes" in metrics


def test_every_metric_is_documented():
    with running() as system:
        names = set(parse(system.rest.get("/metrics").raw.decode())[1])
    documented = set(re.findall(r"`(myelin_[a-z_]+)", pathlib.Path(TREE / "docs/operations.md").read_text()))
    assert names == documented, names ^ documented
