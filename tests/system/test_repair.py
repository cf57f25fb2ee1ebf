"""Damage in the files of a stopped system: a start refuses it, verify finds it, repair says what was lost and mends."""
import json
import os
import pathlib
import random
import shutil
import subprocess
import tempfile

from harness import BIN, command, running, wait_for
from test_backup import content, expect_all, hits
from test_integrity import verify



def flip(path, at, bit=0):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ (1 << bit)]))


def repair(data, *more):
    """(exit code, what was repaired, the last line)"""
    done = command("repair", "--data", data, "--json", *more, timeout=120)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return done, lines[:-1], (lines or [{}])[-1]


def submit_all(system, numbers):
    made = {n: system.rest.submit(f"{n}.txt", content(n)) for n in numbers}
    for one in made.values():
        assert system.rest.wait(one["task"]["id"])["status"] == "completed"
    return {n: one["document"]["id"] for n, one in made.items()}


def kill(system):
    system.process.kill()
    system.process.wait()


def logs(data, name):
    return sorted(pathlib.Path(data, name).glob("*.log"), key=lambda path: path.stat().st_size)


def refuses_to_start(system):
    done = command("up", "--data", system.data, "--http", "127.0.0.1:0", "--req", "tcp://127.0.0.1:0", "--pub",
                   "tcp://127.0.0.1:0", timeout=60)
    assert done.returncode == 1, done
    return done.stderr


def drop_copies(data):
    found = list(data.parent.glob(data.name + ".before-repair-*"))
    for path in found:
        shutil.rmtree(path)
    return len(found)


