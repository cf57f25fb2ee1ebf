"""The command line: what it prints, where, and its exit codes."""
import json
import os
import pathlib
import pty
import re
import select
import subprocess
import tempfile
import uuid

from gateway_alone import gateway
from harness import BIN, TREE, Spoken, command, running, wait_for

ID = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"


def place_with(**files):
    place = tempfile.TemporaryDirectory()
    for name, text in files.items():
        (pathlib.Path(place.name) / name.replace("_", ".")).write_text(text)
    return place


def spoken(server, *arguments):
    """The command line at work."""
    return Spoken(BIN / "myelin", *arguments, env={"MYELIN_SERVER": server})


def test_submit_wait_search():
    with running() as system, place_with(moon_txt="The moon pulls the sea, and the tide rises twice a day.",
                                         rye_md="# Rye\n\nRye bread keeps for a week and tastes of the oven.") as place:
        server = system.addresses["http"]
        (pathlib.Path(place) / ".hidden").write_text("not this")
        done = command("submit", "--wait", place, server=server)
        assert done.returncode == 0, done
        lines = sorted(line.split("  ", 2) for line in done.stdout.splitlines())
        assert sorted(line[2] for line in lines) == ["moon.txt", "rye.md"], done
        assert done.stderr == "myelin: 1 entry in directories skipped: 1 hidden\n", done
        assert all(re.fullmatch(ID, line[0]) and line[1].strip() == "completed" for line in lines)

        found = command("search", "tide", "of", "the", "sea", server=server)
        assert found.returncode == 0 and found.stdout.lstrip().startswith("1. moon.txt"), found
        assert "\x1b" not in found.stdout
        hit = json.loads(command("search", "--json", "--limit", "1", "rye bread", server=server).stdout)
        assert hit["filename"] == "rye.md"

        again = command("submit", pathlib.Path(place) / "rye.md", server=server)
        assert again.returncode == 0 and "was processed before" in again.stdout


def test_tasks_task_documents_queue():
    with running() as system, place_with(a_txt="Alpha is first.", b_txt="Beta is second.") as place:
        server = system.addresses["http"]
        ids = [line.split()[0] for line in command("submit", place, server=server).stdout.splitlines()]
        assert len(ids) == 2
        assert command("watch", *ids, server=server).returncode == 0
        listed = command("tasks", server=server)
        assert listed.returncode == 0 and len(listed.stdout.splitlines()) == 3
        assert all(len(line) <= 80 for line in listed.stdout.splitlines()), listed.stdout
        rows = [json.loads(line) for line in command("tasks", "--json", server=server).stdout.splitlines()]
        assert [row["id"] for row in rows] == ids[::-1]
        assert len(command("tasks", "--status", "failed", server=server).stdout.splitlines()) == 1
        limited = command("tasks", "--limit", "1", server=server)
        assert len(limited.stdout.splitlines()) == 2 and "--limit" in limited.stderr
        shown = command("task", ids[0], server=server)
        assert shown.returncode == 0 and re.search(r"^status +completed$", shown.stdout, re.M), shown.stdout
        documents = command("documents", server=server)
        assert "a.txt" in documents.stdout and all(len(line) <= 80 for line in documents.stdout.splitlines())
        queue = command("queue", server=server)
        assert re.search(r"^completed_tasks +2$", queue.stdout, re.M) and "extract" in queue.stdout
        assert json.loads(command("queue", "--json", server=server).stdout)["completed_tasks"] == 2


def test_cancel_and_retry():
    with running(workers="extract=0") as system, place_with(a_txt="Waits for ever.") as place:
        server = system.addresses["http"]
        task = command("submit", place, server=server).stdout.split()[0]
        assert command("cancel", task, server=server).returncode == 0
        assert json.loads(command("task", "--json", task, server=server).stdout)["status"] == "cancelled"
        assert command("cancel", task, server=server).returncode in (0, 1)
        assert command("watch", task, server=server).returncode == 6
        assert command("retry", task, server=server).returncode == 0
        assert json.loads(command("task", "--json", task, server=server).stdout)["status"] == "pending"


