"""A disk that fills up, and has space again: on a small file system of its own."""
import contextlib
import os
import pathlib
import signal
import subprocess
import tempfile

from harness import TASKS, Skip, running, wait_for

MIB = 1 << 20
QUEUE = "document-processing/queue/status/"


@contextlib.contextmanager
def small_disk(megabytes):
    with tempfile.TemporaryDirectory(prefix="myelin-disk-") as place:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", place],
                                 capture_output=True)
        if mounted.returncode != 0:
            raise Skip("needs the right to mount a small file system")
        try:
            yield pathlib.Path(place)
        finally:
            subprocess.run(["umount", "-l", place], check=True)


def free_bytes(place):
    fs = os.statvfs(place)
    return fs.f_bavail * fs.f_frsize


def fill(place, leave):
    """Somebody else's file, until so much is left."""
    with open(place / "somebody-elses", "ab", buffering=0) as file:
        while free_bytes(place) > leave:
            try:
                file.write(bytes(min(MIB, max(4096, free_bytes(place) - leave))))
            except OSError:
                return


def answers(rest):
    with contextlib.suppress(OSError):
        return rest.get("/readyz").status == 200


def test_a_full_disk_loses_nothing_and_can_be_tidied_up():
    with small_disk(256) as place, running(data=place / "data", args=["--disk-reserve", "32M"]) as system:
        rest, ballast = system.rest, place / "data" / "ballast"
        wait_for(ballast.exists, 10, "there is ballast")
        assert ballast.stat().st_size == 8 * MIB
        tasks = [rest.submit(f"{number}.txt", f"document number {number} " * 5000)["task"] for number in range(6)]
        for task in tasks:
            assert rest.wait(task["id"])["status"] == "completed"

        fill(place, 20 * MIB)
        wait_for(lambda: rest.post("documents", b"new", headers={"X-Filename": "a"}).status == 507, 10,
                 "new documents are refused")
        large = rest.post("documents", bytes(MIB), headers={"X-Filename": "a"})
        assert large.status == 507 and large.json["code"] == "disk_full", large
        assert rest.post(TASKS, {"document_id": tasks[0]["document_id"]}).status == 507
        assert ballast.exists() and not list((place / "data" / "blobs").rglob("*-*-*"))

        fill(place, 0)
        wait_for(lambda: not ballast.exists(), 10, "the ballast is given back")
        fill(place, 6 * MIB)  # and little is left of it
        for role in ("broker", "storage"):  # as after a write that failed: both are opened again, on a full disk
            system.kill(role)
        wait_for(lambda: answers(rest), 30, "all answer again")
        for task in tasks:
            assert rest.get(TASKS + task["id"]).json["status"] == "completed"
        for task in tasks[:3]:
            assert rest.delete("documents/" + task["document_id"]).status == 204
        assert rest.post("documents", b"new", headers={"X-Filename": "a"}).status == 507

        (place / "somebody-elses").unlink()
        wait_for(lambda: rest.post("documents", b"new", headers={"X-Filename": "a"}).status in (200, 201), 10,
                 "new documents are taken")
        wait_for(ballast.exists, 10, "there is ballast again")
        task = rest.submit("after.txt", b"after the flood")["task"]
        assert rest.wait(task["id"])["status"] == "completed"
        assert rest.get("search?q=flood").json["hits"]


def test_tasks_wait_while_the_disk_is_short():
    with small_disk(256) as place, running(data=place / "data", workers="extract=1,chunk=1,embed=1",
                                           args=["--disk-reserve", "32M"]) as system:
        rest = system.rest
        wait_for(lambda: rest.get(QUEUE).json["stages"]["extract"]["workers"], 10, "a worker has joined")
        extract, = system.children("extract")
        os.kill(extract, signal.SIGSTOP)  # so that nothing but the first is begun
        tasks = [rest.submit(f"{number}.txt", f"document number {number} " * 15000)["task"]["id"] for number in range(4)]
        wait_for(lambda: rest.get(TASKS + tasks[0]).json["status"] == "processing", 10, "the first is begun")
        fill(place, 12 * MIB)  # less than a half of what is to stay free
        wait_for(lambda: rest.post("documents", os.urandom(8), headers={"X-Filename": "a"}).status == 507, 10,
                 "the broker has seen it")
        os.kill(extract, signal.SIGCONT)
        assert rest.wait(tasks[0])["status"] == "completed"
        for task in tasks[1:]:
            assert rest.get(TASKS + task).json["status"] == "pending"
            assert rest.get(f"{TASKS}{task}/events").json["items"][-1]["waiting_for"] == "disk_space"
        (place / "somebody-elses").unlink()
        for task in tasks[1:]:
            assert rest.wait(task)["status"] == "completed"