def test_a_log_of_the_broker_damaged_in_its_middle():
    with running() as system:
        made = submit_all(system, range(60))
        kill(system)
        log = logs(system.data, "broker")[-1]
        flip(log, log.stat().st_size // 2)
        assert "myelin repair" in refuses_to_start(system)
        code, findings, _ = verify(system.data)
        assert code == 1 and any(f["finding"] == "database_damaged" and f["where"] == "broker" for f in findings), findings
        done, repaired, last = repair(system.data)
        # Documents that were completed behind the damage and came in it are there, without their bytes.
        assert set(last["now"]["by_kind"]) <= {"bytes_missing"}, done
        lost = [f["message"] for f in repaired if log.name in f["message"] and "changes of records are lost" in f["message"]]
        assert len(lost) == 1, repaired
        assert drop_copies(system.data) == 1
        assert repair(system.data, "--no-copy", "--drop-lost")[0].returncode == 0
        assert verify(system.data)[0] == 0
        system.start()
        there = {item["id"] for item in system.rest.pages("documents/")}
        kept = {n: document for n, document in made.items() if document in there}
        assert 10 < len(kept) < 60, len(kept)  # a block of the log is lost, not what is before and behind it
        expect_all(system, kept, ())
        for n in set(made) - set(kept):  # what the broker lost is not found either
            assert hits(system.rest, n) == [], n
        submit_all(system, range(100, 110))


def test_a_log_of_the_content_damaged_in_its_middle_loses_no_document():
    with running() as system:
        made = submit_all(system, range(60))
        kill(system)
        log = logs(system.data, "content")[-1]
        flip(log, log.stat().st_size // 2)
        assert "myelin repair" in refuses_to_start(system)
        done, repaired, _ = repair(system.data, "--no-copy")
        assert done.returncode == 0, done
        assert any(f["finding"] == "content_missing" for f in repaired), repaired
        assert drop_copies(system.data) == 0
        system.start()
        expect_all(system, made, ())


def test_damaged_tables():
    """A bit in the middle of each table and blob file in turn: all that can be read stays, what was made from bytes that
    are still there is made again."""
    with running() as system:
        made = submit_all(system, range(45))
        system.restart()  # the logs become tables
        system.stop()
        place = pathlib.Path(tempfile.mkdtemp(prefix="myelin-repair-"))
        try:
            files = [path for name in ("broker", "content") for kind in ("*.sst", "*.blob")
                     for path in sorted(pathlib.Path(system.data, name).glob(kind))]
            assert len(files) > 8, files
            for file in files:
                name = file.relative_to(system.data)
                data = place / "data"
                shutil.copytree(system.data, data, ignore=shutil.ignore_patterns("run"))
                flip(data / name, (data / name).stat().st_size // 3)
                code, findings, _ = verify(data)
                found = {f["finding"] for f in findings}
                assert code == 1 and found & {"unreadable", "database_damaged"}, (name, findings)
                done, repaired, last = repair(data, "--no-copy")
                left = set(last.get("now", {}).get("by_kind", {}))
                assert left <= {"bytes_missing", "bytes_damaged"}, (name, done)
                assert done.returncode == (1 if left else 0), (name, done)
                if left:
                    assert repair(data, "--no-copy", "--drop-lost")[0].returncode == 0
                if name.parts[0] == "content":
                    assert last["now"]["documents"] == len(made), (name, last)
                with running(data=data) as again:
                    queue = "document-processing/queue/status/"
                    wait_for(lambda: (q := again.rest.get(queue).json)["pending_tasks"] + q["processing_tasks"] == 0, 60,
                             "what was queued again ends")
                    for item in again.rest.pages("documents/"):
                        assert item["status"] in ("completed", "stored"), (name, item)
                    if name.parts[0] == "content":
                        expect_all(again, made, ())
                shutil.rmtree(data)
        finally:
            shutil.rmtree(place)


test_damaged_tables.seconds = 400


def test_there_is_a_database_at_every_moment_of_a_repair():
    """Whoever is killed in the middle of it shall not leave an empty place, of which a start would make a new one."""
    with running() as system:
        submit_all(system, range(20))
        system.restart()  # the logs become tables
        system.stop()
        table = max(pathlib.Path(system.data, "broker").glob("*.sst"), key=lambda path: path.stat().st_size)
        flip(table, table.stat().st_size // 3)
        current, salvaged = system.data / "broker" / "CURRENT", system.data / "broker.salvaged"
        process = subprocess.Popen([str(BIN / "myelin"), "repair", "--no-copy", "--data", str(system.data)],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        was_salvaged = False
        while process.poll() is None:
            assert os.path.exists(current), "the database was away"
            was_salvaged = was_salvaged or os.path.exists(salvaged)
        assert was_salvaged and not salvaged.exists(), "this damage is to be one that makes a new database"
        assert verify(system.data)[1] == [] or repair(system.data, "--no-copy", "--drop-lost")[0].returncode == 0


def test_any_bit_is_found_and_repaired_or_refused():
    with running() as system:
        submit_all(system, range(20))
        kill(system)
        system.process = None
        place = pathlib.Path(tempfile.mkdtemp(prefix="myelin-repair-"))
        source = random.Random(11)
        outcomes = {}
        try:
            files = [path for name in ("broker", "content") for path in pathlib.Path(system.data, name).iterdir()
                     if path.is_file() and path.stat().st_size and not path.name.startswith(("LOG", "OPTIONS"))]
            for turn in range(24):
                file = source.choice(files)
                name, at = file.relative_to(system.data), source.randrange(file.stat().st_size)
                data = place / "data"
                shutil.copytree(system.data, data, ignore=shutil.ignore_patterns("run"))
                flip(data / name, at, source.randrange(8))
                code, findings, _ = verify(data)
                if code == 0:  # nothing that matters, or the end of a log that nobody was promised
                    with running(data=data, workers="extract=0"):
                        pass
                    outcome = "harmless"
                else:
                    done, _, last = repair(data, "--no-copy")
                    if done.returncode == 0:
                        assert verify(data)[0] == 0, (name, at)
                        outcome = "repaired"
                    elif "now" in last:  # all but bytes that were in the damage
                        assert set(last["now"]["by_kind"]) <= {"bytes_missing", "bytes_damaged"}, (name, at, done)
                        outcome = "repaired, bytes lost"
                    else:  # the list of the database's files: nothing can be made of it
                        assert name.name.startswith("MANIFEST") and "restore" in done.stderr, (name, at, done)
                        outcome = "refused"
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
                shutil.rmtree(data)
            print(f"    {outcomes}")
        finally:
            shutil.rmtree(place)


test_any_bit_is_found_and_repaired_or_refused.seconds = 300


def test_repair_needs_a_stopped_directory_and_keeps_it_as_it_was():
    with running() as system:
        submit_all(system, range(5))
        assert "in use" in (done := command("repair", "--data", system.data)).stderr or "used by" in done.stderr, done
        system.stop()
        done = command("repair", "--data", system.data)
        assert done.returncode == 0 and "as it was" in done.stdout and "all is well" in done.stdout, done
        copy, = system.data.parent.glob(system.data.name + ".before-repair-*")
        assert command("verify", copy).returncode == 0
        drop_copies(system.data)
    assert command("repair", "--data", "/nowhere/at/all").returncode == 3
