"""What changes on the disk is told, and costs only itself; what was merely torn by a power cut costs nothing."""
import http.client
import os
import pathlib
import random
import shutil
import signal
import tempfile

from harness import FINAL, TASKS, System, command, running, wait_for

FLIPS = 24


def content(number):
    """Every third is a file of its own."""
    words = random.Random(number).choices(["harbour", "lantern", "orchard", "quartz", "velvet"], k=60000
                                          if number % 3 == 0 else 50)
    return f"only{number} is the word of this one. {' '.join(words)}".encode()


def filled(system, count=6):
    """(document, task) by number, all completed."""
    put = {}
    for number in range(count):
        got = system.rest.submit(f"{number}.txt", content(number))
        put[number] = (got["document"]["id"], got["task"]["id"])
    for _, task in put.values():
        assert system.rest.wait(task)["status"] == "completed"
    return put


def flip(path, at, bit=0):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


def start_in_vain(system):
    try:
        system.start()
    except AssertionError:
        return system.process.wait(30), system.log()
    raise AssertionError("it started")


def kill(system):
    """The power button: nothing is closed."""
    for role in ("broker", "storage"):
        for pid in system.children(role):
            os.kill(pid, signal.SIGSTOP)  # or it would end well when its parent is gone
    pids = system.children()
    system.process.kill()
    system.process.wait()
    system.process.stdout.close()
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    system.process = None


def test_a_damaged_upload_is_not_handed_out_and_not_processed():
    with running() as system:
        put = filled(system, 4)
        document, task = put[3]
        file, = [path for path in (system.data / "blobs").glob("u-*/*/*")
                 if path.read_bytes() == content(3)]
        flip(file, 100000)
        try:
            got = system.rest.get(f"documents/{document}/content")
            raise AssertionError(f"{len(got.raw)} bytes of what is damaged, with status {got.status}")
        except http.client.IncompleteRead as short:
            assert len(short.partial) < len(content(3))
        answer = system.req.call("GET", f"documents/{document}/content")
        assert answer.status == 500 and answer.json["code"] == "corrupt", answer
        assert system.rest.post(f"{TASKS}{task}/process/").status == 202
        ended = wait_for(lambda: (now := system.rest.get(TASKS + task).json)["status"] in FINAL and now, 30, "the end")
        assert ended["status"] == "failed" and ended["error_code"] == "corrupt", ended
        for number in (0, 1, 2):
            assert system.rest.get(f"documents/{put[number][0]}/content").raw == content(number)
        assert system.stop() == 0
        verdict = command("verify", "--data", system.data)
        assert verdict.returncode == 1 and "bytes_damaged" in verdict.stdout, verdict.stdout


def newest_log(directory):
    return max(path for path in directory.glob("*.log") if path.stat().st_size)


def test_damage_in_what_was_synced_is_refused_by_name_with_a_way_out():
    for part in ("broker", "content"):
        system = System()
        try:
            system.start()
            filled(system, 3)
            kill(system)
            log = newest_log(system.data / part)
            before = log.read_bytes()
            flip(log, len(before) // 2)
            code, said = start_in_vain(system)
            assert code == 1, code
            assert str(log) in said and "myelin repair" in said and "is damaged at byte" in said, said[-2000:]
            flip(log, len(before) // 2)
            assert log.read_bytes() == before, "a refused start changed something"
            system.process = None
            system.start()
            assert system.stop() == 0
        finally:
            system.remove()


def test_what_a_power_cut_tore_is_dropped_and_nothing_else():
    system = System()
    try:
        system.start()
        put = filled(system, 3)
        kill(system)
        for part in ("broker", "content"):
            with open(newest_log(system.data / part), "ab") as log:
                log.write(bytes(5000) + b"torn" * 100)
            manifest, = (system.data / part).glob("MANIFEST-*")
            with open(manifest, "ab") as log:
                log.write(b"torn" * 20)
        system.start()
        events = [event["event"] for event in system.events()]
        assert events.count("wal.torn") == 2 and events.count("manifest.torn") == 2, events
        for number, (document, task) in put.items():
            assert system.rest.get(f"documents/{document}/content").raw == content(number)
            assert system.rest.get(TASKS + task).json["status"] == "completed"
            hits = system.rest.get(f"search?mode=text&q=only{number}").json["hits"]
            assert [hit["document_id"] for hit in hits] == [document]
        assert system.stop() == 0
    finally:
        system.remove()


def right_or_refused(system, put):
    """Everything the system says after a bit was flipped is right, or says that something is damaged."""
    try:
        system.start()
    except AssertionError:
        said = system.log()
        assert "is damaged" in said or "Corruption" in said or "corrupt" in said or "No such file" in said, said[-1500:]
        return "refused"
    outcome = "whole"
    for number, (document, task) in put.items():
        answer = system.rest.get(f"documents/{document}/content")
        if answer.status == 200:
            assert answer.raw == content(number), number
        else:
            assert answer.status in (500, 503) and answer.json["code"] in ("corrupt", "unavailable"), answer
            outcome = "partly"
        answer = system.rest.get(TASKS + task)
        if answer.status == 200:
            assert answer.json["status"] == "completed", answer
        else:
            assert answer.status in (500, 503), answer
            outcome = "partly"
        chunks = system.rest.get(f"documents/{document}/chunks?limit=1")
        hits = wait_for(lambda: (got := system.rest.get(f"search?mode=text&q=only{number}")).status == 200 and got, 30,
                        "a search is answered").json["hits"]
        if chunks.status == 200:
            assert chunks.json["items"][0]["text"].startswith(f"only{number} "), chunks
            assert [hit["document_id"] for hit in hits] == [document], (number, hits)
        else:
            assert chunks.status in (500, 503) and chunks.json["code"] in ("corrupt", "unavailable"), chunks
            outcome = "partly"
    system.stop()
    return outcome


def test_flipped_bits_are_told_or_cost_nothing():
    dice, outcomes = random.Random(5), {}
    original = System()
    try:
        original.start()
        put = filled(original, 3)
        assert original.stop() == 0
        original.start()
        put.update({number + 3: pair for number, pair in enumerate(filled_again(original))})
        kill(original)
        for _ in range(FLIPS):
            folder = pathlib.Path(tempfile.mkdtemp(prefix="myelin-test-"))
            system = System(data=folder / "data")
            try:
                shutil.copytree(original.data, folder / "data",
                                ignore=shutil.ignore_patterns("run", "lock", "LOG*", "ballast"))
                files = [path for part in ("broker", "content", "index.sqlite*") for path in
                         (folder / "data").glob(part + "/*" if "." not in part else part)
                         if path.is_file() and path.stat().st_size and not path.name.endswith("-shm")]
                path = dice.choice(sorted(files))
                at, bit = dice.randrange(path.stat().st_size), dice.randrange(8)
                flip(path, at, bit)
                try:
                    outcome = right_or_refused(system, put)
                except AssertionError as wrong:
                    raise AssertionError(f"{path.name}, byte {at}, bit {bit}: {wrong}") from wrong
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
            finally:
                system.remove()
                shutil.rmtree(folder)
        print(f"    {outcomes}")
        assert len(outcomes) > 1, outcomes
    finally:
        original.remove()


def filled_again(system):
    """Documents 3, 4 and 5."""
    for number in (3, 4, 5):
        got = system.rest.submit(f"{number}.txt", content(number))
        assert system.rest.wait(got["task"]["id"])["status"] == "completed"
        yield got["document"]["id"], got["task"]["id"]
