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

from harness import BIN, TREE, command, running

ID = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"


def place_with(**files):
    place = tempfile.TemporaryDirectory()
    for name, text in files.items():
        (pathlib.Path(place.name) / name.replace("_", ".")).write_text(text)
    return place


def test_submit_wait_search():
    with running() as system, place_with(moon_txt="The moon pulls the sea, and the tide rises twice a day.",
                                         rye_md="# Rye\n\nRye bread keeps for a week and tastes of the oven.") as place:
        server = system.addresses["http"]
        (pathlib.Path(place) / ".hidden").write_text("not this")
        done = command("submit", "--wait", place, server=server)
        assert done.returncode == 0, done
        lines = sorted(line.split("  ", 2) for line in done.stdout.splitlines())
        assert sorted(line[2] for line in lines) == ["moon.txt", "rye.md"] and not done.stderr, done
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
                                (["submit", "--priority", "x", place], 2), (["tasks", "--status", "done"], 1),
                                (["submit", "/does/not/exist"], 1), (["nonsense"], 2), (["queue", "now"], 2),
                                (["tasks", "--limit", "0"], 2), (["--server", "ftp://x", "queue"], 2)):
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
            "quarantine"} <= set(names)
    assert not set(names) & {"user", "keygen", "backup", "restore", "verify", "repair", "doctor"}
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


def on_terminal(arguments, env):
    """Runs with stderr on a terminal of 80 columns; gives (exit code, what it drew)."""
    main, other = pty.openpty()
    process = subprocess.Popen([str(BIN / "myelin"), *arguments], stdout=subprocess.DEVNULL, stderr=other,
                               stdin=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm", **env})
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
        assert code == 0 and "█" in drawn and "100%" in drawn and "2/2" in drawn and "\x1b[3" in drawn, drawn
        code, drawn = on_terminal(["submit", "--wait", str(TREE / "examples" / "documents")],
                                  {"MYELIN_SERVER": server, "NO_COLOR": "1"})
        assert code == 0 and "█" in drawn and not re.search("\x1b\\[[0-9;]*m", drawn), drawn


def test_watch_shows_everything_as_it_happens():
    with running() as system, place_with(a_txt="Something happens.") as place:
        server = system.addresses["http"]
        watch = subprocess.Popen([str(BIN / "myelin"), "watch", "--json"], stdout=subprocess.PIPE, text=True,
                                 stdin=subprocess.DEVNULL, env={**os.environ, "MYELIN_SERVER": server})
        try:
            # The stream is open when the event of some submit comes through.
            task, events = None, []
            while task is None or not any(event["event"] == "completed" for event in events):
                if task is None:
                    (pathlib.Path(place) / "a.txt").write_text(f"Try {len(events)} {uuid.uuid4()}")
                    command("submit", place, server=server)
                if select.select([watch.stdout], [], [], 1)[0]:
                    event = json.loads(watch.stdout.readline())
                    if event.get("task"):
                        task = task or event["task"]["id"]
                        events.append(event)
        finally:
            watch.terminate()
            watch.wait()
            watch.stdout.close()


def test_file_names_cannot_drive_the_terminal():
    with running() as system, tempfile.TemporaryDirectory() as place:
        server = system.addresses["http"]
        name = "evil\x1b[31m\nname.txt"
        (pathlib.Path(place) / name).write_text("Nothing to see.")
        for output in (command("submit", "--wait", place, server=server), command("documents", server=server)):
            assert output.returncode == 0 and "\x1b" not in output.stdout, output
