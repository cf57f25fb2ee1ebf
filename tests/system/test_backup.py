"""Backups of a running Myelin are whole, restore to what was acknowledged, and are refused when they are not."""
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import tempfile
import threading

import zmq

from harness import BIN, TREE, Rest, command, running, wait_for
from test_integrity import fill, text, verify


def word(number):
    return f"only{number}"


def content(number):
    """One in fifteen lies in a file, the others in the database."""
    return text(number, 60_000 if number % 15 == 0 else 200)


def hits(rest, number):
    answer = rest.get(f"search?mode=text&limit=100&q={word(number)}")
    assert answer.status == 200, answer
    return answer.json["hits"]


class Load:
    """Clients that submit, wait and delete until they are told to stop; and what they were told."""

    def __init__(self, system, clients=2):
        self.url, self.stop = system.addresses["http"], threading.Event()
        self.made, self.asked_to_delete, self.failures = {}, set(), []
        self.threads = [threading.Thread(target=self.run, args=(client + 1,)) for client in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, client):
        rest, source, mine, number = Rest(self.url), random.Random(client), [], client * 1_000_000
        try:
            while not self.stop.is_set():
                made = rest.submit(f"{number}.txt", content(number))
                self.made[number] = made["document"]["id"]
                mine.append(number)
                number += 1
                if len(mine) > 40 and number % 3 == 0:
                    gone = mine.pop(source.randrange(len(mine)))
                    self.asked_to_delete.add(gone)
                    answer = rest.delete("documents/" + self.made[gone])
                    assert answer.status == 204, answer
        except BaseException as failure:
            self.failures.append(failure)
        rest.close()

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        assert not self.failures, self.failures


def expect_all(system, made, deleted):
    """What was made is there, completes, and is found, once; nothing else is."""
    wait_for(lambda: (queue := system.rest.get("document-processing/queue/status/").json)
             ["pending_tasks"] + queue["processing_tasks"] == 0, 120, "everything restored ends")
    there = {item["id"]: item for item in system.rest.pages("documents/")}
    assert len(there) == len(system.rest.pages("documents/"))
    for number, document in made.items():
        if number in deleted:
            continue
        assert document in there, f"document {number} is not there"
        assert there[document]["status"] == "completed", there[document]
        found = hits(system.rest, number)
        assert len(found) == 1 and found[0]["document_id"] == document, (number, found)
        assert system.rest.get(f"documents/{document}/content").raw == content(number)


def test_backup_under_load_restores_to_what_was_acknowledged():
    place = pathlib.Path(tempfile.mkdtemp(prefix="myelin-backup-"))
    try:
        with running() as system:
            load = Load(system)
            wait_for(lambda: len(load.made) > 300, 60, "there is load")
            for turn in range(3):
                before = dict(load.made)
                done = command("backup", place / f"backup{turn}", "--data", system.data, "--json")
                assert done.returncode == 0, done
                assert not pathlib.Path(system.data, "checkpoint").exists()
                wait_for(lambda: len(load.made) > len(before) + 50 or load.failures, 60, "the load goes on")
            load.end()
        code, findings, report = verify_backup(place / "backup2")
        assert code == 0, findings
        done = command("restore", place / "backup2", "--data", place / "data")
        assert done.returncode == 0, done
        code, findings, _ = verify(place / "data")
        assert code == 0, findings
        with running(data=place / "data") as system:
            expect_all(system, before, load.asked_to_delete)
            for number in list(load.made)[-20:]:  # of after the backup: not there, and not found
                if number not in before and not any(
                        item["id"] == load.made[number] for item in system.rest.pages("documents/")):
                    assert hits(system.rest, number) == [], number
            system.stop()
            code, findings, _ = verify(place / "data")
            assert code == 0, findings
    finally:
        shutil.rmtree(place)


test_backup_under_load_restores_to_what_was_acknowledged.seconds = 300


