#!/usr/bin/python3
"""Power cuts: a system under load on a disk that forgets what was not synced, started again from what is left.

    power.py [--runs N] [--cuts N] [--seed N] [--jobs N] [--keep DIR] [--lie NAME]

Each run loads a Myelin whose files are journaled (forget.c) with submits, reprocessing, deletions and kills of broker
and storage, and notes how long the journal was when an answer came. Then, for each cut: a moment of the journal, and a
way of forgetting (disk.py). A system is started on what is left, and it is checked that

  - every acknowledged document is there, byte for byte, with its task, and every acknowledged deletion is;
  - every task that was seen completed (in an answer, or on the feed) is completed, and its text is found once;
  - every task ends; in the end every document is completed and found once; the counts of the queue add up;
  - `myelin verify` finds nothing wrong.

--lie makes one kind of sync do nothing, as a program that forgot it would: then at least one cut must be noticed.
"""
import argparse
import concurrent.futures
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tests" / "system"))
import disk  # noqa: E402
from harness import BIN, FINAL, TASKS, System, command, wait_for  # noqa: E402

SHIM = BIN.parent / "lib" / "libforget.so"
WORDS = ("harbour lantern orchard quartz velvet thunder meadow copper island whistle marble saffron glacier ember "
         "canyon ribbon falcon timber anchor willow").split()
WAYS = ("worst", "worst", "worst", "pieces", "pieces", "pieces", "order", "all")

# What a program may have forgotten to sync, by what it loses.
LIES = {
    "broker": ["data/broker/*.log"],
    "content": ["data/content/*.log"],
    "upload": ["data/blobs/tmp/*"],
    "upload-name": ["data/blobs/u-*/*"],
    "table": ["data/broker/*.sst"],
    "manifest": ["data/*/MANIFEST-*"],
}


LIE_CUTS = 8


def own_word(number):
    return f"only{number}"


def content_of(number):
    """A text; its own word is in the beginning of it. Every eighth is too large for the database."""
    source = random.Random(number)
    words = 45000 if number % 8 == 3 else 6000 if number % 8 == 6 else 60
    return (f"The document {own_word(number)} begins here. " + " ".join(source.choices(WORDS, k=words)) + ".").encode()


class Run:
    """What was asked of the system, and at which moments of the journal its answers had come."""

    def __init__(self, seed, directory):
        self.seed, self.root = seed, directory / "root"
        self.journal = directory / "journal"
        self.base = directory / "base"
        self.root.mkdir()
        self.base.mkdir()
        self.submitted, self.completed, self.again = {}, {}, {}  # number → (id, moment); number → moment
        self.deleting, self.deleted = {}, {}
        self.seen = {}  # task → when the feed said that it is completed
        self.lock = threading.Lock()
        self.acks = []

    def moment(self):
        return self.journal.stat().st_size

    def ack(self, table, number, value=None):
        now = self.moment()
        with self.lock:
            table[number] = (value, now) if value else now
            self.acks.append(now)