def test_exit_codes():
    with running() as system, place_with(empty_txt="", good_txt="Something to read.") as place:
        server = system.addresses["http"]
        empty = command("submit", "--wait", place, server=server)
        assert empty.returncode == 6 and "empty_document" in empty.stdout and "completed" in empty.stdout, empty
        quarantine = command("quarantine", server=server)
        assert quarantine.returncode == 0 and "empty_document" in quarantine.stdout
        missing = str(uuid.uuid4())
        for arguments, code in ((["task", missing], 3), (["cancel", missing], 3), (["watch", missing], 3),
                                (["retry", missing], 3), (["task", "../../livez"], 3), (["task"], 2),
                                (["submit"], 2), (["submit", "--priority", "11", place], 2),
                                (["submit", "--priority", "x", place], 2), (["tasks", "--status", "done"], 2),
                                (["submit", "/does/not/exist"], 1), (["nonsense"], 2), (["queue", "now"], 2),
                                (["tasks", "--limit", "0"], 2), (["task", ""], 2),
                                (["search", ""], 2), (["search", "--limit", "0", "x"], 2), (["search", "--limit", "101", "x"], 2),
                                (["search", "--limit", "4294967297", "x"], 2), (["watch", missing, ""], 2), (["submit", ""], 2),
                                 (["--server", "ftp://x", "queue"], 2)):
            ended = command(*arguments, server=None if "--server" in arguments else server)
            assert ended.returncode == code, (arguments, code, ended)
            assert ended.stderr.startswith("myelin: ") and "Traceback" not in ended.stderr, ended
    gone = command("queue", server=server)
    assert gone.returncode == 5 and server in gone.stderr, gone


def test_help_and_typos():
    listed = command("help")
    assert listed.returncode == 0 and not listed.stderr
    names = re.findall(r"^  (\w+) {2,}\S", listed.stdout, re.M)
    assert {"up", "submit", "search", "tasks", "task", "watch", "cancel", "retry", "queue", "documents",
            "quarantine", "backup", "restore", "verify", "repair"} <= set(names)
    assert not set(names) & {"user", "keygen", "doctor"}
    for name in names:
        if not name.isdigit() and name != "help":
            shown = command("help", name)
            assert shown.returncode == 0 and f"usage: myelin {name}" in shown.stdout
            assert command(name, "--help").stdout == shown.stdout
    for text in (listed.stdout, command("help", "up").stdout):
        assert all(len(line) <= 80 for line in text.splitlines()), text
    assert "did you mean 'submit'" in command("sumbit").stderr
    assert "did you mean '--priority'" in command("submit", "--pirority", "3", "x").stderr
    assert command().returncode == 2 and command("--version").stdout.startswith("myelin ")


def on_terminal(arguments, env, stream="stderr"):
    """Runs with one of its streams on a terminal of 80 columns; gives (exit code, what it drew)."""
    main, other = pty.openpty()
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: other}
    process = subprocess.Popen([str(BIN / "myelin"), *arguments], stdin=subprocess.DEVNULL, **streams,
                               env={**os.environ, "TERM": "xterm", **env})
    os.close(other)
    drawn = b""
    while True:
        if not select.select([main], [], [], 60)[0]:
            raise AssertionError(f"it hangs; drawn so far: {drawn!r}")
        try:
            some = os.read(main, 65536)
        except OSError:
            break
        if not some:
            break
        drawn += some
    os.close(main)
    return process.wait(), drawn.decode()


def test_bars_on_a_terminal():
    with running() as system, place_with(a_txt="One.", b_txt="Two.") as place:
        server = system.addresses["http"]
        code, drawn = on_terminal(["submit", "--wait", place], {"MYELIN_SERVER": server})
        assert code == 0 and "█" in drawn and "100%" in drawn and "2/2" in drawn and \
            re.search("\x1b\\[3\\dm", drawn), drawn
        code, drawn = on_terminal(["submit", "--wait", str(TREE / "examples" / "documents")],
                                  {"MYELIN_SERVER": server, "NO_COLOR": "1"})
        assert code == 0 and "█" in drawn and not re.search("\x1b\\[[0-9;]*m", drawn), drawn


def test_watch_shows_everything_as_it_happens():
    with running() as system, place_with(a_txt="Something happens.") as place:
        server = system.addresses["http"]
        with spoken(server, "watch", "--json") as watch:
            # The stream is open when the event of some submit comes through.
            task, events = None, []
            while task is None or not any(event["event"] == "completed" for event in events):
                if task is None:
                    (pathlib.Path(place) / "a.txt").write_text(f"Try {len(events)} {uuid.uuid4()}")
                    command("submit", place, server=server)
                if watch.has_line(1):
                    event = json.loads(watch.line())
                    if event.get("task"):
                        task = task or event["task"]["id"]
                        events.append(event)


