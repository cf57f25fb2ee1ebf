"""What a parser may not do, however hostile the document that steers it."""
import subprocess

from harness import BIN


def test_a_hostile_parser_gets_nothing():
    done = subprocess.run([str(BIN / "escape")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1].endswith("attempts, 0 succeeded"), lines
    denied = [line.split()[1] for line in lines if line.startswith(("killed", "refused"))]
    for attempt in ("reads_a_file", "makes_a_socket", "connects", "runs_a_program", "forks", "traces_its_brother",
                    "kills_its_brother", "takes_two_gigabytes"):
        assert attempt in denied, lines