def patient(call, *wanted):
    """The answer of a call that is made again while a process is away."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            answer = call()
            if answer.status in wanted:
                return answer
            assert answer.status in (429, 503), answer
        except OSError:
            pass
        time.sleep(0.02)
    raise AssertionError("no answer for a minute")


def load_share(run, system, numbers, dice):
    """One client: submits, waits for some, processes some again, deletes some."""
    rest = system.new_rest()
    for number in numbers:
        headers = {"X-Filename": f"{number}.txt", "Content-Type": "text/plain", "Idempotency-Key": f"key-{number}"}
        got = patient(lambda: rest.post("documents/", content_of(number), headers=headers), 200, 201).json
        document, task = got["document"]["id"], got["task"]["id"]
        run.ack(run.submitted, number, (document, task))
        if dice.random() < 0.3:
            continue
        wait_until_completed(rest, task)
        run.ack(run.completed, number)
        what = dice.random()
        if what < 0.2:
            run.ack(run.again, number)
            patient(lambda: rest.post(f"{TASKS}{task}/process/"), 202, 409)
        elif what < 0.4:
            run.ack(run.deleting, number)
            patient(lambda: rest.delete(f"documents/{document}"), 204, 404)
            run.ack(run.deleted, number)
    rest.close()


def follow(run, feed, stop):
    while not stop.is_set():
        if (got := feed.next(0.1)) and got[1]["event"] == "completed":
            run.seen.setdefault(got[1]["task"]["id"], run.moment())
    feed.close()


def wait_until_completed(rest, task):
    while True:
        done = patient(lambda: rest.get(f"{TASKS}{task}?wait=20"), 200).json
        if done["status"] in FINAL:
            assert done["status"] == "completed", done
            return


class Loaded(System):
    def new_rest(self):
        return type(self.rest)(self.addresses["http"])


def load(run, documents):
    """The run: two clients, with kills of broker and storage, and one stop and start, in the middle of it."""
    dice = random.Random(run.seed)
    env = {"LD_PRELOAD": str(SHIM), "FORGET_ROOT": str(run.root), "FORGET_JOURNAL": str(run.journal)}
    system = Loaded(data=run.root / "data", workers="extract=1,chunk=1,embed=1", env=env)
    system.log_path = run.root.parent / "log"
    first = run.seed * 1000
    try:
        for part in range(2):
            system.start()
            numbers = list(range(first + part * documents // 2, first + (part + 1) * documents // 2))
            shares = [threading.Thread(target=guarded, args=(run, system, numbers[i::2], random.Random(dice.random())))
                      for i in range(2)]
            stop = threading.Event()
            follower = threading.Thread(target=follow, args=(run, system.feed(), stop))
            for thread in (follower, *shares):
                thread.start()
            for role in ("broker", "storage"):
                wanted = len(run.submitted) + len(numbers) // 4
                wait_for(lambda: len(run.submitted) >= wanted or not any(s.is_alive() for s in shares), 60, "work")
                system.kill(role)
            for share in shares:
                share.join()
            stop.set()
            follower.join()
            assert not run.failed, run.failed
            assert system.stop() == 0
    finally:
        if system.process:
            system.process.kill()
            system.process.wait()
    shutil.rmtree(run.root)


def guarded(run, *arguments):
    try:
        load_share(run, *arguments)
    except BaseException as error:
        run.failed.append(repr(error))


Run.failed = []


def choose_moments(run, count, dice):
    """Ends of records; more of them where something was just promised."""
    ends, syncs, at = [], [], 0
    with open(run.journal, "rb") as journal:
        while len(head := journal.read(disk.HEAD.size)) == disk.HEAD.size:
            op, _, first, second, _, size, _, _, _ = disk.HEAD.unpack(head)
            at += disk.HEAD.size + first + second + size
            journal.seek(at)
            ends.append(at)
            if op not in (disk.WRITE, disk.OPEN, disk.TRUNCATE):
                syncs.append(at)
    moments = [dice.choice((ends, syncs, run.acks)) for _ in range(count)]
    return sorted(dice.choice(some) for some in moments)


class Wrong(AssertionError):
    pass


def expect(condition, *what):
    if not condition:
        raise Wrong(" ".join(str(word) for word in what))


def found(rest, word):
    answer = rest.get(f"search?mode=text&limit=10&q={word}")
    expect(answer.status == 200, "search for", word, "answers", answer)
    return [hit["document_id"] for hit in answer.json["hits"]]


def check(run, image, cut):
    """Starts a system on what is left, and compares it with what was acknowledged before `cut`."""
    system = Loaded(data=image, workers="extract=1,chunk=1,embed=1")
    try:
        system.start()
        rest = system.rest
        check_promises(run, rest, cut)
        check_end(rest)
        ended = [event for event in system.events() if event.get("event") == "child_ended"]
        expect(not ended, "a process ended by itself:", ended[:2])
        code = system.stop()
        expect(code == 0, "exit code", code)
        verdict = command("verify", "--data", image)
        expect(verdict.returncode == 0, "verify finds", verdict.stdout[-800:], verdict.stderr[-800:])
    except Wrong as wrong:
        raise Wrong(f"{wrong}\n{system.log()[-1500:]}") from None
    except AssertionError as wrong:
        raise Wrong(f"{str(wrong)[:300]}\n{system.log()[-1500:]}") from None
    finally:
        system.remove()
        system.log_path.unlink(missing_ok=True)


def check_promises(run, rest, cut):
    for number, ((document, task), moment) in run.submitted.items():
        if moment > cut:
            continue
        if run.deleted.get(number, cut + 1) <= cut:
            expect(rest.get(f"documents/{document}").status == 404, "the deleted", number, "is back")
            expect(not found(rest, own_word(number)), "the deleted", number, "is found")
            continue
        if run.deleting.get(number, cut + 1) <= cut:
            continue
        answer = rest.get(f"documents/{document}/content")
        expect(answer.status == 200, "document", number, "is lost:", answer)
        expect(answer.raw == content_of(number), "document", number, "is not what was sent")
        answer = rest.get(TASKS + task)
        expect(answer.status == 200, "the task of", number, "is lost:", answer)
        if min(run.completed.get(number, cut + 1), run.seen.get(task, cut + 1)) <= cut:
            expect(found(rest, own_word(number)) == [document], "document", number, "was completed, and is found",
                   found(rest, own_word(number)))
            if run.again.get(number, cut + 1) > cut:
                expect(answer.json["status"] == "completed", "task of", number, "was completed, and is", answer.json)


def check_end(rest):
    for task in rest.pages("document-processing/tasks/"):
        done = rest.wait(task["id"], 60)
        expect(done["status"] in ("completed", "cancelled"), "a task ended as", done)
    documents = rest.pages("documents/")
    for document in documents:
        number = int(document["filename"].split(".")[0])
        answer = rest.get(f"documents/{document['id']}/content")
        expect(answer.status == 200 and answer.raw == content_of(number), "in the end", number, "is", answer.status)
        hits = found(rest, own_word(number))
        expect(hits == [document["id"]], "in the end", number, "is found", hits)
    expect(len({document["filename"] for document in documents}) == len(documents), "a document is there twice")
    queue = rest.get("document-processing/queue/status/").json
    tasks = rest.pages("document-processing/tasks/")
    expect(queue["total_tasks"] == len(tasks), "the queue counts", queue, "not", len(tasks))
    expect(queue["pending_tasks"] == queue["processing_tasks"] == 0, "the queue counts", queue)


def cut_all(run, directory, count, jobs, keep, lies=(), ways=WAYS, moments=None):
    """Yields (cut, way, None or what is wrong)."""
    dice = random.Random(f"{run.seed} {count}")
    the_disk = disk.Disk(run.base, run.journal, lies)
    moments = moments or choose_moments(run, count, dice)
    waiting = []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for i, moment in enumerate(moments):
            the_disk.go_on(moment)
            way = ways[dice.randrange(len(ways))]
            image = directory / f"image-{i}"
            the_disk.image(image, way, random.Random(f"{run.seed} {i}"))
            if not (image / "data").exists():
                (image / "data").mkdir()
            waiting.append((moment, way, image, pool.submit(check, run, image / "data", moment)))
            while len(waiting) > jobs or i + 1 == len(moments) and waiting:
                moment_, way_, image_, future = waiting.pop(0)
                wrong = None
                try:
                    future.result()
                except Wrong as error:
                    wrong = str(error)
                if keep and wrong:
                    kept = pathlib.Path(keep) / f"{run.seed}-{moment_}-{way_}"
                    shutil.rmtree(kept, ignore_errors=True)
                    shutil.move(image_, kept)
                disk.remove(image_)
                yield moment_, way_, wrong
    unknown = [path for path in the_disk.mapped if not path.endswith("-shm")]
    assert not unknown, f"written through memory, which the journal does not see: {unknown}"


def try_lies(run, directory, options):
    """True when every lie shows."""
    shown = True
    for name in LIES if "all" in options.lie else options.lie:
        caught = sum(wrong is not None for _, _, wrong in
                     cut_all(run, directory, LIE_CUTS, options.jobs, None, LIES[name], ("worst",)))
        print(f"lie '{name}': {caught} of {LIE_CUTS} cuts noticed", flush=True)
        shown = shown and caught > 0
    return shown


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--cuts", type=int, default=60, help="of each run")
    parser.add_argument("--documents", type=int, default=48, help="of each run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="systems at once")
    parser.add_argument("--keep", help="where what is left of a cut is kept when something is wrong")
    parser.add_argument("--lie", choices=[*LIES, "all"], action="append", default=[])
    options = parser.parse_args()
    wrong_count = cuts = 0
    counts = {}
    for seed in range(options.seed, options.seed + options.runs):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="myelin-power-"))
        try:
            run = Run(seed, directory)
            started = time.monotonic()
            load(run, options.documents)
            print(f"run {seed}: {len(run.submitted)} submits, {len(run.completed)} completions, {len(run.deleted)} "
                  f"deletions, {run.moment() >> 20} MiB written in {time.monotonic() - started:.1f} s", flush=True)
            for moment, way, wrong in cut_all(run, directory, options.cuts, options.jobs, options.keep):
                cuts += 1
                counts[way] = counts.get(way, 0) + 1
                if wrong:
                    wrong_count += 1
                    print(f"WRONG: run {seed}, cut at {moment}, {way}: {wrong}", flush=True)
            if seed + 1 == options.seed + options.runs:
                wrong_count += not try_lies(run, directory, options)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    print(f"{cuts} cuts ({', '.join(f'{count} {way}' for way, count in sorted(counts.items()))}): {wrong_count} wrong")
    sys.exit(1 if wrong_count else 0)


if __name__ == "__main__":
    main()
