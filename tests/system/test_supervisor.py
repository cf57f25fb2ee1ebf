"""`myelin up`: start, refusals, restarts, stop."""
import json
import os
import pathlib
import signal
import subprocess
import tempfile

from harness import BIN, System, command, running, wait_for


def up(*arguments, timeout=30):
    return subprocess.run([str(BIN / "myelin"), "up", *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout, stdin=subprocess.DEVNULL)


FREE = ("--http", "127.0.0.1:0", "--req", "tcp://127.0.0.1:0", "--pub", "tcp://127.0.0.1:0")


def answers(system):
    try:
        return system.rest.get("/readyz").status == 200
    except OSError:
        return False


def completes(system, text):
    reply = system.rest.submit("note.txt", text.encode())
    return system.rest.wait(reply["task"]["id"])["status"] == "completed"


def test_port_zero_gives_real_ports_in_one_ready_line():
    with running() as system:
        assert system.addresses.keys() == {"http", "req", "pub"}
        for name, scheme in (("http", "http://"), ("req", "tcp://"), ("pub", "tcp://")):
            address = system.addresses[name]
            assert address.startswith(scheme + "127.0.0.1:"), address
            assert int(address.rsplit(":", 1)[1]) > 0
        assert answers(system)
        assert len(system.children("extract")) == 2 and len(system.children("chunk")) == 1
        assert len(system.children("embed")) == 2 and len(system.children("storage")) == 1


def test_second_up_on_the_same_directory_is_refused():
    with running() as system:
        second = up("--data", system.data, *FREE)
        assert second.returncode == 1 and not second.stdout
        assert str(system.process.pid) in second.stderr and "--data" in second.stderr, second.stderr
        assert answers(system)


def test_who_writes_to_the_directory_holds_its_lock():
    """Killed processes may be alive a little longer than `up`: the next one must not begin before they are gone."""
    with running() as system:
        def holds(pid):
            return any(os.readlink(entry).endswith("/lock") for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir())
        assert all(holds(pid) for role in ("broker", "storage", "gateway") for pid in system.children(role))
        assert not any(holds(pid) for role in ("extract", "chunk", "embed") for pid in system.children(role))


def test_sigterm_ends_with_exit_code_0_and_leaves_no_process():
    with running() as system:
        pids = system.children()
        assert completes(system, "one note")
        assert system.stop() == 0
        assert not [pid for pid in pids if pathlib.Path(f"/proc/{pid}").exists()]
        assert not list((system.data / "run").iterdir())


def test_a_clean_stop_warns_of_nothing():
    with running() as system:
        assert completes(system, "one note")
        before = len(list(system.events()))
        assert system.stop() == 0
        said = list(system.events())[before:]
        assert said and not [event for event in said if event["level"] in ("warn", "error")], said


def test_ctrl_c_ends_with_exit_code_0():
    with running() as system:
        system.signal(signal.SIGINT)
        assert system.process.wait(30) == 0


def test_children_die_with_a_killed_supervisor_and_the_next_one_starts():
    system = System()
    try:
        system.start()
        pids = system.children()
        system.process.kill()
        system.process.wait()
        system.start()  # at once: it waits for the lock of those that are dying
        wait_for(lambda: not [pid for pid in pids if pathlib.Path(f"/proc/{pid}").exists()], 10, "orphans end")
        assert answers(system)
        assert system.stop() == 0
    finally:
        system.remove()


def test_killed_processes_come_back_on_the_same_ports():
    with running() as system:
        for role, count in (("extract", 2), ("chunk", 1), ("embed", 2), ("storage", 1), ("broker", 1),
                            ("gateway", 1)):
            killed = system.kill(role)
            system.wait_for_children(role, count, without=(killed,))
            system.rest.close()
            wait_for(lambda: answers(system), 20, f"ready again after {role} was killed")
            assert completes(system, f"a note after {role} was killed")
        feed = system.feed("task.")  # the broker's port is the one of the ready line
        reply = system.rest.submit("last.txt", b"the last note")
        assert feed.until_final(reply["task"]["id"])[-1]["event"] == "completed"
        feed.close()


def test_a_process_that_keeps_dying_comes_back_each_time():
    with running() as system:
        for _ in range(4):
            killed = system.kill("chunk")
            system.wait_for_children("chunk", 1, without=(killed,))
        assert completes(system, "a note in the end")


def test_unwritable_data_directory_is_refused():
    with tempfile.TemporaryDirectory() as place:
        blocked = pathlib.Path(place) / "file"
        blocked.write_text("not a directory")
        refused = up("--data", blocked, *FREE)
        assert refused.returncode == 1 and not refused.stdout
        assert str(blocked) in refused.stderr, refused.stderr
        refused = up("--data", "/proc/myelin-data", *FREE)
        assert refused.returncode == 1 and "data directory" in refused.stderr
        if os.getuid() != 0:
            closed = pathlib.Path(place) / "closed"
            closed.mkdir(mode=0o500)
            refused = up("--data", closed, *FREE)
            assert refused.returncode == 1 and "cannot write" in refused.stderr


def test_content_without_its_records_is_refused_and_left_alone():
    with running() as system:
        assert completes(system, "Nobody forgets the heron.")
        system.stop()
        records = system.data / "broker"
        records.rename(system.data.parent / (system.data.name + ".aside"))
        refused = up("--data", system.data, *FREE)
        assert refused.returncode == 2 and not refused.stdout and "broker" in refused.stderr, refused
        assert not records.exists()
        (system.data.parent / (system.data.name + ".aside")).rename(records)
        system.start()
        assert len(system.rest.get("search?q=heron").json["hits"]) == 1


def test_full_disk_is_refused():
    with tempfile.TemporaryDirectory() as place:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", place], capture_output=True)
        if mounted.returncode != 0:
            from harness import Skip
            raise Skip("needs the right to mount a small file system")
        try:
            with open(pathlib.Path(place) / "ballast", "wb", buffering=0) as ballast:
                try:
                    while ballast.write(bytes(4096)):
                        pass
                except OSError:
                    pass
            refused = up("--data", pathlib.Path(place), *FREE)
            assert refused.returncode == 1 and "No space left" in refused.stderr, refused.stderr
            assert sorted(os.listdir(place)) == ["ballast", "lock"], "something half-made is left"
        finally:
            subprocess.run(["umount", place], check=True)


def test_port_in_use_is_said_once_and_ends_with_exit_code_1():
    with running() as system, tempfile.TemporaryDirectory() as place:
        http = system.addresses["http"].removeprefix("http://")
        for option, value in (("--http", http), ("--req", system.addresses["req"]), ("--pub", system.addresses["pub"])):
            arguments = list(FREE)
            arguments[arguments.index(option) + 1] = value
            refused = up("--data", pathlib.Path(place) / "data", *arguments)
            assert refused.returncode == 1 and not refused.stdout, refused
            last = json.loads(refused.stderr.splitlines()[-1])
            assert last["level"] == "error" and last["event"] == "stopped", last
            assert value.rsplit(":", 1)[1] in last["message"] and "in use" in last["message"], last


def test_wrong_options_are_refused_with_exit_code_2():
    for arguments, said in ((["--htpp", "x"], "--http"), (["--workers", "extract=x"], "extract=2"),
                            (["--workers", "storage=2"], "one storage"), (["--workers", ""], "extract=2"),
                            (["--workers", "extract=1,extract=2"], "twice"), (["--workers", "extract=1,"], "extract=2"),
                            (["--workers", "extract=4-1"], "extract=4-1"), (["--workers", "2"], "total of 2"),
                            (["--workers", "extract=1-4,total=2"], "total of 2"), (["--log-level", "loud"], "debug"),
                            (["now"], "now"), (["--data", ""], "--data needs")):
        refused = up(*arguments)
        assert refused.returncode == 2 and said in refused.stderr, (arguments, refused.stderr)


def test_wrong_values_that_only_a_process_knows_to_be_wrong_end_with_exit_code_2():
    with tempfile.TemporaryDirectory() as place:
        for option, value, said in (("--http", "nonsense", "ADDRESS:PORT"), ("--http", "0.0.0.0:1", "loopback"),
                                    ("--req", "nonsense", "tcp://"), ("--req", "tcp://127.0.0.1:port", ":port"),
                                    ("--pub", "tcp://0.0.0.0:1", "loopback"),
                                    ("--http", "127.0.0.1:65536", "65535"), ("--req", "inproc://a", "tcp://"),
                                    ("--req", "tcp://127.0.0.1:70000", "65535"), ("--pub", "inproc://a", "ipc://"),
                                    ("--pub", "tcp://127.0.0.1:4294967297", "65535"), ("--pub", "tcp://127.0.0.1:x", ":x"),
                                    ("--provider", "x", "known: hash"), ("--chunk-tokens", "0", "choose")):
            refused = up("--data", pathlib.Path(place) / "data", *FREE, option, value)
            assert refused.returncode == 2 and said in refused.stderr, (option, refused)
            *_, last = [json.loads(line) for line in refused.stderr.splitlines()]
            assert said in last["message"], (option, last)


def test_configuration_file_and_environment():
    with tempfile.TemporaryDirectory() as place:
        config = pathlib.Path(place) / "myelin.conf"
        # Options of `up` and of the clients in one file, as MYELIN_CONFIG has it for both.
        config.write_text("# one worker each\nworkers = extract=1,chunk=1,embed=1\nhttp = 127.0.0.1:1\n"
                          "max-upload = 1000\ntext_limit = 500\ninflated-limit = 2G\nparser-memory = 300M\n"
                          "parser-stall = 7\nlog-level = error\ntoken = secret\njson = yes\n")
        environment = {"MYELIN_LOG_LEVEL": "debug", "MYELIN_CONFIG": str(config)}
        system = System(env=environment)
        try:
            system.workers = "chunk=2"  # the command line wins; what it does not name keeps its default
            system.start()
            assert len(system.children("chunk")) == 2 and len(system.children("extract")) == 2
            assert any(event.get("level") == "debug" for event in system.events())  # the environment wins over the file
            assert system.rest.post("documents/", bytes(1001), headers={"X-Filename": "x"}).status == 413
            for pid in system.children("extract"):
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                given = dict(zip(words[1::2], words[2::2]))
                assert given[b"--text-limit"] == b"500" and given[b"--inflated-limit"] == b"2G", given
                assert given[b"--parser-memory"] == b"300M" and given[b"--parser-stall"] == b"7", given
            task = system.rest.submit("note.txt", b"Short enough.")["task"]
            listed = command("tasks", server=system.addresses["http"], env=environment)
            assert listed.returncode == 0 and json.loads(listed.stdout)["id"] == task["id"], listed
            config.write_text("# a comment\n\nworkers\n")
            refused = up("--config", config)
            assert refused.returncode == 2 and f"{config}:3: 'workers'" in refused.stderr, refused.stderr
            config.write_text("wrokers = extract=1\n")
            wrong = command("tasks", server=system.addresses["http"], env=environment)
            assert wrong.returncode == 2 and "wrokers" in wrong.stderr, wrong
            assert system.stop() == 0
        finally:
            system.remove()


def test_a_long_data_directory_path_works():
    with tempfile.TemporaryDirectory() as place:
        data = pathlib.Path(place) / ("long-" * 20)
        system = System(data=data)
        try:
            system.start()
            assert completes(system, "a note far down")
            assert system.stop() == 0
            assert not [name for name in os.listdir("/tmp") if name.startswith("myelin-") and
                        name in system.log()]
        finally:
            system.remove()
