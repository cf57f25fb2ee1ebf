#!/usr/bin/python3
"""Runs the system tests: every function test_* of every test_*.py here and in chaos/, one after the other.

run.py [WORD…]: only tests whose "file:function" contains one of the words. Exit code 0 only when none failed.
"""
import importlib
import pathlib
import re
import signal
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
SECONDS = 300  # unless a test has an attribute `seconds`

sys.path[:0] = [str(HERE), str(HERE / "chaos")]
from harness import BIN, Skip  # noqa: E402


def on_alarm(number, frame):
    raise TimeoutError("the test took too long")


def discover(words):
    for path in sorted(HERE.glob("test_*.py")) + sorted(HERE.glob("chaos/test_*.py")):
        module = importlib.import_module(path.stem)
        names = re.findall(r"^def (test_\w+)", path.read_text(), re.M)  # in the order of the file
        for name in names:
            label = f"{path.relative_to(HERE).with_suffix('')}:{name}"
            if not words or any(word in label for word in words):
                yield label, getattr(module, name)


def main():
    if not (BIN / "myelin").exists():
        sys.exit(f"no programs in {BIN}; build first (./dev build)")
    signal.signal(signal.SIGALRM, on_alarm)
    passed, failed, skipped = 0, [], 0
    for label, test in discover(sys.argv[1:]):
        started = time.monotonic()
        signal.alarm(getattr(test, "seconds", SECONDS))
        try:
            test()
            outcome, reason = "ok", ""
            passed += 1
        except Skip as skip:
            outcome, reason = "skipped", f": {skip}"
            skipped += 1
        except Exception:
            traceback.print_exc(file=sys.stdout)
            outcome, reason = "FAILED", ""
            failed.append(label)
        finally:
            signal.alarm(0)
        print(f"{outcome:8} {label} ({time.monotonic() - started:.1f} s){reason}", flush=True)
    for label in failed:
        print(f"failed: {label}")
    print(f"{passed} passed, {len(failed)} failed, {skipped} skipped")
    sys.exit(1 if failed or not passed + skipped else 0)


if __name__ == "__main__":
    main()
