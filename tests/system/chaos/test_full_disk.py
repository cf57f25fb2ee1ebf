"""A disk that fills up, and has space again."""
import collections
import contextlib
import os
import pathlib
import subprocess
import tempfile
import time

from harness import Skip, wait_for
from storm import journalled

DISK, RESERVE = 192 << 20, 32 << 20
ROCKSDB = ["rocksdb::"]  # Debian's has its assertions on, and some do not hold on a full disk: the process is restarted


@contextlib.contextmanager
def small_disk():
    """The path of a file system of its own; the tests of the whole tree may have no right to one."""
    with tempfile.TemporaryDirectory() as place:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", place],
                          capture_output=True).returncode != 0:
            raise Skip("needs the right to mount a small file system")
        try:
            yield pathlib.Path(place)
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)


def free(path):
    fs = os.statvfs(path)
    return fs.f_bavail * fs.f_frsize


class Ballast:
    """A file that takes all but so many bytes of the disk."""

    def __init__(self, disk):
        self.disk, self.path = disk, disk / "ballast"

    def leave(self, size):
        with open(self.path, "ab", buffering=0) as file, contextlib.suppress(OSError):
            while (more := min(free(self.disk) - size, 1 << 20)) > 0:
                file.write(bytes(more))

    def drop(self):
        self.path.unlink()


def is_refused(client, kind="note"):
    """Offers a document; whether it is refused for want of space. Anything else but a "not now" is wrong."""
    task, answer = client.offer(kind)
    assert task or not answer or answer.status in (429, 503, 507), answer
    return answer and answer.status == 507 and answer.json["code"] == "disk_full"


def errors(system):
    return [event for event in system.events() if event["level"] == "error"]


def test_below_the_reserve_new_documents_are_refused_and_old_ones_go_on():
    with small_disk() as disk:
        with journalled(1, data=disk / "data", args=["--disk-reserve", str(RESERVE)]) as (system, client, _):
            ballast = Ballast(disk)
            client.patience += (507,)
            tasks = [client.submit(kind) for kind in ("note", "page", "paper", "note")]
            ballast.leave(RESERVE - (1 << 20))
            wait_for(lambda: is_refused(client), 10, "a new document is refused")
            assert is_refused(client, "paper"), "a large one was taken"
            for task in tasks:
                assert client.wait(task)["status"] == "completed"
            ballast.drop()
            task = client.submit("paper")
            assert client.wait(task)["status"] == "completed"


def test_a_disk_that_is_full_to_the_last_byte_loses_nothing_and_all_goes_on_when_there_is_space():
    with small_disk() as disk:
        with journalled(2, data=disk / "data", args=["--disk-reserve", str(RESERVE)],
                        tolerated=ROCKSDB) as (system, client, _):
            ballast = Ballast(disk)
            client.patience += (507,)
            for _ in range(3):
                tasks = [client.submit(kind) for kind in ("note", "paper", "page", "paper", "note")]
                ballast.leave(0)
                before = len(errors(system))
                wait_for(lambda: is_refused(client) or len(errors(system)) > before, 20, "the full disk is noticed")
                until = time.monotonic() + 2  # in which everybody runs into it
                while time.monotonic() < until:
                    is_refused(client, client.dice.choice(["note", "page", "paper"]))
                    ballast.leave(0)
                    time.sleep(0.02)
                ballast.drop()
                began = time.monotonic()
                for task in tasks:
                    assert client.wait(task)["status"] == "completed"
                print(f"    all done {time.monotonic() - began:.1f} s after there was space again")
            ended = collections.Counter(event["message"].split()[0] for event in system.events()
                                        if event.get("event") == "child_ended")
            print(f"    ended for want of space, and were started again: {dict(ended)}")
