"""Processes that have no file descriptors left."""
import contextlib
import os
import pathlib
import resource
import socket
import subprocess
import urllib.parse

from harness import BIN, Rest, wait_for
from storm import journalled, workers


@contextlib.contextmanager
def no_descriptors(pid):
    """The process can open nothing more; what is open stays."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    open_now = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    # A limit is of numbers, not of how many: the gaps below it would still be given out.
    gaps = [number for number in range(highest) if number not in open_now]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(gaps, default=highest + 1), before[1]))
    try:
        yield
    finally:
        if pathlib.Path(f"/proc/{pid}").exists():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def said(system, words):
    return [event for event in system.events() if words in event.get("message", "")]


def test_a_gateway_without_descriptors_serves_who_is_there_and_all_when_it_has_some_again():
    with journalled(1) as (system, client, _):
        client.submit("note")  # so that there is a connection
        gateway, = system.children("gateway")
        with no_descriptors(gateway):
            for _ in range(5):
                assert client.wait(client.submit("page"))["status"] == "completed"
            large = client.system.rest.post("documents/", bytes(300 << 10), headers={"X-Filename": "large.bin"})
            assert large.status in (500, 503) and "Too many open files" in large.json["detail"], large
            newcomer = Rest(system.addresses["http"])
            with contextlib.suppress(OSError):  # it has to wait
                assert newcomer.get("/livez", timeout=0.5).status in (200, 503)
            newcomer.close()
        assert client.wait(client.submit("paper"))["status"] == "completed"
        client.system.rest.close()  # the HTTP server listens again when a connection ends
        assert client.ask("GET", "/readyz").status == 200
        assert system.children("gateway") == [gateway], "it need not be started again"


def test_connections_do_not_take_the_descriptors_that_serving_them_takes():
    """As many idle connections as the system lets a process have files: who has one is served, and the others when
    some have gone."""
    with journalled(5, limits=(512, 512)) as (system, client, _):
        client.submit("note")
        address = urllib.parse.urlsplit(system.addresses["http"])
        with contextlib.ExitStack() as idle:
            for _ in range(600):
                idle.enter_context(socket.create_connection((address.hostname, address.port), 10))
            tasks = [client.submit(kind) for kind in ("paper", "page", "paper")]
            for task in tasks:
                assert client.wait(task)["status"] == "completed"
            newcomer = Rest(system.addresses["http"])
            with contextlib.suppress(OSError):
                newcomer.get("/livez", timeout=0.5)
            newcomer.close()
        client.system.rest.close()
        assert client.ask("GET", "/readyz").status == 200


def test_a_broker_without_descriptors_is_started_again_and_loses_nothing():
    with journalled(2, tolerated=["ipc_listener.cpp"]) as (system, client, _), contextlib.ExitStack() as stack:
        broker, = system.children("broker")
        run = system.data / "run"
        more = []
        with no_descriptors(broker):
            tasks = [client.submit(kind) for kind in ("note", "page", "paper", "note", "page")]
            for _ in range(4):
                more.append(subprocess.Popen([str(BIN / "myelin-extract"), "--intake", f"ipc://{run}/intake", "--run",
                                              str(run)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
                stack.callback(more[-1].kill)
            # libzmq cannot do without: it ends the process, which is started again, with the limit it had at first.
            wait_for(lambda: said(system, "broker ended"), 20, "the broker has no descriptor for a new worker")
        for task in tasks + [client.submit("paper")]:
            assert client.wait(task)["status"] == "completed"
        wait_for(lambda: workers(client)["extract"] == 6, 30, "the new workers are given work")
        for process in more:
            process.terminate()
            assert process.wait(20) == 0


def test_a_storage_without_descriptors_loses_nothing():
    with journalled(3) as (system, client, _):
        client.wait(client.submit("paper"))
        storage, = system.children("storage")
        with no_descriptors(storage):
            tasks = [client.submit(kind) for kind in ("note", "page", "paper", "note", "paper")]
            done = client.ask("GET", "search?mode=text&q=only1")
            assert done.status == 200, done
        for task in tasks + [client.submit("paper")]:
            assert client.wait(task)["status"] == "completed"


def test_a_supervisor_without_descriptors_starts_what_died_when_it_has_some_again():
    with journalled(4) as (system, client, _):
        supervisor = system.process.pid
        with no_descriptors(supervisor):
            killed = system.kill("chunk")
            wait_for(lambda: said(system, "cannot start chunk"), 20, "that it cannot be started is said")
            assert client.wait(client.submit("note"))["status"] == "completed"
        system.wait_for_children("chunk", 2, without=(killed,))


def test_who_may_need_many_descriptors_takes_all_there_are_to_have():
    with journalled(6, limits=(512, 4096)) as (system, _, __):
        for role in ("broker", "storage", "gateway"):
            for pid in system.children(role):
                assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (4096, 4096), role