def test_file_names_cannot_drive_the_terminal():
    with running() as system, tempfile.TemporaryDirectory() as place:
        server = system.addresses["http"]
        name = "evil\x1b[31m\n\x9b31m\u202egpj.txt"  # U+009B is ESC [ in one character, U+202E turns what follows
        (pathlib.Path(place) / name).write_text("Nothing to see.")
        (pathlib.Path(place) / (name + ".pdf")).write_text("%PDF-1.4 not really")
        (pathlib.Path(place) / (name + ".link")).symlink_to("nowhere")
        system.rest.submit("raw\x9b31m\u202egpj.txt", b"Nothing either.")  # by a client that replaces nothing
        outputs = [command("submit", "--wait", place, server=server), command("documents", server=server),
                   command("quarantine", server=server), command("tasks", "--status", name, server=server),
                   command("submit", pathlib.Path(place) / (name + ".link"), server=server), command(name)]
        assert [output.returncode for output in outputs] == [6, 0, 0, 2, 1, 2], outputs
        for output in outputs:
            assert not set("\x1b\x9b\u202e") & set(output.stdout + output.stderr), output
        assert "evil?[31m" in outputs[1].stdout and "raw?31m?gpj.txt" in outputs[1].stdout, outputs[1]
        assert "evil?[31m" in outputs[4].stderr, outputs[4]
        code, drawn = on_terminal(["documents", "--json"], {"MYELIN_SERVER": server}, "stdout")
        assert code == 0 and not set("\x1b\x9b\u202e") & set(drawn), drawn
        names = {json.loads(line)["filename"] for line in drawn.splitlines()}
        assert "raw\x9b31m\u202egpj.txt" in names, names


def test_what_cannot_be_handed_in_is_said():
    with running() as system, place_with(a_txt="One.") as place:
        server, place = system.addresses["http"], pathlib.Path(place)
        os.mkfifo(place / "fifo")
        (place / "dangling").symlink_to("nowhere")
        for name, said in (("fifo", "neither a file nor a directory"), ("dangling", "not there")):
            refused = command("submit", place / "a.txt", place / name, server=server)
            assert refused.returncode == 1 and name in refused.stderr and said in refused.stderr, refused
            assert "a.txt" in refused.stdout  # the others are handed in
        piped = command("submit", "/dev/stdin", server=server, stdin=subprocess.PIPE)
        assert piped.returncode == 1 and "neither a file" in piped.stderr, piped
        walked = command("submit", place, server=server)  # a directory is a heap of anything
        assert walked.returncode == 0 and len(walked.stdout.splitlines()) == 1, walked
        assert walked.stderr == "myelin: 2 entries in directories skipped: 1 symbolic link, 1 no file\n", walked
        (place / ".hidden").mkdir()
        (place / ".hidden" / "b.txt").write_text("Two.")
        (place / ".profile").write_text("Three.")
        walked = command("submit", "--json", place, server=server)
        *documents, last = [json.loads(line) for line in walked.stdout.splitlines()]
        assert len(documents) == 1 and last == {"skipped": {"hidden": 2, "symbolic_links": 1, "no_files": 1}}, walked
        assert walked.stderr.startswith("myelin: 4 entries"), walked
        named = command("submit", place / ".profile", place / ".hidden", server=server)  # who names it wants it
        assert len(named.stdout.splitlines()) == 2 and not named.stderr, named


def test_output_that_is_lost_is_an_error():
    with running() as system, place_with(a_txt="One.") as place:
        environment = {**os.environ, "MYELIN_SERVER": system.addresses["http"]}
        for arguments in (["submit", "--wait", "--json", place], ["submit", "--wait", place], ["tasks", "--json"],
                          ["queue"], ["help"], ["--version"], ["watch", "--json"]):
            if arguments[0] == "watch":  # what is alive is shown to it at once
                system.stop()
                system.workers = "extract=0"
                system.start()
                environment["MYELIN_SERVER"] = system.addresses["http"]
                system.rest.submit("alive.txt", b"Waits.")
            with open("/dev/full", "wb") as full:
                done = subprocess.run([str(BIN / "myelin"), *arguments], stdout=full, stderr=subprocess.PIPE, text=True,
                                      stdin=subprocess.DEVNULL, env=environment, timeout=60)
            assert done.returncode == 1 and "could not be written" in done.stderr, (arguments, done)


