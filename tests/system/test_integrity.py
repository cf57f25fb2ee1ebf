"""verify finds nothing wrong in a data directory that was stopped or killed, and finds what is."""
import json
import os
import pathlib
import random

from harness import command, running

WORDS = "harbour lantern orchard quartz velvet thunder meadow copper island whistle marble saffron".split()


def text(number, words):
    source = random.Random(number)
    return f"Document {number} only{number}. {' '.join(source.choices(WORDS, k=words))}.".encode()


def verify(data):
    """(exit code, findings, report)"""
    done = command("verify", "--data", data, "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines, done
    return done.returncode, lines[:-1], lines[-1]


def fill(system, count=40):
    """Small and large documents, some deleted, some processed again, one that fails."""
    made = [system.rest.submit(f"{n}.txt", text(n, 60_000 if n % 10 == 0 else 300)) for n in range(count)]
    made.append(system.rest.submit("nothing.zip", b"PK\5\6" + bytes(18)))
    for one in made:
        system.rest.wait(one["task"]["id"])
    for one in made[:5]:
        assert system.rest.delete("documents/" + one["document"]["id"]).status == 204
    for one in made[5:10]:
        again = system.rest.post("document-processing/tasks/", {"document_id": one["document"]["id"]}).json
        system.rest.wait(again["id"])
    return [one["document"]["id"] for one in made[5:]]


def test_a_stopped_directory_is_well():
    with running() as system:
        documents = fill(system)
        assert command("verify", "--data", system.data).returncode == 1, "it is in use"
        system.stop()
        code, findings, report = verify(system.data)
        assert (code, findings) == (0, []), findings
        assert report["documents"] == len(documents) and report["tasks"] == len(documents) + 5, report
        assert report["chunks"] == report["vectors"] > 500 and report["blobs"] == report["documents"], report
        before = {path: path.stat().st_mtime_ns for path in system.data.rglob("*") if path.is_file()}
        verify(system.data)
        after = {path: path.stat().st_mtime_ns for path in system.data.rglob("*") if path.is_file()}
        assert {path.name for path in after if after[path] != before.get(path)} <= {"lock"}, "it wrote something"


def test_a_killed_directory_is_well():
    with running() as system:
        fill(system)
        pending = [system.rest.submit(f"late{n}.txt", text(1000 + n, 20_000)) for n in range(60)]
        system.rest.wait(pending[5]["task"]["id"])
        system.process.kill()
        system.process.wait()
        code, findings, report = verify(system.data)
        assert (code, [f for f in findings if not f["note"]]) == (0, []), findings
        system.start()
        for one in pending:
            assert system.rest.wait(one["task"]["id"])["status"] == "completed"


def test_damaged_bytes_are_found_by_name():
    with running() as system:
        fill(system)
        system.stop()
        files = sorted(path for path in pathlib.Path(system.data, "blobs").rglob("*") if path.is_file())
        os.truncate(files[0], 1000)
        with open(files[1], "r+b") as file:
            file.seek(5000)
            byte = file.read(1)
            file.seek(5000)
            file.write(bytes([byte[0] ^ 1]))
        files[2].unlink()
        code, findings, _ = verify(system.data)
        assert code == 1 and sorted(f["finding"] for f in findings) == \
            ["bytes_damaged", "bytes_damaged", "bytes_missing"], findings
        assert all(".txt" in f["message"] and "backup" in f["remedy"] for f in findings), findings
