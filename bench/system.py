"""A Myelin of one's own for a measurement, and what its processes cost."""
import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time

TREE = pathlib.Path(__file__).resolve().parents[1]
BIN = pathlib.Path(os.environ.get("MYELIN_BIN", TREE / "build" / "bin")).resolve()
TEXTS = pathlib.Path(os.environ.get("MYELIN_SHARED", TREE.parent / "shared")) / "corpus" / "text"
TICKS = os.sysconf("SC_CLK_TCK")


def program(name):
    path = BIN / name
    if not path.exists():
        raise SystemExit(f"bench: {path} is missing; build first")
    return str(path)


@contextlib.contextmanager
def directory():
    path = tempfile.mkdtemp(prefix="myelin-bench-", dir=os.environ.get("TMPDIR"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class System:
    """`myelin up` with a fresh data directory on free ports; a context manager."""

    def __init__(self, workers, *options):
        self.workers = workers
        self.options = options

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        self.dir = self.stack.enter_context(directory())
        self.log = open(os.path.join(self.dir, "log"), "wb")
        free = "tcp://127.0.0.1:0"
        workers = ",".join(f"{stage}={count}" for stage, count in self.workers.items())
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith("MYELIN_") or key == "MYELIN_SHARED"}
        self.process = subprocess.Popen(
            [program("myelin"), "up", "--data", os.path.join(self.dir, "data"), "--http", "127.0.0.1:0",
             "--req", free, "--pub", free, "--workers", workers, "--log-level", "warn", *self.options],
            stdout=subprocess.PIPE, stderr=self.log, env=environment)
        try:
            line = self._line(30)
            if not line.startswith("ready "):
                raise SystemExit(f"bench: myelin up said {line!r}")
            self.address = dict(pair.split("=", 1) for pair in line.split()[1:])
        except BaseException:
            self.process.kill()
            self.process.wait()
            self._show_log()
            self.stack.close()
            raise
        return self

    def _line(self, seconds):
        deadline = time.monotonic() + seconds
        text = b""
        while not text.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                break
            piece = os.read(self.process.stdout.fileno(), 4096)
            if not piece:
                break
            text += piece
        return text.decode()

    def _show_log(self):
        self.log.flush()
        with open(self.log.name, "rb") as log:
            os.write(2, log.read()[-4000:])

    def __exit__(self, kind, value, trace):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        if kind and not issubclass(kind, KeyboardInterrupt):
            self._show_log()
        elif code:
            self._show_log()
            print(f"bench: myelin up ended with {code}")
        self.log.close()
        self.process.stdout.close()
        self.stack.close()

    def load(self, mode, /, **options):
        """Runs bench-load and returns what it found out."""
        return run("bench-load", mode, "--req", self.address["req"], **options)

    def processes(self):
        """{pid: name} of the supervisor and its children."""
        found = {self.process.pid: "myelin"}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            with contextlib.suppress(OSError):
                name, fields = stat(int(entry))
                if int(fields[1]) in found:
                    found[int(entry)] = name
        for entry in os.listdir("/proc"):  # a second round for children of children
            if entry.isdigit() and int(entry) not in found:
                with contextlib.suppress(OSError):
                    name, fields = stat(int(entry))
                    if int(fields[1]) in found:
                        found[int(entry)] = name
        return found

    def cpu(self):
        """CPU seconds so far, by program."""
        sums = {}
        for pid, name in self.processes().items():
            with contextlib.suppress(OSError):
                _, fields = stat(pid)
                own = (int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])) / TICKS
                # What the supervisor reaped are processes that ended; the rest count for themselves.
                if name == "myelin":
                    own = (int(fields[11]) + int(fields[12])) / TICKS
                sums[name] = sums.get(name, 0.0) + own
        return sums

    def pid(self, name):
        return next(pid for pid, found in self.processes().items() if found == name)


def stat(pid):
    """(name, fields after the name) of /proc/PID/stat."""
    with open(f"/proc/{pid}/stat") as file:
        text = file.read()
    return text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()


def memory(pid):
    """{"rss", "pss", "peak"} in MB."""
    found = {"rss": 0.0, "pss": 0.0, "peak": 0.0}
    with open(f"/proc/{pid}/smaps_rollup") as file:
        for line in file:
            for key, label in (("rss", "Rss:"), ("pss", "Pss:")):
                if line.startswith(label):
                    found[key] = int(line.split()[1]) / 1024
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                found["peak"] = int(line.split()[1]) / 1024
    return found


def run(name, /, *words, **options):
    """Runs one of the measuring programs; its JSON."""
    arguments = [program(name), *words]
    for key, value in options.items():
        arguments += ["--" + key, str(value)]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}")
    return json.loads(done.stdout)