def test_an_end_that_was_never_published_is_asked_for():
    """A broker that is killed between its commit and its publishing never tells of what it committed."""
    with gateway() as gate, place_with(a_txt="One.", b_txt="Two.") as place:
        answer = gate.broker.task_get

        def end_behind_the_answer(values, payload):
            said = answer(values, payload)
            gate.broker.tasks[values["task"]]["status"] = "completed"
            return said
        gate.broker.task_get = end_behind_the_answer
        with spoken(gate.addresses["http"], "submit", "--wait", place) as submit:
            for _ in range(2):
                assert "completed" in submit.line(40)  # after a heartbeat: every 15 s
            assert submit.end()[0] == 0


def two_followed(gate, place):
    """`submit --wait` of two files whose tasks were asked for when the stream opened; (what it says, their ids)."""
    submit = spoken(gate.addresses["http"], "submit", "--wait", place)
    wait_for(lambda: gate.broker.count("task_get") >= 2, 20, "both tasks are asked for")
    return submit, list(gate.broker.tasks)


def test_a_gap_in_the_events_is_asked_about():
    with gateway() as gate, place_with(a_txt="One.", b_txt="Two.") as place:
        submit, (first, second) = two_followed(gate, place)
        with submit:
            gate.broker.publish("progress", {**gate.broker.tasks[second], "progress": 10})
            gate.broker.tasks[first]["status"] = "completed"
            gate.broker.seq += 1  # its event is lost
            gate.broker.publish("progress", {**gate.broker.tasks[second], "progress": 20})
            assert "a.txt" in submit.line(10)  # sooner than any heartbeat
            gate.broker.finish(str(second))
            assert "b.txt" in submit.line(10) and submit.end()[0] == 0


def test_a_question_that_failed_is_asked_again():
    with gateway() as gate, place_with(a_txt="One.", b_txt="Two.") as place:
        answer, failures = gate.broker.task_get, []

        def fail_once(values, payload):
            if failures:
                return answer(values, payload)
            failures.append(values["task"])
            gate.broker.tasks[values["task"]]["status"] = "completed"
            return gate.broker.error("unavailable", 503)
        gate.broker.task_get = fail_once
        with spoken(gate.addresses["http"], "submit", "--wait", place) as submit:
            wait_for(lambda: failures, 20, "a question fails")
            other = next(task for task in gate.broker.tasks if task not in failures)
            gate.broker.publish("progress", {**gate.broker.tasks[other], "progress": 20})
            assert "completed" in submit.line(10)
            gate.broker.finish(str(other))
            assert "completed" in submit.line(10) and submit.end()[0] == 0


def test_a_server_that_is_away_for_a_moment_does_not_end_a_submit():
    with gateway() as gate, place_with(a_txt="One.", b_txt="Two.", c_txt="Three.") as place:
        answer, tries = gate.broker.submit, []

        def fail_the_second(values, payload):
            tries.append(values["filename"])
            codes = {2: "unavailable", 3: "draining"}
            if len(tries) in codes:
                return gate.broker.error(codes[len(tries)], 503)
            return answer(values, payload)
        gate.broker.submit = fail_the_second
        done = command("submit", place, server=gate.addresses["http"])
        assert done.returncode == 0 and len(done.stdout.splitlines()) == 3 and not done.stderr, done
        assert tries == [b"a.txt"] + 3 * [b"b.txt"] + [b"c.txt"], tries
        tries[:] = [b""]  # a server that never took anything is not waited for
        refused = command("submit", place, server=gate.addresses["http"])
        assert refused.returncode == 5 and "not submitted" in refused.stderr, refused


def test_submit_wait_outlives_kills_of_the_broker():
    with running() as system, tempfile.TemporaryDirectory() as place:
        for number in range(600):
            (pathlib.Path(place) / f"{number}.txt").write_text(f"Note {number}. " + "Words to work on. " * 200)
        with spoken(system.addresses["http"], "submit", "--wait", place) as submit:
            for _ in range(3):
                wait_for(lambda: system.rest.get("document-processing/queue/status/").json.get("total_tasks"), 30,
                         "work is in hand")
                killed = system.kill("broker")
                system.wait_for_children("broker", 1, without=(killed,))
            code, out, errors = submit.end(120)
        assert code == 0 and not errors, (code, errors)
        assert len(out.splitlines()) == 600 and all("  completed  " in line for line in out.splitlines()), out