def verify_backup(path):
    done = command("verify", path, "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, lines[:-1], (lines or [None])[-1]


def test_content_and_records_of_different_times_are_settled():
    """What a backup of a running Myelin may be: the content is younger than the records. Made far apart here."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="myelin-backup-"))
    try:
        with running() as system:
            made = {n: system.rest.submit(f"{n}.txt", content(n)) for n in range(30)}
            for one in made.values():
                system.rest.wait(one["task"]["id"])
            assert command("backup", place / "old", "--data", system.data).returncode == 0
            deleted, again, later = range(0, 5), range(5, 10), range(30, 35)
            for n in deleted:
                assert system.rest.delete("documents/" + made[n]["document"]["id"]).status == 204
            for n in again:
                task = system.rest.post("document-processing/tasks/", {"document_id": made[n]["document"]["id"]}).json
                system.rest.wait(task["id"])
            for n in later:
                system.rest.wait(system.rest.submit(f"{n}.txt", content(n))["task"]["id"])
            assert command("backup", place / "new", "--data", system.data).returncode == 0
        data = place / "data"
        data.mkdir()
        shutil.copytree(place / "old" / "broker", data / "broker")
        shutil.copytree(place / "new" / "content", data / "content")
        shutil.copytree(place / "old" / "blobs", data / "blobs")
        code, findings, report = verify(data)
        kinds = report["by_kind"]
        assert code == 1 and kinds["content_unknown"] == 5, report
        assert kinds["content_damaged"] + kinds.get("content_missing", 0) == 5 and kinds["wrong_count"] == 5, report
        done = command("repair", "--data", data, "--no-copy")
        assert done.returncode == 0, done
        with running(data=data) as system:
            expect_all(system, {n: one["document"]["id"] for n, one in made.items()}, ())
            for n in later:
                assert hits(system.rest, n) == [], n
    finally:
        shutil.rmtree(place)


def test_a_stopped_directory_is_backed_up_too():
    place = pathlib.Path(tempfile.mkdtemp(prefix="myelin-backup-"))
    try:
        with running() as system:
            documents = fill(system)
            system.stop()
            for more in ((), ("--copy",)):
                to = place / f"backup{len(more)}"
                assert command("backup", to, "--data", system.data, *more).returncode == 0
                code, findings, report = verify_backup(to)
                assert (code, findings) == (0, []) and report["documents"] == len(documents), findings
                links = [path.stat().st_nlink for path in (to / "blobs").rglob("*") if path.is_file()]
                assert links and set(links) == ({1} if more else {2}), links
            again = command("backup", place / "backup0", "--data", system.data)
            assert again.returncode == 1 and "already" in again.stderr, again
    finally:
        shutil.rmtree(place)


def test_what_has_no_data_or_not_all_of_it_is_neither_backed_up_nor_repaired():
    """The disk with the data is not mounted, or the name is another one: an empty backup would be taken for all there is."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="myelin-backup-"))
    try:
        empty, begun = place / "empty", place / "begun"
        for name in (empty, begun / "broker", begun / "restoring"):
            name.mkdir(parents=True)
        for data, code, why in ((empty, 3, "there is no data"), (begun, 2, "restore")):
            for asked in (("backup", place / "backup"), ("repair",)):
                done = command(*asked, "--data", data)
                assert done.returncode == code and why in done.stderr, (asked, done)
        assert sorted(path.name for path in place.iterdir()) == ["begun", "empty"]
        assert not list(empty.iterdir()), "nothing is made in a directory that is not ours"
    finally:
        shutil.rmtree(place)


def slow_backup(system, to):
    """A backup that stands still between the records and the content: storage does not answer."""
    held, = system.children("storage")
    os.kill(held, signal.SIGSTOP)
    process = subprocess.Popen([str(BIN / "myelin"), "backup", str(to), "--data", str(system.data)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: list(pathlib.Path(system.data, "checkpoint").glob("blobs/u-*/*/*")), 30, "it has the blobs")
    return process, held


def test_an_interrupted_backup_is_none_and_the_next_one_is_whole():
    place = pathlib.Path(tempfile.mkdtemp(prefix="myelin-backup-"))
    try:
        with running() as system:
            fill(system)
            process, held = slow_backup(system, place / "backup")
            other = command("backup", place / "other", "--data", system.data)
            assert other.returncode == 1 and "another backup" in other.stderr, other
            process.kill()
            process.communicate()
            os.kill(held, signal.SIGCONT)
            assert not (place / "backup").exists() and (place / "backup.partial").exists()
            for name in ("backup", "backup.partial"):
                done = command("restore", place / name, "--data", place / "data")
                assert done.returncode == 3 and not (place / "data" / "broker").exists(), done
            assert command("backup", place / "backup", "--data", system.data).returncode == 0
            assert verify_backup(place / "backup")[0] == 0
            assert not (place / "backup.partial").exists()
            process, held = slow_backup(system, place / "third")
            process.kill()
            process.communicate()
            os.kill(held, signal.SIGCONT)
            assert pathlib.Path(system.data, "checkpoint").exists()
            system.restart()
            assert not pathlib.Path(system.data, "checkpoint").exists(), "what a killed backup left keeps room"
    finally:
        shutil.rmtree(place)


def stopped_while_it_copies(system, to):
    """A backup that stands still with a part of its copies made; None when it was too quick for that."""
    process = subprocess.Popen([str(BIN / "myelin"), "backup", str(to), "--copy", "--data", str(system.data)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    partial = to.parent / (to.name + ".partial")
    wait_for(lambda: (partial / "broker").exists() or process.poll() is not None, 60, "it copies", 0.0005)
    process.send_signal(signal.SIGSTOP)
    if process.poll() is None and not (partial / "blobs").exists():
        return process
    process.send_signal(signal.SIGCONT)
    process.communicate()
    return None


def test_a_start_takes_nothing_from_a_backup_that_still_copies():
    place = pathlib.Path(tempfile.mkdtemp(prefix="myelin-backup-"))
    try:
        with running() as system:
            documents = fill(system)
            process, tries = None, 0
            while not process:
                assert (tries := tries + 1) < 20, "each backup ended too soon to be stopped"
                process = stopped_while_it_copies(system, place / f"backup{tries}")
            system.restart()
            process.send_signal(signal.SIGCONT)
            out, said = process.communicate(timeout=120)
            assert process.returncode == 0, (out, said)
            code, findings, report = verify_backup(place / f"backup{tries}")
            assert (code, findings) == (0, []) and report["documents"] == len(documents), (findings, report)
            assert command("restore", place / f"backup{tries}", "--data", place / "data").returncode == 0
    finally:
        shutil.rmtree(place)


KINDS = [line.split("(")[1].split(",")[0] for line in (TREE / "wire" / "messages.h").read_text()
         .split("#define WIRE_MESSAGES(X)")[1].split("typedef enum")[0].splitlines() if " X (" in line]
BEGIN, KEEP, END = range(3)


def checkpoint(system, action):
    """Says to the broker what a backup says; gives the error code of its answer, empty for a success."""
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.connect(f"ipc://{system.data}/run/front")
    try:
        kind = 1 + KINDS.index("CHECKPOINT")
        socket.send(struct.pack("<BBQI5sB", 1, kind, 7, 5, b"local", action))
        assert socket.poll(10_000), "no answer"
        reply = socket.recv_multipart()[0]
        size, = struct.unpack_from("<I", reply, 2 + 8 + 4)
        return reply[18:18 + size].decode()
    finally:
        socket.close(0)


def test_files_of_deleted_documents_are_kept_while_a_backup_takes_them():
    with running() as system:
        def files():
            return sorted(pathlib.Path(system.data, "blobs").glob("u-*/*/*"))
        big = [system.rest.submit(f"{n}.txt", text(n, 60_000)) for n in range(3)]
        for one in big:
            system.rest.wait(one["task"]["id"])
        before = files()
        assert len(before) == 3 and checkpoint(system, END) == "conflict"
        pathlib.Path(system.data, "checkpoint").mkdir()
        assert checkpoint(system, BEGIN) == "" and checkpoint(system, KEEP) == ""
        assert pathlib.Path(system.data, "checkpoint", "broker", "CURRENT").exists()
        for one in big[:2]:
            assert system.rest.delete("documents/" + one["document"]["id"]).status == 204
        system.rest.wait(system.rest.submit("1.txt", text(1, 60_000))["task"]["id"])  # wanted again meanwhile
        assert files() == before
        assert checkpoint(system, END) == ""
        wait_for(lambda: len(files()) == 2, 10, "the file that nobody has goes")
        answer = system.rest.pages("documents/")
        assert all(system.rest.get(f"documents/{item['id']}/content").status == 200 for item in answer), answer


def test_a_damaged_backup_is_refused_with_the_name_of_the_file():
    place = pathlib.Path(tempfile.mkdtemp(prefix="myelin-backup-"))
    try:
        with running() as system:
            fill(system)
            assert command("backup", place / "backup", "--copy", "--data", system.data).returncode == 0
        source = random.Random(3)
        files = [path for path in sorted((place / "backup").rglob("*")) if path.is_file() and path.stat().st_size]
        for path in source.sample(files, 12) + [place / "backup" / "manifest.jsonl"]:
            name, before = str(path.relative_to(place / "backup")), path.read_bytes()
            at = source.randrange(len(before))
            path.write_bytes(before[:at] + bytes([before[at] ^ (1 << source.randrange(8))]) + before[at + 1:])
            done = command("restore", place / "backup", "--data", place / "data")
            assert done.returncode in (1, 3) and name in done.stderr, (name, at, done)
            assert [entry.name for entry in (place / "data").iterdir()] == ["lock"], "something was left"
            assert command("verify", place / "backup").returncode != 0, name
            path.write_bytes(before[:-1])
            done = command("restore", place / "backup", "--data", place / "data")
            assert done.returncode in (1, 3) and name in done.stderr, (name, done)
            path.write_bytes(before)
        assert command("restore", place / "backup", "--data", place / "data").returncode == 0
        done = command("restore", place / "backup", "--data", place / "data")
        assert done.returncode == 1 and "not empty" in done.stderr, done
        with running(data=place / "data") as system:
            done = command("restore", place / "backup", "--data", system.data)
            assert done.returncode == 1 and "used by process" in done.stderr, done
    finally:
        shutil.rmtree(place)


def test_an_interrupted_restore_does_not_start_and_can_be_done_again():
    place = pathlib.Path(tempfile.mkdtemp(prefix="myelin-backup-"))
    try:
        with running() as system:
            documents = fill(system)
            assert command("backup", place / "backup", "--data", system.data).returncode == 0
        process = subprocess.Popen([str(BIN / "myelin"), "restore", str(place / "backup"), "--data",
                                    str(place / "data")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: (place / "data" / "restoring" / "blobs").exists() or process.poll() is not None, 30, "it works",
                 0.0005)
        process.kill()
        if process.wait() != -signal.SIGKILL:
            raise AssertionError("the restore ended too soon to be interrupted")
        done = command("up", "--data", place / "data", "--http", "127.0.0.1:0")
        assert done.returncode == 2 and "restore" in done.stderr, done
        assert command("restore", place / "backup", "--data", place / "data").returncode == 0
        with running(data=place / "data") as system:
            assert len(system.rest.pages("documents/")) == len(documents)
    finally:
        shutil.rmtree(place)
